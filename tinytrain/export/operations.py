"""The ONNX form (operator set 17) of each operation that networks call by name or by method.

A rule gets the graph, the computed result, and the operation's own arguments with `Value`s in place of tensors that
depend on the input; it returns the name of its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytrain.export.graph import ExportError, Graph, Value, integers
from tinytrain.ops.common import to_tuple
from tinytrain.tensor import Tensor

Rule = Callable[..., Any]

OPERATIONS: dict[str, Rule] = {}
"""Rules by the name of the function or method."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator that enters a rule under each of the names."""

    def enter(function: Rule) -> Rule:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return enter


def same(g: Graph, y: Tensor, x: Value, *args: Any, **kwargs: Any) -> str:
    """Leave `x` as it is, as dropout does in evaluation."""
    return x.name


for _name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "contiguous", "detach", "clone"):
    OPERATIONS[_name] = same

# Activations.


def _simple(op: str, **fixed: Any) -> Rule:
    return lambda g, y, x, inplace=False: g.add(op, x, **fixed)


OPERATIONS |= {
    "relu": _simple("Relu"),
    "sigmoid": _simple("Sigmoid"),
    "tanh": _simple("Tanh"),
    "softsign": _simple("Softsign"),
    "selu": _simple("Selu"),
    "hardswish": _simple("HardSwish"),
    "hardsigmoid": _simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    "exp": _simple("Exp"),
    "log": _simple("Log"),
    "sqrt": _simple("Sqrt"),
    "abs": _simple("Abs"),
}


@rule("relu6")
def _relu6(g: Graph, y: Tensor, x: Value, inplace: bool = False) -> str:
    return g.add("Clip", x, 0.0, 6.0)


@rule("hardtanh")
def _hardtanh(g: Graph, y: Tensor, x: Value, min_val: float = -1, max_val: float = 1, inplace: bool = False) -> str:
    return g.add("Clip", x, float(min_val), float(max_val))


@rule("leaky_relu")
def _leaky_relu(g: Graph, y: Tensor, x: Value, negative_slope: float = 0.01, inplace: bool = False) -> str:
    return g.add("LeakyRelu", x, alpha=float(negative_slope))


@rule("elu")
def _elu(g: Graph, y: Tensor, x: Value, alpha: float = 1.0, inplace: bool = False) -> str:
    return g.add("Elu", x, alpha=float(alpha))


@rule("celu")
def _celu(g: Graph, y: Tensor, x: Value, alpha: float = 1.0, inplace: bool = False) -> str:
    return g.add("Celu", x, alpha=float(alpha))


@rule("silu")
def _silu(g: Graph, y: Tensor, x: Value, inplace: bool = False) -> str:
    return g.add("Mul", x, g.add("Sigmoid", x))


@rule("mish")
def _mish(g: Graph, y: Tensor, x: Value, inplace: bool = False) -> str:
    return g.add("Mul", x, g.add("Tanh", g.add("Softplus", x)))


@rule("gelu")
def _gelu(g: Graph, y: Tensor, x: Value, approximate: str = "none") -> str:
    """`x Φ(x)`; GELU is an operator of its own only from set 20 on."""
    if approximate == "tanh":
        cubic = g.add("Mul", g.add("Mul", g.add("Mul", x, x), x), 0.044715)
        inner = g.add("Tanh", g.add("Mul", g.add("Add", x, cubic), math.sqrt(2 / math.pi)))
    else:
        inner = g.add("Erf", g.add("Mul", x, 1 / math.sqrt(2)))
    return g.add("Mul", g.add("Mul", x, 0.5), g.add("Add", inner, 1.0))


@rule("softplus")
def _softplus(g: Graph, y: Tensor, x: Value, beta: float = 1.0, threshold: float = 20.0) -> str:
    return g.add("Div", g.add("Softplus", g.add("Mul", x, float(beta))), float(beta))


@rule("logsigmoid")
def _logsigmoid(g: Graph, y: Tensor, x: Value) -> str:
    return g.add("Neg", g.add("Softplus", g.add("Neg", x)))


@rule("tanhshrink")
def _tanhshrink(g: Graph, y: Tensor, x: Value) -> str:
    return g.add("Sub", x, g.add("Tanh", x))


@rule("hardshrink")
def _hardshrink(g: Graph, y: Tensor, x: Value, lambd: float = 0.5) -> str:
    return g.add("Shrink", x, lambd=float(lambd), bias=0.0)


@rule("softshrink")
def _softshrink(g: Graph, y: Tensor, x: Value, lambd: float = 0.5) -> str:
    return g.add("Shrink", x, lambd=float(lambd), bias=float(lambd))


@rule("glu")
def _glu(g: Graph, y: Tensor, x: Value, dim: int = -1) -> str:
    half = x.shape[dim] // 2
    kept, gate = g.add("Split", x, integers([half, half]), outputs=2, axis=dim)
    return g.add("Mul", kept, g.add("Sigmoid", gate))


