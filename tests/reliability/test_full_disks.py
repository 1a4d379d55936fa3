"""A full disk or a read-only folder ends a run with exit 4; what was there before stays, nothing half written does."""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinytrain.cli.main import run as run_command
from tinytrain.errors import StorageError
from tinytrain.training import RunFolder
from tinytrain.training.checkpoint_file import read_newest

from ..training.toys import experiment
from ..training.toys import run as train
from .trials import CONFIG, IS_FULL, finish, outcome, temporary_files, trials

POINTS: dict[str, tuple[Any, str]] = {
    "making": (RunFolder, "replacing"),
    "writing": (Path, "write_bytes"),
    "syncing": (os, "fsync"),
    "replacing": (Path, "replace"),
}
FAILURES = trials(full=30, some=6)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with room, whose checkpoints are its largest files."""
    path = tmp_path_factory.mktemp("whole")
    (path / "small.yaml").write_text(CONFIG)
    done = finish("train", path / "small.yaml", "model.widths=[32, 64]", "train.epochs=2", "--run-dir", path / "run")
    assert done.returncode == 0, done.stderr
    return path / "run"


def limited(size: int) -> Callable[[], None]:
    """Return what lets a process write no file beyond some bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9] if IS_FULL else [0.9])
def test_a_run_ends_with_exit_4_and_goes_on_when_there_is_room(config: Path, whole: Path, tmp_path: Path, share: float):
    """A checkpoint grows with the optimizer's state and with the best weights: the first may fit, and others not."""
    folder = tmp_path / "run"
    arguments = ["train", config, "model.widths=[32, 64]", "train.epochs=2", "--run-dir", folder]
    largest = max(path.stat().st_size for path in (whole / "checkpoint").iterdir())
    full = finish(*arguments, preexec_fn=limited(int(share * largest)))
    assert full.returncode == 4
    (message,) = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
    assert message.startswith(f"error: {folder}/")
    assert message.endswith(": cannot be written: File too large")
    assert temporary_files(folder) == []
    assert not (folder / "summary.json").exists()
    if share > 0.02:
        read_newest(RunFolder(folder), pytest.fail)
    assert finish(*arguments).returncode == 0
    assert outcome(folder) == outcome(whole)


@pytest.mark.parametrize("point", ["writing", "syncing", "replacing"])
def test_wherever_saving_fails_the_checkpoint_before_stays(point: str, tmp_path: Path):
    expected = train(experiment(), tmp_path / "whole").summary["weights_sha256"]
    owner, name = POINTS[point]
    for number in range(FAILURES):
        folder, rest = tmp_path / str(number), 5 + 3 * number % 20
        function = getattr(owner, name)

        def fail(*arguments: Any, function: Any = function) -> Any:
            nonlocal rest
            rest -= 1
            if rest == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*arguments)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(owner, name, fail)
            with pytest.raises(StorageError, match=r": cannot be written: No space left on device"):
                train(experiment(checkpoint_steps=1), folder)
        assert temporary_files(folder) == []
        read_newest(RunFolder(folder), pytest.fail)
        assert train(experiment(), folder, resume=True).summary["weights_sha256"] == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["list", "models"], ["list", "models", "--json"], ["doctor"]])
def test_a_full_disk_behind_stdout_is_exit_4(arguments: list[str], unbuffered: str):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = finish(*arguments, capture_output=False, stdout=full, stderr=-1, env=environment)
    assert (done.returncode, done.stderr) == (4, "error: No space left on device\n")


def test_a_report_that_finds_no_room_says_that_the_rest_is_there(config: Path, tmp_path: Path, monkeypatch, capsys):
    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = tmp_path / "run"
    monkeypatch.setattr("tinytrain.report.write_report", fail)
    assert run_command(["train", str(config), "train.epochs=1", "--run-dir", str(folder)]) == 4
    assert capsys.readouterr().err.endswith(
        f"error: {folder}: the report cannot be written: No space left on device. "
        "Everything else is there; --resume writes it again\n"
    )
    monkeypatch.undo()
    assert run_command(["train", str(config), "train.epochs=1", "--run-dir", str(folder), "--resume"]) == 0
    assert (folder / "report.html").exists()


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="there is no /sys")
def test_a_place_where_no_folder_can_be_made_is_refused_before_training(config: Path, capsys):
    assert run_command(["train", str(config), "--run-dir", "/sys/run"]) == 4
    assert capsys.readouterr().err == ("error: /sys/run: the run folder cannot be made: Operation not permitted\n")


def test_a_read_only_folder_is_refused_before_training(config: Path, tmp_path: Path):
    """As somebody whom the permissions of folders concern: the superuser may write everywhere."""
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    for folder in (tmp_path / "empty", tmp_path / "interrupted"):
        folder.mkdir()
    (tmp_path / "interrupted" / "config.yaml").write_text(CONFIG)
    for folder in (tmp_path / "empty", tmp_path / "interrupted"):
        folder.chmod(0o500)
        done = finish("train", config, "--run-dir", folder)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            4,
            f"error: {folder}: cannot be written: Permission denied",
        )
        folder.chmod(0o700)


def test_a_folder_on_a_medium_that_is_read_only_is_refused_before_training(config: Path, tmp_path: Path, monkeypatch):
    opened = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=r"run: cannot be written: Read-only file system"):
        train(experiment(), tmp_path / "run")
