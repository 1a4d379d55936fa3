"""The largest, the smallest, the middle and the most frequent, with where they are found.

Over one dimension `max` and `min` pick one element, which has the whole gradient; `amax`, `amin` and the forms
over everything share it evenly among equal elements. A NaN wins everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module, sortable
from tinytrain.ops.arithmetic import maximum, minimum
from tinytrain.ops.common import require_tensors, wrap_dim, wrap_dims
from tinytrain.ops.cumulative import scan
from tinytrain.ops.output import accepts_out
from tinytrain.ops.picking import named_result, pick
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = [
    *("amax", "amin", "aminmax", "max", "min", "argmax", "argmin"),
    *("median", "nanmedian", "mode", "kthvalue"),
]

Dim = int | Sequence[int] | None

_AminmaxResult = named_result("aminmax", "min", "max")
_MaxResult = named_result("max", "values", "indices")
_MinResult = named_result("min", "values", "indices")
_MedianResult = named_result("median", "values", "indices")
_NanmedianResult = named_result("nanmedian", "values", "indices")
_ModeResult = named_result("mode", "values", "indices")
_KthvalueResult = named_result("kthvalue", "values", "indices")


@accepts_out
def amax(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """Return the largest elements along `dim`; equal ones share the gradient.

    Args:
        input: any shape.
        dim: a dimension, several, or none for all.
        keepdim: keep the reduced dimensions with size 1.

    Raises:
        IndexError: a reduced dimension is empty.
        RuntimeError: everything is reduced and there is nothing.
    """
    return _extreme(input, dim, keepdim, "amax", "Amax")


@accepts_out
def amin(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """Return the smallest elements along `dim`; arguments and errors as for `amax`."""
    return _extreme(input, dim, keepdim, "amin", "Amin")


@accepts_out
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the smallest and the largest elements along `dim` as `(min, max)`; errors as for `amax`."""
    smallest = _extreme(input, dim, keepdim, "aminmax", "Amin")
    return _AminmaxResult(smallest, _extreme(input, dim, keepdim, "aminmax", "Amax"))


def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """Return the largest element, or those along `dim` with their indices, or the larger of two tensors.

    Args:
        input: any shape.
        dim: None for a single result; a dimension for `(values, indices)`; a tensor to compare with.
        keepdim: keep the reduced dimension with size 1.
        other: a tensor to compare with, by name.

    Raises:
        IndexError: the reduced dimension is empty.
        RuntimeError: everything is reduced and there is nothing.
    """
    require_tensors("max", input)
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    if other is not None:
        return maximum(input, other)
    if dim is None:
        return _extreme(input, (), False, "max", "MaxBackward1")
    return _MaxResult(*_picked(input, dim, keepdim, "max", "argmax"))


def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """Return the smallest element, or those along `dim` with their indices, or the smaller of two tensors.

    Arguments and errors are those of `max`.
    """
    require_tensors("min", input)
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    if other is not None:
        return minimum(input, other)
    if dim is None:
        return _extreme(input, (), False, "min", "MinBackward1")
    return _MinResult(*_picked(input, dim, keepdim, "min", "argmin"))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return where the largest elements are, the first of equal ones, as int64.

    Args:
        input: any shape; no bools.
        dim: along which; None counts through the flattened tensor.
        keepdim: keep the reduced dimensions with size 1.

    Raises:
        IndexError: there is nothing along `dim`.
        RuntimeError: the elements are bools.
    """
    return _position(input, dim, keepdim, "argmax")


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return where the smallest elements are; arguments and errors as for `argmax`."""
    return _position(input, dim, keepdim, "argmin")


