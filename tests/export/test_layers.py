"""Layers and operations in their ONNX form give what they give here, for any batch and odd sizes."""

from __future__ import annotations

import pytest

from tinytrain import nn
from tinytrain.export import ExportError, compare_with_onnxruntime, trace, write_onnx
from tinytrain.export.folding import fold_batch_norm
from tinytrain.export.onnx_file import random_batch
from tinytrain.generator import manual_seed
from tinytrain.nn import functional as F
from tinytrain.ops.joining import cat

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SHAPE = (4, 9, 7)

LAYERS = [
    nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
    nn.Conv2d(4, 6, 4, padding="same", dilation=2, bias=False),
    nn.Conv2d(4, 6, 3, padding="valid"),
    nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="reflect"),
    nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"),
    nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    nn.DepthwiseSeparableConv2d(4, 6, 3, padding=1),
    nn.GroupNorm(2, 4),
    nn.InstanceNorm2d(4, affine=True),
    nn.LayerNorm([9, 7]),
    nn.LocalResponseNorm(3),
    nn.BatchNorm2d(4, affine=False),
    nn.PReLU(4),
    nn.Softmax2d(),
    nn.Dropout(0.5),
    nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
    nn.MaxPool2d(2, 3, ceil_mode=True),
    nn.MaxPool2d((3, 2), 1, dilation=2),
    nn.AvgPool2d(3, 2, padding=1),
    nn.AvgPool2d(3, 2, padding=1, count_include_pad=False, ceil_mode=True),
    nn.AvgPool2d(2, 2, ceil_mode=True),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveAvgPool2d((3, 7)),
    nn.AdaptiveAvgPool2d((4, 5)),
    nn.AdaptiveMaxPool2d((3, 1)),
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.2),
    nn.ELU(0.7),
    nn.SELU(),
    nn.CELU(0.6),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Hardtanh(-0.3, 0.4),
    nn.Hardswish(),
    nn.Hardsigmoid(),
    nn.Hardshrink(),
    nn.Softshrink(),
    nn.Sigmoid(),
    nn.LogSigmoid(),
    nn.Softplus(2.0),
    nn.Softsign(),
    nn.Tanh(),
    nn.Tanhshrink(),
    nn.GLU(1),
    nn.Softmax(1),
    nn.Softmin(1),
    nn.LogSoftmax(1),
    nn.ChannelShuffle(2),
    nn.PixelShuffle(2),
    nn.ZeroPad2d((1, 2, 0, 3)),
    nn.ReflectionPad2d(2),
    nn.ConstantPad2d((0, 1, 2, 0), 0.5),
    nn.Unflatten(1, (2, 2)),
]


def agreement(model: nn.Module, tmp_path, *, fold: bool = False):
    """Return how well onnxruntime agrees on a batch of three; other than that of the trace."""
    graph = trace(model, SHAPE)
    if fold:
        fold_batch_norm(graph)
    x = random_batch(3, SHAPE)
    path = tmp_path / "model.onnx"
    classes = model.eval()(x).shape[1]
    write_onnx(graph, path, input_shape=SHAPE, num_classes=classes, metadata={}, version="test")
    found = compare_with_onnxruntime(path, model, [(x, x.numpy())])
    assert found is not None
    return found, graph


@pytest.mark.parametrize("layer", LAYERS, ids=[f"{i}-{type(layer).__name__}" for i, layer in enumerate(LAYERS)])
def test_a_layer_gives_the_same_in_onnxruntime(layer: nn.Module, tmp_path):
    found, _ = agreement(nn.Sequential(layer, nn.Flatten()), tmp_path)
    assert found.scale > 0.05
    assert found.difference < 1e-5 * max(1.0, found.scale)


class Wild(nn.Module):
    """What networks do with tensors beside calling layers."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(random_batch(1, (4, 1, 1))[0])
        self.head = nn.Linear(7, 5)
        self.last = nn.Linear(40, 3)

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        x = cat([b * 2 - 0.5, F.relu(a)], 1) * self.weight + x[:, :, :, ::1] / 3
        x = F.pad(x[:, :, ::2, 1:], (1, 0, 0, 0), value=0.25)
        x = 1.0 + x.permute(0, 2, 1, 3).transpose(1, 2).contiguous()
        x = self.head(x).mean(2) + x.sum((2,), keepdim=True).squeeze(2)[:, :, :5]
        return self.last(cat([x.reshape(x.shape[0], -1), x.view(-1, 20)], dim=1))


def test_methods_operators_and_functions_are_followed(tmp_path):
    manual_seed(0)
    found, graph = agreement(Wild(), tmp_path)
    assert found.difference < 1e-5 * max(1.0, found.scale)
    assert {"weight", "last.weight", "last.bias"} <= graph.constants.keys()


def test_normalisation_is_folded_only_where_nothing_else_reads_the_convolution(tmp_path):
    manual_seed(0)

    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.other = nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 5, 1, bias=False)
            self.second = nn.BatchNorm2d(5, eps=0.1)

        def forward(self, x):
            y = self.conv(x)
            return (self.norm(y) + y + self.second(self.other(y))).flatten(1)

    model = Fork()
    for norm in (model.norm, model.second):
        norm.running_mean.copy_(random_batch(5, (1,))[:, 0])
        norm.running_var.copy_(random_batch(5, (1,))[:, 0].abs() + 0.5)
    found, graph = agreement(model, tmp_path, fold=True)
    assert found.difference < 1e-5 * max(1.0, found.scale)
    assert [node.op for node in graph.nodes].count("BatchNormalization") == 1
    assert "other.bias" in graph.constants
    assert "second.weight" not in graph.constants


class Reads(nn.Module):
    def __init__(self, read):
        super().__init__()
        self.read, self.flat = read, nn.Linear(4, 2)

    def forward(self, x):
        return self.read(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Embedding(2, 2)), "layer '0' (Embedding) has no ONNX form here"),
        (nn.Sequential(nn.Fold(3, 2)), "layer '0' (Fold) has no ONNX form here"),
        (nn.Sequential(nn.Threshold(0.1, 0.0)), "layer '0' (Threshold) has no ONNX form here"),
        (Reads(lambda x: x.cumsum(1)), "a network that calls `.cumsum` on its activations has no ONNX form here"),
        (Reads(lambda x: x.mean(0)), "a network that takes means or sums over the batch has no ONNX form here"),
        (Reads(lambda x: x[:, 0]), "a network that indexes its activations by anything but slices"),
        (Reads(lambda x: x.reshape(-1)), "a network that mixes the images of a batch has no ONNX form here"),
        (Reads(lambda x: (x, x)), "the network does not make one tensor of logits of a batch of images"),
        (nn.AdaptiveMaxPool2d(4), "adaptive pooling from (9, 7) to (4, 4) has windows of different sizes"),
        (nn.BatchNorm2d(4, track_running_stats=False), "a batch normalisation without running statistics"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), "padding mode 'circular' has no ONNX form here"),
        (nn.AvgPool2d(2, divisor_override=3), "an average over windows that hang over the padding"),
    ],
)
def test_what_has_no_form_is_refused_by_name(model, message):
    with pytest.raises(ExportError) as caught:
        trace(model, SHAPE)
    assert message in str(caught.value)


def test_tracing_leaves_the_network_as_it_was():
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten()).train()
    with pytest.raises(ExportError):
        trace(nn.Sequential(model, nn.Embedding(2, 2)), SHAPE)
    trace(model, SHAPE)
    assert model.training
    assert "forward" not in vars(model[0])
    assert "forward" not in vars(model[1])
    assert F.relu.__module__.startswith("tinytrain.ops")
