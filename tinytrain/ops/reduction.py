"""Reductions that every element takes part in: sums, means, spreads, products, norms, any and all.

Integers are summed as int64. Where `dtype` is given, the input is brought to it first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, array_module
from tinytrain.dtypes import FLOATS
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import cast, float_operand, rounds_once, wrap_dims
from tinytrain.recording import record
from tinytrain.sums import max_array, sum_array
from tinytrain.tensor import Tensor, wrap

__all__ = [
    *("sum", "nansum", "mean", "nanmean", "prod"),
    *("var", "std", "var_mean", "std_mean"),
    *("any", "all", "count_nonzero", "logsumexp"),
]

Dim = int | Sequence[int] | None


@by_autocast
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return the sum along `dim`.

    Args:
        input: any shape and type.
        dim: a dimension, several, or None for all.
        keepdim: keep the summed dimensions with size 1.
        dtype: the type to sum in; int64 for integers and bools by default.
    """
    input = _summand(input, dtype)
    x = input.array
    axes = wrap_dims(dim, x.ndim)
    return record(sum_array(x, axes, keepdims=keepdim), "Sum", (input,), (_spreading(x, axes, keepdim),))


@rounds_once
def nansum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return the sum along `dim`, NaN counted as zero; arguments as for `sum`."""
    input = _summand(input, dtype)
    x = input.array
    if x.dtype.kind not in FLOATS:
        return sum(input, dim, keepdim, dtype=dtype)
    xp = array_module(x)
    axes = wrap_dims(dim, x.ndim)
    known = ~xp.isnan(x)
    spread = _spreading(x, axes, keepdim)
    total = sum_array(xp.where(known, x, x.dtype.type(0)), axes, keepdims=keepdim)
    return record(total, "Nansum", (input,), (lambda g: spread(g) * known,))


@rounds_once
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return the mean along `dim`; arguments as for `sum`.

    Raises:
        RuntimeError: the elements are no floats and `dtype` is not given.
    """
    if dtype is not None:
        input = cast(input, dtypes.as_dtype(dtype))
    x = input.array
    if x.dtype.kind not in FLOATS:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {input.dtype.name}. Pass dtype or convert with .float()"
        )
    axes = wrap_dims(dim, x.ndim)
    count = _count(x, axes)
    spread = _spreading(x, axes, keepdim)
    with np.errstate(all="ignore"):
        out = sum_array(x, axes, keepdims=keepdim) / x.dtype.type(count)
    return record(out, "Mean", (input,), (lambda g: spread(g / g.dtype.type(count)),))


def nanmean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return the mean along `dim` of what is not NaN; arguments as for `mean`."""
    if not input.dtype.is_floating_point:
        return mean(input, dim, keepdim, dtype=dtype)
    known = wrap((~array_module(input.array).isnan(input.array)).astype(input.array.dtype))
    return nansum(input, dim, keepdim, dtype=dtype) / sum(known, dim, keepdim, dtype=dtype)


@by_autocast
@rounds_once
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """Return the product along one dimension, or of all elements; arguments otherwise as for `sum`."""
    input = _summand(input, dtype)
    x = input.array
    xp = array_module(x)
    axes = wrap_dims(dim, x.ndim)
    out = xp.asarray(x.prod(axis=axes, dtype=x.dtype, keepdims=keepdim))
    spread = _spreading(x, axes, keepdim)

    def rule(g: Array) -> Array:
        if x.ndim == 0:
            return g
        if dim is None:
            return spread(g) * _product_of_others(x.reshape(-1), 0).reshape(x.shape)
        return spread(g) * _product_of_others(x, axes[0])

    return record(out, "Prod", (input,), (rule,), saved=(input,))


@rounds_once
def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Return the variance along `dim`: the sum of squared distances from the mean over n - correction.

    Args:
        input: floats.
        dim: a dimension, several, or None for all.
        unbiased: True for correction 1 (the default), False for 0; also accepted in the place of `dim`.
        keepdim: keep the reduced dimensions with size 1.
        correction: what is taken off the number of elements.

    Raises:
        RuntimeError: the elements are no floats, or both `unbiased` and `correction` are given.
    """
    return _moments("var", input, dim, unbiased, keepdim, correction)[0]


@rounds_once
def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Return the standard deviation, the root of `var`; arguments and errors as there."""
    return _root(_moments("std", input, dim, unbiased, keepdim, correction)[0])


@rounds_once
def var_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Return variance and mean; arguments and errors as for `var`."""
    return _moments("var_mean", input, dim, unbiased, keepdim, correction)


@rounds_once
def std_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean; arguments and errors as for `var`."""
    variance, average = _moments("std_mean", input, dim, unbiased, keepdim, correction)
    return _root(variance), average


def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return whether some element along `dim` is not zero, as bools (as uint8 for uint8)."""
    return _truth(input, array_module(input.array).any, dim, keepdim)


