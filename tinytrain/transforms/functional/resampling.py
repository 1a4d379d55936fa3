"""Resizing arrays: every linear filter is one weight matrix per axis, as in Pillow's `Resample.c`.

An output pixel at i looks at the input around `scale * (i + 0.5)`, `scale = in / out`. With antialiasing the
filter is stretched by the scale when shrinking; without, it always has its natural width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.transforms.functional.images import cast_back, computing_dtype


def resize_array(array: Array, size: tuple[int, int], mode: str, *, antialias: bool) -> Array:
    """Return `array` resized over its last two axes.

    Args:
        array: (..., h, w), any element type; integers are computed in floating point and rounded.
        size: new (h, w) in pixels.
        mode: the value of an `InterpolationMode`.
        antialias: whether `bilinear` and `bicubic` widen their filter when shrinking; the others always do.
    """
    xp = array_module(array)
    (height, width), (out_height, out_width) = array.shape[-2:], size
    if mode.startswith("nearest"):
        rows, columns = (
            xp.asarray(nearest_indices(n, m, exact=mode == "nearest-exact"))
            for n, m in ((height, out_height), (width, out_width))
        )
        return array[..., rows[:, None], columns]
    dtype = computing_dtype(array)
    rows, columns = (
        xp.asarray(weight_matrix(n, m, mode, antialias), dtype=dtype)
        for n, m in ((height, out_height), (width, out_width))
    )
    resized = xp.matmul(rows, xp.matmul(array.astype(dtype, copy=False), columns.T))
    if mode != "bilinear" and array.dtype == np.uint8:
        resized = resized.clip(0, 255)
    return cast_back(resized, array.dtype)


def nearest_indices(num_in: int, num_out: int, *, exact: bool) -> np.ndarray:
    """Return which input each output takes: at the output's left edge, or with `exact` at its centre."""
    scale = np.float32(num_in) / np.float32(num_out)
    positions = (np.arange(num_out, dtype=np.float32) + np.float32(0.5 if exact else 0.0)) * scale
    return np.minimum(positions.astype(np.int64), num_in - 1)


@lru_cache(maxsize=64)
def weight_matrix(num_in: int, num_out: int, mode: str, antialias: bool) -> np.ndarray:
    """Return the (num_out, num_in) float64 matrix that resamples one axis; its rows sum to 1."""
    if not antialias and mode in INTERPOLATIONS:
        return _interpolation_matrix(num_in, num_out, *INTERPOLATIONS[mode])
    support, kernel = FILTERS[mode]
    scale = num_in / num_out
    stretch = max(scale, 1.0)
    centres = scale * (np.arange(num_out) + 0.5)[:, None]
    first = np.maximum((centres - support * stretch + 0.5).astype(int), 0)
    last = np.minimum((centres + support * stretch + 0.5).astype(int), num_in)
    positions = np.arange(num_in)[None, :]
    weights = kernel((positions + 0.5 - centres) / stretch)
    weights = np.where((positions >= first) & (positions < last), weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _interpolation_matrix(
    num_in: int, num_out: int, taps: range, kernel: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the matrix of plain interpolation between neighbours, the edge pixel repeated outwards."""
    position = num_in / num_out * (np.arange(num_out) + 0.5) - 0.5
    if len(taps) == 2:
        position = np.maximum(position, 0.0)
    left = np.floor(position).astype(int)
    matrix = np.zeros((num_out, num_in))
    for tap in taps:
        index = np.clip(left + tap, 0, num_in - 1)
        np.add.at(matrix, (np.arange(num_out), index), kernel(position - (left + tap)))
    return matrix


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(a: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the cubic convolution kernel with slope `a` at 1 (Keys, 1981, equation 4, has a = -0.5)."""

    def kernel(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        inner = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        outer = (((x - 5.0) * x + 8.0) * x - 4.0) * a
        return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))

    return kernel


def _box(x: np.ndarray) -> np.ndarray:
    return ((x > -0.5) & (x <= 0.5)).astype(float)


def _hamming(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 1.0, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0.0)


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


FILTERS: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    "box": (0.5, _box),
    "bilinear": (1.0, _triangle),
    "hamming": (1.0, _hamming),
    "bicubic": (2.0, _cubic(-0.5)),
    "lanczos": (3.0, _lanczos),
}
"""Half-width in pixels and shape of each filter."""

INTERPOLATIONS: dict[str, tuple[range, Callable[[np.ndarray], np.ndarray]]] = {
    "bilinear": (range(0, 2), _triangle),
    "bicubic": (range(-1, 3), _cubic(-0.75)),
}
"""Neighbours and kernel without antialiasing, where PyTorch's bicubic has a = -0.75, with it -0.5."""
