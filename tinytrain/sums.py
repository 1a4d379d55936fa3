"""What other reductions are built on: a sum as accurate in every direction as NumPy's is in one, and a maximum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.dtypes import FLOATS, is_low

_FEW = 128
"""So many numbers NumPy adds one after the other even where it adds in pairs."""


def sum_array(x: Array, axes: Sequence[int], *, keepdims: bool = False) -> Array:
    """Return the sum of an array along `axes` in its own type.

    NumPy adds in pairs along the innermost axis in memory only; along another the error grows with the count. There a
    long axis is cut into about sqrt(n) blocks, whose sums are added at the end.

    Args:
        x: any shape, any strides.
        axes: counted from the front, each once.
        keepdims: keep the summed dimensions with size 1.
    """
    axes = tuple(axes)
    if is_low(x.dtype):
        return sum_array(x.astype(np.float32), axes, keepdims=keepdims).astype(x.dtype)
    if x.dtype.kind not in FLOATS or not axes or len(axes) == x.ndim or isinstance(x, np.generic):
        return x.sum(axis=axes, dtype=x.dtype, keepdims=keepdims)
    axis = max(axes, key=lambda each: x.shape[each])
    n = x.shape[axis]
    if n <= _FEW or x.strides[axis] == x.itemsize:
        return x.sum(axis=axes, dtype=x.dtype, keepdims=keepdims)
    blocks = math.isqrt(n)
    whole = n - n % blocks
    before = (slice(None),) * axis
    cut = x[(*before, slice(whole))].reshape(*x.shape[:axis], blocks, whole // blocks, *x.shape[axis + 1 :])
    total = cut.sum(axis=axis + 1).sum(axis=axes, keepdims=keepdims)
    if whole < n:
        total = total + x[(*before, slice(whole, None))].sum(axis=axes, keepdims=keepdims)
    return total


def max_array(x: Array, axes: Sequence[int], of_nothing: float) -> Array:
    """Return the largest elements along `axes`, kept with size 1; `of_nothing` where there are none."""
    axes = tuple(axes)
    if x.size:
        return x.max(axis=axes, keepdims=True)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    return array_module(x).full(shape, of_nothing, x.dtype)
