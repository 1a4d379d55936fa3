"""Pooling into a given number of windows: window `i` of `out` covers `floor(i n / out)` to `ceil((i + 1) n / out)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array
from tinytrain.dtypes import FLOATS
from tinytrain.kernels import find_kernel, kernel
from tinytrain.kernels.reference.resampling import ALL, Tap, transposed
from tinytrain.kernels.reference.windows import axis_taps
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import to_tuple
from tinytrain.ops.pooling import Pooled
from tinytrain.ops.windows import flat_indices, mean_over_windows
from tinytrain.recording import record
from tinytrain.tape import is_grad_enabled
from tinytrain.tensor import Tensor, wrap

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
]

OutputSize = int | None | Sequence[int | None]


def adaptive_avg_pool1d(input: Tensor, output_size: int | Sequence[int]) -> Tensor:
    """Return averages over `output_size` windows of one spatial axis; arguments as for `adaptive_avg_pool2d`."""
    return _adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Return averages over `output_size` windows of two spatial axes; size 1 is global average pooling.

    Args:
        input: `(n, c, h, w)` or `(c, h, w)`, of a float dtype.
        output_size: number of windows, an int or one an axis; None in a tuple keeps the axis as it is.

    Returns:
        `(n, c, *output_size)` or `(c, *output_size)`.

    Raises:
        RuntimeError: a size is negative, or the input has too many dimensions or an empty axis.
        ValueError: the input has too few dimensions.
        TypeError: an argument is of another kind.
    """
    return _adaptive_avg_pool(2, input, output_size)


@by_autocast
def adaptive_avg_pool3d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Return averages over `output_size` windows of three spatial axes; arguments as for `adaptive_avg_pool2d`."""
    return _adaptive_avg_pool(3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: int | Sequence[int], return_indices: bool = False) -> Pooled:
    """Return maxima over `output_size` windows of one spatial axis; arguments as for `adaptive_max_pool2d`."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Pooled:
    """Return maxima over `output_size` windows of two spatial axes.

    Args:
        input: `(n, c, h, w)` or `(c, h, w)`, of a float dtype.
        output_size: number of windows, an int or one an axis; None in a tuple keeps the axis as it is.
        return_indices: also return where each maximum was found, as `max_pool2d` does.

    Returns:
        `(n, c, *output_size)` or `(c, *output_size)`, or a pair of it and the positions.

    Raises:
        RuntimeError: a size is negative, or the input has too many dimensions or an empty axis.
        ValueError: the input has too few dimensions.
        TypeError: an argument is of another kind.
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


@by_autocast
def adaptive_max_pool3d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Pooled:
    """Return maxima over `output_size` windows of three spatial axes; arguments as for `adaptive_max_pool2d`."""
    return _adaptive_max_pool(3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: int | Sequence[int], return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Return `adaptive_max_pool1d` and the positions, whatever `return_indices` says."""
    return _adaptive_max_pool(1, input, output_size, True)


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Return `adaptive_max_pool2d` and the positions, whatever `return_indices` says."""
    return _adaptive_max_pool(2, input, output_size, True)


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Return `adaptive_max_pool3d` and the positions, whatever `return_indices` says."""
    return _adaptive_max_pool(3, input, output_size, True)


