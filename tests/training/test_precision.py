"""Trainings in lower precision learn as well, keep float32 weights, tell overflows and go on to the bit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.cli.main import run as command
from tinytrain.device import CPU
from tinytrain.errors import Interrupted
from tinytrain.optim.grad_scaler import GradScaler
from tinytrain.training.precision import computing_in
from tinytrain.training.rehearsal import estimate_memory
from tinytrain.training.step import learn
from tinytrain.weights import load_bundle

from .toys import Listener, StopAt, experiment, run

DIGITS = """\
data: {dataset: digits, batch_size: 32}
transforms: {train: [ToTensor], eval: [ToTensor]}
model: {name: cnn, conv: separable, widths: [16, 32], strides: [1, 2]}
train: {epochs: 6, optimizer: {name: sgd, lr: 0.1, momentum: 0.9}, schedule: {name: cosine}}
"""


@pytest.fixture(params=["bf16", "fp16"])
def precision(request: pytest.FixtureRequest) -> str:
    if request.param == "bf16":
        pytest.importorskip("ml_dtypes")
    return str(request.param)


@pytest.fixture(scope="module")
def accuracy_of_float32(tmp_path_factory: pytest.TempPathFactory) -> float:
    return train_digits(tmp_path_factory.mktemp("fp32"), "fp32")["test"]["top1"]


def train_digits(folder: Path, precision: str) -> dict:
    config, results = folder / "digits.yaml", folder / "run"
    config.write_text(DIGITS)
    assert command(["train", str(config), f"train.precision={precision}", "--run-dir", str(results)]) == 0
    return json.loads((results / "summary.json").read_text())


def test_digits_are_learned_as_well_as_in_float32(precision, tmp_path, accuracy_of_float32):
    summary = train_digits(tmp_path, precision)
    assert summary["precision"] == precision
    assert accuracy_of_float32 > 0.9
    assert summary["test"]["top1"] > accuracy_of_float32 - 0.03
    assert ("skipped_steps" in summary) is (precision == "fp16")
    for name in ("best", "last"):
        bundle = load_bundle(tmp_path / "run" / f"{name}.safetensors")
        assert {array.dtype for array in bundle.weights.values()} == {np.dtype("float32"), np.dtype("int64")}
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6


def test_the_network_computes_in_the_precision_asked_for(precision):
    e = experiment(precision=precision)
    seen = []
    e.model[2].register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    (learned,) = learn(e, [next(iter(e.train))])
    lower = tt.bfloat16 if precision == "bf16" else tt.float16
    assert seen == [(lower, lower)]
    assert learned.loss.dtype is tt.float32
    assert {p.dtype for p in e.model.parameters()} == {tt.float32}


def test_evaluation_is_in_float32(precision, tmp_path):
    e = experiment(precision=precision, epochs=1)
    seen = set()
    e.model[2].register_forward_hook(lambda module, inputs, output: seen.add((module.training, str(output.dtype))))
    run(e, tmp_path)
    lower = "torch.bfloat16" if precision == "bf16" else "torch.float16"
    assert seen == {(True, lower), (False, "torch.float32")}


def test_tf32_is_in_force_while_learning_only():
    for precision, expected in (("tf32", "high"), ("fp32", "highest")):
        with computing_in(precision, CPU):
            assert tt.get_float32_matmul_precision() == expected
        assert tt.get_float32_matmul_precision() == "highest"


def test_a_clipped_gradient_is_that_of_the_loss_and_not_of_the_scaled_one():
    weights = []
    for precision, scaler in (("fp32", GradScaler(enabled=False)), ("fp16", GradScaler("cpu", init_scale=1024.0))):
        e = experiment(clip_grad_norm=0.1, clip_grad_value=0.05, precision=precision, scaler=scaler)
        for batch in e.train:
            learn(e, [batch])
        weights.append(e.model[2].weight.detach().numpy())
    np.testing.assert_allclose(*weights, atol=5e-3)


def overflowing(**options) -> tt.training.Experiment:
    """Return a training whose first scales are far too large for float16."""
    scaler = GradScaler("cpu", init_scale=2.0**30, growth_interval=7)
    return experiment(precision="fp16", scaler=scaler, **options)


def test_overflows_are_told_when_something_is_reported_and_counted(tmp_path):
    listener = Listener()
    result = run(overflowing(log_every=3), tmp_path, events=listener)
    told = [text for text in listener.messages if "overflowed" in text]
    skipped = result.summary["skipped_steps"]
    assert skipped > 3
    assert told[0].startswith("left out 3 steps whose gradients overflowed float16; the loss scale is now 1.34218e+08")
    assert sum(int(text.split()[2]) for text in told) == skipped
    assert result.val.top1 > 0.9


@pytest.mark.parametrize("stop", [(1, 2), (1, 5), (2, 3), (3, 1)])
def test_a_training_with_overflows_goes_on_to_the_bit(stop, tmp_path):
    whole = run(overflowing(), tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(overflowing(), tmp_path / "parts", events=StopAt(*stop))
    tt.manual_seed(999)
    resumed = run(overflowing(), tmp_path / "parts", resume=True)
    for key in ("weights_sha256", "val", "skipped_steps"):
        assert resumed.summary[key] == whole.summary[key]


def test_a_run_of_another_precision_goes_on_by_force(tmp_path):
    with pytest.raises(Interrupted):
        run(experiment(), tmp_path, events=StopAt(1, 3))
    result = run(experiment(precision="fp16", scaler=GradScaler("cpu")), tmp_path, resume=True, force=True)
    assert result.summary["precision"] == "fp16"


def test_activations_take_half_the_memory(precision):
    half, whole = (estimate_memory(experiment(precision=each))["activations"] for each in (precision, "fp32"))
    assert 2 * half == whole


def test_an_infinite_loss_is_found_in_the_layer_that_overflows_float16():
    from tinytrain.training.divergence import find_layer

    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with tt.no_grad():
        model[1].weight.fill_(30000.0)
    e = experiment(model, precision="fp16")
    images, _ = next(iter(e.train))
    assert find_layer(e, images.abs() + 1) == "layer 1 (Linear)"
    e.precision = "fp32"
    assert find_layer(e, images.abs() + 1) == "the loss (CrossEntropyLoss)"
