"""CuPy's functions of shapes, with CuPy's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

import cupy
from cupy import _capture
from cupy._array import ndarray
from cupy._results import as_array, fresh, into, operand, view, view_or_fresh

__all__ = """
shape size ndim reshape ravel transpose swapaxes moveaxis rollaxis squeeze expand_dims atleast_1d broadcast_to
broadcast_arrays flip diagonal trace rot90 roll concatenate stack hstack vstack split array_split repeat tile append
delete pad diff permute_dims concat
""".split()


def shape(a: Any) -> Any:
    return a.shape if isinstance(a, ndarray) else np.shape(a)


def size(a: Any, axis: int | None = None) -> int:
    return a.size if axis is None else a.shape[axis]


def ndim(a: Any) -> int:
    return a.ndim if isinstance(a, ndarray) else np.ndim(a)


def reshape(a: Any, newshape: Any, order: str = "C", *, copy: bool | None = None) -> ndarray:
    return as_array(a).reshape(newshape, order=order, copy=copy)


def ravel(a: Any, order: str = "C") -> ndarray:
    return as_array(a).ravel(order)


def transpose(a: Any, axes: Any = None) -> ndarray:
    return as_array(a).transpose(axes)


permute_dims = transpose


def swapaxes(a: Any, axis1: int, axis2: int) -> ndarray:
    return as_array(a).swapaxes(axis1, axis2)


def moveaxis(a: Any, source: Any, destination: Any) -> ndarray:
    return view(as_array(a), np.moveaxis(a._a, source, destination))


def rollaxis(a: Any, axis: int, start: int = 0) -> ndarray:
    return view(as_array(a), np.rollaxis(a._a, axis, start))


def squeeze(a: Any, axis: Any = None) -> ndarray:
    return as_array(a).squeeze(axis)


def expand_dims(a: Any, axis: Any) -> ndarray:
    return view(as_array(a), np.expand_dims(a._a, axis))


def atleast_1d(*arys: Any) -> Any:
    results = [each if each.ndim else each.reshape(1) for each in map(as_array, arys)]
    return results[0] if len(results) == 1 else results


def broadcast_to(array: Any, shape: Any) -> ndarray:
    return view(as_array(array), np.broadcast_to(array._a, shape))


def broadcast_arrays(*args: Any) -> list[ndarray]:
    shape = np.broadcast_shapes(*(as_array(each).shape for each in args))
    return [broadcast_to(each, shape) for each in args]


def flip(a: Any, axis: Any = None) -> ndarray:
    return view(as_array(a), np.flip(a._a, axis))


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
    return as_array(a).diagonal(offset, axis1, axis2)


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> ndarray:
    return as_array(a).trace(offset, axis1, axis2, dtype, out)


def rot90(a: Any, k: int = 1, axes: Any = (0, 1)) -> ndarray:
    return view_or_fresh(as_array(a), lambda a=a._a: np.rot90(a, k, axes))


def roll(a: Any, shift: Any, axis: Any = None) -> ndarray:
    a = as_array(a)._a
    return fresh(lambda: np.roll(a, shift, axis))


def _operands_of_one_kernel(arrays: Any) -> list[np.ndarray]:
    """Return the arrays to join; more than eight small ones are joined by a table of pointers that the host sends."""
    given = [as_array(each)._a for each in arrays]
    if len(given) > 8 and sum(each.nbytes for each in given) < len(given) << 21:
        _capture.forbid()
    return given


def concatenate(
    tup: Any, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    given = _operands_of_one_kernel(tup)
    return into(out, lambda: np.concatenate(given, axis, dtype=dtype, casting=casting))


concat = concatenate


def stack(tup: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> ndarray:
    given = _operands_of_one_kernel(tup)
    return into(out, lambda: np.stack(given, axis, dtype=dtype, casting=casting))


def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> ndarray:
    given = [as_array(each)._a for each in tup]
    return fresh(lambda: np.hstack(given, dtype=dtype, casting=casting))


def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> ndarray:
    given = [as_array(each)._a for each in tup]
    return fresh(lambda: np.vstack(given, dtype=dtype, casting=casting))


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[ndarray]:
    return [view(ary, each) for each in np.split(as_array(ary)._a, indices_or_sections, axis)]


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[ndarray]:
    return [view(ary, each) for each in np.array_split(as_array(ary)._a, indices_or_sections, axis)]


def repeat(a: Any, repeats: Any, axis: int | None = None) -> ndarray:
    return as_array(a).repeat(repeats, axis)


def tile(A: Any, reps: Any) -> ndarray:
    a = as_array(A)._a
    return fresh(lambda: np.tile(a, reps))


def append(arr: Any, values: Any, axis: int | None = None) -> ndarray:
    arr, values = cupy.asarray(arr), cupy.asarray(values)
    if axis is None:
        return concatenate([arr.ravel(), values.ravel()])
    return concatenate([arr, values], axis)


def delete(arr: Any, indices: Any, axis: int | None = None) -> ndarray:
    chosen = indices.get() if isinstance(indices, ndarray) else indices
    a = as_array(arr)._a
    return fresh(lambda: np.delete(a, chosen, axis))


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> ndarray:
    if isinstance(pad_width, ndarray):
        raise TypeError("`pad_width` must be on the host")
    modes = ("empty", "edge", "wrap", "constant", "linear_ramp", "maximum", "mean", "minimum", "reflect", "symmetric")
    if mode not in modes:
        raise ValueError(f"mode '{mode}' is not supported")
    a = as_array(array)._a
    values = {name: operand(each) if isinstance(each, ndarray) else each for name, each in kwargs.items()}
    return fresh(lambda: np.pad(a, pad_width, mode, **values))


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> ndarray:
    a = as_array(a)._a
    ends = {name: as_array(each)._a for name, each in (("prepend", prepend), ("append", append)) if each is not None}
    return fresh(lambda: np.diff(a, n, axis, **ends))