@rule("softmax")
def _softmax(g: Graph, y: Tensor, x: Value, dim: int | None = None, **kwargs: Any) -> str:
    return g.add("Softmax", x, axis=_softmax_axis(x, dim))


@rule("softmin")
def _softmin(g: Graph, y: Tensor, x: Value, dim: int | None = None, **kwargs: Any) -> str:
    return g.add("Softmax", g.add("Neg", x), axis=_softmax_axis(x, dim))


@rule("log_softmax")
def _log_softmax(g: Graph, y: Tensor, x: Value, dim: int | None = None, **kwargs: Any) -> str:
    return g.add("LogSoftmax", x, axis=_softmax_axis(x, dim))


def _softmax_axis(x: Value, dim: int | None) -> int:
    """Return the axis; PyTorch's default is 0 for 0, 1 and 3 dimensions, else 1."""
    return (0 if len(x.shape) in (0, 1, 3) else 1) if dim is None else dim


# Arithmetic.


def _binary(op: str) -> Rule:
    def note(g: Graph, y: Tensor, a: Any, b: Any) -> str:
        return g.add(op, *(float(each) if isinstance(each, (int, float)) else each for each in (a, b)))

    return note


OPERATIONS |= {"add": _binary("Add"), "sub": _binary("Sub"), "mul": _binary("Mul"), "div": _binary("Div")}


