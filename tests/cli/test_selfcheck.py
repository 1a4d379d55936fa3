"""`tinytrain selfcheck`: what it compares, and that a fault of a kernel is told from rounding."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytrain import kernels
from tinytrain.cli.main import run
from tinytrain.kernels import find_kernel, fused
from tinytrain.optim.grad_scaler import GradScaler

CONFIG = """\
name: small
device: cpu
data: {dataset: digits, batch_size: 32}
transforms: {train: [ToTensor], eval: [ToTensor]}
model: {name: cnn, conv: separable, widths: [8, 16], strides: [1, 2], dropout: 0.2}
train: {optimizer: {name: OPTIMIZER, lr: 0.1}}
"""

fast = pytest.mark.skipif(
    find_kernel("mean_of_pixels", np.zeros(1, np.float32)) is None, reason="no fast kernel to be at fault"
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG.replace("OPTIMIZER", "sgd"))
    return path


def document(config: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Return what the command prints, after checking its exit code."""
    assert run(["selfcheck", str(config), "--json", *words]) == code
    return json.loads(capsys.readouterr().out)


def break_kernel(monkeypatch: pytest.MonkeyPatch, name: str, spoil: Callable[[Any], Any]) -> None:
    """Have a fast kernel return something else."""
    right = fused.KERNELS[name]
    monkeypatch.setitem(fused.KERNELS, name, lambda *operands: spoil(right(*operands)))
    monkeypatch.setattr(kernels, "_chosen", {})


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lion"])
def test_the_kernels_of_this_machine_agree_with_the_definition(config, capsys, optimizer):
    config.write_text(CONFIG.replace("OPTIMIZER", optimizer))
    found = document(config, capsys)
    assert found["agrees"] is True
    assert (found["device"], found["precision"], found["batch_size"]) == ("cpu", "fp32", 16)
    assert found["data"] == "the first training batch of digits"
    kinds = [each["kind"] for each in found["deviations"]]
    assert (kinds.count("output"), kinds.count("loss")) == (1, 1)
    assert kinds.count("gradient") == kinds.count("update") == 11  # 3 convolutions, 3 norms, a linear layer
    assert kinds.count("statistic") == 9
    assert all(0 <= each["error"] <= each["bound"] for each in found["deviations"])
    shares = [each["error"] / each["bound"] for each in found["deviations"]]
    assert shares == sorted(shares, reverse=True)
    first = next(each for each in found["deviations"] if each["name"] == "features.0.0.weight")
    assert first["layer"] == "Conv2d"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_narrow_precisions_agree_within_wider_bounds(config, capsys, precision):
    pytest.importorskip("ml_dtypes")
    found = document(config, capsys, "--precision", precision)
    assert (found["agrees"], found["precision"]) == (True, precision)
    output = next(each for each in found["deviations"] if each["kind"] == "output")
    assert 1e-5 < output["error"] < output["bound"] < 0.1


def test_a_scale_that_overflows_is_lowered_first(config, capsys, monkeypatch):
    scaler = GradScaler("cpu", init_scale=2.0**40)
    monkeypatch.setattr("tinytrain.config.build.build_scaler", lambda *_: scaler)
    assert document(config, capsys, "--precision", "fp16")["agrees"] is True
    assert 1 < scaler.skipped_steps() < 40


def test_the_bounds_are_tight_enough_to_mean_something(config, capsys):
    bounds = {(each["kind"], each["name"]): each["bound"] for each in document(config, capsys)["deviations"]}
    assert bounds["output", ""] < 1e-3
    assert bounds["loss", ""] < 1e-3
    assert bounds["gradient", "classifier.weight"] < 1e-3


def test_people_get_a_table_and_a_sentence(config, capsys):
    assert run(["selfcheck", str(config)]) == 0
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    lines = stdout.splitlines()
    assert lines[0] == "device     cpu, fp32"
    assert "gradients of the parameters, the worst first" in lines
    assert "BEYOND" not in stdout
    assert lines[-1].startswith("cpu agrees with the definition: all 33 tensors are within their bounds; ")


