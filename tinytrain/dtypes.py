"""Element types: PyTorch's names and promotion rules over NumPy's types.

NumPy has no bfloat16; that of `ml_dtypes` is loaded when somebody first asks for it. There is no complex type: image
classifiers need none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.errors import UsageError

KINDS = {"b": 0, "u": 1, "i": 1, "f": 2}
"""NumPy's kind letters as promotion categories: bool below integers below floats."""

FLOATS = "fV"
"""NumPy's kind letters of floats: `V` is that of `ml_dtypes`' bfloat16; tensors hold nothing else of that kind."""


class dtype:
    """An element type of a tensor.

    Attributes:
        name: PyTorch's name, as in `float32`.
        numpy: the NumPy type of the same layout.
        itemsize: bytes per element.
        is_floating_point: whether it is a floating type.
    """

    __slots__ = ("is_floating_point", "itemsize", "kind", "name", "numpy")

    is_complex = False

    def __init__(self, name: str):
        self.name = name
        if name == "bfloat16":
            self.itemsize, self.is_floating_point, self.kind = 2, True, KINDS["f"]
            return
        self.numpy = np.dtype(name)
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = self.numpy.kind == "f"
        self.kind = KINDS[self.numpy.kind]

    @property
    def is_signed(self) -> bool:
        """Whether it can hold negative values."""
        return self.is_floating_point or self.numpy.kind == "i"

    def __getattr__(self, attribute: str) -> Any:
        if attribute != "numpy":
            raise AttributeError(f"a dtype has no attribute {attribute!r}")
        self.numpy = _load(self.name)
        _BY_NUMPY[self.numpy] = self
        return self.numpy

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name


bool_ = dtype("bool")
uint8 = dtype("uint8")
int8 = dtype("int8")
int16 = short = dtype("int16")
int32 = dtype("int32")
int64 = long = dtype("int64")
float16 = half = dtype("float16")
bfloat16 = dtype("bfloat16")
float32 = dtype("float32")
float64 = double = dtype("float64")

ALL = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
_BY_NUMPY = {each.numpy: each for each in ALL if each is not bfloat16}
_BY_NAME = {each.name: each for each in ALL}
_default = float32
_matmul_precision = "highest"


def from_numpy_dtype(numpy_dtype: Any) -> dtype:
    """Return the dtype of a NumPy type.

    Raises:
        TypeError: tensors have no such element type.
    """
    found = _BY_NUMPY.get(numpy_dtype)
    if found is None:
        found = _BY_NUMPY.get(np.dtype(numpy_dtype).newbyteorder("="))
    if found is None and np.dtype(numpy_dtype).name == "bfloat16":
        found = bfloat16
    if found is None:
        names = ", ".join(each.name for each in reversed(ALL))
        raise TypeError(f"can't convert np.ndarray of type {np.dtype(numpy_dtype)}. The supported types are: {names}")
    return found


def as_dtype(value: Any) -> dtype:
    """Return `value` as a dtype: a dtype, its name, or Python's bool, int, float.

    Raises:
        TypeError: it names no element type of ours.
    """
    if isinstance(value, dtype):
        return value
    if value is bool:
        return bool_
    if value is int:
        return int64
    if value is float:
        return float64
    if isinstance(value, str) and value in _BY_NAME:
        return _BY_NAME[value]
    raise TypeError(f"dtype must be one of {', '.join(_BY_NAME)}; got {value!r}")


def get_float32_matmul_precision() -> str:
    """Return how exactly a GPU multiplies matrices of float32, convolutions too: `highest`, `high` or `medium`."""
    return _matmul_precision


def set_float32_matmul_precision(precision: str) -> None:
    """Set how exactly a GPU multiplies matrices of float32; in PyTorch, convolutions have a switch of their own.

    Args:
        precision: `highest`: in float32. `high` and `medium`: operands may be rounded to TF32, which has float32's
            range and 11 significant bits; sums are float32.

    Raises:
        RuntimeError: it is none of the three.
    """
    global _matmul_precision
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"expected one of highest, high, medium as float32 matmul precision; got {precision!r}")
    _matmul_precision = precision


def get_default_dtype() -> dtype:
    """Return the floating type that Python floats become in a tensor; float32 unless changed."""
    return _default


def set_default_dtype(value: dtype) -> None:
    """Set the floating type that Python floats become in a tensor.

    Raises:
        TypeError: `value` is not a floating type.
    """
    global _default
    if not as_dtype(value).is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type; got {value!r}")
    _default = as_dtype(value)


def promote_types(first: dtype, second: dtype) -> dtype:
    """Return the smallest type that both fit into by PyTorch's rules.

    Unlike NumPy's, an integer never widens a float: int64 with float16 gives float16.
    """
    if first is second or second.kind < first.kind == 2:
        return first
    if first.kind < second.kind == 2:
        return second
    if bfloat16 in (first, second):  # half of its bits are not float16's, and NumPy knows no rule for the two
        other = second if first is bfloat16 else first
        return float32 if other is float16 else other
    return _BY_NUMPY[np.promote_types(first.numpy, second.numpy)]


def can_cast(from_: dtype, to: dtype) -> bool:
    """Return whether a value of `from_` may be stored in place in a tensor of `to`: never down a category."""
    return from_.kind <= to.kind


class finfo:
    """The limits of a floating type.

    Args:
        type: the dtype, by default the default one.

    Attributes:
        bits: bits per element.
        eps: the distance from 1 to the next larger number.
        max: the largest number; `min` is its negative.
        smallest_normal: the smallest positive number of full precision, `tiny` too.
        resolution: the power of ten that decimal digits are good to.
    """

    def __init__(self, type: dtype | None = None):
        limits = limits_of((type or _default).numpy)
        self.dtype = limits.dtype.name
        self.bits = limits.bits
        self.eps, self.min, self.max = float(limits.eps), float(limits.min), float(limits.max)
        self.tiny = self.smallest_normal = float(limits.tiny)
        self.resolution = float(f"1e-{limits.precision}")

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{name}={getattr(self, name):g}' for name in names)}, dtype={self.dtype})"


def is_low(numpy_dtype: Any) -> bool:
    """Return whether a NumPy type is a float of 16 bits, which sums and products of many numbers need more than."""
    return bool(numpy_dtype.itemsize == 2 and numpy_dtype.kind in FLOATS)


def limits_of(numpy_dtype: Any) -> Any:
    """Return the limits of a floating NumPy type as `numpy.finfo` does, also of bfloat16."""
    if numpy_dtype.kind == "f":
        return np.finfo(numpy_dtype)
    import ml_dtypes

    return ml_dtypes.finfo(numpy_dtype)


def _load(name: str) -> Any:
    """Return the NumPy type that `ml_dtypes` has under a name.

    Raises:
        UsageError: the package is not installed.
    """
    try:
        import ml_dtypes
    except ImportError as error:
        raise UsageError(
            f"{name} needs the package ml_dtypes, which is missing",
            remedy="pip install 'tinytrain[bf16]' (part of [cuda12] and [cuda13], too)",
        ) from error
    return np.dtype(getattr(ml_dtypes, name))


def iinfo(type: dtype) -> np.iinfo:
    """Return the limits (`min`, `max`, `bits`) of an integer type."""
    return np.iinfo(type.numpy)
