"""Every named model exports, is accepted by onnx's checker, and gives onnxruntime's logits on real photos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tinytrain import models, nn
from tinytrain.datasets import read_image
from tinytrain.export import compare_with_onnxruntime, trace, write_onnx
from tinytrain.export.folding import fold_batch_norm
from tinytrain.generator import manual_seed
from tinytrain.models import MODELS
from tinytrain.ops.joining import stack
from tinytrain.tape import no_grad
from tinytrain.transforms import CenterCrop, Compose, Grayscale, Normalize, Resize, ToTensor

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIDES = {
    "lenet5": 32,
    "cnn": 32,
    "cifar_fast": 32,
    **{f"cifar_resnet{n}": 32 for n in (20, 32, 44, 56, 110)},
    "googlenet": 128,
    "resnet152": 128,
}
"""Pixels of the photos, where they are not 64."""

LARGE = {name for name in MODELS if name.startswith(("vgg", "wide_", "resnext101", "resnet1"))} - {"resnet18"}
"""Networks whose weights fill half a gigabyte; they are made of the layers of others and take five minutes together."""


NOT_FOLDED = {"densenet121", "cifar_fast"}
"""Networks some of whose normalisations come before a convolution, or after pooling."""


def photos(folder: Path, side: int, channels: int, count: int):
    """Return real photos as a batch (n, c, side, side)."""
    grey = [Grayscale()] if channels == 1 else []
    normal = Normalize([0.5] * channels, [0.25] * channels)
    transform = Compose([*grey, Resize(side), CenterCrop(side), ToTensor(), normal])
    files = sorted((folder / "flowers320/val").rglob("*.jpg"))[:: 80 // count][:count]
    return stack([transform(read_image(file, "RGB")) for file in files])


@no_grad
def settle(model: nn.Module, images) -> None:
    """Give normalisations the statistics of real activations, and scales and shifts of their own, so that logits live.

    Scales below 1, as training leaves them: with larger ones the residual branches of a hundred random layers magnify
    rounding until float32 itself is 3e-4 away from float64, in onnxruntime as here.
    """
    rng = np.random.default_rng(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            module.weight.copy_(module.weight.new_tensor(rng.uniform(0.3, 0.7, module.num_features)))
            module.bias.copy_(module.bias.new_tensor(rng.uniform(-0.5, 0.5, module.num_features)))
    model.train()
    model(images)
    model.eval()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_onnxruntime_gives_our_logits(name: str, shared_data: Path, tmp_path: Path):
    if name in LARGE and not os.environ.get("TINYTRAIN_LARGE_TESTS"):
        pytest.skip("set TINYTRAIN_LARGE_TESTS=1 for the networks of half a gigabyte")
    side, channels = SIDES.get(name, 64), 1 if name == "lenet5" else 3
    manual_seed(0)
    model = MODELS[name](num_classes=10, in_channels=channels)
    images = photos(shared_data, side, channels, count=5)
    settle(model, images)
    graph = trace(model, (channels, side, side))
    norms = sum(node.op == "BatchNormalization" for node in graph.nodes)
    for fold in (False, True):
        if fold:
            fold_batch_norm(graph)
            left = sum(node.op == "BatchNormalization" for node in graph.nodes)
            assert left == 0 or (left < norms and name in NOT_FOLDED)
        path = tmp_path / "model.onnx"
        write_onnx(graph, path, input_shape=images.shape[1:], num_classes=10, metadata={}, version="test")
        # The batch is of any size: not that of the trace.
        found = compare_with_onnxruntime(path, model, [(images, images.numpy()), (images[:1], images[:1].numpy())])
        path.unlink()
        assert found is not None
        assert found.images == 6
        assert found.scale > 0.01
        assert found.difference < 1e-4 * max(1.0, found.scale)


def test_a_network_keeps_the_names_of_its_weights():
    graph = trace(models.resnet18(num_classes=3), (3, 32, 32))
    assert {"conv1.weight", "layer1.0.bn1.running_mean", "fc.bias"} <= graph.constants.keys()
    fold_batch_norm(graph)
    assert "layer1.0.bn1.running_mean" not in graph.constants
    assert {"conv1.weight", "conv1.bias"} <= graph.constants.keys()