def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return whether no element along `dim` is zero, as bools (as uint8 for uint8)."""
    return _truth(input, array_module(input.array).all, dim, keepdim)


def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """Return how many elements along `dim` are not zero, as int64."""
    axes = wrap_dims(dim, input.array.ndim)
    return wrap((input.array != 0).sum(axis=axes, dtype=np.int64))


@by_autocast
@rounds_once
def logsumexp(input: Tensor, dim: int | Sequence[int], keepdim: bool = False) -> Tensor:
    """Return `log(sum(exp(input)))` along `dim`, without overflow."""
    input = float_operand(input)
    x = input.array
    xp = array_module(x)
    axes = wrap_dims(dim, x.ndim)
    top = max_array(x, axes, -math.inf)
    top = xp.where(xp.isfinite(top), top, x.dtype.type(0))
    with np.errstate(all="ignore"):
        whole = xp.log(sum_array(xp.exp(x - top), axes, keepdims=True)) + top
    out = whole if keepdim else whole.squeeze(axes)
    spread = _spreading(x, axes, keepdim)

    def rule(g: Array) -> Array:
        return spread(g) * xp.exp(x - whole)

    return record(out, "Logsumexp", (input,), (rule,), saved=(input,))


def _summand(input: Tensor, dtype: dtypes.dtype | None) -> Tensor:
    """Return `input` in the type that it is summed in."""
    if dtype is not None:
        return cast(input, dtypes.as_dtype(dtype))
    return input if input.array.dtype.kind in FLOATS else cast(input, dtypes.int64)


def _count(x: Array, axes: Sequence[int]) -> int:
    """Return how many elements go into one result."""
    return math.prod(x.shape[axis] for axis in axes)


def _kept_shape(shape: tuple[int, ...], axes: Sequence[int]) -> tuple[int, ...]:
    """Return `shape` with the reduced dimensions kept as 1."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def _spreading(x: Array, axes: Sequence[int], keepdim: bool) -> Any:
    """Return the function that gives every element of `x` the gradient of the result it went into."""
    xp, shape = array_module(x), x.shape
    kept = _kept_shape(shape, axes)

    def spread(g: Array) -> Array:
        return xp.broadcast_to(g if keepdim else g.reshape(kept), shape)

    return spread


def _moments(
    name: str, input: Tensor, dim: Any, unbiased: bool | None, keepdim: bool, correction: float | None
) -> tuple[Tensor, Tensor]:
    """Return variance and mean, recorded apart."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise RuntimeError(f"{name}: give `unbiased` or `correction`, not both")
    x = input.array
    if x.dtype.kind not in FLOATS:
        raise RuntimeError(f"{name} only supports floating point dtypes; got {input.dtype.name}. Convert with .float()")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    axes = wrap_dims(dim, x.ndim)
    freedom = _count(x, axes) - correction
    if freedom <= 0:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
            "(input numel divided by output numel).",
            stacklevel=3,
        )
    average = mean(input, dim, keepdim)
    centre = average.array if keepdim else average.array.reshape(_kept_shape(x.shape, axes))
    spread = _spreading(x, axes, keepdim)
    distance = x - centre
    with np.errstate(all="ignore"):
        out = sum_array(distance * distance, axes, keepdims=keepdim) / x.dtype.type(max(freedom, 0))

    def rule(g: Array) -> Array:
        return spread(g * g.dtype.type(2 / freedom if freedom else math.nan)) * (x - centre)

    return record(out, "Var", (input,), (rule,), saved=(input,)), average


def _root(variance: Tensor) -> Tensor:
    """Return the square root, with slope 0 at zero as PyTorch's `std` has it."""
    out = array_module(variance.array).sqrt(variance.array)
    return record(out, "Std", (variance,), (lambda g: g * (out != 0) / (2 * out + (out == 0)),), saves_output=True)


def _truth(input: Tensor, reduce: Any, dim: Dim, keepdim: bool) -> Tensor:
    x = input.array
    alone = isinstance(dim, Sequence) and not dim  # dims named, but none: nothing is reduced
    out = x != 0 if alone else reduce(x, axis=wrap_dims(dim, x.ndim), keepdims=keepdim)
    return wrap(out.astype(np.uint8) if x.dtype == np.uint8 else out)


def _product_of_others(x: Array, axis: int) -> Array:
    """Return for each element the product of all others along `axis`, right where elements are zero, too."""
    xp = array_module(x)
    before, after = xp.ones_like(x), xp.ones_like(x)
    inner = (slice(None),) * axis
    head, tail = (*inner, slice(None, -1)), (*inner, slice(1, None))
    before[tail] = xp.cumprod(x[head], axis=axis)
    after[head] = xp.flip(xp.cumprod(xp.flip(x[tail], axis), axis=axis), axis)
    return before * after
