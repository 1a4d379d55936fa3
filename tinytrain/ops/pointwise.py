"""Functions of one element: one line holds the name, the meaning, the value and the slope.

A slope is a function of the input (`by_input`) or, where that is cheaper, of the result (`by_result`). Each works
on NumPy and CuPy arrays: `xp` is the module of the array.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.dtypes import FLOATS
from tinytrain.ops.autocast_rules import RULES
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import float_operand, rounds_once
from tinytrain.ops.error_function import erf_array, erfc_array
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = [
    *("neg", "negative", "positive", "abs", "absolute", "sign", "sgn"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal"),
    *("sin", "cos", "tan", "asin", "arcsin", "acos", "arccos", "atan", "arctan"),
    *("sinh", "cosh", "asinh", "arcsinh", "acosh", "arccosh", "atanh", "arctanh"),
    *("erf", "erfc", "logit"),
    *("floor", "ceil", "round", "trunc", "fix", "frac"),
    *("isnan", "isinf", "isfinite", "isposinf", "isneginf"),
]

Value = Callable[[ModuleType, Array], Array]


def _smooth(
    name: str, meaning: str, value: Value, *, by_input: Value | None = None, by_result: Value | None = None
) -> Callable[[Tensor], Tensor]:
    """Make the op that computes `value` of floats; integers and bools are brought to the default float type."""
    node = {"log1p": "Log1P"}.get(name, name.capitalize())

    def op(input: Tensor) -> Tensor:
        input = float_operand(input)
        x = input.array
        xp = array_module(x)
        with np.errstate(all="ignore"):
            y = value(xp, x)
        if by_input is not None:
            return record(y, node, (input,), (lambda g: g * by_input(xp, x),), saved=(input,))
        assert by_result is not None
        return record(y, node, (input,), (lambda g: g * by_result(xp, y),), saves_output=True)

    return _named(op, name, meaning)


def _stepwise(name: str, meaning: str, value: Value) -> Callable[[Tensor], Tensor]:
    """Make the op that computes a step function, flat everywhere; integers stay as they are."""

    def op(input: Tensor) -> Tensor:
        x = input.array
        _refuse(input, name, "b")
        xp = array_module(x)
        y = value(xp, x) if x.dtype.kind in FLOATS else x.copy()
        return record(y, name.capitalize(), (input,), (xp.zeros_like,))

    return _named(op, name, meaning)


def _test(name: str, meaning: str, value: Value) -> Callable[[Tensor], Tensor]:
    """Make the op that asks a question of every element."""

    def op(input: Tensor) -> Tensor:
        return wrap(value(array_module(input.array), input.array))

    return _named(op, name, meaning)


def _named(op: Callable[[Tensor], Tensor], name: str, meaning: str) -> Callable[[Tensor], Tensor]:
    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"Return {meaning}, element by element."
    return by_autocast(op) if name in RULES["cuda"] else op


def _refuse(input: Tensor, name: str, kinds: str) -> None:
    """Raise a NotImplementedError where the elements are of one of NumPy's `kinds`."""
    if input.array.dtype.kind in kinds:
        raise NotImplementedError(f'"{name}" not implemented for {input.dtype.name}; convert with .float()')


_SQRT_PI = math.sqrt(math.pi)
_LN2 = math.log(2)
_LN10 = math.log(10)

exp = _smooth("exp", "e to the power of `input`", lambda xp, x: xp.exp(x), by_result=lambda xp, y: y)
exp2 = _smooth("exp2", "2 to the power of `input`", lambda xp, x: xp.exp2(x), by_result=lambda xp, y: y * _LN2)
expm1 = _smooth("expm1", "exp(input) - 1", lambda xp, x: xp.expm1(x), by_result=lambda xp, y: y + 1)
log = _smooth("log", "the natural logarithm", lambda xp, x: xp.log(x), by_input=lambda xp, x: 1 / x)
log2 = _smooth("log2", "the logarithm to base 2", lambda xp, x: xp.log2(x), by_input=lambda xp, x: 1 / (x * _LN2))
log10 = _smooth("log10", "the logarithm to base 10", lambda xp, x: xp.log10(x), by_input=lambda xp, x: 1 / (x * _LN10))
log1p = _smooth("log1p", "log(1 + input)", lambda xp, x: xp.log1p(x), by_input=lambda xp, x: 1 / (x + 1))
sqrt = _smooth("sqrt", "the square root", lambda xp, x: xp.sqrt(x), by_result=lambda xp, y: 0.5 / y)
rsqrt = _smooth("rsqrt", "1 / sqrt(input)", lambda xp, x: 1 / xp.sqrt(x), by_result=lambda xp, y: -0.5 * (y * y * y))
reciprocal = _smooth("reciprocal", "1 / input", lambda xp, x: 1 / x, by_result=lambda xp, y: -(y * y))
sin = _smooth("sin", "the sine of radians", lambda xp, x: xp.sin(x), by_input=lambda xp, x: xp.cos(x))
cos = _smooth("cos", "the cosine of radians", lambda xp, x: xp.cos(x), by_input=lambda xp, x: -xp.sin(x))
tan = _smooth("tan", "the tangent of radians", lambda xp, x: xp.tan(x), by_result=lambda xp, y: y * y + 1)
asin = _smooth("asin", "the arc sine", lambda xp, x: xp.arcsin(x), by_input=lambda xp, x: 1 / xp.sqrt(1 - x * x))
acos = _smooth("acos", "the arc cosine", lambda xp, x: xp.arccos(x), by_input=lambda xp, x: -1 / xp.sqrt(1 - x * x))
atan = _smooth("atan", "the arc tangent", lambda xp, x: xp.arctan(x), by_input=lambda xp, x: 1 / (x * x + 1))
sinh = _smooth("sinh", "the hyperbolic sine", lambda xp, x: xp.sinh(x), by_input=lambda xp, x: xp.cosh(x))
cosh = _smooth("cosh", "the hyperbolic cosine", lambda xp, x: xp.cosh(x), by_input=lambda xp, x: xp.sinh(x))
asinh = _smooth(
    "asinh", "the inverse of sinh", lambda xp, x: xp.arcsinh(x), by_input=lambda xp, x: 1 / xp.sqrt(x * x + 1)
)
acosh = _smooth(
    "acosh", "the inverse of cosh", lambda xp, x: xp.arccosh(x), by_input=lambda xp, x: 1 / xp.sqrt(x * x - 1)
)
atanh = _smooth("atanh", "the inverse of tanh", lambda xp, x: xp.arctanh(x), by_input=lambda xp, x: 1 / (1 - x * x))
erf = _smooth(
    "erf",
    "the error function, 2 / sqrt(pi) times the integral of exp(-t²) from 0 to `input`",
    lambda xp, x: erf_array(x),
    by_input=lambda xp, x: 2 / _SQRT_PI * xp.exp(-x * x),
)
erfc = _smooth(
    "erfc",
    "1 - erf(input), accurate where that is small",
    lambda xp, x: erfc_array(x),
    by_input=lambda xp, x: -2 / _SQRT_PI * xp.exp(-x * x),
)

