"""Arithmetic of two operands, with broadcasting and PyTorch's type promotion."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import array_module, choose, number_of
from tinytrain.dtypes import FLOATS
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import cast, check_broadcast, is_number, operands, require_tensors, result_type, rounds_once
from tinytrain.ops.fusion import pending_sum
from tinytrain.ops.output import accepts_out
from tinytrain.ops.values import fitted_number
from tinytrain.recording import record, rewrite
from tinytrain.tape import unbroadcast
from tinytrain.tensor import Tensor

__all__ = [
    "add",
    "div",
    "divide",
    "fill",
    "float_power",
    "float_power_",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "pow",
    "remainder",
    "rsub",
    "square",
    "sub",
    "subtract",
    "true_divide",
]


@partial(accepts_out, elementwise=True)
def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """Return `input + alpha * other`.

    Args:
        input: a tensor or a number.
        other: a tensor or a number that broadcasts with `input`.
        alpha: a factor of `other`; an integer where both operands are integers.

    Raises:
        RuntimeError: the shapes do not broadcast, or `alpha` is a float among integers.
    """
    if alpha != 1:
        other = _scaled(input, other, alpha)
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        waiting = pending_sum(input, other)
        if waiting is not None:
            return waiting
    a, b = operands(input, other)
    out = a.array + check_broadcast(a, b).array
    return record(
        out, "Add", (a, b), (lambda g: unbroadcast(g, a.array.shape), lambda g: unbroadcast(g, b.array.shape))
    )


@partial(accepts_out, elementwise=True)
def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """Return `input - alpha * other`; arguments and errors as for `add`.

    Raises:
        RuntimeError: an operand is boolean, as well.
    """
    if alpha != 1:
        other = _scaled(input, other, alpha)
    a, b = operands(input, other)
    if dtypes.bool_ in (_dtype(input), _dtype(other)):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    out = a.array - check_broadcast(a, b).array
    return record(
        out, "Sub", (a, b), (lambda g: unbroadcast(g, a.array.shape), lambda g: unbroadcast(-g, b.array.shape))
    )


def rsub(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """Return `other - alpha * input`."""
    require_tensors("rsub", input)
    return sub(other, input, alpha=alpha)


@partial(accepts_out, elementwise=True)
def mul(input: Any, other: Any) -> Tensor:
    """Return the product `input * other`, element by element."""
    a, b = operands(input, other)
    x, y = a.array, check_broadcast(a, b).array
    return record(
        x * y,
        "Mul",
        (a, b),
        (lambda g: unbroadcast(g * y, x.shape), lambda g: unbroadcast(g * x, y.shape)),
        saved=_needed((a, b.requires_grad), (b, a.requires_grad)),
    )


@partial(accepts_out, elementwise=True)
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Return the quotient `input / other`, element by element.

    Args:
        input: a tensor or a number.
        other: a tensor or a number that broadcasts with `input`.
        rounding_mode: None for true division of floats; `trunc` rounds towards zero, `floor` downwards, both
            keeping integers.

    Raises:
        RuntimeError: the rounding mode is another, or integers are divided by zero.
    """
    if rounding_mode == "floor":
        return _rounded_division(input, other, np.floor_divide, "floor")
    if rounding_mode == "trunc":
        return _rounded_division(input, other, _truncated_quotient, "trunc")
    if rounding_mode is not None:
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
        )
    a, b = operands(input, other, to_float=True)
    x, y = a.array, check_broadcast(a, b).array
    with np.errstate(all="ignore"):
        out = x / y
    return record(
        out,
        "Div",
        (a, b),
        (lambda g: unbroadcast(g / y, x.shape), lambda g: unbroadcast(-g * (x / y) / y, y.shape)),
        saved=_needed((a, b.requires_grad), (b, True)),
    )


def floor_divide(input: Any, other: Any) -> Tensor:
    """Return `input / other` rounded downwards."""
    return div(input, other, rounding_mode="floor")


def remainder(input: Any, other: Any) -> Tensor:
    """Return `input - other * floor(input / other)`: the remainder with the divisor's sign, Python's `%`."""
    return _remainder(input, other, np.remainder, np.floor, "Remainder")


def fmod(input: Any, other: Any) -> Tensor:
    """Return `input - other * trunc(input / other)`: the remainder with the dividend's sign, C's `fmod`."""
    require_tensors("fmod", input)
    return _remainder(input, other, np.fmod, np.trunc, "Fmod")


