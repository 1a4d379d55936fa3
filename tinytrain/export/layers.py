"""The ONNX form (operator set 17) of each layer with weights, statistics or a mode of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.export.graph import ExportError, Graph, Value, integers
from tinytrain.export.operations import OPERATIONS, same
from tinytrain.tensor import Tensor

LAYERS: dict[type[nn.Module], Callable[..., str]] = {}
"""Rules by class, for subclasses with the same `forward`; given the graph, the result, the layer and its input."""

for _kind in (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
):
    LAYERS[_kind] = lambda g, y, m, x: same(g, y, x)


def layer(*kinds: type[nn.Module]) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Return a decorator that enters a rule for layers of these classes."""

    def enter(rule: Callable[..., str]) -> Callable[..., str]:
        LAYERS.update(dict.fromkeys(kinds, rule))
        return rule

    return enter


@layer(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _convolution(g: Graph, y: Tensor, m: Any, x: Value) -> str:
    fields = [d * (k - 1) for d, k in zip(m.dilation, m.kernel_size, strict=True)]
    if m.padding == "valid":
        before = after = [0] * len(fields)
    elif m.padding == "same":
        before = [total // 2 for total in fields]
        after = [total - first for total, first in zip(fields, before, strict=True)]
    else:
        before = after = list(m.padding)
    source: Any = x
    if m.padding_mode != "zeros" and any((*before, *after)):
        pairs = [each for pair in zip(reversed(before), reversed(after), strict=True) for each in pair]
        source = OPERATIONS["pad"](g, y, x, pairs, m.padding_mode)
        before = after = [0] * len(fields)
    return g.add(
        "Conv",
        source,
        m.weight,
        *_bias(m),
        kernel_shape=list(m.kernel_size),
        strides=list(m.stride),
        pads=[*before, *after],
        dilations=list(m.dilation),
        group=m.groups,
    )


@layer(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def _transposed_convolution(g: Graph, y: Tensor, m: Any, x: Value) -> str:
    return g.add(
        "ConvTranspose",
        x,
        m.weight,
        *_bias(m),
        kernel_shape=list(m.kernel_size),
        strides=list(m.stride),
        pads=[*m.padding, *m.padding],
        output_padding=list(m.output_padding),
        dilations=list(m.dilation),
        group=m.groups,
    )


@layer(nn.Linear)
def _linear(g: Graph, y: Tensor, m: nn.Linear, x: Value) -> str:
    if len(x.shape) == 2:
        return g.add("Gemm", x, m.weight, *_bias(m), transB=1)
    product = g.add("MatMul", x, m.weight.detach().numpy().T.copy())
    return product if m.bias is None else g.add("Add", product, m.bias)


@layer(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm(g: Graph, y: Tensor, m: Any, x: Value) -> str:
    if m.running_mean is None:
        raise ExportError("a batch normalisation without running statistics depends on the batch: no ONNX form here")
    ones, zeros = np.ones(m.num_features, np.float32), np.zeros(m.num_features, np.float32)
    scale, shift = (ones, zeros) if m.weight is None else (m.weight, m.bias)
    return g.add("BatchNormalization", x, scale, shift, m.running_mean, m.running_var, epsilon=m.eps)


@layer(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def _instance_norm(g: Graph, y: Tensor, m: Any, x: Value) -> str:
    if m.running_mean is not None:
        return _batch_norm(g, y, m, x)
    ones, zeros = np.ones(m.num_features, np.float32), np.zeros(m.num_features, np.float32)
    scale, shift = (ones, zeros) if m.weight is None else (m.weight, m.bias)
    return g.add("InstanceNormalization", x, scale, shift, epsilon=m.eps)


@layer(nn.GroupNorm)
def _group_norm(g: Graph, y: Tensor, m: nn.GroupNorm, x: Value) -> str:
    """Each group as one channel of an instance normalisation; GroupNormalization came with set 18, wrongly at first."""
    c, *spatial = x.shape[1:]
    ones, zeros = np.ones(m.num_groups, np.float32), np.zeros(m.num_groups, np.float32)
    grouped = g.add("Reshape", x, integers([0, m.num_groups, -1]))
    normalized = g.add("InstanceNormalization", grouped, ones, zeros, epsilon=m.eps)
    back = g.add("Reshape", normalized, integers([0, c, *spatial]))
    if m.weight is None:
        return back
    shape = (c, *(1 for _ in spatial))
    scale, shift = (each.detach().numpy().reshape(shape) for each in (m.weight, m.bias))
    return g.add("Add", g.add("Mul", back, scale), shift)


@layer(nn.PReLU)
def _prelu(g: Graph, y: Tensor, m: nn.PReLU, x: Value) -> str:
    slopes = m.weight.detach().numpy()
    return g.add("PRelu", x, slopes.reshape(-1, *(1 for _ in x.shape[2:])))


@layer(nn.Softmax2d)
def _softmax2d(g: Graph, y: Tensor, m: nn.Module, x: Value) -> str:
    return g.add("Softmax", x, axis=1)


@layer(nn.Unflatten)
def _unflatten(g: Graph, y: Tensor, m: nn.Module, x: Value) -> str:
    return OPERATIONS["reshape"](g, y, x)


def _bias(m: Any) -> list[Tensor]:
    return [] if m.bias is None else [m.bias]
