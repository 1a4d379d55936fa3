"""Layers, networks and update rules give on every device what they give on the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn, optim
from tinytrain.models import MODELS
from tinytrain.models.blocks import StochasticDepth
from tinytrain.nn import functional as F

from ..models.test_architectures import SIDES
from ..nn.layers import LAYERS
from ..optim.test_update_kernels import RULES

pytestmark = pytest.mark.gpu

MORE_LAYERS = [
    ("Conv2d(4, 6, 3, padding_mode='reflect', padding=1, dtype=tt.float64)", (2, 4, 7, 9)),
    ("DepthwiseSeparableConv2d(4, 6, 3, padding=1)", (2, 4, 7, 9)),
    ("BatchNorm2d(4).eval()", (2, 4, 7, 9)),
    ("RReLU()", (2, 4, 7, 9)),
    ("AdaptiveMaxPool1d(3)", (2, 4, 9)),
    ("LPPool2d(2, 2)", (2, 4, 8, 8)),
]
LAYERS_HERE = [*LAYERS, *(each for each in MORE_LAYERS if hasattr(nn, each[0].partition("(")[0]))]
RANDOM = ("Dropout", "RReLU")
IS_EMULATED = os.environ.get("TINYTRAIN_EMULATED_GPU") == "1"
# Kernels that a CPU runs thread after thread take minutes for the large ones.
IN_FLOAT32 = ["lenet5", "cifar_resnet20", "shufflenet_v2_x0_5", "mobilenet_v3_small"] if IS_EMULATED else [*SIDES]


@pytest.fixture
def device() -> str:
    """Return the GPU's name; without one there is nothing to compare."""
    from tinytrain.device import cuda_problem

    if (problem := cuda_problem()) is not None:
        pytest.skip(problem)
    return "cuda"


@pytest.mark.parametrize(("text", "shape"), LAYERS_HERE, ids=[text for text, _ in LAYERS_HERE])
def test_a_layer_gives_the_same_outputs_gradients_and_buffers(text, shape, device):
    def build() -> nn.Module:
        tt.manual_seed(7)
        module = eval(text, {**vars(nn), "tt": tt})
        return module.eval() if text.startswith(RANDOM) else module

    dtype = np.float64 if "float64" in text else np.float32
    values = np.random.default_rng(3).normal(size=shape).astype(dtype)
    compare(build, values, device, lambda outputs: weighted_sum(outputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SIDES)
def test_a_network_gives_the_same_outputs_and_gradients(name, device):
    # In float64: the statistics of three images make any rounding large.
    compare(network(name, np.float64), images_for(name, 3), device, class_loss, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_a_network_in_float32_is_as_near_to_the_truth_as_on_the_cpu(name, device):
    images = images_for(name, 8)  # of fewer, statistics turn rounding into other signs before a ReLU
    truth = run(network(name, np.float64), images, "cpu", class_loss)
    expected = run(network(name, np.float32), images.astype(np.float32), "cpu", class_loss)
    found = run(network(name, np.float32), images.astype(np.float32), device, class_loss)
    largest = max(float(np.abs(value).max(initial=0.0)) for value in truth.values())
    for key, value in truth.items():
        scale = max(float(np.abs(value).max(initial=0.0)), 1e-3 * largest)
        error, usual = (float(np.abs(each[key] - value).max(initial=0.0)) for each in (found, expected))
        assert error <= 10 * usual + 1e-5 * scale, f"{key}: off by {error:.3g}, on the CPU by {usual:.3g}"


@pytest.mark.parametrize(("rule", "options"), RULES, ids=lambda each: getattr(each, "__name__", str(each)))
def test_an_update_rule_takes_the_same_steps(rule, options, device):
    def values_after(where: str) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        shapes = ((), (5,), (3, 7, 5), (16,))
        params = [
            tt.tensor(rng.normal(size=shape).astype(np.float32), device=where, requires_grad=True) for shape in shapes
        ]
        optimizer = rule(params, **options)
        for _ in range(3):
            for param in params:
                param.grad = tt.tensor(rng.normal(size=param.shape).astype(np.float32), device=where)
            nn.utils.clip_grad_norm_(params, 1.5)
            optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.step()
        return [param.detach().cpu().numpy() for param in params]

    for found, expected in zip(values_after(device), values_after("cpu"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(optim.OPTIMIZERS))
def test_every_update_rule_runs(name, device):
    param = tt.ones(3, device=device, requires_grad=True)
    optimizer = optim.OPTIMIZERS[name]([param], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (param * param).sum().backward()
        optimizer.step()
    assert param.device.type == device
    assert bool((param < 1).all())


def network(name: str, dtype: type) -> Callable[[], nn.Module]:
    """Return a function that builds a network of the zoo, always the same one, without dropout."""

    def build() -> nn.Module:
        tt.manual_seed(0)
        model = MODELS[name](num_classes=4, in_channels=1 if name == "lenet5" else 3)
        for module in model.modules():
            if isinstance(module, (nn.Dropout, StochasticDepth)):
                module.p = 0.0
        return model.double() if dtype is np.float64 else model

    return build


def images_for(name: str, count: int) -> np.ndarray:
    """Return images of the size that a network takes."""
    channels = 1 if name == "lenet5" else 3
    return np.random.default_rng(0).standard_normal((count, channels, SIDES[name], SIDES[name]))


def class_loss(outputs):
    """Return the loss of a network, of all its heads together."""
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    labels = (tt.arange(heads[0].shape[0]) % 4).to(heads[0].device)
    return sum(F.cross_entropy(head, labels, label_smoothing=0.1) for head in heads)


def weighted_sum(outputs):
    """Return a sum of the outputs with different weights, so that no gradient is plain."""
    weights = np.random.default_rng(4).normal(size=tuple(outputs.shape)).astype(outputs.detach().cpu().numpy().dtype)
    return (outputs * tt.tensor(weights).to(outputs.device)).sum()


def run(build: Callable[[], nn.Module], values: np.ndarray, where: str, loss) -> dict[str, np.ndarray]:
    """Return outputs, gradients and buffers of a module after one step forward and back on a device, by name."""
    module = build().to(where)
    x = tt.tensor(values, device=where, requires_grad=True)
    outputs = module(x * 1)
    loss(outputs).backward()
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    assert all(head.device.type == where for head in heads)
    found = {f"output {i}": head for i, head in enumerate(heads)} | {"input's gradient": x.grad}
    found |= {f"gradient of {name}": each.grad for name, each in module.named_parameters() if each.grad is not None}
    found |= dict(module.named_buffers())
    return {name: each.detach().cpu().numpy() for name, each in found.items()}


def compare(build: Callable[[], nn.Module], values: np.ndarray, device: str, loss, rtol: float, atol: float) -> None:
    """Compare outputs, gradients and buffers of a module on a device with those on the CPU."""
    expected, found = run(build, values, "cpu", loss), run(build, values, device, loss)
    assert found.keys() == expected.keys()
    scales = {name: float(np.abs(value).max(initial=0.0)) for name, value in expected.items()}
    largest = max(scales.values())  # what is zero but for rounding is measured by the others
    for name, value in expected.items():
        bound = atol * max(scales[name], 0.1 * largest)
        np.testing.assert_allclose(found[name], value, rtol=rtol, atol=bound, err_msg=name)
