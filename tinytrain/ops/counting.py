"""Which values there are, and how often: distinct values, counts and histograms. Nothing here has a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.device import Array, array_module, number_of
from tinytrain.dtypes import FLOATS
from tinytrain.kernels.scattering import scatter_add
from tinytrain.ops.common import wrap_dim
from tinytrain.tensor import Tensor, wrap

__all__ = ["unique", "unique_consecutive", "bincount", "histc"]


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the distinct elements, or the distinct slices along `dim`, in ascending order.

    Args:
        input: any shape.
        sorted: whether the order matters; they are in order here in any case.
        return_inverse: also return where in the result each element is.
        return_counts: also return how often each occurs.
        dim: along which slices are compared; None compares elements.

    Returns:
        The values, or a tuple of values, inverse and counts as asked for.
    """
    rows = _rows(input.array, dim)
    xp = array_module(rows)
    order = xp.lexsort(rows.reshape(len(rows), -1).T[::-1]) if rows.size else xp.arange(len(rows))
    return _distinct(input, rows, order, dim, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return the elements (or slices along `dim`) without those that equal the one before; otherwise as `unique`."""
    rows = _rows(input.array, dim)
    return _distinct(input, rows, array_module(rows).arange(len(rows)), dim, return_inverse, return_counts)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Return how often each of 0, 1, 2 ... occurs, or the sums of the weights of its occurrences.

    Args:
        input: integers of at least 0, (n,).
        weights: (n,); sums are float64, float32 for float32 weights.
        minlength: the least length of the result.

    Raises:
        RuntimeError: the input has another shape or negative elements, or the weights do not fit.
    """
    x = input.array
    if x.ndim != 1 or (x.size and number_of(x.min()) < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if x.dtype.kind not in "iu":
        raise RuntimeError(f"bincount: expected integers, but got {input.dtype.name}")
    if minlength < 0:
        raise RuntimeError(f"bincount: `minlength` must be at least 0; got {minlength}")
    if weights is not None and weights.array.shape != x.shape:
        raise RuntimeError(f"weights should be 1-d and have the same length as input; got {list(weights.shape)}")
    xp = array_module(x)
    counts = xp.bincount(x.astype(np.int64), minlength=minlength).astype(np.int64, copy=False)
    if weights is None:
        return wrap(counts)
    totals = xp.zeros(counts.shape, np.float64)  # not CuPy's own sums, which change with the order of threads
    scatter_add(totals, x, weights.array.astype(np.float64))
    return wrap(totals.astype(weights.array.dtype if weights.array.dtype.kind in FLOATS else np.float64))


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Return how many elements fall into each of `bins` equal intervals from `min` to `max`, the last one closed.

    Args:
        input: floats of any shape; those outside the limits and NaN are not counted.
        bins: how many intervals.
        min: the lower limit; with both equal, the limits are the smallest and largest element.
        max: the upper limit.

    Raises:
        RuntimeError: there is no bin, or the limits are not finite or not in order.
    """
    x = input.array.reshape(-1)
    xp = array_module(x)
    if bins <= 0:
        raise RuntimeError(f"histc: bins must be > 0, but got {bins}")
    low, high = float(min), float(max)
    if low == high and x.size:
        low, high = float(number_of(x.min())), float(number_of(x.max()))
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"histc: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"histc: max must be larger than min; got {low} and {high}")
    x = x[(x >= low) & (x <= high)]
    places = ((x - low) / (high - low) * bins).astype(np.int64)
    counts = xp.bincount(xp.minimum(places, bins - 1), minlength=bins)
    return wrap(counts.astype(input.array.dtype))


def _rows(x: Array, dim: int | None) -> Array:
    """Return what is compared, one per row."""
    return x.reshape(-1) if dim is None else array_module(x).moveaxis(x, wrap_dim(dim, x.ndim), 0)


def _distinct(
    input: Tensor, rows: Array, order: Array, dim: int | None, return_inverse: bool, return_counts: bool
) -> Any:
    """Return the rows, taken in `order`, that differ from the one before, with what else is asked for."""
    xp = array_module(rows)
    ordered = rows[order]
    differs = xp.ones(len(rows), bool)
    differs[1:] = (ordered[1:] != ordered[:-1]).any(axis=tuple(range(1, rows.ndim)))
    starts = xp.flatnonzero(differs)
    values = ordered[starts]
    results = [wrap(values if dim is None else xp.moveaxis(values, 0, wrap_dim(dim, input.array.ndim)).copy())]
    if return_inverse:
        inverse = xp.empty(len(rows), np.int64)
        inverse[order] = xp.cumsum(differs) - 1
        results.append(wrap(inverse.reshape(input.array.shape) if dim is None else inverse))
    if return_counts:
        results.append(wrap(xp.diff(xp.append(starts, len(rows))).astype(np.int64, copy=False)))
    return results[0] if len(results) == 1 else tuple(results)
