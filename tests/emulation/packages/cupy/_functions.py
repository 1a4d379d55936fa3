"""CuPy's functions over NumPy's, with CuPy's signatures."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

import cupy
from cupy import _capture
from cupy._array import BFLOAT16, fresh, into, ndarray, operand, quietly, supported, view, view_or_fresh

__all__ = """
array asarray asanyarray ascontiguousarray asfortranarray asnumpy empty zeros ones full empty_like zeros_like
ones_like full_like arange linspace eye identity tri tril triu diag indices meshgrid copy copyto astype shape size
ndim reshape ravel transpose swapaxes moveaxis rollaxis squeeze expand_dims diagonal trace atleast_1d broadcast_to broadcast_arrays
flip rot90 roll concatenate stack hstack vstack split array_split repeat tile append delete pad diff where take
take_along_axis nonzero flatnonzero argwhere unique sort argsort partition argpartition lexsort searchsorted bincount
isin sum prod mean var std max min argmax argmin all any cumsum cumprod count_nonzero nansum clip round nan_to_num
array_equal isclose allclose shares_memory may_share_memory matmul dot vdot inner outer tensordot einsum kron
result_type can_cast get_array_module is_available get_default_memory_pool get_default_pinned_memory_pool amax amin
around permute_dims concat ogrid
""".split()


def _array(x: Any) -> ndarray:
    """Return x, which must be an array of the device."""
    if not isinstance(x, ndarray):
        raise TypeError(f"Argument has incorrect type (expected cupy.ndarray, got {type(x).__name__})")
    return x


# --- making arrays


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str | None = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    if subok:
        raise NotImplementedError
    if isinstance(obj, ndarray):
        result = obj.astype(obj.dtype if dtype is None else dtype, order=order or "K", copy=bool(copy))
        return result if result.ndim >= ndmin else view(result, result._a[(None,) * (ndmin - result.ndim)])
    if isinstance(obj, (list, tuple)) and obj and builtins.all(isinstance(each, ndarray) for each in obj):
        return stack(list(obj)).astype(obj[0].dtype if dtype is None else dtype, copy=False)
    host = np.array(obj, dtype=dtype, ndmin=ndmin)
    if host.dtype.kind not in "biufc" and host.dtype != BFLOAT16:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    supported(host.dtype)
    order = order or "K"
    if order in "KA":
        order = "F" if isinstance(obj, np.ndarray) and obj.flags.fnc else "C"
    if host.ndim:
        _capture.forbid()  # pinned memory is asked for
    return fresh(lambda: np.array(host, order=order))


def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    return array(a, dtype, copy, order, blocking=blocking)


def asanyarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    return array(a, dtype, copy, order, blocking=blocking)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    a = _array(a)
    return array(a if a.ndim else a.reshape(1), dtype, None, "C")


def asfortranarray(a: Any, dtype: Any = None) -> ndarray:
    return array(_array(a), dtype, None, "F")


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    if isinstance(a, ndarray):
        return a.get(stream=stream, order=order, out=out, blocking=blocking)
    return np.asarray(a, order=order)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    result = ndarray(shape, dtype, order=order)
    result.fill(0)
    return result


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    result = ndarray(shape, dtype, order=order)
    result.fill(1)
    return result


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    if dtype is None:
        dtype = fill_value.dtype if isinstance(fill_value, ndarray) else np.array(fill_value).dtype
    result = ndarray(shape, dtype, order=order)
    copyto(result, fill_value, casting="unsafe")
    return result


def _like(a: Any, dtype: Any, order: str, subok: Any, shape: Any) -> ndarray:
    if subok is not None:
        raise TypeError("subok is not supported yet")
    a = _array(a)
    like = np.empty_like(a._a, dtype, order, shape=shape if shape else None)
    return ndarray(like.shape, like.dtype, strides=like.strides)


def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> ndarray:
    return _like(prototype, dtype, order, subok, shape)


def zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> ndarray:
    result = _like(a, dtype, order, subok, shape)
    result.fill(0)
    return result


def ones_like(a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> ndarray:
    result = _like(a, dtype, order, subok, shape)
    result.fill(1)
    return result


def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    result = _like(a, dtype, order, subok, shape)
    copyto(result, fill_value, casting="unsafe")
    return result


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    if stop is None:
        start, stop = 0, start
    return fresh(lambda: np.arange(start, stop, step, dtype))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    return fresh(lambda: np.linspace(start, stop, num, endpoint, dtype=dtype, axis=axis))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float, order: str = "C") -> ndarray:
    return fresh(lambda: np.eye(N, M, k, dtype, order=order))


def identity(n: int, dtype: Any = float) -> ndarray:
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float) -> ndarray:
    return fresh(lambda: np.tri(N, M, k, dtype))


def tril(m: Any, k: int = 0) -> ndarray:
    a = _array(m)._a
    return fresh(lambda: np.tril(a, k))


def triu(m: Any, k: int = 0) -> ndarray:
    a = _array(m)._a
    return fresh(lambda: np.triu(a, k))


def diag(v: Any, k: int = 0) -> ndarray:
    v = _array(v)
    return fresh(lambda a=v._a: np.diag(a, k)) if v.ndim == 1 else v.diagonal(k)


def indices(dimensions: Any, dtype: Any = int) -> ndarray:
    return fresh(lambda: np.indices(dimensions, dtype))


def meshgrid(*xi: Any, **kwargs: Any) -> list[ndarray]:
    given = [_array(each)._a for each in xi]
    return [fresh(lambda i=i: np.meshgrid(*given, **kwargs)[i]) for i in range(len(given))]


def copy(a: Any, order: str = "K") -> ndarray:
    return _array(a).copy(order=order)


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if not isinstance(src, ndarray) and isinstance(src, np.ndarray) and src.ndim:
        raise TypeError(f"Unsupported type {type(src)}")
    to, source = _array(dst)._a, src._a if isinstance(src, ndarray) else np.asarray(src)
    weak = type(src) in (int, float, bool)
    chosen = True if where is None else operand(where)
    how = "unsafe" if weak else casting
    _capture.run(lambda: quietly(np.copyto, to, source, casting=how, where=chosen))


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True) -> ndarray:
    return x.astype(dtype, copy=copy)


# --- shapes


def shape(a: Any) -> Any:
    return a.shape if isinstance(a, ndarray) else np.shape(a)


def size(a: Any, axis: int | None = None) -> int:
    return a.size if axis is None else a.shape[axis]


def ndim(a: Any) -> int:
    return a.ndim if isinstance(a, ndarray) else np.ndim(a)


def reshape(a: Any, newshape: Any, order: str = "C", *, copy: bool | None = None) -> ndarray:
    return _array(a).reshape(newshape, order=order, copy=copy)


def ravel(a: Any, order: str = "C") -> ndarray:
    return _array(a).ravel(order)


def transpose(a: Any, axes: Any = None) -> ndarray:
    return _array(a).transpose(axes)


permute_dims = transpose


def swapaxes(a: Any, axis1: int, axis2: int) -> ndarray:
    return _array(a).swapaxes(axis1, axis2)


def moveaxis(a: Any, source: Any, destination: Any) -> ndarray:
    return view(_array(a), np.moveaxis(a._a, source, destination))


def rollaxis(a: Any, axis: int, start: int = 0) -> ndarray:
    return view(_array(a), np.rollaxis(a._a, axis, start))


def squeeze(a: Any, axis: Any = None) -> ndarray:
    return _array(a).squeeze(axis)


def expand_dims(a: Any, axis: Any) -> ndarray:
    return view(_array(a), np.expand_dims(a._a, axis))


def atleast_1d(*arys: Any) -> Any:
    results = [each if each.ndim else each.reshape(1) for each in map(_array, arys)]
    return results[0] if len(results) == 1 else results


def broadcast_to(array: Any, shape: Any) -> ndarray:
    return view(_array(array), np.broadcast_to(array._a, shape))


def broadcast_arrays(*args: Any) -> list[ndarray]:
    shape = np.broadcast_shapes(*(_array(each).shape for each in args))
    return [broadcast_to(each, shape) for each in args]


def flip(a: Any, axis: Any = None) -> ndarray:
    return view(_array(a), np.flip(a._a, axis))


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
    return _array(a).diagonal(offset, axis1, axis2)


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> ndarray:
    return _array(a).trace(offset, axis1, axis2, dtype, out)


def rot90(a: Any, k: int = 1, axes: Any = (0, 1)) -> ndarray:
    return view_or_fresh(_array(a), lambda a=a._a: np.rot90(a, k, axes))


def roll(a: Any, shift: Any, axis: Any = None) -> ndarray:
    a = _array(a)._a
    return fresh(lambda: np.roll(a, shift, axis))


def concatenate(
    tup: Any, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> ndarray:
    given = [_array(each)._a for each in tup]
    return into(out, lambda: np.concatenate(given, axis, dtype=dtype, casting=casting))


concat = concatenate


def stack(tup: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> ndarray:
    given = [_array(each)._a for each in tup]
    return into(out, lambda: np.stack(given, axis, dtype=dtype, casting=casting))


def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> ndarray:
    given = [_array(each)._a for each in tup]
    return fresh(lambda: np.hstack(given, dtype=dtype, casting=casting))


def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> ndarray:
    given = [_array(each)._a for each in tup]
    return fresh(lambda: np.vstack(given, dtype=dtype, casting=casting))


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[ndarray]:
    return [view(ary, each) for each in np.split(_array(ary)._a, indices_or_sections, axis)]


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[ndarray]:
    return [view(ary, each) for each in np.array_split(_array(ary)._a, indices_or_sections, axis)]


def repeat(a: Any, repeats: Any, axis: int | None = None) -> ndarray:
    return _array(a).repeat(repeats, axis)


def tile(A: Any, reps: Any) -> ndarray:
    a = _array(A)._a
    return fresh(lambda: np.tile(a, reps))


def append(arr: Any, values: Any, axis: int | None = None) -> ndarray:
    arr, values = asarray(arr), asarray(values)
    if axis is None:
        return concatenate([arr.ravel(), values.ravel()])
    return concatenate([arr, values], axis)


def delete(arr: Any, indices: Any, axis: int | None = None) -> ndarray:
    chosen = indices.get() if isinstance(indices, ndarray) else indices
    a = _array(arr)._a
    return fresh(lambda: np.delete(a, chosen, axis))


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> ndarray:
    if isinstance(pad_width, ndarray):
        raise TypeError("`pad_width` must be on the host")
    modes = ("empty", "edge", "wrap", "constant", "linear_ramp", "maximum", "mean", "minimum", "reflect", "symmetric")
    if mode not in modes:
        raise ValueError(f"mode '{mode}' is not supported")
    a = _array(array)._a
    values = {name: operand(each) if isinstance(each, ndarray) else each for name, each in kwargs.items()}
    return fresh(lambda: np.pad(a, pad_width, mode, **values))


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> ndarray:
    a = _array(a)._a
    ends = {name: _array(each)._a for name, each in (("prepend", prepend), ("append", append)) if each is not None}
    return fresh(lambda: np.diff(a, n, axis, **ends))


# --- choosing


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        return nonzero(condition)
    chosen, first, second = condition.astype("?", copy=False)._a, operand(x), operand(y)
    return fresh(lambda: np.where(chosen, first, second))


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None) -> ndarray:
    return _array(a).take(indices, axis, out)


def take_along_axis(a: Any, indices: Any, axis: int | None) -> ndarray:
    a, chosen = _array(a)._a, _array(indices)._a
    if chosen.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    n = a.size if axis is None else a.shape[axis]
    return fresh(lambda: np.take_along_axis(a, chosen % n if n else chosen, axis))


def nonzero(a: Any) -> tuple[ndarray, ...]:
    return _array(a).nonzero()


def flatnonzero(a: Any) -> ndarray:
    return _array(a).ravel().nonzero()[0]


def argwhere(a: Any) -> ndarray:
    _capture.forbid()
    a = _array(a)._a
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
    found = np.unique(_array(ar)._a, return_index, return_inverse, return_counts, axis, equal_nan=equal_nan)
    if isinstance(found, tuple):
        return tuple(fresh(lambda each=each: each) for each in found)
    return fresh(lambda: found)


def sort(a: Any, axis: int | None = -1, kind: str | None = None) -> ndarray:
    result = _array(a).flatten() if axis is None else a.copy()
    result.sort(-1 if axis is None else axis, kind)
    return result


def argsort(a: Any, axis: int | None = -1, kind: str | None = None) -> ndarray:
    return _array(a).argsort(axis, kind)


def partition(a: Any, kth: Any, axis: int | None = -1) -> ndarray:
    return sort(a, axis)


def argpartition(a: Any, kth: Any, axis: int | None = -1) -> ndarray:
    return argsort(a, axis)


def lexsort(keys: Any) -> ndarray:
    a = _array(keys)._a
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
    x = _array(x)
    if x.ndim != 1:
        raise ValueError("object too deep for desired array")
    x_, w = x._a, None if weights is None else _array(weights)._a
    return fresh(lambda: np.bincount(x_, w, minlength or 0))


def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False) -> ndarray:
    a, b = _array(element)._a, _array(test_elements)._a
    return fresh(lambda: np.isin(a, b, assume_unique, invert))


# --- reductions


def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).sum(axis, dtype, out, keepdims)


def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).prod(axis, dtype, out, keepdims)


def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).mean(axis, dtype, out, keepdims)


def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> ndarray:
    return _array(a).var(axis, dtype, out, ddof, keepdims)


def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> ndarray:
    return _array(a).std(axis, dtype, out, ddof, keepdims)


def max(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).max(axis, out, keepdims)


def min(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).min(axis, out, keepdims)


amax, amin = max, min


def argmax(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).argmax(axis, dtype, out, keepdims)


def argmin(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).argmin(axis, dtype, out, keepdims)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).all(axis, out, keepdims)


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _array(a).any(axis, out, keepdims)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
    return _array(a).cumsum(axis, dtype, out)


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
    return _array(a).cumprod(axis, dtype, out)


def count_nonzero(a: Any, axis: Any = None) -> ndarray:
    a = _array(a)._a
    return fresh(lambda: np.asarray(np.count_nonzero(a, axis)))


def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    a = _array(a)._a
    return into(out, lambda: np.nansum(a, axis, dtype, keepdims=keepdims))


def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> ndarray:
    return _array(a).clip(a_min, a_max, out)


def round(a: Any, decimals: int = 0, out: Any = None) -> ndarray:
    return asarray(a).round(decimals, out)


around = round


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> ndarray:
    given = operand(x)
    return into(None if copy else x, lambda: np.nan_to_num(given, nan=nan, posinf=posinf, neginf=neginf))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> ndarray:
    a, b = _array(a1)._a, _array(a2)._a
    return fresh(lambda: np.asarray(np.array_equal(a, b, equal_nan)))


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> ndarray:
    x, y = operand(a), operand(b)
    return fresh(lambda: np.isclose(x, y, rtol, atol, equal_nan))


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> ndarray:
    return isclose(a, b, rtol, atol, equal_nan).all()


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.shares_memory(_array(a)._a, _array(b)._a)


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.may_share_memory(_array(a)._a, _array(b)._a)


# --- products: by cuBLAS, which cannot be recorded


def _product(function: Any, *given: Any, out: Any = None, dtype: Any = None) -> ndarray:
    _capture.forbid()
    arrays = [_array(each)._a for each in given]
    wanted = np.dtype(dtype) if dtype is not None else np.result_type(*arrays)
    wide = np.float32 if wanted in (np.float16, BFLOAT16) else wanted
    return into(out, lambda: np.asarray(function(*(each.astype(wide, copy=False) for each in arrays))).astype(wanted))


def matmul(
    *args: Any,
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
    casting: str = "same_kind",
    dtype: Any = None,
    signature: Any = None,
    order: str = "K",
    out: Any = None,
) -> ndarray:
    return _product(np.matmul, *args[:2], out=args[2] if len(args) > 2 else out, dtype=dtype)


def dot(a: Any, b: Any, out: Any = None) -> ndarray:
    return _product(np.dot, a, b, out=out)


def vdot(a: Any, b: Any) -> ndarray:
    return _product(np.vdot, a, b)


def inner(a: Any, b: Any) -> ndarray:
    return _product(np.inner, a, b)


def outer(a: Any, b: Any, out: Any = None) -> ndarray:
    return _product(np.outer, a, b, out=out)


def tensordot(a: Any, b: Any, axes: Any = 2) -> ndarray:
    return _product(lambda x, y: np.tensordot(x, y, axes), a, b)


def einsum(*operands: Any, **kwargs: Any) -> ndarray:
    if set(kwargs) - {"dtype", "optimize"}:
        raise TypeError(f"Did not understand the following kwargs: {list(kwargs)}")
    dtype = kwargs.get("dtype")
    if isinstance(operands[0], str):
        return _product(lambda *each: np.einsum(operands[0], *each, optimize=True), *operands[1:], dtype=dtype)
    pairs, result = operands[: len(operands) // 2 * 2], operands[len(operands) // 2 * 2 :]

    def contract(*each: Any) -> Any:
        interleaved = [x for array, axes in zip(each, pairs[1::2], strict=True) for x in (array, axes)]
        return np.einsum(*interleaved, *result, optimize=True)

    return _product(contract, *pairs[::2], dtype=dtype)


def kron(a: Any, b: Any) -> ndarray:
    return _product(np.kron, a, b)


# --- types, on the host


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    return np.result_type(*(each._a if isinstance(each, ndarray) else each for each in arrays_and_dtypes))


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    return np.can_cast(from_.dtype if isinstance(from_, ndarray) else from_, to, casting)


def get_array_module(*args: Any) -> Any:
    return cupy if builtins.any(isinstance(each, ndarray) for each in args) else np


def is_available() -> bool:
    return cupy.cuda.is_available()


def get_default_memory_pool() -> Any:
    from cupy import _memory

    return _memory._default_pool


def get_default_pinned_memory_pool() -> Any:
    from cupy import _memory

    return _memory._default_pinned_pool


class _Grid:
    def __getitem__(self, key: Any) -> Any:
        grids = np.ogrid[key]
        if isinstance(grids, np.ndarray):
            return fresh(lambda: grids)
        return [fresh(lambda each=each: each) for each in grids]


ogrid = _Grid()
