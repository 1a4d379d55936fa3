"""CuPy's reductions and products, with CuPy's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

import cupy
from cupy import _capture
from cupy._array import ndarray
from cupy._results import BFLOAT16, as_array, fresh, into, operand

__all__ = """
sum prod mean var std max min argmax argmin all any cumsum cumprod count_nonzero nansum clip round nan_to_num
array_equal isclose allclose shares_memory may_share_memory matmul dot vdot inner outer tensordot einsum kron amax
amin around
""".split()


def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).sum(axis, dtype, out, keepdims)


def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).prod(axis, dtype, out, keepdims)


def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).mean(axis, dtype, out, keepdims)


def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> ndarray:
    return as_array(a).var(axis, dtype, out, ddof, keepdims)


def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> ndarray:
    return as_array(a).std(axis, dtype, out, ddof, keepdims)


def max(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).max(axis, out, keepdims)


def min(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).min(axis, out, keepdims)


amax, amin = max, min


def argmax(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).argmax(axis, dtype, out, keepdims)


def argmin(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).argmin(axis, dtype, out, keepdims)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).all(axis, out, keepdims)


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return as_array(a).any(axis, out, keepdims)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
    return as_array(a).cumsum(axis, dtype, out)


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
    return as_array(a).cumprod(axis, dtype, out)


def count_nonzero(a: Any, axis: Any = None) -> ndarray:
    a = as_array(a)._a
    return fresh(lambda: np.asarray(np.count_nonzero(a, axis)))


def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    a = as_array(a)._a
    return into(out, lambda: np.nansum(a, axis, dtype, keepdims=keepdims))


def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> ndarray:
    return as_array(a).clip(a_min, a_max, out)


def round(a: Any, decimals: int = 0, out: Any = None) -> ndarray:
    return cupy.asarray(a).round(decimals, out)


around = round


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> ndarray:
    given = operand(x)
    return into(None if copy else x, lambda: np.nan_to_num(given, nan=nan, posinf=posinf, neginf=neginf))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> ndarray:
    a, b = as_array(a1)._a, as_array(a2)._a
    return fresh(lambda: np.asarray(np.array_equal(a, b, equal_nan)))


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> ndarray:
    x, y = operand(a), operand(b)
    return fresh(lambda: np.isclose(x, y, rtol, atol, equal_nan))


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> ndarray:
    return isclose(a, b, rtol, atol, equal_nan).all()


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.shares_memory(as_array(a)._a, as_array(b)._a)


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.may_share_memory(as_array(a)._a, as_array(b)._a)


def _product(function: Any, *given: Any, out: Any = None, dtype: Any = None) -> ndarray:
    _capture.forbid()
    arrays = [as_array(each)._a for each in given]
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
