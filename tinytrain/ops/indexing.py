"""Square brackets: reading and writing parts of a tensor by index.

Integers, slices, None and Ellipsis make a view; masks, index tensors and lists take a copy. As in PyTorch the view
is made first, and the index tensors then apply to its dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.kernels.scattering import scatter_add
from tinytrain.ops.arithmetic import fill
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import cast, is_number, same_device
from tinytrain.ops.places import check_range
from tinytrain.ops.shape import expand
from tinytrain.ops.slicing import part
from tinytrain.recording import record, rewrite
from tinytrain.tensor import Tensor, wrap

__all__ = ["copy", "getitem", "index_put", "setitem"]

Indices = tuple["Array | slice", ...]
"""For every dim up to the last indexed one an index array, a mask (for as many dims as it has) or `slice(None)`."""


def getitem(input: Tensor, index: Any) -> Tensor:
    """Return `input[index]`.

    Args:
        input: the tensor.
        index: integers, slices, None, Ellipsis, masks, integer tensors, lists, or a tuple of them.

    Raises:
        IndexError: an index is out of range, of another type, or there are too many.
        ValueError: a slice has a step that is not positive.
    """
    basic, indices = _parse(input, index)
    viewed = input if indices and _is_whole(basic) else part(input, basic, _view_name(basic))
    return viewed if not indices else _take(viewed, indices)


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """Store `value` at `input[index]`, in place.

    Args:
        input: the tensor.
        index: as for `getitem`.
        value: a number, or a tensor that broadcasts to the part.

    Raises:
        IndexError: an index is out of range, of another type, or there are too many.
        TypeError: the value is neither tensor nor number.
        RuntimeError: the value does not broadcast, or a leaf that requires gradients would be changed.
    """
    if not isinstance(value, Tensor) and not is_number(value):
        raise TypeError(f"can't assign a {type(value).__name__} to a {input.type()}")
    if isinstance(index, bool) and isinstance(value, Tensor):
        value = cast(value, input.dtype)  # all or nothing is assigned, as with a slice
    basic, indices = _parse(input, index)
    target = input if _is_whole(basic) else part(input, basic, _view_name(basic))
    if not isinstance(value, Tensor):
        value = _number_like(input, value)
    if not indices:
        rewrite(target, lambda old: copy(old, value, strip_ones=True))
    else:
        rewrite(target, lambda old: _put(old, indices, value, accumulate=False))


@by_autocast
def index_put(input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """Return a copy of `input` with `values` at the places that index tensors name.

    Args:
        input: the tensor.
        indices: a mask or an integer tensor per dimension, None for all of one.
        values: of the shape of `input[indices]`, or one that broadcasts to it.
        accumulate: add instead of replacing; places named twice are added to twice.

    Raises:
        IndexError: an index is out of range, of another type, or there are too many.
        RuntimeError: the values have another type or do not broadcast.
    """
    arrays = tuple(slice(None) if each is None else _index_array(input, each) for each in indices)
    _check(input.array.shape, arrays)
    return _put(input, arrays, values, accumulate=accumulate)


def copy(input: Tensor, src: Any, non_blocking: bool = False, *, strip_ones: bool = False) -> Tensor:
    """Return the values of `src` in the shape, type and place of `input`.

    Args:
        input: the tensor whose shape, type and device count.
        src: the values; they broadcast to that shape. Or a number.
        non_blocking: accepted as in PyTorch; it has no effect.
        strip_ones: leave out leading dims of size 1 where `src` has more dims than `input`.

    Raises:
        RuntimeError: the values do not broadcast.
    """
    if is_number(src):
        src = wrap(np.asarray(src))
    if strip_ones:
        src = _without_leading_ones(src, input.array.ndim)
    out = expand(src.to(input.device, input.dtype), input.array.shape)
    xp = array_module(input.array)
    return record(out.array.copy(), "Copy", (input, out), (xp.zeros_like, lambda g: g))


def _view_name(basic: tuple[Any, ...]) -> str:
    """Return PyTorch's name of the last of the views that an index is made of."""
    for each in reversed(basic):
        if each is None:
            return "Unsqueeze"
        if isinstance(each, int):
            return "Select"
        if each is not Ellipsis and each != slice(None):
            break
    return "Slice"


