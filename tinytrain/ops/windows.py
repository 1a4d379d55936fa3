"""What the pooling ops share: checked arguments, the number of windows, means over windows, indices of maxima."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tinytrain.capturing import beside
from tinytrain.device import Array, array_module
from tinytrain.dtypes import FLOATS, is_low
from tinytrain.kernels import kernel
from tinytrain.kernels.reference.resampling import transposed
from tinytrain.ops.common import to_tuple
from tinytrain.recording import record
from tinytrain.tensor import Tensor

Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Kernel size, stride, padding and dilation, one number an axis each."""


def pooling_window(
    name: str,
    num_axes: int,
    input: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
) -> Window:
    """Return kernel size, stride, padding and dilation as one number an axis, after checking them and the input."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: `input` must be a Tensor; got {type(input).__name__}")
    kernel_sizes = to_tuple(kernel_size, num_axes, "kernel_size")
    strides = kernel_sizes if stride is None or stride in ((), []) else to_tuple(stride, num_axes, "stride")
    paddings = to_tuple(padding, num_axes, "padding")
    dilations = to_tuple(dilation, num_axes, "dilation")
    for argument, values in (("kernel_size", kernel_sizes), ("stride", strides), ("dilation", dilations)):
        if min(values) < 1:
            raise RuntimeError(f"{name}: `{argument}` {list(values)} must be greater than zero")
    for k, p in zip(kernel_sizes, paddings, strict=True):
        if not 0 <= p <= k // 2:
            raise RuntimeError(f"{name}: `padding` (={p}) must be from 0 to half of `kernel_size` (={k})")
    if input.ndim not in (num_axes + 1, num_axes + 2) or 0 in input.shape[-num_axes - 1 :]:
        raise RuntimeError(
            f"{name}: `input` must have {num_axes + 1} dimensions, or {num_axes + 2} with a batch, and only the "
            f"batch may be empty; got shape {list(input.shape)}"
        )
    return kernel_sizes, strides, paddings, dilations


def num_windows(
    name: str,
    size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> list[int]:
    """Return the number of windows along each axis."""
    out_size = []
    for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        out = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (out - 1) * s >= n + p:
            out -= 1
        out_size.append(out)
    if min(out_size) < 1:
        raise RuntimeError(
            f"{name}: the output would have size {out_size}, which is too small; got input size {list(size)} and "
            f"`kernel_size` {list(kernel_size)}"
        )
    return out_size


def mean_over_windows(
    input: Tensor, num_axes: int, maps: Sequence[tuple[int, Any]], divisor: np.ndarray, name: str
) -> Tensor:
    """Return sums over windows, divided, and record the gradient.

    Args:
        input: `(n, c, *size)` or `(c, *size)`.
        num_axes: number of spatial axes.
        maps: for each of them the number of windows and the taps that add them up (see `kernels.reference.resampling`).
        divisor: integers that broadcast with the windows.
        name: PyTorch's name of the operation.
    """
    is_batch = input.ndim == num_axes + 2
    x = input.array if is_batch else input.array[None]
    xp = array_module(x)
    divisor = beside(x, divisor)
    # Sums in 16 bits overflow or lose digits before the division.
    sums = kernel("resample", x)(x.astype(np.float32) if is_low(x.dtype) else x, maps)
    if x.dtype.kind in FLOATS:
        y = (sums / divisor.astype(sums.dtype)).astype(x.dtype, copy=False)
    else:
        y = xp.abs(sums) // xp.abs(divisor) * xp.sign(sums) * xp.sign(divisor)

    def rule(g: Array) -> Array:
        g = g if is_batch else g[None]
        shares = g / divisor.astype(g.dtype)
        back = [(n, transposed(taps)) for n, (_, taps) in zip(x.shape[2:], maps, strict=True)]
        g_x = kernel("resample", g)(shares, back)
        return g_x if is_batch else g_x[0]

    return record(y if is_batch else y[0], name, (input,), (rule,))


def flat_indices(winners: Array, positions: Sequence[np.ndarray], size: Sequence[int]) -> Array:
    """Return where the maxima lie in the flattened spatial plane.

    Args:
        winners: `(n, c, *out_size)`, row-major numbers of the winning taps.
        positions: for each axis `(out, k)`: the input position that each tap of each window reads.
        size: spatial size of the input.

    Returns:
        int64, shaped as `winners`.
    """
    xp = array_module(winners)
    indices = xp.zeros_like(winners, dtype=np.int64)
    below = prod(each.shape[1] for each in positions)
    for axis, (table, length) in enumerate(zip(positions, size, strict=True)):
        num_out, num_taps = table.shape
        below //= num_taps
        rows = xp.arange(num_out).reshape(-1, *(1,) * (len(size) - 1 - axis))
        indices = indices * length + beside(winners, table)[rows, winners // below % num_taps]
    return indices
