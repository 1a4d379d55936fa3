"""Interrupted runs go on by themselves, and a changed config is told by its keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinytrain.cli.main import run
from tinytrain.cli.progress import Screen
from tinytrain.config import load_config
from tinytrain.errors import Interrupted
from tinytrain.training import RunFolder

CONFIG = """\
name: small
data: {dataset: digits, batch_size: 256}
transforms: {train: [ToTensor], eval: [ToTensor]}
model: {name: cnn, widths: [4], strides: [2]}
train: {epochs: 2, optimizer: {name: adam, lr: 1e-2}}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def interrupted(config: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Path:
    """Return the folder of a run that was stopped in its second epoch."""

    def stop(screen: Screen, epoch: int, step: int) -> None:
        if (epoch, step) == (2, 3):
            raise Interrupted(15)

    with monkeypatch.context() as patched:
        patched.setattr(Screen, "pause", stop)
        assert run(["train", str(config)]) == 143
    assert capsys.readouterr().err.endswith(
        "stopped in epoch 2 after step 3 of 6, all of it saved\n"
        "interrupted; the same command goes on from the last checkpoint\n"
    )
    return Path("runs/small")


def test_the_same_command_goes_on_and_says_so(config: Path, interrupted: Path, capsys):
    assert run(["train", str(config), "--json"]) == 0
    stdout, stderr = capsys.readouterr()
    assert stderr.startswith("runs/small was interrupted: going on with it (--no-resume begins a new run)\n")
    assert "going on in epoch 2 after step 3 of 6\n" in stderr
    assert run(["train", str(config), "--no-resume", "--json", "--run-dir", "whole"]) == 0
    whole = json.loads(capsys.readouterr().out)
    resumed = json.loads(stdout)
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert resumed["test"] == whole["test"]


def test_a_named_folder_of_an_interrupted_run_goes_on(config: Path, interrupted: Path, capsys):
    assert run(["train", str(config), "--run-dir", str(interrupted)]) == 0
    assert capsys.readouterr().out.endswith("results in runs/small\n")


def test_a_new_run_can_be_asked_for(config: Path, interrupted: Path, capsys):
    assert run(["train", str(config), "--no-resume", "train.epochs=1"]) == 0
    assert capsys.readouterr().out.endswith("results in runs/small-2\n")


def test_another_config_is_another_run(config: Path, interrupted: Path, capsys):
    assert run(["train", str(config), "train.epochs=1", "train.optimizer.lr=0.02", "seed=3"]) == 0
    stdout, stderr = capsys.readouterr()
    assert stderr.startswith(
        "runs/small was interrupted and has seed=0, this config 3; train.optimizer.lr=0.01, this config 0.02: "
        "this is another run\n"
    )
    assert stdout.endswith("results in runs/small-2\n")


def test_a_changed_config_names_every_key_that_matters(config: Path, interrupted: Path, capsys):
    assert run(["train", str(config), "--resume", "train.optimizer.lr=0.02", "seed=3", "train.epochs=5"]) == 2
    assert capsys.readouterr().err == (
        "error: runs/small: the run has seed=0, this config 3; train.optimizer.lr=0.01, this config 0.02. A run goes "
        "on with the config it began with; begin a new one with --no-resume, or go on with these changes by --force\n"
    )


def test_force_takes_the_changes_over(config: Path, interrupted: Path, capsys):
    assert run(["train", str(config), "--force", "train.optimizer.lr=0.02"]) == 0
    stderr = capsys.readouterr().err
    assert "runs/small: going on with train.optimizer.lr=0.01, this config 0.02\n" in stderr
    assert "epoch 2 begins again, as its batches may be others\n" in stderr
    assert "lr 0.02 " in stderr
    assert load_config(interrupted / "config.yaml").train.optimizer.arguments["lr"] == 0.02


def test_force_and_a_new_run_do_not_go_together(config: Path, interrupted: Path, capsys):
    assert run(["train", str(config), "--force", "--no-resume"]) == 2
    assert capsys.readouterr().err == (
        "error: --force goes on with a run, --no-resume begins a new one. Keep one of the two\n"
    )


def test_harmless_changes_are_taken_over_and_said(config: Path, interrupted: Path, capsys):
    changes = ["train.epochs=3", "data.workers=1", "train.log_every=7", "train.checkpoint.every_steps=2"]
    assert run(["train", str(config), *changes]) == 0
    stderr = capsys.readouterr().err
    assert "runs/small: going on with train.epochs=3 instead of 2\n" in stderr
    assert "runs/small: going on with data.workers=1 instead of 0\n" in stderr
    kept = load_config(interrupted / "config.yaml")
    assert (kept.train.epochs, kept.data.workers) == (3, 1)
    assert json.loads((interrupted / "summary.json").read_text())["epochs"] == 3


def test_a_finished_run_is_extended_when_it_is_asked_for(config: Path, capsys):
    assert run(["train", str(config), "train.epochs=1"]) == 0
    assert run(["train", str(config), "train.epochs=2", "--resume"]) == 0
    stdout, stderr = capsys.readouterr()
    assert stdout.endswith("results in runs/small\n")
    assert "runs/small: 2 epochs of 6 steps, going on after epoch 1\n" in stderr


def test_a_folder_in_use_is_refused(config: Path, interrupted: Path, capsys):
    with RunFolder(interrupted).locked():
        for arguments in (["--resume"], ["--run-dir", str(interrupted)]):
            assert run(["train", str(config), *arguments]) == 4
            message = capsys.readouterr().err.splitlines()[-1]
            assert message.startswith("error: runs/small: the run folder is in use by process ")
            assert message.endswith(". Wait until it ends, or name another folder with --run-dir")
        assert run(["train", str(config), "train.epochs=1"]) == 0, "without a folder's name there is another one"
        assert capsys.readouterr().out.endswith("results in runs/small-2\n")


def test_a_folder_that_was_only_just_made_is_taken(config: Path, tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    with RunFolder(folder).locked():
        pass
    assert run(["train", str(config), "train.epochs=1", "--run-dir", str(folder)]) == 0


def test_damaged_runs_are_left_alone(config: Path, interrupted: Path, capsys):
    (interrupted / "config.yaml").write_text("name: [\n")
    assert run(["train", str(config), "train.epochs=1"]) == 0
    assert capsys.readouterr().out.endswith("results in runs/small-2\n")
    assert (interrupted / "config.yaml").read_text() == "name: [\n"


def test_what_would_fail_later_is_refused_before_there_is_a_folder(config: Path, tmp_path: Path, capsys):
    assert run(["train", str(config), "data.batch_size=2000", "data.drop_last=true"]) == 2
    assert capsys.readouterr().err == (
        "error: override: data.batch_size: no batch is left: there are 1297 training images, a batch has 2000, and a "
        "shorter one is dropped. Lower data.batch_size, or set data.drop_last to false\n"
    )
    assert not (tmp_path / "runs").exists()
