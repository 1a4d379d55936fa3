"""Sliding windows over channels-last arrays: sizes, views, and the slices that one kernel tap touches.

Everything that slides (convolution, pooling, unfold) shares this arithmetic. A window of `k` taps with
dilation `d` starts at input position `o * s - p` for output position `o`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from tinytrain.device import array_module
from tinytrain.dtypes import is_low

Array = Any
Pairs = Sequence[tuple[int, int]]


def output_size(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """Return the number of whole windows along one axis (zero or less where not even one fits)."""
    return (size + padding[0] + padding[1] - dilation * (kernel - 1) - 1) // stride + 1


def to_channels_last(x: Array) -> Array:
    """Return `(n, c, *size)` as a contiguous `(n, *size, c)` array; a view where memory is that way already."""
    return array_module(x).ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1))


def to_channels_first(x: Array) -> Array:
    """Return `(n, *size, c)` as a `(n, c, *size)` view."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def inner(padding: Pairs, size: Sequence[int]) -> tuple[slice, ...]:
    """Return the index that takes the unpadded part out of a padded channels-last array."""
    return (slice(None), *(slice(before, before + s) for s, (before, _) in zip(size, padding, strict=True)))


def window_view(
    x: Array, out_size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Array:
    """Return a view `(*leading, *out_size, *kernel, c)` of the windows of padded `x` `(*leading, *size, c)`."""
    num_leading = x.ndim - 1 - len(kernel)
    steps = x.strides[num_leading:-1]
    return array_module(x).lib.stride_tricks.as_strided(
        x,
        (*x.shape[:num_leading], *out_size, *kernel, x.shape[-1]),
        (
            *x.strides[:num_leading],
            *(step * s for step, s in zip(steps, stride, strict=True)),
            *(step * d for step, d in zip(steps, dilation, strict=True)),
            x.strides[-1],
        ),
    )


def taps(
    size: Sequence[int],
    out_size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
    """Yield, for every kernel tap in row-major order, which outputs read it from inside the input, and where.

    Args:
        size, out_size: spatial sizes of input and output.
        kernel, stride, dilation: one number an axis.
        padding: positions before the first input element, one number an axis.

    Yields:
        `(tap, outputs, inputs)`: the tap's index, and two tuples of slices of equal lengths, one slice an axis:
        output `outputs[i]` reads input `inputs[i]` at this tap. Taps that only ever read padding are left out.
    """
    axes = [axis_taps(*axis) for axis in zip(size, out_size, kernel, stride, padding, dilation, strict=True)]
    for choice in product(*axes):
        tap, outputs, inputs = zip(*choice, strict=True)
        yield tap, outputs, inputs


def axis_taps(
    size: int, out_size: int, kernel: int, stride: int, padding: int, dilation: int
) -> list[tuple[int, slice, slice]]:
    """Return `(tap, outputs, inputs)` for each tap along one axis, as `taps` yields them for all axes."""
    found = []
    for tap in range(kernel):
        offset = tap * dilation - padding
        first = max(0, -(offset // stride))  # ceil(-offset / stride)
        last = min(out_size - 1, (size - 1 - offset) // stride)
        if first <= last:
            start = first * stride + offset
            inputs = slice(start, start + (last - first) * stride + 1, stride)
            found.append((tap, slice(first, last + 1), inputs))
    return found


def compute_form(array: Array) -> Array:
    """Return floats of 16 bits as float32, so that sums keep their digits; everything else as it is."""
    return array.astype("float32") if is_low(array.dtype) else array
