"""CuPy's ufuncs over NumPy's, with CuPy's keywords and no others."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy import _capture
from cupy._array import ndarray
from cupy._results import fresh, index_of, operand, quietly, wrapped

_SCATTERS = {  # by CuPy 14.0; later ones add int64
    "add": "i4 f2 f4 f8 u4 u8",
    "subtract": "i4 u4",
    "maximum": "i4 f4 f8 u4 u8",
    "minimum": "i4 f4 f8 u4 u8",
    "bitwise_and": "i4 i8 u4 u8",
    "bitwise_or": "i4 i8 u4 u8",
    "bitwise_xor": "i4 i8 u4 u8",
}
_NAMES = """
add subtract multiply true_divide floor_divide remainder fmod power float_power negative positive absolute
fabs sign reciprocal square sqrt cbrt exp exp2 expm1 log log2 log10 log1p logaddexp logaddexp2 sin cos tan
arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh hypot degrees radians rad2deg deg2rad
floor ceil trunc rint copysign nextafter ldexp signbit isfinite isinf isnan maximum minimum fmax fmin greater
greater_equal less less_equal equal not_equal logical_and logical_or logical_xor logical_not bitwise_and
bitwise_or bitwise_xor invert left_shift right_shift heaviside gcd lcm divmod modf frexp
""".split()
_ALIASES = {
    "divide": "true_divide",
    "mod": "remainder",
    "abs": "absolute",
    "bitwise_not": "invert",
    "pow": "power",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
}


class ufunc:
    """A function of CuPy that works elementwise."""

    def __init__(self, function: np.ufunc):
        self._function = function
        self.name = self.__name__ = function.__name__
        self.nin, self.nout, self.nargs = function.nin, function.nout, function.nargs

    def __repr__(self) -> str:
        return f"<ufunc '{self.name}'>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        where = kwargs.pop("_where", None)
        options = {name: kwargs.pop(name) for name in ("dtype", "casting") if kwargs.get(name) is not None}
        if set(kwargs) - {"dtype", "casting"}:
            raise TypeError(f"Wrong arguments {kwargs}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        inputs = [operand(each) for each in args[: self.nin]]
        outs = args[self.nin :] or (out if isinstance(out, tuple) else (out,) * self.nout)
        if where is not None:
            options["where"] = operand(where)
        if self.nout == 2:
            return tuple(fresh(lambda i=i: self._function(*inputs, **options)[i]) for i in range(2))
        if outs[0] is None:
            return fresh(lambda: self._function(*inputs, **options))
        if not isinstance(outs[0], ndarray):
            raise TypeError("return arrays must be of ArrayType")
        to = outs[0]._a
        shape = np.broadcast_shapes(*(np.shape(each) for each in inputs), to.shape)
        if shape != to.shape:
            raise ValueError(f"operands could not be broadcast together with shapes {shape} {to.shape}")
        if _capture.is_capturing():
            np.result_type(*inputs)
        _capture.run(lambda: quietly(self._function, *inputs, out=to, **options))
        return outs[0]

    def outer(self, A: Any, B: Any, **kwargs: Any) -> Any:
        import cupy

        A, B = cupy.asarray(A), cupy.asarray(B)
        return self(A.reshape(A.shape + (1,) * B.ndim), B.reshape((1,) * A.ndim + B.shape), **kwargs)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if self.name not in _SCATTERS:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        index, advanced = index_of(a, indices)
        if advanced and a.dtype.str[1:] not in _SCATTERS[self.name]:
            raise TypeError(f"cupy.{self.name}.at only supports {_SCATTERS[self.name]} as data type; got {a.dtype}")
        to = a._a
        values = b._a if isinstance(b, ndarray) else np.asarray(b, a.dtype)
        _capture.run(lambda: quietly(self._function.at, to, wrapped(index, to.shape), values.astype(to.dtype)))

    def reduce(self, array: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        if self.name == "add":
            return array.sum(axis, dtype, out, keepdims)
        if self.name == "multiply":
            return array.prod(axis, dtype, out, keepdims)
        raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")

    def accumulate(self, array: ndarray, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        if self.name == "add":
            return array.cumsum(axis, dtype, out)
        if self.name == "multiply":
            return array.cumprod(axis, dtype, out)
        raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")


UFUNCS: dict[str, ufunc] = {name: ufunc(getattr(np, "divide" if name == "true_divide" else name)) for name in _NAMES}
UFUNCS["true_divide"].name = UFUNCS["true_divide"].__name__ = "true_divide"
UFUNCS |= {alias: UFUNCS[name] for alias, name in _ALIASES.items()}