def _parse(input: Tensor, index: Any) -> tuple[tuple[Any, ...], Indices]:
    """Divide an index into a NumPy index that makes a view, and index arrays for the dims of that view."""
    shape = input.array.shape
    items = [_converted(input, each) for each in (index if isinstance(index, tuple) else (index,))]
    used = sum(_dims_used(each) for each in items)
    if used > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    if sum(each is Ellipsis for each in items) == 0:
        items.append(Ellipsis)
    basic: list[Any] = []
    indices: list[Any] = []
    dim = 0
    for each in items:
        if each is Ellipsis:
            skipped = len(shape) - used if each is Ellipsis else 0
            used = len(shape)  # a second Ellipsis stands for nothing
            basic += [slice(None)] * skipped
            indices += [slice(None)] * skipped
            dim += skipped
        elif isinstance(each, bool):
            basic.append(None)
            indices.append(_places_of(input, each))
        elif each is None:
            basic.append(None)
            indices.append(slice(None))
        elif isinstance(each, slice):
            basic.append(each)
            indices.append(slice(None))
            dim += 1
        elif isinstance(each, int):
            if not -shape[dim] <= each < shape[dim]:
                raise IndexError(f"index {each} is out of bounds for dimension {dim} with size {shape[dim]}")
            basic.append(each)
            dim += 1
        else:
            width = _dims_used(each)
            basic += [slice(None)] * width
            indices.append(each)
            dim += width
    while indices and isinstance(indices[-1], slice):
        indices.pop()
    if all(isinstance(each, slice) for each in indices):
        return tuple(basic), ()
    viewed = np.broadcast_to(np.empty(()), shape)[tuple(basic)].shape
    _check(viewed, tuple(indices))
    return tuple(basic), tuple(indices)


def _converted(input: Tensor, item: Any) -> Any:
    """Return an element of an index as None, Ellipsis, bool, int, slice with positive step, or index array."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return item
    if isinstance(item, slice):
        bounds = [None if each is None else each.__index__() for each in (item.start, item.stop, item.step)]
        if bounds[2] is not None and bounds[2] <= 0:
            raise ValueError(f"step must be greater than zero; got {bounds[2]}")
        return slice(*bounds)
    if isinstance(item, Tensor) and item.array.ndim == 0 and item.array.dtype.kind in "iub":
        return bool(item.item()) if item.array.dtype.kind in "ub" else int(item.item())
    if isinstance(item, (Tensor, list, tuple, range, np.ndarray)):
        return _index_array(input, item)
    if hasattr(item, "__index__"):
        return item.__index__()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
        f"(got {type(item).__name__})"
    )


def _index_array(input: Tensor, item: Any) -> Array:
    """Return a mask, an integer tensor or a list as an index array on the device of `input`.

    Raises:
        IndexError: its elements are neither integers nor bools.
    """
    xp = array_module(input.array)
    if isinstance(item, Tensor):
        if not isinstance(item.array, np.ndarray):
            same_device("index", input, item)
        array = xp.asarray(item.array)
    else:
        array = xp.asarray(_plain(item))
        if array.size == 0:
            array = array.astype("int64")
    if array.dtype == "uint8":
        return array.astype(bool)
    if array.dtype.kind == "b" or array.dtype in ("int64", "int32"):
        return array
    raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors; got {array.dtype.name}")


def _plain(item: Any) -> Any:
    """Return nested sequences that may hold tensors as nested lists of numbers."""
    if isinstance(item, (list, tuple, range)):
        return [_plain(each) for each in item]
    return item.tolist() if isinstance(item, Tensor) else item


def _places_of(input: Tensor, flag: bool) -> Array:
    """Return the places of a dimension of size 1 that a single bool chooses: its one or none."""
    return array_module(input.array).zeros(1 if flag else 0, "int64")


def _dims_used(item: Any) -> int:
    """Return how many dims of the tensor an element of an index stands for."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, (int, slice)):
        return 1
    return item.ndim if item.dtype.kind == "b" else 1


