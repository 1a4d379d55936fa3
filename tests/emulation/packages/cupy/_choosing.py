"""CuPy's functions that choose and sort elements, with CuPy's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy import _capture
from cupy._array import ndarray
from cupy._results import as_array, fresh, operand, widened

__all__ = """
where take take_along_axis nonzero flatnonzero argwhere unique sort argsort partition argpartition lexsort
searchsorted bincount isin
""".split()


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        return nonzero(condition)
    chosen, first, second = condition.astype("?", copy=False)._a, operand(x), operand(y)
    return fresh(lambda: widened(np.where(chosen, first, second)))


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None) -> ndarray:
    return as_array(a).take(indices, axis, out)


def take_along_axis(a: Any, indices: Any, axis: int | None) -> ndarray:
    a, chosen = as_array(a)._a, as_array(indices)._a
    if chosen.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    n = a.size if axis is None else a.shape[axis]
    return fresh(lambda: np.take_along_axis(a, chosen % n if n else chosen, axis))


def nonzero(a: Any) -> tuple[ndarray, ...]:
    return as_array(a).nonzero()


def flatnonzero(a: Any) -> ndarray:
    return as_array(a).ravel().nonzero()[0]


def argwhere(a: Any) -> ndarray:
    _capture.forbid()
    a = as_array(a)._a
    return fresh(lambda: np.argwhere(a))


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    _capture.forbid()
    found = np.unique(as_array(ar)._a, return_index, return_inverse, return_counts, axis, equal_nan=equal_nan)
    if isinstance(found, tuple):
        return tuple(fresh(lambda each=each: each) for each in found)
    return fresh(lambda: found)


def sort(a: Any, axis: int | None = -1, kind: str | None = None) -> ndarray:
    result = as_array(a).flatten() if axis is None else a.copy()
    result.sort(-1 if axis is None else axis, kind)
    return result


def argsort(a: Any, axis: int | None = -1, kind: str | None = None) -> ndarray:
    return as_array(a).argsort(axis, kind)


def partition(a: Any, kth: Any, axis: int | None = -1) -> ndarray:
    return sort(a, axis)


def argpartition(a: Any, kth: Any, axis: int | None = -1) -> ndarray:
    return argsort(a, axis)


def lexsort(keys: Any) -> ndarray:
    a = as_array(keys)._a
    if a.ndim not in (1, 2):
        raise NotImplementedError("Keys with the rank of three or more is not supported in lexsort")
    return fresh(lambda: np.lexsort(a))


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> ndarray:
    if not isinstance(a, ndarray):
        raise NotImplementedError("Only int or ndarray are supported for a")
    if not isinstance(v, (ndarray, int, float)):
        raise NotImplementedError("Only python scalars or ndarrays are supported for v")
    sorted_, values = a._a, operand(v)
    return fresh(lambda: np.searchsorted(sorted_, values, side, sorter))


def bincount(x: Any, weights: Any = None, minlength: int | None = None) -> ndarray:
    _capture.forbid()  # the largest value decides about the size
    x = as_array(x)
    if x.ndim != 1:
        raise ValueError("object too deep for desired array")
    x_, w = x._a, None if weights is None else as_array(weights)._a
    return fresh(lambda: np.bincount(x_, w, minlength or 0))


def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False) -> ndarray:
    a, b = as_array(element)._a, as_array(test_elements)._a
    return fresh(lambda: np.isin(a, b, assume_unique, invert))
