"""Comparison, logic and bits, element by element. Nothing here has a gradient."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module, number_of
from tinytrain.dtypes import FLOATS
from tinytrain.ops.common import check_broadcast, is_number, operands, require_tensors, same_device
from tinytrain.tensor import Tensor, wrap

__all__ = [
    *("eq", "ne", "lt", "le", "gt", "ge"),
    *("not_equal", "less", "less_equal", "greater", "greater_equal"),
    *("equal", "allclose", "isclose", "isin"),
    *("logical_and", "logical_or", "logical_xor", "logical_not"),
    *("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift", "bitwise_right_shift"),
]

Compare = Callable[[Array, Array], Array]


def _comparison(name: str, meaning: str, compare: Compare) -> Callable[[Any, Any], Tensor]:
    """Make the op that compares two operands, brought to one type first."""

    def op(input: Any, other: Any) -> Tensor:
        require_tensors(name, input)
        a, b = broadcast_operands(input, other)
        return wrap(compare(a, b))

    return _named(op, name, f"whether {meaning}")


def _logical(name: str, meaning: str, value: Callable[[ModuleType, Array, Array], Array]) -> Callable[..., Tensor]:
    """Make the op that combines the truth of two tensors of any types."""

    def op(input: Tensor, other: Tensor) -> Tensor:
        require_tensors(name, input, other)
        a, b = broadcast_operands(input, other)
        return wrap(value(array_module(a), a, b))

    return _named(op, name, f"whether {meaning}")


def _bitwise(name: str, meaning: str, combine: Compare, *, bools: bool = True) -> Callable[[Any, Any], Tensor]:
    """Make the op that combines the bits of two integers, or two bools."""

    def op(input: Any, other: Any) -> Tensor:
        a, b = broadcast_operands(input, other)
        if a.dtype.kind in FLOATS or (a.dtype.kind == "b" and not bools):
            raise NotImplementedError(f'"{name}" not implemented for {a.dtype.name}; it takes integers')
        return wrap(combine(a, b))

    return _named(op, name, meaning)


def _named(op: Callable[..., Tensor], name: str, meaning: str) -> Callable[..., Tensor]:
    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Return {meaning}, element by element, with broadcasting."
    return op


def broadcast_operands(input: Any, other: Any) -> tuple[Array, Array]:
    """Return the arrays of two operands, brought to one type.

    Raises:
        RuntimeError: they do not broadcast; the message names the first dimension from the right that differs.
    """
    a, b = operands(input, other)
    return a.array, check_broadcast(a, b).array


eq = _comparison("eq", "`input == other`", lambda x, y: x == y)
ne = _comparison("ne", "`input != other`", lambda x, y: x != y)
lt = _comparison("lt", "`input < other`", lambda x, y: x < y)
le = _comparison("le", "`input <= other`", lambda x, y: x <= y)
gt = _comparison("gt", "`input > other`", lambda x, y: x > y)
ge = _comparison("ge", "`input >= other`", lambda x, y: x >= y)
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

logical_and = _logical("logical_and", "both are not zero", lambda xp, x, y: xp.logical_and(x, y))
logical_or = _logical("logical_or", "one is not zero", lambda xp, x, y: xp.logical_or(x, y))
logical_xor = _logical("logical_xor", "exactly one is not zero", lambda xp, x, y: xp.logical_xor(x, y))

bitwise_and = _bitwise("bitwise_and", "the bits set in both", lambda x, y: x & y)
bitwise_or = _bitwise("bitwise_or", "the bits set in one or both", lambda x, y: x | y)
bitwise_xor = _bitwise("bitwise_xor", "the bits set in exactly one", lambda x, y: x ^ y)
bitwise_left_shift = _bitwise(
    "bitwise_left_shift", "`input` with its bits moved up by `other` places", lambda x, y: x << y, bools=False
)
bitwise_right_shift = _bitwise(
    "bitwise_right_shift", "`input` with its bits moved down by `other` places", lambda x, y: x >> y, bools=False
)


def logical_not(input: Tensor) -> Tensor:
    """Return whether each element is zero."""
    return wrap(array_module(input.array).logical_not(input.array))


def bitwise_not(input: Tensor) -> Tensor:
    """Return `input` with every bit turned over.

    Raises:
        NotImplementedError: the elements are floats.
    """
    if input.array.dtype.kind in FLOATS:
        raise NotImplementedError(f'"bitwise_not" not implemented for {input.dtype.name}; it takes integers')
    return wrap(~input.array)


def equal(input: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape and the same elements; NaN equals nothing.

    Raises:
        RuntimeError: the tensors lie on different devices.
    """
    same_device("equal", input, other)
    x, y = input.array, other.array
    return x.shape == y.shape and bool(number_of((x == y).all()))


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Return whether `|input - other| <= atol + rtol * |other|`, element by element.

    Args:
        input: a tensor.
        other: of the type of `input`.
        rtol: relative tolerance, at least 0.
        atol: absolute tolerance, at least 0.
        equal_nan: whether NaN is close to NaN.

    Raises:
        RuntimeError: the types differ or a tolerance is negative.
    """
    require_tensors("isclose", input, other)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.name} did not match {other.dtype.name}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"isclose: `{name}` must be greater than or equal to zero, but got {value}")
    x, y = broadcast_operands(input, other)
    xp = array_module(x)
    if x.dtype.kind not in FLOATS:
        x, y = x.astype(np.float64), y.astype(np.float64)
    with np.errstate(all="ignore"):
        distance = xp.abs(x - y)
        near = xp.isfinite(distance) & (distance <= atol + xp.abs(rtol * y))
    near |= x == y
    if equal_nan:
        near |= xp.isnan(x) & xp.isnan(y)
    return wrap(near)


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Return whether all elements are close; arguments and errors as for `isclose`."""
    return bool(number_of(isclose(input, other, rtol, atol, equal_nan).array.all()))


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Return whether each of `elements` occurs in `test_elements`.

    Args:
        elements: a tensor or a number.
        test_elements: a tensor or a number; not both numbers.
        assume_unique: promises that no value occurs twice in either; allows a faster way.
        invert: ask whether it does not occur.

    Raises:
        RuntimeError: both are numbers, hence no tensor.
    """
    if is_number(elements) and is_number(test_elements):
        raise RuntimeError("isin: `elements` or `test_elements` must be a tensor; got two numbers")
    a, b = operands(elements, test_elements)
    found = array_module(a.array).isin(a.array, b.array.ravel(), assume_unique=assume_unique, invert=invert)
    return wrap(found)