def _check(shape: tuple[int, ...], indices: Indices) -> None:
    """Check that there are not too many indices, none out of range (CuPy would wrap it), and that masks fit.

    Raises:
        IndexError: that is not so.
    """
    dim = 0
    for position, each in enumerate(indices):
        width = 1 if isinstance(each, slice) else _dims_used(each)
        if dim + width > len(shape):
            raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
        if isinstance(each, slice):
            pass
        elif each.dtype.kind != "b":
            check_range(each, -shape[dim], shape[dim], IndexError, f"dimension {dim}")
        elif each.shape != shape[dim : dim + width]:
            raise IndexError(
                f"The shape of the mask {list(each.shape)} at index {position} does not match the shape of the "
                f"indexed tensor {list(shape)} at dimension {dim}"
            )
        dim += width


def _is_whole(basic: tuple[Any, ...]) -> bool:
    """Return whether a NumPy index takes everything as it is."""
    return all(isinstance(each, slice) and each == slice(None) for each in basic)


def _take(input: Tensor, indices: Indices) -> Tensor:
    """Return the elements that index arrays name, with a gradient that adds up what was taken twice."""
    array = input.array
    xp = array_module(array)
    out = xp.ascontiguousarray(array[indices])

    def rule(g: Array) -> Array:
        total = xp.zeros(array.shape, g.dtype)
        if all(isinstance(each, slice) or each.dtype.kind == "b" for each in indices):
            total[indices] = g  # a mask names no element twice
        else:
            scatter_add(total, indices, g)
        return total

    return record(out, "Index", (input,), (rule,))


def _put(input: Tensor, indices: Indices, values: Tensor, *, accumulate: bool) -> Tensor:
    """Return a copy of `input` with `values` stored at (or added to) the elements that index arrays name.

    Raises:
        RuntimeError: the values do not broadcast, or have another type and are not one value for a single mask.
    """
    arrays = [each for each in indices if not isinstance(each, slice)]
    if values.array.size == 1 and len(arrays) == 1 and arrays[0].dtype.kind == "b" and not accumulate:
        values = cast(values, input.dtype)
    if values.dtype is not input.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {input.dtype.name} for the destination "
            f"and {values.dtype.name} for the source."
        )
    array = input.array
    xp = array_module(array)
    shape = array[indices].shape
    values = _without_leading_ones(values, len(shape))
    try:
        spread = expand(values, shape)
    except RuntimeError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(values.array.shape)} cannot be broadcast to indexing result "
            f"of shape {list(shape)}"
        ) from None
    out = array.copy()
    if accumulate:
        scatter_add(out, indices, spread.array)
        return record(out, "IndexPut", (input, spread), (lambda g: g, lambda g: g[indices]))
    out[indices] = spread.array

    def without(g: Array) -> Array:
        g = g.copy()
        g[indices] = 0
        return g

    return record(out, "IndexPut", (input, spread), (without, lambda g: xp.ascontiguousarray(g[indices])))


def _without_leading_ones(values: Tensor, ndim: int) -> Tensor:
    """Return `values` without leading dims of size 1 beyond `ndim` dims."""
    shape = values.array.shape
    extra = len(shape) - ndim
    return values.reshape(shape[extra:]) if extra > 0 and set(shape[:extra]) == {1} else values


def _number_like(input: Tensor, value: Any) -> Tensor:
    """Return a number as a tensor of the type and on the device of `input`."""
    return fill(wrap(array_module(input.array).empty((), input.array.dtype)), value)