@accepts_out
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """Return the k-th smallest elements along `dim`, counted from 1, as `(values, indices)`.

    Raises:
        RuntimeError: there is no k-th element.
    """
    axis = wrap_dim(dim, input.array.ndim)
    size = input.array.shape[axis] if input.array.ndim else 1
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}: {k} is not in 1..{size}")
    return _KthvalueResult(*_ranked(input, axis, keepdim, "Kthvalue", np.asarray(k - 1)))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the middle element, the lower of two, or those along `dim` as `(values, indices)`; NaN where there is one.

    Elements equal to that of all share its gradient; along `dim` the one selected has it.

    Raises:
        IndexError: there is nothing along `dim`.
    """
    return _median(input, dim, keepdim, "median", _MedianResult)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the middle element of those that are not NaN; otherwise as `median`."""
    return _median(input, dim, keepdim, "nanmedian", _NanmedianResult)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """Return the most frequent elements along `dim`, the smallest of several, as `(values, indices)`.

    Raises:
        IndexError: there is nothing along `dim`.
    """
    x = input.array
    xp = array_module(x)
    axis = wrap_dim(dim, x.ndim)
    _refuse_empty(x, (axis,), "mode")
    if x.ndim == 0:
        return _ModeResult(*pick(input, xp.zeros((), np.int64), axis, "Mode"))
    lines = xp.moveaxis(x, axis, -1)
    order = xp.argsort(sortable(lines), axis=-1, kind="stable")
    ordered = xp.take_along_axis(lines, order, -1)
    begins = xp.ones(ordered.shape, bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    places = xp.arange(ordered.shape[-1])
    so_far = places - scan(xp.maximum, xp.where(begins, places, 0), ordered.ndim - 1)
    last = so_far.argmax(axis=-1)[..., None]
    indices = xp.moveaxis(xp.take_along_axis(order, last, -1), -1, axis)
    return _ModeResult(*pick(input, indices, axis, "Mode", keepdim=keepdim))


def _extreme(input: Tensor, dim: Dim, keepdim: bool, name: str, node: str) -> Tensor:
    x = input.array
    axes = wrap_dims(dim, x.ndim)
    _refuse_empty(x, axes, name)
    xp = array_module(x)
    reduce = xp.min if node in ("Amin", "MinBackward1") else xp.max
    return _shared_by_equals(input, xp.asarray(reduce(x, axis=axes, keepdims=True)), axes, keepdim, node)


def _shared_by_equals(input: Tensor, whole: Array, axes: Sequence[int], keepdim: bool, node: str) -> Tensor:
    """Return `whole`, elements of `input` along `axes`, recorded: all that are equal share the gradient."""
    x = input.array
    axes = tuple(axes)

    def rule(g: Array) -> Array:
        won = (x == whole) | (x != x) & (whole != whole)
        share = g.reshape(whole.shape) / won.sum(axis=axes, keepdims=True).astype(g.dtype)
        return won * share

    return record(whole if keepdim else whole.squeeze(axes), node, (input,), (rule,), saved=(input,))


def _picked(input: Tensor, dim: int, keepdim: bool, name: str, arg: str) -> tuple[Tensor, Tensor]:
    x = input.array
    axis = wrap_dim(dim, x.ndim)
    _refuse_empty(x, (axis,), name)
    if x.ndim == 0:
        return pick(input, array_module(x).zeros((), np.int64), axis, name.capitalize())
    indices = array_module(x).expand_dims(getattr(x, arg)(axis=axis), axis)
    return pick(input, indices, axis, name.capitalize(), keepdim=keepdim)


def _position(input: Tensor, dim: int | None, keepdim: bool, name: str) -> Tensor:
    x = input.array
    if x.dtype.kind == "b":
        raise RuntimeError(f"{name}(): does not support bool input; convert with .int()")
    axis = None if dim is None else wrap_dim(dim, x.ndim)
    if dim is None and x.size == 0:
        raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
    if x.ndim == 0:
        axis = None
    elif axis is not None:
        _refuse_empty(x, (axis,), name)
    indices = array_module(x).asarray(getattr(x, name)(axis=axis, keepdims=keepdim))
    return wrap(indices.astype(np.int64, copy=False))


def _median(input: Tensor, dim: int | None, keepdim: bool, name: str, result: Any) -> Any:
    if dim is None:
        flat = input.detach().reshape(-1)
        if flat.array.size == 0:
            return wrap(array_module(flat.array).full((), np.nan, flat.array.dtype))
        whole = _median(flat, 0, False, name, tuple)[0].array.reshape((1,) * input.array.ndim)
        return _shared_by_equals(input, whole, range(input.array.ndim), False, name.capitalize())
    x = input.array
    xp = array_module(x)
    axis = wrap_dim(dim, x.ndim)
    _refuse_empty(x, (axis,), name)
    unknown = xp.isnan(x).sum(axis=axis, keepdims=True) if x.ndim else xp.isnan(x).astype(np.int64)
    size = x.shape[axis] if x.ndim else 1
    middle = (size - unknown - 1) // 2
    rank = xp.where(unknown > 0, size - 1, middle) if name == "median" else xp.maximum(middle, 0)
    values, indices = _ranked(input, axis, keepdim, name.capitalize(), rank)
    return (values, indices) if result is tuple else result(values, indices)


def _ranked(input: Tensor, axis: int, keepdim: bool, node: str, rank: Array) -> tuple[Tensor, Tensor]:
    """Return the elements whose place in ascending order along `axis` is `rank`, and their indices."""
    x = input.array
    xp = array_module(x)
    if x.ndim == 0:
        return pick(input, xp.zeros((), np.int64), axis, node)
    order = xp.argsort(sortable(x), axis=axis, kind="stable")
    shape = tuple(1 if each == axis else size for each, size in enumerate(x.shape))
    indices = xp.take_along_axis(order, xp.broadcast_to(xp.asarray(rank), shape), axis)
    return pick(input, indices, axis, node, keepdim=keepdim)


def _refuse_empty(x: Array, axes: Sequence[int], name: str) -> None:
    """Raise where a dimension to be reduced is empty: there is no largest of nothing."""
    if x.size:
        return
    if len(axes) == x.ndim > 1:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
        )
    for axis in axes:
        if x.shape[axis] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