@rule("mean")
def _mean(g: Graph, y: Tensor, x: Value, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> str:
    return g.add("ReduceMean", x, axes=_axes(x, dim), keepdims=int(keepdim))


@rule("sum")
def _sum(g: Graph, y: Tensor, x: Value, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> str:
    return g.add("ReduceSum", x, integers(_axes(x, dim)), keepdims=int(keepdim))


def _axes(x: Value, dim: Any) -> list[int]:
    """Return the axes that a reduction runs over, which leave the batch alone."""
    axes = range(len(x.shape)) if dim is None else [dim] if isinstance(dim, int) else dim
    found = sorted(axis % len(x.shape) for axis in axes)
    if 0 in found:
        raise ExportError("a network that takes means or sums over the batch has no ONNX form here")
    return found


# Shapes.


@rule("cat", "concat")
def _cat(g: Graph, y: Tensor, tensors: Sequence[Any], dim: int = 0) -> str:
    return g.add("Concat", *tensors, axis=dim)


@rule("chunk")
def _chunk(g: Graph, y: Sequence[Tensor], x: Value, chunks: int, dim: int = 0) -> list[str]:
    sizes = [each.shape[dim] for each in y]
    names = g.add("Split", x, integers(sizes), outputs=len(sizes), axis=dim)
    return [names] if len(sizes) == 1 else names


@rule("split")
def _split(g: Graph, y: Sequence[Tensor], x: Value, size: Any, dim: int = 0) -> list[str]:
    return _chunk(g, y, x, len(y), dim)


@rule("flatten", "reshape", "view", "unflatten", "squeeze", "unsqueeze")
def _reshape(g: Graph, y: Tensor, x: Value, *args: Any, **kwargs: Any) -> str:
    """Every change of shape that leaves the batch alone: a 0 keeps its size, whatever it will be."""
    if not y.shape or y.shape[0] != x.shape[0]:
        raise ExportError("a network that mixes the images of a batch has no ONNX form here")
    return g.add("Reshape", x, integers([0, *y.shape[1:]]))


@rule("permute")
def _permute(g: Graph, y: Tensor, x: Value, *dims: Any) -> str:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return g.add("Transpose", x, perm=[axis % len(x.shape) for axis in order])


@rule("transpose")
def _transpose(g: Graph, y: Tensor, x: Value, dim0: int, dim1: int) -> str:
    order = list(range(len(x.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return g.add("Transpose", x, perm=order)


@rule("getitem")
def _getitem(g: Graph, y: Tensor, x: Value, index: Any) -> str:
    index = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(each, slice) for each in index) or any(each != slice(None) for each in index[:1]):
        raise ExportError("a network that indexes its activations by anything but slices has no ONNX form here")
    taken = [(axis, each.indices(x.shape[axis])) for axis, each in enumerate(index) if each != slice(None)]
    if not taken:
        return x.name
    starts, ends, steps = (integers([bounds[i] for _, bounds in taken]) for i in range(3))
    return g.add("Slice", x, starts, ends, integers([axis for axis, _ in taken]), steps)


@rule("pad")
def _pad(g: Graph, y: Tensor, x: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> str:
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    if mode not in modes:
        raise ExportError(f"padding mode {mode!r} has no ONNX form here")
    pairs = [(0, 0)] * (len(x.shape) - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    amounts = integers([before for before, _ in pairs] + [after for _, after in pairs])
    return g.add("Pad", x, amounts, *([float(value or 0)] if mode == "constant" else []), mode=modes[mode])


@rule("channel_shuffle")
def _channel_shuffle(g: Graph, y: Tensor, x: Value, groups: int) -> str:
    c, *spatial = x.shape[1:]
    parted = g.add("Reshape", x, integers([0, groups, c // groups, *spatial]))
    turned = g.add("Transpose", parted, perm=[0, 2, 1, *range(3, 3 + len(spatial))])
    return g.add("Reshape", turned, integers([0, c, *spatial]))


@rule("pixel_shuffle")
def _pixel_shuffle(g: Graph, y: Tensor, x: Value, upscale_factor: int) -> str:
    return g.add("DepthToSpace", x, blocksize=upscale_factor, mode="CRD")


# Pooling.


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(
    g: Graph,
    y: Tensor,
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> str:
    kernel, step, before, spread = _window(x, kernel_size, stride, padding, dilation)
    return g.add(
        "MaxPool",
        x,
        kernel_shape=kernel,
        strides=step,
        pads=[*before, *_pads_after(x, y, kernel, step, before, spread)],
        dilations=spread if max(spread) > 1 else None,
    )


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(
    g: Graph,
    y: Tensor,
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> str:
    kernel, step, before, ones = _window(x, kernel_size, stride, padding, 1)
    after = _pads_after(x, y, kernel, step, before, ones)
    counted = count_include_pad and any(before)
    if divisor_override is not None or (counted and after != before):
        raise ExportError(
            "an average over windows that hang over the padding, or with a divisor of its own, has no form"
        )
    name = g.add(
        "AveragePool",
        x,
        kernel_shape=kernel,
        strides=step,
        pads=[*before, *after],
        count_include_pad=int(counted),
    )
    return name


def _window(x: Value, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> list[list[int]]:
    n = len(x.shape) - 2
    sizes = (kernel_size, kernel_size if stride is None else stride, padding, dilation)
    return [list(to_tuple(each, n, "size")) for each in sizes]


def _pads_after(
    x: Value, y: Tensor, kernel: list[int], step: list[int], before: list[int], spread: list[int]
) -> list[int]:
    """Return the padding at the end that makes just the windows of `y`, so that no runtime need round upwards."""
    sizes = zip(x.shape[2:], y.shape[2:], kernel, step, before, spread, strict=True)
    return [max(0, (out - 1) * s + d * (k - 1) + 1 - n - p) for n, out, k, s, p, d in sizes]


@rule("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive_avg_pool(g: Graph, y: Tensor, x: Value, output_size: Any) -> str:
    return _adaptive_pool(g, y, x, "GlobalAveragePool", "AveragePool")


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max_pool(g: Graph, y: Tensor, x: Value, output_size: Any, return_indices: bool = False) -> str:
    return _adaptive_pool(g, y, x, "GlobalMaxPool", "MaxPool")


def _adaptive_pool(g: Graph, y: Tensor, x: Value, all_at_once: str, windows: str) -> str:
    before, after = x.shape[2:], tuple(y.shape[2:])
    if before == after:
        return x.name
    if set(after) == {1}:
        return g.add(all_at_once, x)
    if all(n % m == 0 for n, m in zip(before, after, strict=True)):
        kernel = [n // m for n, m in zip(before, after, strict=True)]
        return g.add(windows, x, kernel_shape=kernel, strides=kernel)
    if windows == "MaxPool" or len(before) != 2:
        raise ExportError(
            f"adaptive pooling from {before} to {after} has windows of different sizes: no ONNX form here"
        )
    rows, columns = (_averages(n, m) for n, m in zip(before, after, strict=True))
    return g.add("MatMul", rows, g.add("MatMul", x, columns.T.copy()))


def _averages(n: int, m: int) -> np.ndarray:
    """Return the matrix (m, n) of the means over windows from floor(i n / m) to ceil((i + 1) n / m)."""
    matrix = np.zeros((m, n), np.float32)
    for i in range(m):
        low, high = i * n // m, -(-(i + 1) * n // m)
        matrix[i, low:high] = 1 / (high - low)
    return matrix


# Normalisation, called as functions.


@rule("layer_norm")
def _layer_norm(
    g: Graph,
    y: Tensor,
    x: Value,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> str:
    scale = np.ones(tuple(normalized_shape), np.float32) if weight is None else weight
    return g.add("LayerNormalization", x, scale, bias, axis=-len(normalized_shape), epsilon=eps)


@rule("local_response_norm")
def _local_response_norm(
    g: Graph, y: Tensor, x: Value, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> str:
    if size % 2 == 0:
        raise ExportError("local response normalisation over an even number of channels has no ONNX form here")
    return g.add("LRN", x, size=size, alpha=alpha, beta=beta, bias=k)
