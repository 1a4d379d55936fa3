"""Pooling over sliding windows: the maximum, the average, and the p-norm.

Along each axis, window `i` begins at `i * stride - padding`. With `ceil_mode` a last window may hang over the end,
as long as it begins inside the input or the padding before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tinytrain.device import Array, choose
from tinytrain.kernels import kernel
from tinytrain.kernels.reference.windows import axis_taps
from tinytrain.ops.arithmetic import mul, pow
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.checked import Checked, written
from tinytrain.ops.common import to_tuple
from tinytrain.ops.windows import Window, flat_indices, mean_over_windows, num_windows, pooling_window
from tinytrain.recording import record
from tinytrain.tape import is_grad_enabled
from tinytrain.tensor import Tensor, wrap

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
]

Ints = int | Sequence[int]
Pooled = Tensor | tuple[Tensor, Tensor]


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the maximum of each window of one spatial axis; arguments as for `max_pool2d`."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the maximum of each window of two spatial axes.

    Args:
        input: `(n, c, h, w)` or `(c, h, w)`.
        kernel_size: size of the windows in pixels, an int or one an axis, as the following.
        stride: distance of neighbouring windows in pixels; the kernel size if None.
        padding: pixels on each side that never win; at most half the kernel size.
        dilation: distance of neighbouring taps in pixels.
        ceil_mode: keep a last window that hangs over the end.
        return_indices: also return where each maximum was found.

    Returns:
        `(n, c, oh, ow)` or `(c, oh, ow)`; with `return_indices` a pair of it and the int64 positions within the
        flattened `(h, w)` plane, the first one among equals. A NaN counts as the largest.

    Raises:
        RuntimeError: an argument is out of range, or the shape or size of the input does not fit.
        TypeError: an argument is of another kind.
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@by_autocast
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Return the maximum of each window of three spatial axes; arguments as for `max_pool2d`."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return `max_pool1d` and the positions, whatever `return_indices` says."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return `max_pool2d` and the positions, whatever `return_indices` says."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return `max_pool3d` and the positions, whatever `return_indices` says."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the average of each window of one spatial axis; arguments as for `avg_pool2d`."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the average of each window of two spatial axes.

    Args:
        input: `(n, c, h, w)` or `(c, h, w)`, of a float dtype or int64 (averages are cut towards zero).
        kernel_size: size of the windows in pixels, an int or one an axis, as the following.
        stride: distance of neighbouring windows in pixels; the kernel size if None.
        padding: zeros on each side; at most half the kernel size.
        ceil_mode: keep a last window that hangs over the end.
        count_include_pad: whether the zeros count in the average.
        divisor_override: divide the sums by this instead of by the number of pixels; not 0.

    Returns:
        `(n, c, oh, ow)` or `(c, oh, ow)`.

    Raises:
        RuntimeError: an argument is out of range, or the shape or size of the input does not fit.
        TypeError: an argument is of another kind.
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@by_autocast
def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the average of each window of three spatial axes; arguments as for `avg_pool2d`."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return the p-norm of each window of one spatial axis; arguments as for `lp_pool2d`."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return `(sum over the window of x ** p) ** (1 / p)` for each window of two spatial axes.

    Args:
        input: `(n, c, h, w)` or `(c, h, w)`.
        norm_type: the power p; not 0.
        kernel_size: size of the windows in pixels, an int or one an axis.
        stride: distance of neighbouring windows in pixels; the kernel size if None.
        ceil_mode: keep a last window that hangs over the end.
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return the p-norm of each window of three spatial axes; arguments as for `lp_pool2d`."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _max_pool(
    num_axes: int,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    dilation: Ints,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    window, out_size = _checked_windows(num_axes, input, kernel_size, stride, padding, dilation, ceil_mode)
    size = input.value.shape[-num_axes:]
    is_batch = input.ndim == num_axes + 2
    x = input.value if is_batch else input.array[None]
    wants_grad = input.requires_grad and is_grad_enabled()
    y, winners = kernel("max_pool_forward", x)(x, out_size, *window, return_indices or wants_grad)

    def rule(g: Array) -> Array:
        g_x = kernel("max_pool_input_grad", g)(g if is_batch else g[None], winners, size, *window)
        return g_x if is_batch else g_x[0]

    maxima = record(y if is_batch else y[0], f"MaxPool{num_axes}DWithIndices", (input,), (rule,))
    if not return_indices:
        return maxima
    kernel_sizes, strides, paddings, dilations = window
    positions = [
        np.arange(out)[:, None] * s - p + np.arange(k) * d
        for out, k, s, p, d in zip(out_size, kernel_sizes, strides, paddings, dilations, strict=True)
    ]
    indices = flat_indices(winners, positions, size)
    return maxima, wrap(indices if is_batch else indices[0])


def _checked_windows(
    num_axes: int,
    input: Any,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    dilation: Ints,
    ceil_mode: bool,
) -> tuple[Window, list[int]]:
    """Return the windows of a maximum over an input that they fit, and how many there are along each axis."""
    key = None
    if isinstance(input, Tensor):
        options = written((kernel_size, stride, padding, dilation, ceil_mode))
        if options is not None:
            key = (num_axes, options, input.value.shape, input.value.dtype)
    found: tuple[Window, list[int]] | None = _checked.get(key)
    if found is not None:
        return found
    name = f"max_pool{num_axes}d"
    window = pooling_window(name, num_axes, input, kernel_size, stride, padding, dilation)
    if input.dtype.kind == 0:
        raise NotImplementedError(f"{name} is not defined for bool tensors; convert them with .float()")
    return _checked.keep(key, (window, num_windows(name, input.shape[-num_axes:], *window, ceil_mode)))


_checked = Checked()


def _avg_pool(
    num_axes: int,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    name = f"avg_pool{num_axes}d"
    window = pooling_window(name, num_axes, input, kernel_size, stride, padding, 1)
    if not input.dtype.is_floating_point and input.dtype.name != "int64":
        raise NotImplementedError(
            f"{name} is defined for floats and int64 only; got {input.dtype}. Convert the tensor with .float()"
        )
    if divisor_override == 0:
        raise RuntimeError(f"{name}: `divisor_override` must not be 0")
    size = input.shape[-num_axes:]
    if num_axes == 3 and any(n < k for n, k in zip(size, window[0], strict=True)):
        raise RuntimeError(f"{name}: `kernel_size` {list(window[0])} must not exceed the input size {list(size)}")
    out_size = num_windows(name, size, *window, ceil_mode)
    maps, divisor = [], np.ones((), np.int64)
    for n, out, k, s, p in zip(size, out_size, *window[:3], strict=True):
        taps = [(outputs, inputs, None) for _, outputs, inputs in axis_taps(n, out, k, s, p, 1)]
        maps.append((out, taps))
        start = np.arange(out) * s - p
        stop = np.minimum(start + k, n + p)
        count = stop - start if count_include_pad else np.minimum(stop, n) - np.maximum(start, 0)
        divisor = divisor[..., None] * count
    if divisor_override is not None:
        divisor = np.asarray(divisor_override)
    return mean_over_windows(input, num_axes, maps, divisor, f"AvgPool{num_axes}D")


def _lp_pool(
    num_axes: int, input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None, ceil_mode: bool
) -> Tensor:
    if norm_type == 0:
        raise ValueError(f"lp_pool{num_axes}d: `norm_type` must not be 0")
    kernel_sizes = to_tuple(kernel_size, num_axes, "kernel_size")
    means = _avg_pool(num_axes, pow(input, norm_type), kernel_sizes, stride, 0, ceil_mode, True, None)
    sums = mul(means, prod(kernel_sizes))
    s = sums.array
    roots = (s ** (1 / norm_type)).astype(s.dtype, copy=False)  # a bfloat16 to a power is a float32

    def rule(g: Array) -> Array:
        # The root has no slope at 0; as in PyTorch no gradient comes from there.
        is_zero = s == 0
        base = choose(is_zero, s.dtype.type(1), s, s.dtype)
        return choose(is_zero, s.dtype.type(0), g * roots / (norm_type * base), g.dtype)

    return record(roots, "Pow", (sums,), (rule,), saved=(sums,))