floor = _stepwise("floor", "the largest integer that is not larger", lambda xp, x: xp.floor(x))
ceil = _stepwise("ceil", "the smallest integer that is not smaller", lambda xp, x: xp.ceil(x))
trunc = _stepwise("trunc", "the integer part", lambda xp, x: xp.trunc(x))

isnan = _test("isnan", "whether it is NaN", lambda xp, x: xp.isnan(x))
isinf = _test("isinf", "whether it is infinite", lambda xp, x: xp.isinf(x))
isfinite = _test("isfinite", "whether it is neither infinite nor NaN", lambda xp, x: xp.isfinite(x))
isposinf = _test("isposinf", "whether it is +infinity", lambda xp, x: xp.isinf(x) & (x > 0))
isneginf = _test("isneginf", "whether it is -infinity", lambda xp, x: xp.isinf(x) & (x < 0))


def neg(input: Tensor) -> Tensor:
    """Return `-input`.

    Raises:
        RuntimeError: the elements are bools.
    """
    if input.array.dtype.kind == "b":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return record(-input.array, "Neg", (input,), (lambda g: -g,))


def positive(input: Tensor) -> Tensor:
    """Return `input` itself.

    Raises:
        RuntimeError: the elements are bools.
    """
    if input.array.dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def abs(input: Tensor) -> Tensor:
    """Return the distance from zero; the slope at zero is taken as 0."""
    _refuse(input, "abs", "b")
    x = input.array
    xp = array_module(x)
    return record(xp.abs(x), "Abs", (input,), (lambda g: g * _sign(x),), saved=(input,))


def sign(input: Tensor) -> Tensor:
    """Return -1, 0 or 1 in the type of `input`; 0 for NaN."""
    return record(_sign(input.array), "Sign", (input,), (array_module(input.array).zeros_like,))


@rounds_once
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Return the nearest number of that many decimals, halves to even.

    Args:
        input: floats; integers are returned as they are.
        decimals: digits after the point; negative ones round before it.

    Raises:
        NotImplementedError: the elements are bools, or integers with `decimals`.
    """
    _refuse(input, "round", "iub" if decimals else "b")
    x = input.array
    xp = array_module(x)
    if decimals == 0:
        y = xp.rint(x) if x.dtype.kind in FLOATS else x.copy()
    else:
        scale = 10.0 ** builtins.abs(decimals)
        y = xp.rint(x * scale) / scale if decimals > 0 else xp.rint(x / scale) * scale
    return record(y, "Round", (input,), (xp.zeros_like,))


def frac(input: Tensor) -> Tensor:
    """Return what follows the point, with the sign of `input`."""
    _refuse(input, "frac", "iub")
    x = input.array
    return record(x - array_module(x).trunc(x), "Frac", (input,), (lambda g: g,))


@rounds_once
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """Return `log(input / (1 - input))`, the inverse of the sigmoid.

    Args:
        input: probabilities; integers are brought to floats.
        eps: limits the input to [eps, 1 - eps] first, where the slope is then 0; None leaves it.
    """
    input = float_operand(input)
    x = input.array
    xp = array_module(x)
    low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
    p = x if eps is None else xp.minimum(xp.maximum(x, low), high)
    with np.errstate(all="ignore"):
        y = xp.log(p / (1 - p))
    outside = math.nan if eps is None else 0.0

    def rule(g: Array) -> Array:
        return xp.where((x >= low) & (x <= high), g / (x * (1 - x)), g.dtype.type(outside))

    return record(y, "Logit", (input,), (rule,), saved=(input,))


negative, absolute, sgn, fix = neg, abs, sign, trunc
arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh


def _sign(x: Any) -> Any:
    """Return the sign of each element, 0 for NaN (NumPy's is NaN)."""
    if x.dtype.kind in "bu":
        return (x > 0).astype(x.dtype)
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)
