"""How results come into being on the emulated device, and which operands and indices CuPy takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

import cupy
from cupy import _capture, _memory

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_KINDS = "?bhilqBHILQefdFD"


def supported(dtype: np.dtype) -> np.dtype:
    """Return the dtype.

    Raises:
        ValueError: CuPy has no arrays of it.
    """
    if dtype != BFLOAT16 and (dtype.char not in _KINDS or not dtype.isnative):
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def operand(value: Any) -> Any:
    """Return what NumPy computes with for an operand of a kernel.

    Raises:
        TypeError: CuPy takes no such operand, above all no NumPy array.
    """
    if isinstance(value, cupy.ndarray):
        return value._a
    if type(value) in (int, float, bool, complex) or isinstance(value, np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def as_array(x: Any) -> cupy.ndarray:
    """Return x, which must be an array of the device.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(x, cupy.ndarray):
        raise TypeError(f"Argument has incorrect type (expected cupy.ndarray, got {type(x).__name__})")
    return x


def widened(result: np.ndarray) -> np.ndarray:
    """Return what a function gives that CuPy has no bfloat16 for: it takes the nearest type that it has, float32."""
    return result.astype(np.float32) if result.dtype == BFLOAT16 else result


def quietly(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function of NumPy; a device warns of nothing."""
    with np.errstate(all="ignore"):
        return function(*arguments, **options)


def fresh(compute: Callable[[], Any]) -> cupy.ndarray:
    """Return a new array of what `compute` gives, now and at each launch of the graph that records it."""
    value = np.asarray(quietly(compute))
    result = cupy.ndarray.__new__(cupy.ndarray)
    supported(value.dtype)
    strides = value.strides if value.flags.forc and value.size else np.empty_like(value).strides
    result.data = _memory.alloc(value.nbytes)
    result._base = None
    result._a = to = _memory.array_at(result.data, value.shape, value.dtype, strides)
    if _capture.is_capturing():
        _capture.run(lambda: np.copyto(to, quietly(compute)))
    else:
        np.copyto(to, value)
    return result


def view(parent: cupy.ndarray, a: np.ndarray) -> cupy.ndarray:
    """Return an array that shares its memory with `parent`."""
    result = cupy.ndarray.__new__(cupy.ndarray)
    offset = a.__array_interface__["data"][0] - parent._a.__array_interface__["data"][0] if a.size else 0
    result.data = parent.data + offset
    result._base = parent if parent._base is None else parent._base
    result._a = a
    return result


def view_or_fresh(parent: cupy.ndarray, compute: Callable[[], np.ndarray]) -> cupy.ndarray:
    """Return a view where NumPy gives one, else a copy."""
    value = compute()
    if value is parent._a or np.may_share_memory(value, parent._a) or not value.size:
        return view(parent, value)
    return fresh(compute)


def into(out: cupy.ndarray | None, compute: Callable[[], Any]) -> cupy.ndarray:
    """Return what `compute` gives, in `out` where there is one."""
    if out is None:
        return fresh(compute)
    if not isinstance(out, cupy.ndarray):
        raise TypeError("return arrays must be of ArrayType")
    to = out._a
    value = np.asarray(quietly(compute))
    if value.shape != to.shape:
        raise ValueError("Output array is of another shape")
    _capture.run(lambda: np.copyto(to, quietly(compute), casting="same_kind"))
    return out


def reduce_(
    name: str, x: cupy.ndarray, axis: Any, dtype: Any, out: cupy.ndarray | None, keepdims: bool, **options: Any
) -> cupy.ndarray:
    """Sum, mean and the like: halves are added up in float32, as CuPy's kernels do."""
    a = x._a
    narrow = np.dtype(dtype) if dtype is not None else a.dtype

    def compute() -> Any:
        if narrow in (np.float16, BFLOAT16):
            return np.asarray(getattr(a.astype(np.float32), name)(axis, keepdims=keepdims, **options)).astype(narrow)
        return getattr(a, name)(axis, dtype=dtype, keepdims=keepdims, **options)

    return into(out, compute)


def index_of(x: cupy.ndarray, slices: Any) -> tuple[tuple[Any, ...], bool]:
    """Return NumPy's index, and whether it copies; `wrapped` makes it what CuPy takes it for."""
    listed = list(slices) if isinstance(slices, tuple) else [slices]
    index: list[Any] = []
    advanced = False
    for each in listed:
        if each is None or each is Ellipsis or isinstance(each, slice):
            index.append(each)
        elif np.isscalar(each) and not isinstance(each, (bool, np.bool_)):
            index.append(int(each))
        else:
            array = each._a if isinstance(each, cupy.ndarray) else np.asarray(each)
            if isinstance(each, (list, tuple)) and not array.size:
                array = array.astype(np.int32)
            if array.dtype.kind not in "biu":
                raise IndexError(
                    f"arrays used as indices must be of integer or boolean type. (actual: {array.dtype.type})"
                )
            if array.dtype.kind == "b":
                _capture.forbid()
            elif not isinstance(each, cupy.ndarray):
                _capture.forbid()  # it is copied to the device
            index.append(array)
            advanced = True
    used = sum(each.ndim if isinstance(each, np.ndarray) and each.dtype == bool else each is not None for each in index)
    if Ellipsis in [each for each in index if not isinstance(each, np.ndarray)]:
        used -= 1
    else:
        index.append(Ellipsis)
    if used > x.ndim:
        raise IndexError(f"too many indices for array: array is {x.ndim}-dimensional, but {used} were indexed")
    return tuple(index), advanced


def wrapped(index: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return an index whose integer arrays wrap around; found when it is used, for a launch may have changed them."""
    used = sum(each.ndim if isinstance(each, np.ndarray) and each.dtype == bool else each is not None for each in index)
    used -= Ellipsis in [each for each in index if not isinstance(each, np.ndarray)]
    axis, found = 0, list(index)
    for i, each in enumerate(index):
        if each is Ellipsis:
            axis += len(shape) - used
        elif isinstance(each, np.ndarray) and each.dtype == bool:
            axis += each.ndim
        elif each is not None:
            if isinstance(each, np.ndarray) and shape[axis]:
                found[i] = each % shape[axis]
            axis += 1
    return tuple(found)
