"""Reductions to places that an index tensor names: `scatter_reduce`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytrain.device import Array, array_module, number_of
from tinytrain.dtypes import FLOATS
from tinytrain.kernels.scattering import scatter_add, scatter_extreme
from tinytrain.ops.copying import clone
from tinytrain.ops.places import as_line, prepared
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = ["scatter_reduce"]

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")

Slope = Callable[[Array, Any], Array]
"""The derivative of the result at places by values that were sent there."""


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Return a copy of `input` in which each element is combined with all of `src` that `index` sends to it.

    Args:
        input: the values to begin with.
        dim: the dimension that the indices count along.
        index: int64, of as many dims as `input` and no larger in any dimension but `dim`.
        src: of the type of `input`, at least as large as `index`.
        reduce: `sum`, `prod`, `mean`, `amax` or `amin`. Equal extremes share the gradient evenly.
        include_self: whether the values of `input` count where something is sent.

    Raises:
        RuntimeError: an index is out of range, shapes or types do not fit, or `reduce` is another.
        IndexError: there is no such dimension.
    """
    if reduce not in REDUCTIONS:
        raise RuntimeError(f"reduce argument must be one of {', '.join(REDUCTIONS)}; got {reduce!r}")
    places, values = prepared("scatter_reduce", input, dim, index, src)
    if values is None:
        return clone(input)
    x, y = as_line(input.array), values.array
    xp = array_module(x)
    left_out = xp.zeros(x.shape, bool)
    if not include_self:
        left_out[places] = True
    out = xp.where(left_out, xp.asarray(_neutral(xp, reduce, x.dtype), x.dtype), x)
    if reduce in ("amax", "amin"):
        scatter_extreme(out, places, y, largest=reduce == "amax")
    elif reduce == "prod":
        _multiply_at(out, places, y)
    else:
        scatter_add(out, places, y)
    if reduce == "mean":
        count = _count(places, y, ~left_out)
        out = (out / count).astype(x.dtype) if x.dtype.kind in FLOATS else out // count.astype(x.dtype)
    slope = _slope(reduce, x, y, out, places, left_out)

    def input_rule(g: Array) -> Array:
        return xp.where(left_out, xp.zeros((), g.dtype), as_line(g) * slope(x, ...)).reshape(g.shape)

    def values_rule(g: Array) -> Array:
        return as_line(g)[places] * slope(y, places)

    return record(
        out.reshape(input.array.shape),
        "ScatterReduce",
        (input, values),
        (input_rule, values_rule),
        saved=(input, values),
    )


def _slope(reduce: str, x: Array, y: Array, out: Array, places: Any, left_out: Array) -> Slope:
    """Return how the results depend on what was reduced to them.

    A product's derivative by a factor is the product of the others: without a division where factors are zero.
    """
    xp = array_module(x)

    def slope(values: Array, at: Any) -> Array:
        if reduce == "mean":
            return (1 / _count(places, y, ~left_out)[at]).astype(x.dtype)
        if reduce in ("amax", "amin"):
            winners = _count(places, y == out[places], (x == out) & ~left_out)
            return ((values == out[at]) / xp.maximum(winners[at], 1)).astype(x.dtype)
        if reduce == "prod":
            zeros = _count(places, y == 0, (x == 0) & ~left_out)[at]
            others = xp.where(left_out | (x == 0), xp.ones((), x.dtype), x)
            _multiply_at(others, places, xp.where(y == 0, xp.ones((), x.dtype), y))
            is_zero = values == 0
            rest = others[at] / xp.where(is_zero, xp.ones((), x.dtype), values)
            return xp.where(zeros == is_zero, rest, xp.zeros((), x.dtype))
        return xp.ones((), x.dtype)

    return slope


def _count(places: Any, sent: Array, start: Array) -> Array:
    """Return how many true ones of `sent` go to each place, on top of `start`; all where `sent` holds values."""
    xp = array_module(start)
    count = start.astype("int64")
    ones = sent.astype("int64") if sent.dtype == bool else xp.ones(sent.shape, "int64")
    scatter_add(count, places, ones)
    return count


def _neutral(xp: Any, reduce: str, dtype: Any) -> Any:
    """Return the value that a reduction begins with."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.kind in FLOATS:
        return -xp.inf if reduce == "amax" else xp.inf
    if dtype.kind == "b":
        return reduce == "amin"
    limits = xp.iinfo(dtype)
    return limits.min if reduce == "amax" else limits.max


def _multiply_at(target: Array, places: Any, values: Array) -> None:
    """Multiply `values` into `target[places]` in place; a place named k times takes k rounds.

    NumPy has `multiply.at`, CuPy has not.
    """
    xp = array_module(target)
    numbers = xp.arange(target.size).reshape(target.shape)[places].reshape(-1)
    order = xp.argsort(numbers, kind="stable")
    numbers, factors = numbers[order], values.reshape(-1)[order]
    turn = xp.arange(numbers.size) - xp.searchsorted(numbers, numbers)
    line = target.reshape(-1)
    for now in range(number_of(turn.max()) + 1 if turn.size else 0):
        line[numbers[turn == now]] *= factors[turn == now]
