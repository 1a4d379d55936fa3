"""Matrix products run on one core while a network learns, unless the environment says otherwise."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info

from tinytrain.threads import one_blas_thread


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def _no_variables(monkeypatch):
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_variables")
def test_inside_the_block_there_is_one_thread_and_afterwards_as_many_as_before():
    before = blas_threads()
    with one_blas_thread():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


@pytest.mark.usefixtures("_no_variables")
def test_what_the_environment_says_is_left_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = blas_threads()
    with one_blas_thread():
        assert blas_threads() == before
