"""Functions of several operands, element by element: limits, mixtures, angles and replacements."""

from __future__ import annotations

from typing import Any

from tinytrain import dtypes
from tinytrain.device import Array, array_module, choose
from tinytrain.dtypes import FLOATS, is_low, limits_of
from tinytrain.ops.arithmetic import add, div, mul
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import cast, check_broadcast, operands, require_tensors, result_type
from tinytrain.ops.values import fitted_number
from tinytrain.recording import record
from tinytrain.tape import unbroadcast
from tinytrain.tensor import Tensor, wrap

__all__ = [
    *("clamp", "clip", "clamp_min", "clamp_max", "nan_to_num"),
    *("lerp", "addcmul", "addcdiv", "atan2", "arctan2", "hypot"),
]


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Return `input` limited to [min, max]; `max` where the two cross.

    Args:
        input: any shape.
        min: a number, a tensor that broadcasts with `input`, or None.
        max: the same.

    Raises:
        RuntimeError: neither limit is given, one does not fit the type, or the shapes do not broadcast.
    """
    require_tensors("clamp", input)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        return _clamp_by_tensors(input, min, max)
    limits = [each for each in (min, max) if each is not None]
    to = result_type(input, *limits)
    input = cast(input, to)
    x = input.array
    xp = array_module(x)
    low, high = (None if each is None else _limit_of(each, to, xp) for each in (min, max))
    y = x if low is None else xp.maximum(x, low)
    y = y if high is None else xp.minimum(y, high)

    def rule(g: Array) -> Array:
        inside = x <= high if low is None else x >= low if high is None else (x >= low) & (x <= high)
        return g * inside

    return record(y, "ClampBackward1", (input,), (rule,), saved=(input,))


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Return `input`, at least `min`."""
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Return `input`, at most `max`."""
    return clamp(input, max=max)


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Return `input` with NaN and infinities replaced, by default with 0 and the largest finite numbers."""
    x = input.array
    xp = array_module(x)
    if x.dtype.kind not in FLOATS:
        return wrap(x.copy())
    limits = limits_of(x.dtype)
    y = choose(x != x, 0.0 if nan is None else nan, x, x.dtype)
    y = choose(x == xp.inf, limits.max if posinf is None else posinf, y, x.dtype)
    y = choose(x == -xp.inf, limits.min if neginf is None else neginf, y, x.dtype)
    return record(y, "NanToNum", (input,), (lambda g: g * xp.isfinite(x),), saved=(input,))


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Return `input + weight * (end - input)`, exact at both ends.

    Args:
        input: the start; floats.
        end: of the type of `input`.
        weight: a number, or a tensor of the type of `input`.

    Raises:
        RuntimeError: the types differ, or the shapes do not broadcast.
        NotImplementedError: the elements are no floats.
    """
    for name, each in (("end", end), ("weight", weight)):
        if isinstance(each, Tensor) and each.dtype is not input.dtype:
            raise RuntimeError(f"expected dtype {input.dtype.name} for `{name}` but got dtype {each.dtype.name}")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f'"lerp" not implemented for {input.dtype.name}')
    a, w = operands(input, weight)
    x, y, t = a.array, check_broadcast(a, end).array, check_broadcast(end, check_broadcast(a, w)).array
    xp = array_module(x)
    out = xp.where(xp.abs(t) < 0.5, x + t * (y - x), y - (y - x) * (1 - t))
    return record(
        out,
        "Lerp",
        (a, end, w),
        (
            lambda g: unbroadcast(g * (1 - t), x.shape),
            lambda g: unbroadcast(g * t, y.shape),
            lambda g: unbroadcast(g * (y - x), t.shape),
        ),
        saved=(a, end, w),
    )


@by_autocast
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """Return `input + value * tensor1 * tensor2`."""
    return add(input, mul(tensor1, tensor2), alpha=value)


@by_autocast
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """Return `input + value * tensor1 / tensor2`.

    Raises:
        RuntimeError: both tensors hold integers.
    """
    if result_type(tensor1, tensor2).kind < 2:
        raise RuntimeError("Integer division with addcdiv is no longer supported; convert with .float()")
    return add(input, div(tensor1, tensor2), alpha=value)


@by_autocast
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """Return the angle of the point (`other`, `input`) in radians, from -pi to pi."""
    require_tensors("atan2", input, other)
    a, b = operands(input, other, to_float=True)
    y, x = a.array, check_broadcast(a, b).array

    def over_square(g: Array) -> Array:
        square = x * x + y * y
        return choose(square == 0, g.dtype.type(0), g / square, g.dtype)  # the origin has no angle, and no slope

    return record(
        array_module(x).arctan2(y, x),
        "Atan2",
        (a, b),
        (
            lambda g: unbroadcast(over_square(g * x), y.shape),
            lambda g: unbroadcast(over_square(-g * y), x.shape),
        ),
        saved=(a, b),
    )


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """Return `sqrt(input² + other²)` without overflow.

    Raises:
        NotImplementedError: the elements are no floats.
    """
    require_tensors("hypot", input, other)
    a, b = operands(input, other)
    if not a.dtype.is_floating_point:
        raise NotImplementedError(f'"hypot" not implemented for {a.dtype.name}')
    x, y = a.array, check_broadcast(a, b).array
    out = array_module(x).hypot(x, y)
    return record(
        out,
        "Hypot",
        (a, b),
        (lambda g: unbroadcast(g * (x / out), x.shape), lambda g: unbroadcast(g * (y / out), y.shape)),
        saved=(a, b),
        saves_output=True,
    )


def _clamp_by_tensors(input: Tensor, min: Any, max: Any) -> Tensor:
    """Limit `input` where at least one limit is a tensor, to which gradients flow where it acts."""
    to = result_type(*(each for each in (input, min, max) if each is not None))
    result = cast(input, to)
    xp = array_module(input.array)
    for limit, larger in ((min, True), (max, False)):
        if limit is not None:
            fits = limit if isinstance(limit, Tensor) else wrap(xp.asarray(fitted_number(limit, to)))
            result = _limit(result, fits, larger=larger)
    return result


def _limit_of(value: Any, to: dtypes.dtype, xp: Any) -> Any:
    """Return a number as an operand beside arrays of a type, which stays theirs; a number of 16 bits needs an array."""
    number = fitted_number(value, to)
    return xp.asarray(number) if is_low(number.dtype) else number[()]


def _limit(input: Tensor, limit: Any, *, larger: bool) -> Tensor:
    """Return the larger (or smaller) of input and limit; the input has the gradient where they are equal."""
    a, b = operands(input, limit)
    x, y = a.array, check_broadcast(a, b).array
    xp = array_module(x)

    def kept() -> Array:
        return x >= y if larger else x <= y

    return record(
        xp.maximum(x, y) if larger else xp.minimum(x, y),
        "Clamp",
        (a, b),
        (lambda g: unbroadcast(g * kept(), x.shape), lambda g: unbroadcast(g * ~kept(), y.shape)),
        saved=(a, b),
    )


clip, arctan2 = clamp, atan2
