"""Models have torchvision's names, shapes and first values; with the same weights, its outputs and gradients."""

from __future__ import annotations

import inspect
import typing
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.parity.oracle import seed_both, torch

torchvision = pytest.importorskip("torchvision")

import tinytrain as tt  # noqa: E402
from tinytrain import models  # noqa: E402

DEPTHS = (20, 32, 44, 56, 110)
OURS_ALONE = {"cnn", "cifar_fast", "lenet5", "mobilenet_v1", *(f"cifar_resnet{depth}" for depth in DEPTHS)}
NAMED = sorted(set(models.MODELS) - OURS_ALONE)
SIDES = {  # of the images by family, where 32 pixels are too few or leave a normalisation maps of one pixel
    "alexnet": 63,
    **dict.fromkeys(("densenet", "squeezenet", "googlenet", "efficientnet", "resnet50", "resnext50", "wide"), 64),
}
NATIVE = ["squeezenet1_1", "mobilenet_v3_small", "googlenet"]
# Those of torchvision's classes; its builders change them to ours.
OTHER_DEFAULTS = {("convnext_tiny", "stochastic_depth_prob"), ("googlenet", "init_weights")}
LARGE = {  # whose parts the smaller ones of their family have too
    *("resnext101_64x4d", "resnext101_32x8d", "wide_resnet101_2", "resnet152", "resnet101"),
    *("vgg11", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
}


def pair(name: str, seed: int = 1, **options: Any) -> tuple[Any, Any]:
    """Return torchvision's model and ours, each with its own first values after the same seed."""
    seed_both(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # on GoogLeNet's first values
        theirs = getattr(torchvision.models, name)(weights=None, **options)
    return theirs, getattr(models, name)(**options)


def twins(name: str, **options: Any) -> tuple[Any, Any]:
    """Return torchvision's model and ours with the same weights, to the bit."""
    theirs, ours = pair(name, **options)
    ours.load_state_dict({key: tt.from_numpy(tensor.numpy()) for key, tensor in theirs.state_dict().items()})
    return theirs, ours


def side(name: str) -> int:
    return next((pixels for family, pixels in SIDES.items() if name.startswith(family)), 32)


def images(pixels: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, pixels, pixels), np.float32)


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def error_of(found: np.ndarray, exact: np.ndarray, least: float = 1e-12) -> float:
    """Return the root mean square difference as a part of the exact values', or of `least` where they are smaller."""
    return rms(found - exact) / max(rms(exact), least)


@pytest.mark.parametrize("name", NAMED)
def test_names_shapes_order_and_first_values_are_torchvisions(name: str):
    theirs, ours = pair(name)
    expected, found = theirs.state_dict(), ours.state_dict()
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert tuple(found[key].shape) == tuple(tensor.shape), key
        np.testing.assert_allclose(found[key].numpy(), tensor.numpy(), rtol=1e-5, atol=1e-7, err_msg=key)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize("name", [name for name in NAMED if name not in LARGE])
def test_outputs_and_gradients_are_torchvisions(name: str):
    """Outputs in float32; gradients in float64, for in float32 every rounding flips some ReLU of a deep network."""
    x = images(side(name))
    compare_evaluation(*twins(name, num_classes=7), x)
    for mode in ("evaluation", "training"):
        theirs, ours = twins(name, num_classes=7)
        for model in (theirs, ours):
            model.train(mode == "training").to(library_of(model).float64)
        expected, found = (dict(results(model, x.astype(np.float64))) for model in (theirs, ours))
        assert found.keys() == expected.keys()
        # What a normalisation takes away leaves a bias before it no gradient but rounding errors of the others'.
        least = 1e-6 * max(rms(values) for key, values in expected.items() if key.startswith("gradient"))
        for key, values in expected.items():
            assert error_of(found[key], values, least) < 1e-5, f"{key} in {mode}"


@pytest.mark.parametrize("name", sorted(LARGE))
def test_outputs_of_large_models_are_torchvisions(name: str):
    compare_evaluation(*twins(name, num_classes=7), images(32, count=1))


@pytest.mark.parametrize("name", NATIVE)
def test_outputs_at_the_native_size_are_torchvisions(name: str):
    compare_evaluation(*twins(name), images(224, count=1))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("googlenet", {"aux_logits": False, "transform_input": True, "init_weights": False}),
        ("mobilenet_v2", {"width_mult": 0.35}),
        ("mobilenet_v3_large", {"width_mult": 0.5, "reduced_tail": True, "dilated": True}),
        ("resnet50", {"replace_stride_with_dilation": [False, True, True], "zero_init_residual": True}),
        ("densenet121", {"drop_rate": 0.1, "bn_size": 2}),
        ("vgg11_bn", {"init_weights": False}),
    ],
)
def test_options_mean_what_they_mean_in_torchvision(name: str, options: dict[str, Any]):
    theirs, ours = twins(name, num_classes=7, **options)
    shapes, expected = ([(k, tuple(t.shape)) for k, t in each.state_dict().items()] for each in (ours, theirs))
    assert shapes == expected
    compare_evaluation(theirs, ours, images(64))


@pytest.mark.parametrize("name", NAMED)
def test_options_have_torchvisions_defaults(name: str):
    builder = getattr(models, name)
    network = typing.get_type_hints(builder)["return"]
    theirs = inspect.signature(getattr(torchvision.models, network.__name__)).parameters
    for option, parameter in inspect.signature(builder).parameters.items():
        if option in theirs and theirs[option].default is not inspect.Parameter.empty:
            assert parameter.default == theirs[option].default or (name, option) in OTHER_DEFAULTS, option


def compare_evaluation(theirs: Any, ours: Any, x: np.ndarray) -> None:
    theirs.eval()
    ours.eval()
    with torch.no_grad(), tt.no_grad():
        assert error_of(ours(tt.from_numpy(x)).numpy(), theirs(torch.from_numpy(x)).numpy()) < 1e-4


def library_of(model: Any) -> Any:
    return tt if isinstance(model, tt.nn.Module) else torch


def results(model: Any, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield, from one step, the logits of every head, all gradients, and the buffers afterwards."""
    library = library_of(model)
    seed_both(2)  # dropout
    outputs = model(library.from_numpy(x))
    heads = [outputs] if isinstance(outputs, library.Tensor) else list(outputs)
    targets = library.arange(len(x))
    sum(library.nn.functional.cross_entropy(head, targets) for head in heads).backward()
    yield from ((f"logits {i}", head.detach().numpy()) for i, head in enumerate(heads))
    yield from ((f"gradient of {key}", w.grad.numpy()) for key, w in model.named_parameters() if w.grad is not None)
    yield from ((key, buffer.numpy()) for key, buffer in model.named_buffers())