@fast
def test_a_fault_in_the_forward_pass_is_found(config, capsys, monkeypatch):
    def shift(y):
        y[-1, -1] *= 1.01  # one value of one image
        return y

    break_kernel(monkeypatch, "mean_of_pixels", shift)
    found = document(config, capsys, code=3)
    assert found["agrees"] is False
    assert not next(each for each in found["deviations"] if each["kind"] == "output")["within"]


@fast
def test_a_fault_in_the_backward_pass_is_found_in_what_lies_before_it(config, capsys, monkeypatch):
    break_kernel(monkeypatch, "mean_of_pixels_grad", lambda g: g * np.float32(1.001))
    found = document(config, capsys, code=3)
    beyond = {(each["kind"], each["name"]) for each in found["deviations"] if not each["within"]}
    assert {kind for kind, _ in beyond} == {"gradient"}
    assert "classifier.weight" not in {name for _, name in beyond}
    assert "features.1.3.weight" in {name for _, name in beyond}


@fast
def test_a_fault_in_the_optimizer_is_found_in_the_updates_alone(config, capsys, monkeypatch):
    from tinytrain.kernels.fused import updates

    def too_far(params, grads, states, group):
        return updates.update_sgd(params, grads, states, {**group, "lr": 1.01 * group["lr"]})

    monkeypatch.setitem(updates.UPDATES, "sgd", too_far)
    found = document(config, capsys, code=3)
    assert {each["kind"] for each in found["deviations"] if not each["within"]} == {"update"}


@fast
def test_what_is_no_number_is_beyond_every_bound(config, capsys, monkeypatch):
    break_kernel(monkeypatch, "mean_of_pixels", lambda y: y * np.float32(np.nan))
    found = document(config, capsys, code=3)
    output = next(each for each in found["deviations"] if each["kind"] == "output")
    assert (output["error"], output["within"]) == (None, False)


@fast
def test_the_error_names_the_worst_tensor_and_what_to_do(config, capsys, monkeypatch):
    break_kernel(monkeypatch, "mean_of_pixels_grad", lambda g: g * 0)
    assert run(["selfcheck", str(config)]) == 3
    stdout, stderr = capsys.readouterr()
    assert "BEYOND" in stdout
    assert "agrees" not in stdout
    assert stderr.startswith(f"error: {config}: ")
    assert (
        " of 33 tensors are further from the definition than rounding explains, the worst the gradient of f" in stderr
    )
    assert stderr.endswith("TINYTRAIN_KERNELS=reference computes by the definition until the kernel is mended\n")


@fast
def test_a_deviation_that_another_batch_does_not_repeat_is_chance(config, capsys, monkeypatch):
    calls = []

    def once(g):
        calls.append(1)
        return g * np.float32(1.01) if len(calls) == 1 else g

    break_kernel(monkeypatch, "mean_of_pixels_grad", once)
    assert document(config, capsys)["agrees"] is True
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("overrides", "shape", "classes"),
    [
        (["data.dataset=cifar10", "data.root=ROOT"], [3, 32, 32], 10),
        (["data.dataset=cifar100", "data.root=ROOT", "data.keep_classes=[apple, bee]"], [3, 32, 32], 2),
        (["data.dataset=image_folder", "transforms.train=[{CenterCrop: {size: 20}}, ToTensor]"], [3, 20, 20], 10),
    ],
)
def test_without_the_data_random_numbers_do_and_it_is_said(config, tmp_path, capsys, overrides, shape, classes):
    found = document(config, capsys, *(each.replace("ROOT", str(tmp_path)) for each in overrides))
    assert (found["agrees"], found["input_shape"], found["classes"]) == (True, shape, classes)
    assert found["data"].startswith("random numbers, for the data cannot be read: ")


def test_the_size_of_the_batch_can_be_chosen(config, capsys):
    assert document(config, capsys, "--batch-size", "5")["batch_size"] == 5
    assert document(config, capsys, "data.batch_size=7")["batch_size"] == 7
