"""Running sums, products and extremes along one dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, array_module, number_of
from tinytrain.dtypes import FLOATS
from tinytrain.kernels.scattering import scatter_add
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import cast, float_operand, rounds_once, wrap_dim
from tinytrain.ops.picking import named_result
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"]

_CummaxResult = named_result("cummax", "values", "indices")
_CumminResult = named_result("cummin", "values", "indices")


@by_autocast
@rounds_once
def cumsum(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return the sums of each element and all before it along `dim`.

    Args:
        input: any shape and type.
        dim: along which.
        dtype: the type to sum in; int64 for integers and bools by default.

    Raises:
        IndexError: there is no such dimension.
    """
    input, axis = _prepared(input, dim, dtype)
    x = input.array
    if x.ndim == 0:
        return record(x.copy(), "Cumsum", (input,), (lambda g: g,))
    return record(_running_sum(x, axis), "Cumsum", (input,), (lambda g: _from_the_end(_running_sum, g, axis),))


@by_autocast
@rounds_once
def cumprod(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return the products of each element and all before it along `dim`; arguments and errors as for `cumsum`."""
    input, axis = _prepared(input, dim, dtype)
    x = input.array
    if x.ndim == 0:
        return record(x.copy(), "Cumprod", (input,), (lambda g: g,))
    xp = array_module(x)
    out = xp.cumprod(x, axis=axis, dtype=x.dtype)

    def rule(g: Array) -> Array:
        if not number_of((x == 0).any()):
            return _from_the_end(_running_sum, g * out, axis) / x
        return _cumprod_gradient(g, x, axis)

    return record(out, "Cumprod", (input,), (rule,), saved=(input,), saves_output=True)


@rounds_once
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Return the logarithms of the running sums of `exp(input)` along `dim`, without overflow.

    Raises:
        IndexError: there is no such dimension.
    """
    input = float_operand(input)
    x = input.array
    xp = array_module(x)
    axis = wrap_dim(dim, x.ndim)
    if x.ndim == 0:
        return record(x.copy(), "Logcumsumexp", (input,), (lambda g: g,))

    def run(value: Array, axis: int) -> Array:
        return scan(xp.logaddexp, value.astype(np.float64), axis).astype(x.dtype)

    def log_sum(value: Array) -> Array:
        return _from_the_end(run, value, axis)

    out = run(x, axis)

    def rule(g: Array) -> Array:
        positive = log_sum(xp.log(xp.maximum(g, 0)) - out)
        negative = log_sum(xp.log(xp.maximum(-g, 0)) - out)
        return xp.exp(positive + x) - xp.exp(negative + x)

    return record(out, "Logcumsumexp", (input,), (rule,), saved=(input,), saves_output=True)


def cummax(input: Tensor, dim: int) -> Any:
    """Return the largest of each element and all before it along `dim`, and where, the last of equal ones.

    Returns:
        `(values, indices)`; from the first NaN on, NaN.

    Raises:
        IndexError: there is no such dimension.
    """
    return _CummaxResult(*_running_extreme(input, dim, "maximum", "Cummax"))


def cummin(input: Tensor, dim: int) -> Any:
    """Return the smallest of each element and all before it along `dim`, and where; otherwise as `cummax`."""
    return _CumminResult(*_running_extreme(input, dim, "minimum", "Cummin"))


def scan(combine: Callable[[Array, Array], Array], x: Array, axis: int) -> Array:
    """Return the running combination of elements along `axis`, in log2(n) passes over the whole array.

    Hillis and Steele, "Data parallel algorithms" (1986): after the pass with distance d, each element combines the
    2d elements up to it. It is the way that NumPy and CuPy share: CuPy's functions cannot accumulate.

    Args:
        combine: an associative function of two arrays.
        x: at least one dimension.
        axis: counted from the front.
    """
    out = x.copy()
    lines = array_module(x).moveaxis(out, axis, 0)
    distance = 1
    while distance < len(lines):
        lines[distance:] = combine(lines[distance:], lines[:-distance])
        distance *= 2
    return out


def _prepared(input: Tensor, dim: int, dtype: dtypes.dtype | None) -> tuple[Tensor, int]:
    """Return the input in the type to compute in, and the axis."""
    axis = wrap_dim(dim, input.array.ndim)
    if dtype is not None:
        return cast(input, dtypes.as_dtype(dtype)), axis
    return (input if input.dtype.is_floating_point else cast(input, dtypes.int64)), axis


def _running_sum(x: Array, axis: int) -> Array:
    """Return the running sums, added up in float64 where the elements are floats, as PyTorch does."""
    wide = np.dtype(np.float64) if x.dtype.kind in FLOATS else x.dtype
    return array_module(x).cumsum(x, axis=axis, dtype=wide).astype(x.dtype, copy=False)


def _from_the_end(run: Callable[[Array, int], Array], x: Array, axis: int) -> Array:
    """Return a running combination that starts at the last element."""
    xp = array_module(x)
    return xp.flip(run(xp.flip(x, axis), axis), axis)


def _cumprod_gradient(g: Array, x: Array, axis: int) -> Array:
    """Return the gradient of `cumprod` where dividing by an element may not be possible.

    With h_k = g_k + x_(k+1) h_(k+1), the gradient of element k is h_k times the product of all before k.
    """
    xp = array_module(x)
    lines, g = xp.moveaxis(x, axis, 0), xp.moveaxis(g, axis, 0)
    h = xp.empty_like(lines)
    h[-1] = g[-1]
    for k in range(len(lines) - 2, -1, -1):
        h[k] = g[k] + lines[k + 1] * h[k + 1]
    h[1:] *= xp.cumprod(lines[:-1], axis=0)
    return xp.moveaxis(h, 0, axis)


def _running_extreme(input: Tensor, dim: int, extreme: str, name: str) -> tuple[Tensor, Tensor]:
    x = input.array
    xp = array_module(x)
    axis = wrap_dim(dim, x.ndim)
    if x.ndim == 0:
        return record(x.copy(), name, (input,), (lambda g: g,)), wrap(xp.zeros((), np.int64))
    values = scan(getattr(xp, extreme), x, axis)
    places = xp.arange(x.shape[axis]).reshape([-1 if each == axis else 1 for each in range(x.ndim)])
    reached = (x == values) | (x != x)
    indices = scan(xp.maximum, xp.where(reached, places, 0), axis)

    def rule(g: Array) -> Array:
        total = xp.zeros(x.shape, g.dtype)
        where = list(xp.ogrid[tuple(slice(size) for size in x.shape)])
        where[axis] = indices
        scatter_add(total, tuple(where), g)
        return total

    return record(values, name, (input,), (rule,)), wrap(indices)