def window_bounds(size: int, out_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first position of each of `out_size` windows, and how many positions it covers."""
    i = np.arange(out_size)
    start = i * size // max(out_size, 1)
    return start, -(-(i + 1) * size // max(out_size, 1)) - start


def averaging(size: int, out_size: int) -> tuple[list[Tap], np.ndarray]:
    """Return the taps that add up the windows of one axis, and what to divide the sums by."""
    start, length = window_bounds(size, out_size)
    if out_size and size % out_size == 0:
        k = size // out_size
        return [(outputs, inputs, None) for _, outputs, inputs in axis_taps(size, out_size, k, k, 0, 1)], length
    taps: list[Tap] = []
    for tap in range(int(length.max(initial=0))):
        targets = np.flatnonzero(length > tap)
        taps.append((ALL if len(targets) == out_size else targets, start[targets] + tap, None))
    return taps, length


def _adaptive_avg_pool(num_axes: int, input: Tensor, output_size: OutputSize) -> Tensor:
    name = f"adaptive_avg_pool{num_axes}d"
    size, out_size = _sizes(name, num_axes, input, output_size)
    if max(out_size) == 1 and input.ndim == num_axes + 2 < 5:
        mean = find_kernel("mean_of_pixels", input.value)
        if mean is not None:
            return _mean_of_pixels(input, mean, size)
    maps, divisor = [], np.ones((), np.int64)
    for n, out in zip(size, out_size, strict=True):
        taps, length = averaging(n, out)
        maps.append((out, taps))
        divisor = divisor[..., None] * length
    return mean_over_windows(input, num_axes, maps, divisor, f"AdaptiveAvgPool{num_axes}D")


def _mean_of_pixels(input: Tensor, mean: Callable[..., Array], size: tuple[int, ...]) -> Tensor:
    """Return the average over whole images, which is read off `input` while that is computed."""

    def rule(g: Array) -> Array:
        return kernel("mean_of_pixels_grad", g)(g, size)

    return record(mean(input.value), f"AdaptiveAvgPool{len(size)}D", (input,), (rule,))


def _adaptive_max_pool(num_axes: int, input: Tensor, output_size: OutputSize, return_indices: bool) -> Any:
    """Lay the windows out side by side, the short ones with their last position repeated, and pool those."""
    name = f"adaptive_max_pool{num_axes}d"
    size, out_size = _sizes(name, num_axes, input, output_size)
    if 0 in input.shape[-num_axes - 1 :]:
        raise RuntimeError(f"{name}: only the batch may be empty; got an input of shape {list(input.shape)}")
    positions = []
    for n, out in zip(size, out_size, strict=True):
        start, length = window_bounds(n, out)
        taps = np.arange(int(length.max(initial=1)))
        positions.append(start[:, None] + np.minimum(taps, length[:, None] - 1))
    spread: list[tuple[int, list[Tap]] | None] = [
        None if n % max(out, 1) == 0 and out else (table.size, [(ALL, table.ravel(), None)])
        for n, out, table in zip(size, out_size, positions, strict=True)
    ]
    is_batch = input.ndim == num_axes + 2
    x = input.array if is_batch else input.array[None]
    laid_out = kernel("resample", x)(x, spread)
    kernel_size = tuple(table.shape[1] for table in positions)
    window = (kernel_size, kernel_size, (0,) * num_axes, (1,) * num_axes)
    wants_grad = input.requires_grad and is_grad_enabled()
    y, winners = kernel("max_pool_forward", x)(laid_out, out_size, *window, return_indices or wants_grad)

    def rule(g: Array) -> Array:
        g_laid_out = kernel("max_pool_input_grad", g)(g if is_batch else g[None], winners, laid_out.shape[2:], *window)
        back = [None if m is None else (n, transposed(m[1])) for n, m in zip(size, spread, strict=True)]
        g_x = kernel("resample", g)(g_laid_out, back)
        return g_x if is_batch else g_x[0]

    maxima = record(y if is_batch else y[0], f"AdaptiveMaxPool{num_axes}D", (input,), (rule,))
    if not return_indices:
        return maxima
    indices = flat_indices(winners, positions, size)
    return maxima, wrap(indices if is_batch else indices[0])


def _sizes(name: str, num_axes: int, input: Any, output_size: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the spatial sizes of input and output, after checking both."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: `input` must be a Tensor; got {type(input).__name__}")
    shape = input.value.shape
    if num_axes > 1 and len(shape) <= num_axes:
        raise ValueError(f"{name}: `input` must have at least {num_axes + 1} dimensions; got {list(shape)}")
    if len(shape) not in (num_axes + 1, num_axes + 2):
        raise RuntimeError(
            f"{name}: `input` must have {num_axes + 1} dimensions, or {num_axes + 2} with a batch; "
            f"got shape {list(shape)}"
        )
    size = shape[-num_axes:]
    if 0 in size:
        raise RuntimeError(f"{name}: the spatial axes must not be empty; got shape {list(shape)}")
    if num_axes > 1 and isinstance(output_size, (tuple, list)) and len(output_size) == num_axes:
        output_size = tuple(n if out is None else out for n, out in zip(size, output_size, strict=True))
    elif isinstance(output_size, (tuple, list)) and len(output_size) != num_axes:
        raise RuntimeError(f"{name}: `output_size` must hold {num_axes} sizes; got {output_size!r}")
    out_size = to_tuple(output_size, num_axes, "output_size")
    if min(out_size) < 0:
        raise RuntimeError(f"{name}: `output_size` {list(out_size)} must not be negative")
    if input.value.dtype.kind not in FLOATS:
        raise NotImplementedError(f"{name} is defined for floats only; got {input.dtype}. Use .float() first")
    return size, out_size
