"""Errors leave the command line as one line and an exit code; nothing else is caught."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytrain.cli.main import run
from tinytrain.errors import ConfigError, DataError, DeviceError, StorageError, WeightsError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes `train` fail with a given error."""

    def fail_with(error: BaseException) -> None:
        def load_config(*arguments: object) -> None:
            raise error

        monkeypatch.setattr("tinytrain.config.load_config", load_config)

    return fail_with


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("unknown key", place="x.yaml:3: trian"), 2, "error: x.yaml:3: trian: unknown key\n"),
        (DeviceError("no GPU here", remedy="Use cpu"), 2, "error: no GPU here. Use cpu\n"),
        (DataError("the file is damaged", place="a.gz"), 3, "error: a.gz: the file is damaged\n"),
        (WeightsError("not weights", place="w.pth"), 3, "error: w.pth: not weights\n"),
        (StorageError("in use", place="runs/x"), 4, "error: runs/x: in use\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x/metrics.csv"),
            4,
            "error: runs/x/metrics.csv: No space left on device\n",
        ),
        (PermissionError(errno.EACCES, "Permission denied", b"runs"), 4, "error: runs: Permission denied\n"),
        (OSError(errno.EROFS, "Read-only file system"), 4, "error: Read-only file system\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(failing, capsys, error: BaseException, code: int, line: str):
    failing(error)
    assert run(["train", "x.yaml", "--json"]) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("arguments", [["--debug", "train", "x.yaml"], ["train", "x.yaml", "--debug"]])
def test_debug_shows_the_traceback_of_an_error(failing, capsys, arguments: list[str]):
    failing(ConfigError("unknown key"))
    assert run(arguments) == 2
    stderr = capsys.readouterr().err
    assert "Traceback" in stderr
    assert stderr.endswith("error: unknown key\n")


def test_a_bug_of_ours_keeps_its_traceback(failing):
    failing(ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        run(["train", "x.yaml"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "error: No such command 'trian'. Did you mean 'train'?\n"),
        (["--jsno"], "error: No such option: --jsno\n"),
        (["train"], "error: Missing argument 'CONFIG'.\n"),
        (["train", "x.yaml", "--devcie", "cpu"], "error: No such option: --devcie (Possible options: --device)\n"),
        (["list", "model"], "error: 'model' cannot be listed (did you mean 'models'?). Known: models, layers, "),
        (["evaluate", "x", "--topk", "0"], "error: Invalid value for '--topk': "),
        (["evaluate", "x", "--split", "train"], "error: Invalid value for '--split': "),
        (["train", "nothing.yaml"], "error: nothing.yaml: there is no such file\n"),
        (["train", "nothing.yaml", "--device"], "error: Option '--device' requires an argument.\n"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(capsys, arguments: list[str], line: str):
    assert run(arguments) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith(line)
    assert stderr.count("\n") == 1


def test_an_option_of_train_is_an_override_with_its_checks(capsys, tmp_path: Path):
    config = tmp_path / "x.yaml"
    config.write_text("data: {dataset: digits}\nmodel: {name: cnn}\n")
    assert run(["train", str(config), "--device", "tpu"]) == 2
    assert capsys.readouterr().err.startswith("error: override: device: 'tpu' is not possible here. auto (a GPU")


def test_no_arguments_mean_help(capsys):
    assert run([]) == 0
    assert "Usage: tinytrain [OPTIONS] COMMAND" in capsys.readouterr().out


def test_the_module_runs_as_the_command_does():
    command = [sys.executable, "-m", "tinytrain", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.count(".") == 2


def test_a_reader_that_leaves_is_no_error_to_report():
    process = subprocess.Popen(
        [sys.executable, "-m", "tinytrain", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_another_broken_pipe_is_told(monkeypatch, capfd):
    def write(*arguments: object) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr("tinytrain.cli.listing.print_json", write)
    assert run(["list", "models", "--json"]) == 4
    assert capfd.readouterr().err == "error: Broken pipe\n"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_what_stdout_cannot_show_becomes_a_question_mark(encoding, tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff \xe2\x96\xa0.npy"  # no UTF-8, and a block that the encoding lacks
    Path(os.fsdecode(odd)).write_bytes(b"")
    code = "import os, sys; from tinytrain.cli.main import run; run([]); print(os.listdir(sys.argv[1])[0])"
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=True)
    assert done.stdout.splitlines()[-1] == b"\xff ?.npy"
