"""Values that are added to, or compared with, the elements of an array that indices name, some of them twice."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from tinytrain.device import Array, cupy

_ADDED_BY_GPU = frozenset("int32 uint32 uint64".split())  # whole numbers that every CuPy's add.at takes


def scatter_add(target: Array, index: Any, values: Array) -> None:
    """Add `values` into `target[index]` in place; an element named twice is added twice.

    Values for one element are added in the order in which they come, so that sums repeat to the bit; those of halves in
    float32, rounded at the end on a GPU.
    """
    if isinstance(target, np.ndarray):
        np.add.at(target, index, values)
    elif target.dtype.kind not in "biu":
        _add_in_order(target, index, values)
    elif target.dtype.name in _ADDED_BY_GPU:  # CuPy adds in any order, which is the same for whole numbers
        cupy().add.at(target, index, values)
    else:  # CuPy adds unsigned ones only, which is the same for the bits
        wide = target.astype("int64", copy=False)
        cupy().add.at(wide.view("uint64"), index, values.astype("int64", copy=False).view("uint64"))
        if wide is not target:
            target[...] = wide


def scatter_extreme(target: Array, index: Any, values: Array, *, largest: bool) -> None:
    """Put the largest, or the smallest, of `target[index]` and `values` into `target[index]` in place."""
    name = "maximum" if largest else "minimum"
    if isinstance(target, np.ndarray):
        getattr(np, name).at(target, index, values)
        return
    scatter = getattr(cupy(), name).at
    if target.dtype == "int64":  # CuPy 14.0 takes unsigned ones only; the turned sign keeps the order
        sign = np.uint64(1 << 63)
        turned = target.view("uint64") ^ sign
        scatter(turned, index, values.astype("int64", copy=False).view("uint64") ^ sign)
        target[...] = (turned ^ sign).view("int64")
        return
    kept = target.dtype.name in ("int32", "uint32", "uint64", "float32", "float64")
    wide = target if kept else target.astype("int32" if target.dtype.kind in "biu" else "float32")
    scatter(wide, index, values)
    if wide is not target:
        target[...] = wide


def _add_in_order(target: Array, index: Any, values: Array) -> None:
    """Add floats on a GPU, where CuPy's own sums change with the order in which threads come."""
    xp = cupy()
    axis = _axis_of_vector(index)
    if axis is None:
        places = xp.arange(target.size).reshape(target.shape)[index]
        keys, rows = places.reshape(-1), target.reshape(-1, 1) if target.size else target
        sent = xp.broadcast_to(values, places.shape)
    else:  # whole slices: one key for each, not one for each element
        vector = index[axis] if isinstance(index, tuple) else index
        rows = xp.moveaxis(target, axis, 0)
        keys = vector.astype("int64") % max(len(rows), 1)
        sent = xp.broadcast_to(values, (*target.shape[:axis], vector.size, *target.shape[axis + 1 :]))
        sent = xp.moveaxis(sent, axis, 0)
    if 0 in (target.size, keys.size):
        return
    total = xp.ascontiguousarray(rows)
    add_rows = importlib.import_module("tinytrain.kernels.cuda.scattering").add_rows
    add_rows(total.reshape(len(rows), -1), keys, sent.astype(target.dtype, copy=False).reshape(keys.size, -1))
    if total.data.ptr != target.data.ptr:  # the rows of `target` are not one after the other in memory
        target[...] = total.reshape(target.shape) if axis is None else xp.moveaxis(total, 0, axis)


def _axis_of_vector(index: Any) -> int | None:
    """Return the axis along which a vector of whole numbers is all that an index says; None for any other index."""
    parts = index if isinstance(index, tuple) else (index,)
    is_vector = bool(parts) and getattr(parts[-1], "ndim", None) == 1 and parts[-1].dtype.kind in "iu"
    is_all = all(isinstance(each, slice) and each == slice(None) for each in parts[:-1])
    return len(parts) - 1 if is_vector and is_all else None
