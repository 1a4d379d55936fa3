"""Arrays on a GPU for the tests of its kernels: element types, layouts of memory, the way back."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.device import cupy

ELEMENTS = ("float32", "float16", "bfloat16")
ROUNDING = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
"""The largest error of a result that is rounded to an element type, as a share of the largest result."""

elements = pytest.mark.parametrize("element", ELEMENTS)


def dtype_of(element):
    """Return the dtype of an element type by its name."""
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if element == "bfloat16" else element)


def draw(shape, element="float32", seed=0, scale=2.0):
    """Return normally distributed values on the GPU, channels-last."""
    values = np.random.default_rng(seed).standard_normal(shape) * scale
    return channels_last(cupy().asarray(values.astype(dtype_of(element))))


def vectors(count, c, seed=1):
    """Return as many float32 vectors of a number per channel on the GPU."""
    return [cupy().asarray(each) for each in np.random.default_rng(seed).standard_normal((count, c)).astype(np.float32)]


def exact(value):
    """Return an array, or each array of a tuple, in float64 on the host."""
    if isinstance(value, tuple):
        return tuple(map(exact, value))
    if value is None or isinstance(value, (int, float)):
        return value
    return cupy().asnumpy(value).astype(np.float64)


def channels_last(array):
    """Return the same values, pixel by pixel in memory."""
    xp = cupy()
    return xp.moveaxis(xp.ascontiguousarray(xp.moveaxis(array, 1, -1)), -1, 1)


def _with_gaps(array):
    n, c, *size = array.shape
    wide = channels_last(cupy().zeros((n, c + 5, *size), array.dtype))
    wide[:, 2:-3] = array
    return wide[:, 2:-3]


MEMORY_ORDERS = {
    "channels-last": channels_last,
    "channels-first": lambda array: cupy().ascontiguousarray(array),
    "gaps between pixels": _with_gaps,
    "backwards": lambda array: cupy().ascontiguousarray(array[..., ::-1])[..., ::-1],
}
