"""The same config gives the same bits, whatever the number of threads and loader workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinytrain.device import cuda_problem

from .trials import IS_FULL, finish, outcome, trials

RUNS = trials(full=5, some=2)
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")


@pytest.fixture(scope="module")
def expected(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Return what a run comes to."""
    folder = tmp_path_factory.mktemp("first") / "run"
    assert finish("train", config, "--run-dir", folder).returncode == 0
    return outcome(folder)


def test_runs_are_identical(config: Path, expected: tuple[object, ...], tmp_path: Path):
    for number in range(RUNS - 1):
        assert finish("train", config, "--run-dir", tmp_path / str(number)).returncode == 0
        assert outcome(tmp_path / str(number)) == expected


@pytest.mark.gpu
def test_runs_on_a_gpu_are_identical(config: Path, tmp_path: Path):
    if (problem := cuda_problem()) is not None:
        pytest.skip(problem)
    for name in ("one", "another"):
        assert finish("train", config, "device=cuda", "--run-dir", tmp_path / name).returncode == 0
    assert outcome(tmp_path / "one") == outcome(tmp_path / "another")


@pytest.mark.parametrize("workers", [1, 4] if IS_FULL else [4])
def test_the_number_of_workers_does_not_matter(
    config: Path, expected: tuple[object, ...], tmp_path: Path, workers: int
):
    assert finish("train", config, f"data.workers={workers}", "--run-dir", tmp_path / "run").returncode == 0
    assert outcome(tmp_path / "run") == expected


@pytest.mark.parametrize("threads", [1, 2] if IS_FULL else [2])
def test_the_number_of_threads_does_not_matter(
    config: Path, expected: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
):
    for name in THREADS:
        monkeypatch.setenv(name, str(threads))
    assert finish("train", config, "--run-dir", tmp_path / "run").returncode == 0
    assert outcome(tmp_path / "run") == expected
