"""Every family of networks has, in training with the kernels in use, the gradients of the same network in float64.

A gradient of an activation with a kink jumps where its input changes sign, and among a million inputs some lie within
the rounding of float32 around it: the gradients of two precisions then differ by per cents, whatever the kernels do. So
the normalisations' shifts keep all inputs away from the kinks: three channels of four on the sloped side, one
on the flat one. Deep networks also multiply the rounding itself: where the reference kernels in float32 are further off
than the bound, the kernels in use may be about as far off. There an error is a draw from a distribution, often of one
channel's rounding, and of two such draws one is by chance four times the other in one case of six: so what is above the
bound with one set of images is judged by three sets, by the root mean square of errors and norms.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import kernels, nn
from tinytrain.models import MODELS
from tinytrain.nn import functional as F

FAMILIES = {  # a variant of each family, and an image that leaves several pixels to the last normalisation
    "lenet5": 32,
    "cnn": 32,
    "cifar_resnet20": 16,
    "resnet18": 64,
    "resnet50": 64,
    "resnext50_32x4d": 64,
    "squeezenet1_1": 63,
    "mobilenet_v1": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "shufflenet_v2_x0_5": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "convnext_tiny": 64,
    "googlenet": 64,
}
FEATURES_ONLY = {"alexnet": 63, "vgg11_bn": 32}
"""Families with linear layers of a hundred million weights behind their convolutions, which are left out."""


def away_from_kinks(model):
    """Draw the scales and shifts of normalisations, and switch off what is drawn anew in every step."""
    rng = np.random.default_rng(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            c = module.num_features
            shift = np.where(np.arange(c) % 4 == 1, -40.0, 2.5) + rng.uniform(-0.2, 0.2, c)
            module.weight.data.copy_(tt.tensor(rng.uniform(0.2, 0.5, c)))
            module.bias.data.copy_(tt.tensor(shift))
        elif "Drop" in type(module).__name__ or "StochasticDepth" in type(module).__name__:
            module.p = 0.0
    for name, p in model.named_parameters():
        if name.endswith("layer_scale"):
            p.data.fill_(0.5)
    return model


def gradients_of(model, loss_of):
    """Return the loss, and the gradients by parameter in float64."""
    loss = loss_of(model)
    loss.backward()
    return float(loss), {
        k: p.grad.numpy().astype(np.float64) for k, p in model.named_parameters() if p.grad is not None
    }


def check(model, loss_with, draw_images, monkeypatch):
    """Compare the gradients of a network with those of the same one in float64, and with the reference in float32."""
    measured = [errors_of(model, loss_with, draw_images(0), monkeypatch)]
    if too_far(measured):
        measured += [errors_of(model, loss_with, draw_images(seed), monkeypatch) for seed in (1, 2)]
    wrong = too_far(measured)
    assert wrong == {}, f"{len(wrong)} of {len(measured[0])} with {len(measured)} sets of images"


def errors_of(model, loss_with, images, monkeypatch):
    """Return by parameter how far the kernels in use and the reference kernels are off, and the gradient's norm."""
    exact, plain, used = copy.deepcopy(model).double(), copy.deepcopy(model), copy.deepcopy(model)

    def loss_of(network):
        return loss_with(network, images.to(next(network.parameters()).dtype))

    with monkeypatch.context() as patch:
        patch.setattr(kernels, "_sets", [each for each in kernels._sets if each.name == "reference"])
        patch.setattr(kernels, "_chosen", {})
        _, rounded = gradients_of(plain, loss_of)
    loss, found = gradients_of(used, loss_of)
    right, expected = gradients_of(exact, loss_of)
    assert abs(loss - right) <= 1e-5 * abs(right)
    assert found.keys() == expected.keys()
    return {
        name: [float(np.linalg.norm(each)) for each in (found[name] - g, rounded[name] - g, g)]
        for name, g in expected.items()
    }


def too_far(measured):
    """Return the distance, the reference's, and the norm of each parameter that is off by more than its bound."""
    together = {name: np.sqrt(np.mean([np.square(each[name]) for each in measured], axis=0)) for name in measured[0]}
    largest = max(norm for _, _, norm in together.values())
    wrong = {}
    for name, (distance, of_reference, norm) in together.items():
        bound = max(1e-4 * norm, 4 * of_reference, 1e-8 * largest)
        # A shift in front of a normalisation that takes it away has a gradient of zero: what float32 leaves of it is
        # measured by the largest gradient.
        if distance > bound and not (norm < 1e-7 * largest and distance < 1e-5 * largest):
            wrong[name] = (distance, of_reference, norm)
    return wrong


def draw(seed, *shape):
    return tt.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_those_of_float64(name, monkeypatch):
    tt.manual_seed(0)
    channels = 1 if name == "lenet5" else 3
    model = away_from_kinks(MODELS[name](num_classes=4, in_channels=channels).train())

    def loss_with(network, images):
        outputs = network(images)
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        return sum(F.cross_entropy(head, tt.tensor([1, 3])) for head in heads)

    check(model, loss_with, lambda seed: draw(seed, 2, channels, FAMILIES[name], FAMILIES[name]), monkeypatch)


@pytest.mark.parametrize("name", FEATURES_ONLY)
def test_gradients_of_the_convolutions_are_those_of_float64(name, monkeypatch):
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: None)
    monkeypatch.setattr(nn.init, "normal_", lambda tensor, *args: tensor)
    tt.manual_seed(0)
    features = away_from_kinks(MODELS[name]().features.train())
    size = FEATURES_ONLY[name]
    check(features, lambda f, images: (f(images) ** 2).sum(), lambda seed: draw(seed, 2, 3, size, size), monkeypatch)


def test_the_first_step_gives_the_bits_of_every_other():
    def gradients():
        tt.manual_seed(0)
        model = MODELS["cnn"](num_classes=7, in_channels=1, conv="separable", widths=[24, 40, 72], strides=[1, 2, 2])
        x = tt.randn(5, 1, 11, 11)
        F.cross_entropy(model(x), tt.arange(5)).backward()
        return [param.grad.numpy().copy() for param in model.parameters()]

    # Arguments are checked the long way once for every shape; this one is used here only.
    first, second = gradients(), gradients()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