@by_autocast
@partial(rounds_once, promotes=True)
def pow(input: Any, exponent: Any) -> Tensor:
    """Return `input` to the power `exponent`, element by element.

    Raises:
        RuntimeError: integers are raised to an integer number that is negative or does not fit their type.
    """
    if is_number(exponent):
        return _power_of_number(input, exponent)
    a, b = operands(input, exponent)
    x, y = a.array, check_broadcast(a, b).array
    xp = array_module(x)
    with np.errstate(all="ignore"):
        out = _power(x, y)

    def base_rule(g: Any) -> Any:
        slope = xp.where(y == 0, xp.zeros((), x.dtype), y * x ** (y - 1))
        return unbroadcast(g * slope, x.shape)

    def exponent_rule(g: Any) -> Any:
        slope = xp.where((x == 0) & (y >= 0), xp.zeros((), x.dtype), out * xp.log(x))
        return unbroadcast(g * slope, y.shape)

    return record(out, "Pow", (a, b), (base_rule, exponent_rule), saved=(a, b), saves_output=b.edge() is not None)


def float_power(input: Any, exponent: Any) -> Tensor:
    """Return `input` to the power `exponent`, computed in float64."""
    base = cast(input, dtypes.float64) if isinstance(input, Tensor) else float(input)
    return pow(base, cast(exponent, dtypes.float64) if isinstance(exponent, Tensor) else float(exponent))


def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """Raise a float64 tensor to the power `exponent` in place; return it.

    Raises:
        RuntimeError: the tensor is not float64, which the result is.
    """
    if input.dtype is not dtypes.float64:
        raise RuntimeError(f"float_power_: the tensor has dtype {input.dtype.name}, the result float64")
    return rewrite(input, lambda old: float_power(old, exponent))


@by_autocast
def square(input: Tensor) -> Tensor:
    """Return `input * input`."""
    return pow(input, 2)


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """Return the larger of two tensors, element by element; a NaN wins; equal values share the gradient."""
    return _extremum(input, other, "Maximum", larger=True)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """Return the smaller of two tensors, element by element; a NaN wins; equal values share the gradient."""
    return _extremum(input, other, "Minimum", larger=False)


def fmax(input: Tensor, other: Tensor) -> Tensor:
    """Return the larger of two tensors, element by element; NaN only where both are."""
    return _known_extremum(input, other, "Fmax", larger=True)


def fmin(input: Tensor, other: Tensor) -> Tensor:
    """Return the smaller of two tensors, element by element; NaN only where both are."""
    return _known_extremum(input, other, "Fmin", larger=False)


def fill(input: Tensor, value: Any) -> Tensor:
    """Return `value` in the shape and type of `input`; the gradient of `input` is zero."""
    xp = array_module(input.array)
    if isinstance(value, Tensor):
        if value.array.ndim:
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {value.array.ndim} dimensions."
            )
        value = cast(value, input.dtype)
        out = xp.broadcast_to(value.array, input.array.shape).copy()
        return record(out, "Fill", (input, value), (xp.zeros_like, lambda g: g.sum()))
    out = xp.full_like(input.array, xp.asarray(fitted_number(value, input.dtype)))
    return record(out, "Fill", (input,), (xp.zeros_like,))


subtract, multiply, divide = sub, mul, div


def true_divide(input: Any, other: Any) -> Tensor:
    """Return the quotient of floats, `div` without a rounding mode."""
    return div(input, other)


def _scaled(input: Any, other: Any, alpha: float) -> Any:
    """Return `alpha * other` in the operands' type, refusing a factor of a higher kind, or one that does not fit."""
    to = result_type(input, other)
    if isinstance(alpha, bool) and to.kind != 0:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and to.kind < 2:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if to.kind == 1:
        fitted_number(alpha, to)  # raises where it does not fit
    return other * alpha if is_number(other) else mul(cast(other, to), alpha)


def _needed(*values: tuple[Tensor, bool]) -> tuple[Tensor, ...]:
    """Return the tensors whose values a gradient will read, given each with whether one will."""
    return tuple(tensor for tensor, is_read in values if is_read)


def _dtype(operand: Any) -> dtypes.dtype:
    return result_type(operand)


