"""Choosing and writing elements by masks."""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array, array_module, choose, number_of
from tinytrain.ops.common import is_number, operands, result_type, same_device
from tinytrain.ops.gathering import nonzero
from tinytrain.ops.shape import broadcast_tensors
from tinytrain.ops.values import fitted_number
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = ["masked_fill", "masked_scatter", "where"]


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Return `input` where a condition holds and `other` elsewhere; of a condition alone, where it holds.

    Args:
        condition: bool.
        input: a tensor or a number.
        other: a tensor or a number; the three broadcast.

    Returns:
        A tensor of the type that `input` and `other` promote to; or a tuple of index vectors, as `nonzero` gives.

    Raises:
        RuntimeError: the condition has another type, a number does not fit, or the shapes do not broadcast.
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if condition.array.dtype not in (bool, "uint8"):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype.name}"
        )
    xp = array_module(condition.array)
    if is_number(input) or is_number(other):
        to = result_type(input, other)
        input, other = (wrap(xp.asarray(fitted_number(x, to))) if is_number(x) else x for x in (input, other))
    a, b = operands(input, other)
    same_device("where", condition, a, b)
    mask, first, second = broadcast_tensors(condition, a, b)
    chosen = mask.array.astype(bool)
    return record(
        choose(chosen, first.array, second.array, first.array.dtype),
        "Where",
        (first, second),
        (
            lambda g: choose(chosen, g, xp.zeros((), g.dtype), g.dtype),
            lambda g: choose(chosen, xp.zeros((), g.dtype), g, g.dtype),
        ),
    )


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Return a copy of `input` with a number where a mask is true.

    Args:
        input: the values that stay elsewhere.
        mask: bool; it broadcasts with `input`.
        value: a number or a tensor without dims.

    Raises:
        RuntimeError: the mask has another type or does not broadcast, or the value has dims or does not fit.
    """
    spread, chosen = _masked("masked_fill", input, mask)
    xp = array_module(chosen)
    if not isinstance(value, Tensor):
        if isinstance(value, complex):
            raise RuntimeError(f"value cannot be converted to type {input.dtype.name} without overflow; got {value}")
        number = xp.asarray(fitted_number(value, input.dtype))
        filled = choose(chosen, number, spread.array, number.dtype)
        return record(filled, "MaskedFill", (spread,), (_kept_outside(chosen),))
    if value.array.ndim:
        raise RuntimeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.array.ndim} dimension(s)."
        )
    number = value.to(input.device, input.dtype)
    return record(
        choose(chosen, number.array, spread.array, number.array.dtype),
        "MaskedFill",
        (spread, number),
        (_kept_outside(chosen), lambda g: xp.asarray(g[chosen].sum(dtype=g.dtype))),
    )


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Return a copy of `input` with the elements of `source`, one after the other, where a mask is true.

    Args:
        input: the values that stay elsewhere.
        mask: bool; it broadcasts with `input`.
        source: of the type of `input`, with at least as many elements as the mask has true ones.

    Raises:
        RuntimeError: the mask or the source has another type, does not broadcast or is too small.
    """
    spread, chosen = _masked("masked_scatter", input, mask)
    same_device("masked_scatter", input, source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"masked_scatter_: expected self and source to have same dtypes but got {input.dtype.name} and "
            f"{source.dtype.name}"
        )
    xp = array_module(chosen)
    count = number_of(chosen.sum())
    shape = source.array.shape
    if source.array.size < count:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have {count} elements for the mask; the source has "
            f"{source.array.size}"
        )
    out = spread.array.copy()
    out[chosen] = source.array.reshape(-1)[:count]

    def source_rule(g: Array) -> Array:
        total = xp.zeros(source.array.size, g.dtype)
        total[:count] = g[chosen]
        return total.reshape(shape)

    return record(out, "MaskedScatter", (spread, source), (_kept_outside(chosen), source_rule))


def _masked(name: str, input: Tensor, mask: Tensor) -> tuple[Tensor, Array]:
    """Return `input` and the mask's array, broadcast to one shape.

    Raises:
        RuntimeError: the mask is not bool, does not broadcast, or lies on another device.
    """
    if mask.array.dtype != bool:
        raise RuntimeError(f"{name}_ only supports boolean masks, but got mask with dtype {mask.dtype.name}")
    same_device(name, input, mask)
    spread, chosen = broadcast_tensors(input, mask)
    return spread, chosen.array


def _kept_outside(chosen: Array) -> Any:
    """Return the rule that lets a gradient through where the mask is false."""
    xp = array_module(chosen)
    return lambda g: choose(chosen, xp.zeros((), g.dtype), g, g.dtype)
