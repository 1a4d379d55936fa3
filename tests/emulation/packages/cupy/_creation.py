"""CuPy's functions that make arrays, with CuPy's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

import cupy
from cupy import _capture
from cupy._array import ndarray
from cupy._results import BFLOAT16, as_array, fresh, operand, quietly, supported, view

__all__ = """
array asarray asanyarray ascontiguousarray asfortranarray asnumpy empty zeros ones full empty_like zeros_like
ones_like full_like arange linspace eye identity tri tril triu diag indices meshgrid copy copyto astype
""".split()


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
    if isinstance(obj, (list, tuple)) and obj and all(isinstance(each, ndarray) for each in obj):
        return cupy.stack(list(obj)).astype(obj[0].dtype if dtype is None else dtype, copy=False)
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
    a = as_array(a)
    return array(a if a.ndim else a.reshape(1), dtype, None, "C")


def asfortranarray(a: Any, dtype: Any = None) -> ndarray:
    return array(as_array(a), dtype, None, "F")


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
    a = as_array(a)
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
    a = as_array(m)._a
    return fresh(lambda: np.tril(a, k))


def triu(m: Any, k: int = 0) -> ndarray:
    a = as_array(m)._a
    return fresh(lambda: np.triu(a, k))


def diag(v: Any, k: int = 0) -> ndarray:
    v = as_array(v)
    return fresh(lambda a=v._a: np.diag(a, k)) if v.ndim == 1 else v.diagonal(k)


def indices(dimensions: Any, dtype: Any = int) -> ndarray:
    return fresh(lambda: np.indices(dimensions, dtype))


def meshgrid(*xi: Any, **kwargs: Any) -> list[ndarray]:
    given = [as_array(each)._a for each in xi]
    return [fresh(lambda i=i: np.meshgrid(*given, **kwargs)[i]) for i in range(len(given))]


def copy(a: Any, order: str = "K") -> ndarray:
    return as_array(a).copy(order=order)


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if not isinstance(src, ndarray) and isinstance(src, np.ndarray) and src.ndim:
        raise TypeError(f"Unsupported type {type(src)}")
    to, source = as_array(dst)._a, src._a if isinstance(src, ndarray) else np.asarray(src)
    weak = type(src) in (int, float, bool)
    chosen = True if where is None else operand(where)
    how = "unsafe" if weak else casting
    _capture.run(lambda: quietly(np.copyto, to, source, casting=how, where=chosen))


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True) -> ndarray:
    return x.astype(dtype, copy=copy)
