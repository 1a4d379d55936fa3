"""Order along one dimension: sorting, the best k, searching. NaN counts as larger than everything."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.device import Array, array_module, number_of, sortable
from tinytrain.ops.common import wrap_dim
from tinytrain.ops.picking import named_result, pick
from tinytrain.tensor import Tensor, wrap

__all__ = ["sort", "argsort", "msort", "topk", "searchsorted", "bucketize"]

_SortResult = named_result("sort", "values", "indices")
_TopkResult = named_result("topk", "values", "indices")


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Return the elements in order along `dim` and where they were, as `(values, indices)`.

    Args:
        input: any shape.
        dim: along which.
        descending: the largest first.
        stable: keep the order of equal elements; they always keep it here.

    Raises:
        IndexError: there is no such dimension.
    """
    axis = wrap_dim(dim, input.array.ndim)
    return _SortResult(*pick(input, _order(input.array, axis, descending), axis, "Sort"))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return where the elements in order are; arguments and errors as for `sort`."""
    return wrap(_order(input.array, wrap_dim(dim, input.array.ndim), descending))


def msort(input: Tensor) -> Tensor:
    """Return the elements in ascending order along the first dimension."""
    return sort(input, 0)[0]


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Return the k largest elements along `dim`, in order, and where they are, as `(values, indices)`.

    Args:
        input: any shape.
        k: how many.
        dim: along which.
        largest: False for the k smallest.
        sorted: whether the order matters; they are in order here in any case.

    Raises:
        IndexError: there is no such dimension.
        RuntimeError: there are fewer than k elements.
    """
    x = input.array
    axis = wrap_dim(dim, x.ndim)
    if not 0 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError(f"selected index k out of range: k is {k}, dimension {axis} has {x.shape or (1,)} elements")
    order = _order(x, axis, largest)
    if x.ndim:
        order = order[(slice(None),) * axis + (slice(k),)]
    return _TopkResult(*pick(input, order, axis, "Topk"))


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Return where values would be inserted to keep a sequence in ascending order.

    Args:
        sorted_sequence: (*, n), ascending in its last dimension; one sequence, or one per line of `input`.
        input: the values (*, m), or a number for a single sequence.
        out_int32: return int32, else int64.
        right: after equal elements, else before them.
        side: `left` or `right`, another way to say so.
        sorter: (*, n) indices that put a sequence in order that is not.

    Raises:
        RuntimeError: the leading dimensions differ, `right` and `side` contradict each other, or the sorter does
            not fit.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted: `side` can only be 'left' or 'right' but got {side!r}")
    if side == "left" and right:
        raise RuntimeError("searchsorted: `side` and `right` can't be set to opposites: side='left', right=True")
    sequence = sorted_sequence.array
    xp = array_module(sequence)
    values = input.array if isinstance(input, Tensor) else xp.asarray(input)
    if sequence.ndim != 1 and (values.ndim == 0 or sequence.shape[:-1] != values.shape[:-1]):
        raise RuntimeError(
            "searchsorted: `sorted_sequence` should have one dimension, or all but the last like `input`; "
            f"got {list(sequence.shape)} and {list(values.shape)}"
        )
    if sorter is not None:
        sequence = _put_in_order(sequence, sorter)
    found = _insertion_points(sequence, values, right or side == "right")
    return wrap(found.astype(np.int32 if out_int32 else np.int64))


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Return the index of the bucket between ascending `boundaries` that each value falls in.

    Args:
        input: a tensor or a number.
        boundaries: (n,).
        out_int32: return int32, else int64.
        right: a value on a boundary belongs to the bucket after it.

    Raises:
        RuntimeError: the boundaries have not one dimension.
    """
    if boundaries.array.ndim != 1:
        raise RuntimeError(f"bucketize: `boundaries` must have 1 dimension, but got {boundaries.array.ndim}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def _order(x: Array, axis: int, descending: bool) -> Array:
    """Return the indices that put `x` in order, equal elements in their order."""
    xp, x = array_module(x), sortable(x)
    if x.ndim == 0:
        return xp.zeros((), np.int64)
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    turned = xp.argsort(xp.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp.flip(turned, axis)


def _put_in_order(sequence: Array, sorter: Tensor) -> Array:
    """Return `sequence` in the order that `sorter` says, after checking it."""
    order = sorter.array
    if order.shape != sequence.shape:
        raise RuntimeError(
            "searchsorted: `sorted_sequence` and `sorter` must have the same size, "
            f"but got {list(sequence.shape)} and {list(order.shape)}"
        )
    if order.dtype != np.int64:
        raise RuntimeError(f"searchsorted: `sorter` must have dtype int64; got {sorter.dtype.name}")
    if order.size and not (number_of(order.min()) >= 0 and number_of(order.max()) < sequence.shape[-1]):
        raise RuntimeError("searchsorted: `sorter` index out of range")
    return array_module(sequence).take_along_axis(sequence, order, -1)


def _insertion_points(sequence: Array, values: Array, right: bool) -> Array:
    """Return the insertion points of `values`, line by line of a sequence with several."""
    xp = array_module(sequence)
    side = "right" if right else "left"
    if sequence.ndim == 1:
        return xp.searchsorted(sequence, values, side=side)
    found = xp.empty(values.shape, np.int64)
    for line in np.ndindex(values.shape[:-1]):
        found[line] = xp.searchsorted(sequence[line], values[line], side=side)
    return found
