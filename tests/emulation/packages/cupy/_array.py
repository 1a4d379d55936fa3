"""The array of the emulated device: CuPy's methods over a NumPy array that lies in the device's memory.

NumPy computes; what CuPy refuses is refused here before: NumPy arrays as operands, implicit conversion, other keywords.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import cupy
from cupy import _capture, _memory
from cupy._results import (
    BFLOAT16,
    fresh,
    index_of,
    into,
    operand,
    quietly,
    reduce_,
    supported,
    view,
    view_or_fresh,
    widened,
    wrapped,
)


class Flags:
    """What `array.flags` tells; CuPy's has no more."""

    def __init__(self, c_contiguous: bool, f_contiguous: bool, owndata: bool):
        self.c_contiguous, self.f_contiguous, self.owndata = c_contiguous, f_contiguous, owndata

    @property
    def fnc(self) -> bool:
        return self.f_contiguous and not self.c_contiguous

    @property
    def forc(self) -> bool:
        return self.f_contiguous or self.c_contiguous

    def __getitem__(self, name: str) -> bool:
        names = {"C_CONTIGUOUS": "c_contiguous", "F_CONTIGUOUS": "f_contiguous", "OWNDATA": "owndata"}
        if name not in names:
            raise KeyError(f"{name} is not defined for cupy.ndarray.flags")
        return bool(getattr(self, names[name]))


