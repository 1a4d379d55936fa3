"""A run that is killed anywhere comes to the bits of one that was not."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tinytrain.training import Events, RunFolder
from tinytrain.training import run_folder as run_folder_module
from tinytrain.training.checkpoint_file import read_newest
from tinytrain.weights import load_bundle

from ..training.toys import experiment
from ..training.toys import run as train
from .trials import finish, outcome, start, temporary_files, trials

RUNS = trials(full=20, some=1)
"""For each number of workers."""

SAVES = trials(full=100, some=6)
"""Of each kind."""


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Return the folder of a run that nobody disturbs, and the seconds that it takes."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    begin = time.monotonic()
    done = finish("train", config, "--run-dir", folder)
    assert done.returncode == 0, done.stderr
    return folder, time.monotonic() - begin


@pytest.mark.timeout(500 + 100 * RUNS)
@pytest.mark.parametrize("workers", [0, 2])
def test_runs_killed_at_random_moments_end_with_the_same_bits(
    config: Path, whole: tuple[Path, float], tmp_path: Path, workers: int
):
    expected, seconds = outcome(whole[0]), whole[1]
    chance = random.Random(f"kills {workers}")
    for number in range(RUNS):
        folder = tmp_path / str(number)
        arguments = ["train", config, f"data.workers={workers}", "--run-dir", folder]
        for _ in range(chance.randint(1, 3)):
            process = start(*arguments)
            time.sleep(chance.uniform(0.2, 1.0) * seconds)
            process.kill()
            process.communicate()
        done = finish(*arguments, *(["--resume"] if (folder / "summary.json").exists() else []))
        assert done.returncode == 0, done.stderr
        assert outcome(folder) == expected, f"run {number} with {workers} workers"
        assert temporary_files(folder) == []


def in_fork(target: Any, *arguments: Any) -> multiprocessing.Process:
    """Start a function in a copy of this process."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


POINTS = ("mkstemp", "open", "write", "fsync", "chmod", "replace", "sync folder", "unlink")


def train_until_killed(folder: Path, point: str, count: int) -> None:
    """Train with a checkpoint at every step; die at the `count`-th time that saving comes to a point."""
    rest = count

    def deadly(function: Any, *, half: bool = False) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal rest
            rest -= 1
            if rest == 0:
                if half:  # die with half of the bytes on the disk
                    path, data = arguments
                    with open(path, "wb") as file:
                        file.write(data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    module: Any = run_folder_module
    match point:
        case "mkstemp":
            module.tempfile.mkstemp = deadly(module.tempfile.mkstemp)
        case "open":
            Path.open = deadly(Path.open)  # type: ignore[method-assign]
        case "write":
            Path.write_bytes = deadly(Path.write_bytes, half=True)  # type: ignore[method-assign]
        case "fsync":
            os.fsync = deadly(os.fsync)
        case "chmod":
            Path.chmod = deadly(Path.chmod)  # type: ignore[method-assign]
        case "replace":
            Path.replace = deadly(Path.replace)  # type: ignore[method-assign]
        case "sync folder":
            module._sync_folder = deadly(module._sync_folder)
        case "unlink":
            Path.unlink = deadly(Path.unlink)  # type: ignore[method-assign]
    train(experiment(checkpoint_steps=1), folder)


@pytest.mark.timeout(120 + 2 * SAVES)
def test_kills_at_every_point_of_saving_leave_a_checkpoint_that_loads(tmp_path: Path):
    expected = train(experiment(), tmp_path / "whole").summary["weights_sha256"]
    chance = random.Random("points of saving")
    for number in range(SAVES):
        point = POINTS[number % len(POINTS)]
        folder = tmp_path / str(number)
        process = in_fork(train_until_killed, folder, point, chance.randint(4, 24))
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"{point}: the training was not killed"
        read_newest(RunFolder(folder), pytest.fail)
        assert train(experiment(), folder, resume=True).summary["weights_sha256"] == expected
        assert temporary_files(folder) == []


class Forever(Events):
    """Saves again and again at the same place."""

    def __init__(self, folder: Path):
        self.folder = folder

    def pause(self, epoch: int, step: int) -> None:
        from tinytrain.training.checkpoint_file import read_checkpoint, write_checkpoint

        arrays, document = read_checkpoint(sorted((self.folder / "checkpoint").glob("*.safetensors"))[-1])
        while True:
            write_checkpoint(RunFolder(self.folder), arrays, document)


def newest_step(folder: Path) -> int:
    """Return the number of the last checkpoint that a run has saved, 0 before the first."""
    return max((int(each.stem) for each in (folder / "checkpoint").glob("[0-9]*.safetensors")), default=0)


def save_forever(folder: Path) -> None:
    train(experiment(checkpoint_steps=1), folder, events=Forever(folder))


@pytest.mark.timeout(120 + 2 * SAVES)
def test_kills_at_any_time_of_saving_leave_a_checkpoint_that_loads(tmp_path: Path):
    expected = train(experiment(), tmp_path / "whole").summary["weights_sha256"]
    chance = random.Random("times of saving")
    for number in range(SAVES):
        folder = tmp_path / str(number)
        process = in_fork(save_forever, folder)
        while newest_step(folder) < 3:  # not the third itself: it is gone again a few steps later
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.05))
        process.kill()
        process.join()
        read_newest(RunFolder(folder), pytest.fail)
        assert train(experiment(), folder, resume=True).summary["weights_sha256"] == expected


@pytest.mark.parametrize(("number", "code", "workers"), [(signal.SIGINT, 130, 0), (signal.SIGTERM, 143, 2)])
def test_a_signal_leaves_a_run_that_goes_on(
    config: Path, whole: tuple[Path, float], tmp_path: Path, number: int, code: int, workers: int
):
    folder = tmp_path / "run"
    arguments = ["train", config, f"data.workers={workers}", "--run-dir", folder, "train.log_every=1"]
    process = start(*arguments, start_new_session=True)
    while not (folder / "last.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, number)  # as Ctrl-C and a service manager do: the workers get it, too
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"all of it saved\ninterrupted; the same command goes on from the last checkpoint\n" in stderr
    assert b"Traceback" not in stderr
    assert load_bundle(folder / "last.safetensors").class_names == list("0123456789")
    assert temporary_files(folder) == []
    assert finish(*arguments).returncode == 0
    assert outcome(folder) == outcome(whole[0])


def test_a_second_process_in_a_run_folder_is_refused(config: Path, tmp_path: Path):
    folder = tmp_path / "run"
    process = start("train", config, "--run-dir", folder, "train.epochs=100")
    while not (folder / "config.yaml").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    second = finish("train", config, "--run-dir", folder, "train.epochs=100")
    process.terminate()
    process.communicate()
    assert second.returncode == 4
    assert second.stderr == (
        f"error: {folder}: the run folder is in use by process {process.pid}. "
        "Wait until it ends, or name another folder with --run-dir\n"
    )