def _power_of_number(input: Tensor, exponent: Any) -> Tensor:
    """Return `input` to the power of a number; NumPy squares and takes roots where it can."""
    require_tensors("pow", input)
    to = result_type(input, exponent)
    if to.kind < 2 and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if to.kind == 1:
        fitted_number(exponent, to)  # raises where it does not fit
    input = cast(input, to)
    x = input.array
    xp = array_module(x)
    n = int(exponent) if to.kind < 2 else float(exponent)

    def rule(g: Any) -> Any:
        return g * (n * x ** (n - 1)) if n else xp.zeros_like(g)

    with np.errstate(all="ignore"):
        return record(x**n, "Pow", (input,), (rule,), saved=(input,))


def _power(x: Any, y: Any) -> Any:
    """Return `x` to the power `y`, each an array.

    Floats are raised in float64, for gradients of powers cancel and then show every rounding. Integers with a
    negative exponent give the true result cut to an integer.
    """
    xp = array_module(x)
    if y.dtype.kind in FLOATS:
        return xp.asarray(xp.power(x, y, dtype=np.float64), x.dtype)
    cut = xp.where(x == 1, 1, xp.where(x == -1, 1 - 2 * (y % 2), 0)).astype(x.dtype)
    return xp.where(y < 0, cut, x ** xp.maximum(y, 0))


def _truncated_quotient(x: Any, y: Any) -> Any:
    xp = array_module(x)
    if x.dtype.kind in FLOATS:
        return xp.trunc(x / y)
    return (xp.abs(x) // xp.abs(y)) * (xp.sign(x) * xp.sign(y)) if x.dtype.kind == "i" else x // y


def _rounded_division(input: Any, other: Any, divide_arrays: Any, mode: str) -> Tensor:
    a, b = operands(input, other)
    if a.dtype is dtypes.bool_:
        a, b = cast(a, dtypes.int64), cast(b, dtypes.int64)
    x, y = a.array, check_broadcast(a, b).array
    if x.dtype.kind not in FLOATS and number_of((y == 0).any()):
        raise RuntimeError("ZeroDivisionError")
    xp = array_module(x)
    with np.errstate(all="ignore"):
        out = divide_arrays(x, y)
        if x.dtype.kind in FLOATS:
            out = choose(y == 0, x / y, out, out.dtype)

    def zeros(shape: tuple[int, ...]) -> Any:
        return lambda g: xp.zeros(shape, g.dtype)

    return record(out, "Div", (a, b), (zeros(x.shape), zeros(y.shape)))


def _remainder(input: Any, other: Any, rest: Any, rounded: Any, name: str) -> Tensor:
    a, b = operands(input, other)
    x, y = a.array, check_broadcast(a, b).array
    if x.dtype.kind not in FLOATS and number_of((y == 0).any()):
        raise RuntimeError("ZeroDivisionError")
    with np.errstate(all="ignore"):
        out = rest(x, y)
    return record(
        out,
        name,
        (a, b),
        (lambda g: unbroadcast(g, x.shape), lambda g: unbroadcast(-g * rounded(x / y), y.shape)),
        saved=_needed((a, b.requires_grad), (b, b.requires_grad)),
    )


def _extremum(input: Tensor, other: Tensor, name: str, *, larger: bool) -> Tensor:
    require_tensors(name.lower(), input, other)
    a, b = operands(input, other)
    x, y = a.array, check_broadcast(a, b).array
    xp = array_module(x)

    def share_of(first: Any, second: Any) -> Any:
        won = (first > second if larger else first < second).astype(x.dtype)
        return won + xp.asarray(0.5, x.dtype) * (first == second)

    return record(
        xp.maximum(x, y) if larger else xp.minimum(x, y),
        name,
        (a, b),
        (lambda g: unbroadcast(g * share_of(x, y), x.shape), lambda g: unbroadcast(g * share_of(y, x), y.shape)),
        saved=(a, b),
    )


def _known_extremum(input: Tensor, other: Tensor, name: str, *, larger: bool) -> Tensor:
    """Return the larger or smaller of two tensors; the first has the gradient where they are equal."""
    require_tensors(name.lower(), input, other)
    a, b = operands(input, other)
    x, y = a.array, check_broadcast(a, b).array
    first_won = (x >= y if larger else x <= y) | (y != y)
    return record(
        choose(first_won, x, y, x.dtype),
        name,
        (a, b),
        (lambda g: unbroadcast(g * first_won, x.shape), lambda g: unbroadcast(g * ~first_won, y.shape)),
    )
