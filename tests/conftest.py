"""Fixtures that every test may ask for, and the emulated GPU where `TINYTRAIN_EMULATED_GPU=1` asks for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

if os.environ.get("TINYTRAIN_EMULATED_GPU") == "1":
    # Before tinytrain is imported, here and in the processes that tests start.
    _paths = [str(REPOSITORY / "tests" / "emulation" / "packages"), str(REPOSITORY)]
    sys.path[:0] = _paths
    os.environ["PYTHONPATH"] = os.pathsep.join([*_paths, *filter(None, [os.environ.get("PYTHONPATH")])])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all that would run on the emulated GPU where nothing compiles its kernels."""
    from tests.emulation.host import compiler_problem

    if os.environ.get("TINYTRAIN_EMULATED_GPU") == "1" and (problem := compiler_problem()) is not None:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=problem))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data for development; the test is skipped where there is none.

    It is looked for beside the repository, then where TINYTRAIN_TEST_DATA says.
    """
    named = os.environ.get("TINYTRAIN_TEST_DATA")
    places = [REPOSITORY.parent / "shared" / "data", *([Path(named)] if named else [])]
    for place in places:
        if place.is_dir():
            return place
    pytest.skip(f"no real data at {' or '.join(map(str, places))} (TINYTRAIN_TEST_DATA names a folder)")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Return each device's name in turn; the GPU's turn is skipped where no GPU can be used."""
    from tinytrain.device import cuda_problem

    if request.param == "cuda" and (problem := cuda_problem()) is not None:
        pytest.skip(problem)
    return request.param
