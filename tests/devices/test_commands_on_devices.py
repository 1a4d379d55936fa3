"""The commands do on every device what they do on the CPU: a run folder is the same wherever it was learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinytrain.cli.main import run
from tinytrain.cli.progress import Screen
from tinytrain.config.evaluation import open_evaluation
from tinytrain.device import device as device_type
from tinytrain.device import require
from tinytrain.errors import Interrupted

CONFIG = """\
name: small
seed: 3
data: {dataset: digits, batch_size: 32}
transforms: {train: [{RandomCrop: {size: 8, padding: 1}}, ToTensor], eval: [ToTensor]}
model: {name: cnn, conv: separable, widths: [8, 8], strides: [1, 2], dropout: 0.1}
train:
  epochs: 2
  optimizer: {name: adamw, lr: 2e-2}
  ema_decay: 0.5
  clip_grad_norm: 1.0
"""


@pytest.fixture
def train(tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch):
    """Return a function that trains into a folder of that name, and gives the summary."""
    (tmp_path / "small.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)

    def learn(folder: str, *options: str) -> dict:
        arguments = ["train", "small.yaml", f"device={device}", "--run-dir", folder, *options]
        assert run(arguments) == 0
        return json.loads((tmp_path / folder / "summary.json").read_text())

    return learn


def test_a_run_learns_on_its_device_and_repeats_itself(train, device):
    first, second = train("first"), train("second")
    assert device_type(first["device"]) == require(device)
    assert first["test"]["top1"] > 0.3
    assert first["weights_sha256"] == second["weights_sha256"]


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(train, device, monkeypatch):
    whole = train("whole")

    def stop(screen: Screen, epoch: int, step: int) -> None:
        if (epoch, step) == (2, 5):
            raise Interrupted(15)

    with monkeypatch.context() as patched:
        patched.setattr(Screen, "pause", stop)
        assert run(["train", "small.yaml", f"device={device}", "--run-dir", "parts"]) == 143
    assert train("parts", "--resume")["weights_sha256"] == whole["weights_sha256"]


def test_what_was_learned_serves_on_every_device(train, device):
    summary = train("learned")
    for where in {device, "cpu"}:
        found = open_evaluation("learned", split="test", device=where).judge().scores
        assert found.top1 == pytest.approx(summary["test"]["top1"], abs=0.01)
        assert found.loss == pytest.approx(summary["test"]["loss"], rel=1e-3)
