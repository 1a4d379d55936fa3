"""`verify-resume` tells the same bits from others."""

from __future__ import annotations

import json
from multiprocessing import Pipe
from pathlib import Path

import pytest
from PIL import Image

from tinytrain.cli.main import run
from tinytrain.config import load_config, verification
from tinytrain.config.verification import _compare_losses, _compare_states
from tinytrain.errors import Interrupted
from tinytrain.training import RunFolder
from tinytrain.training.checkpoint_file import read_newest, write_checkpoint

from ..training.toys import StopAt, experiment
from ..training.toys import run as train

CONFIG = """\
data: {dataset: digits, batch_size: 256}
transforms: {train: [{RandomCrop: {size: 8, padding: 1}}, ToTensor], eval: [ToTensor]}
model: {name: cnn, widths: [4], strides: [2], dropout: 0.2}
train: {epochs: 2, ema_decay: 0.9, optimizer: {name: adam, lr: 1e-2}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


def test_a_killed_run_comes_to_the_same_bits(config: Path, capsys):
    assert run(["verify-resume", str(config), "--steps", "9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found.pop("weights_sha256")) == 64
    assert found == {  # 6 steps make an epoch, so that one ends after the kill
        "identical": True,
        "steps": 9,
        "killed_after": 6,
        "resumed_after": 6,
        "workers": [0, 2],
        "differences": [],
    }


@pytest.mark.parametrize("steps", [2, 13])
def test_the_number_of_steps_must_be_that_of_a_run(config: Path, capsys, steps: int):
    assert run(["verify-resume", str(config), "--steps", str(steps)]) == 2
    assert capsys.readouterr().err == f"error: --steps must be from 3 to 12, the steps of a whole run; got {steps}\n"


def test_an_error_of_the_training_is_told_as_such(config: Path, capsys):
    assert run(["verify-resume", str(config), "--steps", "4", "train.optimizer.lr=1e30"]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith("error: the loss is ")


def test_early_stopping_does_not_end_a_part_before_the_kill(config: Path, capsys):
    stopping = "train.early_stopping={patience: 1, metric: loss}"
    overrides = [stopping, "train.epochs=8", "train.optimizer.lr=1e-30"]  # nothing gets better after the first epoch
    assert run(["verify-resume", str(config), "--steps", "30", *overrides, "--json"]) == 0
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["killed_after"] == 20
    assert stderr == ("train.early_stopping is switched off here, so that the training does not end before the kill\n")


def test_an_error_of_the_training_keeps_its_exit_code(config: Path, tmp_path: Path, capsys):
    for name, colour in (("light", 200), ("dark", 50)):
        for i in range(8):
            file = tmp_path / "photos/train" / name / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (colour, colour, colour)).save(file)
    file.write_bytes(b"nothing")
    overrides = ["data.dataset=image_folder", f"data.root={tmp_path / 'photos'}", "data.batch_size=2"]
    assert run(["verify-resume", str(config), "--steps", "6", *overrides]) == 3
    assert f"error: {file}: cannot be read as an image: " in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError("of the host"), OSError(28, "No space left on device", "a.npz")])
def test_what_the_machine_has_too_little_of_is_handed_on(config: Path, monkeypatch, error: Exception):
    ours, theirs = Pipe()

    def fail(config: object) -> None:
        raise error

    monkeypatch.setattr(verification, "build_experiment", fail)
    verification._learn(verification._Part(load_config(config), config.parent, 4), theirs)
    answer = ours.recv()
    assert type(answer) is type(error)
    assert str(answer) == str(error)


def test_a_difference_is_an_error(config: Path, capsys, monkeypatch):
    def differ(*folders: Path) -> list[str]:
        return ["model/a", "random"]

    monkeypatch.setattr(verification, "_compare_states", differ)
    assert run(["verify-resume", str(config), "--steps", "3"]) == 3
    stdout, stderr = capsys.readouterr()
    assert stdout.endswith("another result\n")
    assert stderr == f"error: {config}: the two runs differ in model/a, random\n"


def test_every_part_of_the_state_is_compared(tmp_path: Path):
    for name in ("a", "b"):
        with pytest.raises(Interrupted):
            train(experiment(), tmp_path / name, events=StopAt(2, 3))
    assert _compare_states(tmp_path / "a", tmp_path / "b") == []
    _, arrays, document = read_newest(RunFolder(tmp_path / "b"), print)
    arrays["optimizer/0/momentum_buffer"] = arrays["optimizer/0/momentum_buffer"] + 1e-7
    document["schedule"]["num_steps"] += 1
    write_checkpoint(RunFolder(tmp_path / "b"), arrays, document)
    assert _compare_states(tmp_path / "a", tmp_path / "b") == ["optimizer/0/momentum_buffer", "schedule"]


def test_steps_that_differ_or_are_missing_are_named(tmp_path: Path):
    for name, lines in {"a": [(1, "x"), (2, "y"), (3, "z")], "b": [(1, "x"), (2, "y"), (2, "Y")]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert _compare_losses(tmp_path / "a", tmp_path / "b") == ["loss or rate of step 2", "loss or rate of step 3"]