class ndarray:
    """An array on the device."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"):
        shape = (int(shape),) if np.isscalar(shape) else tuple(int(each) for each in shape)
        dtype = supported(np.dtype(dtype))
        if strides is None:
            strides = np.empty(shape, np.dtype([("", "u1", dtype.itemsize)]), order or "C").strides if shape else ()
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self.data = _memory.alloc(size) if memptr is None else memptr
        self._base: ndarray | None = None
        self._a = _memory.array_at(self.data, shape, dtype, strides)

    # --- what it is

    shape = property(lambda self: self._a.shape, lambda self, value: setattr(self._a, "shape", value))
    dtype = property(lambda self: self._a.dtype)
    strides = property(lambda self: self._a.strides)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    base = property(lambda self: self._base)
    device = property(lambda self: self.data.device)
    T = property(lambda self: view(self, self._a.T))
    mT = property(lambda self: view(self, self._a.swapaxes(-1, -2)))
    real = property(lambda self: self)

    @property
    def flags(self) -> Flags:
        flags = self._a.flags
        return Flags(flags.c_contiguous, flags.f_contiguous, self._base is None)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = None if self._a.flags.c_contiguous else self.strides
        data = (self.data.ptr if self.size else 0, False)
        return {"shape": self.shape, "typestr": self.dtype.str, "strides": strides, "data": data, "version": 3}

    # --- to the host: nothing but `get` and what is made of it

    def get(
        self, stream: Any = None, order: str = "C", out: np.ndarray | None = None, blocking: bool = True
    ) -> np.ndarray:
        if blocking or out is None:
            _capture.forbid()
        if out is None:
            return self._a.copy(order)
        if not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        if self.dtype != out.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        if self.shape != out.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual shape: {out.shape}")
        source = self._a
        _capture.run(lambda: np.copyto(out, source))
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        _capture.forbid()
        np.copyto(self._a, arr)

    def __array__(self, dtype: Any = None) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, format_spec: str) -> str:
        return format(self.get(), format_spec)

    def __reduce__(self) -> Any:
        return cupy.array, (self.get(),)

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> ndarray:
        return self.copy()

    def __iter__(self) -> Any:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    # --- shapes

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> ndarray:
        if len(shape) == 1 and not np.isscalar(shape[0]):
            (shape,) = shape
        shape = tuple(int(each) for each in shape)
        if copy is not None:
            return (
                fresh(lambda a=self._a: a.reshape(shape, order=order).copy())
                if copy
                else view(self, self._a.reshape(shape, copy=False))
            )
        return view_or_fresh(self, lambda a=self._a: a.reshape(shape, order=order))

    def transpose(self, *axes: Any) -> ndarray:
        return view(self, self._a.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return view(self, self._a.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> ndarray:
        return view(self, self._a.squeeze(axis))

    def flatten(self, order: str = "C") -> ndarray:
        return fresh(lambda a=self._a: a.flatten(order))

    def ravel(self, order: str = "C") -> ndarray:
        return view_or_fresh(self, lambda a=self._a: a.ravel(order))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
        return view(self, self._a.diagonal(offset, axis1, axis2))

    def view(self, dtype: Any = None, array_class: Any = None) -> ndarray:
        return view(self, self._a.view() if dtype is None else self._a.view(dtype))

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> ndarray:
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        dtype, order = supported(np.dtype(dtype)), order or "K"
        a = self._a
        if not copy and dtype == a.dtype and np.array(a, order=order, copy=None) is a:
            return self
        return fresh(lambda: quietly(a.astype, dtype, order=order))

    def copy(self, order: str = "C") -> ndarray:
        return self.astype(self.dtype, order=order)

    def fill(self, value: Any) -> None:
        if isinstance(value, ndarray):
            if value.shape != ():
                raise ValueError("non-scalar cupy.ndarray cannot be used for fill")
            value = value._a
        else:
            value = np.asarray(value, dtype=self.dtype)
            if value.shape != ():
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        to = self._a
        _capture.run(lambda: np.copyto(to, value, casting="unsafe"))

    # --- elements

    def __getitem__(self, slices: Any) -> ndarray:
        index, advanced = index_of(self, slices)
        a = self._a
        if not advanced:
            return view(self, a[index])
        return fresh(lambda: a[wrapped(index, a.shape)].copy())

    def __setitem__(self, slices: Any, value: Any) -> None:
        index, advanced = index_of(self, slices)
        a = self._a
        if isinstance(value, ndarray):
            source = value._a
        elif advanced:
            source = np.asarray(value, dtype=self.dtype)
            if source.ndim:
                _capture.forbid()
        else:
            if np.asarray(value).shape != ():
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            source = np.asarray(value, dtype=self.dtype)

        def assign() -> None:
            quietly(a.__setitem__, wrapped(index, a.shape), source)

        _capture.run(assign)

    def take(self, indices: Any, axis: int | None = None, out: ndarray | None = None) -> ndarray:
        chosen = indices._a if isinstance(indices, ndarray) else np.asarray(indices, int)
        a = self._a
        n = max(a.size if axis is None else a.shape[axis], 1)
        # Not NumPy's `wrap`, which subtracts n again and again: indices that are recorded may be anything as yet.
        return into(out, lambda: a.take(chosen % n, axis))

    def put(self, indices: Any, values: Any, mode: str = "wrap") -> None:
        a, chosen, given = self._a, cupy.asarray(indices)._a, cupy.asarray(values)._a
        _capture.run(lambda: a.put(chosen, given, mode))

    def nonzero(self) -> tuple[ndarray, ...]:
        _capture.forbid()
        if self.ndim == 0:
            raise ValueError(
                "Calling nonzero on 0d arrays is not allowed. Use cp.atleast_1d(scalar).nonzero() instead."
            )
        return tuple(fresh(lambda each=each: each) for each in self._a.nonzero())

    def repeat(self, repeats: Any, axis: int | None = None) -> ndarray:
        if isinstance(repeats, ndarray):
            raise ValueError("cupy.ndaray cannot be specified as `repeats` argument.")
        a = self._a
        return fresh(lambda: a.repeat(repeats, axis))

    def sort(self, axis: int = -1, kind: str | None = None) -> None:
        _check_kind(kind)
        _check_sortable(self)
        a = self._a
        _capture.run(lambda: a.sort(axis, kind="stable"))

    def argsort(self, axis: int | None = -1, kind: str | None = None) -> ndarray:
        _check_kind(kind)
        _check_sortable(self)
        a = self._a
        return fresh(lambda: a.argsort(axis, kind="stable"))

    def partition(self, kth: Any, axis: int = -1) -> None:
        a = self._a
        _capture.run(lambda: a.sort(axis))

    def argpartition(self, kth: Any, axis: int | None = -1) -> ndarray:
        return self.argsort(axis)

    def searchsorted(self, v: Any, side: str = "left", sorter: Any = None) -> ndarray:
        return cupy.searchsorted(self, v, side, sorter)

    # --- reductions

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return reduce_("sum", self, axis, dtype, out, keepdims)

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool | None = None) -> ndarray:
        return reduce_("prod", self, axis, dtype, out, bool(keepdims))

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return reduce_("mean", self, axis, dtype, out, keepdims)

    def var(
        self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False
    ) -> ndarray:
        return reduce_("var", self, axis, dtype, out, keepdims, ddof=ddof)

    def std(
        self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False
    ) -> ndarray:
        return reduce_("std", self, axis, dtype, out, keepdims, ddof=ddof)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        a = self._a
        return into(out, lambda: a.max(axis, keepdims=keepdims))

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        a = self._a
        return into(out, lambda: a.min(axis, keepdims=keepdims))

    def argmax(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        a = self._a
        return into(out, lambda: np.asarray(a.argmax(axis, keepdims=keepdims)).astype(dtype or np.int64))

    def argmin(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        a = self._a
        return into(out, lambda: np.asarray(a.argmin(axis, keepdims=keepdims)).astype(dtype or np.int64))

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        a = self._a
        return into(out, lambda: a.all(axis, keepdims=keepdims))

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        a = self._a
        return into(out, lambda: a.any(axis, keepdims=keepdims))

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
        a = self._a
        return into(out, lambda: a.cumsum(axis, dtype))

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
        a = self._a
        return into(out, lambda: a.cumprod(axis, dtype))

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> ndarray:
        a = self._a
        return into(out, lambda: a.trace(offset, axis1, axis2, dtype))

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> ndarray:
        a, low, high = self._a, operand(min) if min is not None else None, operand(max) if max is not None else None
        return into(out, lambda: widened(np.clip(a, low, high)))

    def round(self, decimals: int = 0, out: Any = None) -> ndarray:
        a = self._a
        return into(out, lambda: a.round(decimals))

    def dot(self, b: ndarray, out: ndarray | None = None) -> ndarray:
        return cupy.dot(self, b, out)

    def conj(self) -> ndarray:
        return self

    # --- NumPy's functions and ufuncs hand over to CuPy's of the same name

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        function = getattr(cupy, ufunc.__name__, None)
        if function is None or method not in ("__call__", "outer", "at", "reduce", "accumulate", "reduceat"):
            return NotImplemented
        if ufunc.__name__ in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"):
            inputs = tuple(each.item() if isinstance(each, np.ndarray) and each.ndim == 0 else each for each in inputs)
        return (function if method == "__call__" else getattr(function, method))(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        try:
            module = functools.reduce(getattr, func.__module__.split(".")[1:], cupy)
            function = getattr(module, func.__name__)
        except AttributeError:
            return NotImplemented
        if function is func or not all(issubclass(each, (ndarray, np.ndarray)) for each in types):
            return NotImplemented
        return function(*args, **kwargs)


def _check_sortable(array: ndarray) -> None:
    if array.dtype == BFLOAT16:
        raise NotImplementedError(f"Sorting arrays with dtype '{array.dtype}' is not supported")


def _check_kind(kind: str | None) -> None:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
