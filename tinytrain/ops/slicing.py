"""Parts of a tensor: rows, ranges, diagonals and windows, as views of its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.kernels.scattering import scatter_add
from tinytrain.ops.common import wrap_dim
from tinytrain.ops.shape import address
from tinytrain.recording import record, record_view
from tinytrain.tensor import Tensor

__all__ = [
    "as_strided",
    "diag",
    "diag_embed",
    "diagonal",
    "diagonal_scatter",
    "narrow",
    "narrow_copy",
    "select",
    "select_scatter",
    "slice_scatter",
    "windows",
]


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Return the view of one place along a dimension, without that dimension.

    Raises:
        IndexError: there is no such dimension or no such place.
    """
    return part(input, _selection(input, dim, index), "Select")


def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """Return the view of `length` places along a dimension from `start` on.

    Args:
        input: the tensor to view.
        dim: the dimension.
        start: the first place, counted from the end where negative.
        length: how many places.

    Raises:
        RuntimeError: the range leaves the tensor.
        IndexError: there is no such dimension or no such first place.
    """
    shape = input.array.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, len(shape))
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative; got {length}")
    if isinstance(start, Tensor) and (start.array.ndim or start.array.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    first, size = int(start), shape[dim]
    if not -size <= first <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {first})")
    first += size if first < 0 else 0
    if first + length > size:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({size}).")
    return part(input, along(dim, slice(first, first + length)), "Slice")


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return a copy of `length` places along a dimension from `start` on; see `narrow`.

    Raises:
        RuntimeError: there is no such dimension (`narrow` raises an IndexError), or the range leaves the tensor.
        IndexError: there is no such first place.
    """
    if dim >= input.array.ndim:
        raise RuntimeError(f"narrow_copy(): dim (={dim}) must be one of the {input.array.ndim} dims of the tensor")
    view = narrow(input, dim, start, length)
    return record(view.array.copy(), "NarrowCopy", (view,), (lambda g: g,))


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return the view of a diagonal of the matrices over two dims, as a new last dimension.

    Args:
        input: the tensor to view.
        offset: above the main diagonal where positive, below where negative.
        dim1: the dimension of the rows.
        dim2: the dimension of the columns.

    Raises:
        RuntimeError: the two dims are one.
        IndexError: there is no such dimension.
    """
    return _diagonal_view(input, offset, dim1, dim2)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return matrices over two new dims that hold the last dimension of `input` on a diagonal, zeros elsewhere.

    Raises:
        RuntimeError: the two dims are one, or `input` has no dims.
        IndexError: there is no such dimension.
    """
    shape = input.array.shape
    if not shape:
        raise RuntimeError("diag_embed: input must have at least one dimension")
    row, column = wrap_dim(dim1, len(shape) + 1), wrap_dim(dim2, len(shape) + 1)
    if row == column:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    xp = array_module(input.array)
    size = shape[-1] + abs(offset)
    places = xp.arange(shape[-1])
    index = (..., places + max(0, -offset), places + max(0, offset))
    out = xp.zeros((*shape[:-1], size, size), input.array.dtype)
    out[index] = input.array
    out = xp.moveaxis(out, (-2, -1), (row, column))
    return record(out, "DiagEmbed", (input,), (lambda g: xp.moveaxis(g, (row, column), (-2, -1))[index],))


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the matrix with a vector on its diagonal, or a copy of a matrix's diagonal.

    Raises:
        RuntimeError: `input` is neither vector nor matrix.
    """
    if input.array.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.array.ndim}D")
    if input.array.ndim == 1:
        return diag_embed(input, diagonal)
    view = _diagonal_view(input, diagonal, 0, 1)
    return record(view.array.copy(), "DiagonalCopy", (view,), (lambda g: g,))


def windows(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Return the view of all windows along a dimension, `Tensor.unfold` of PyTorch.

    Args:
        input: the tensor to view.
        dimension: the dimension to go along; it then counts the windows.
        size: of a window, the new last dimension.
        step: from one window to the next.

    Raises:
        RuntimeError: the size is negative or larger than the dimension, or the step is not positive.
        IndexError: there is no such dimension.
    """
    shape = input.array.shape
    dim = wrap_dim(dimension, len(shape))
    available = shape[dim] if shape else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > available:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {available} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    count = (available - size) // step + 1

    def replay(a: Array) -> Array:
        strided = array_module(a).lib.stride_tricks.as_strided
        if not a.ndim:
            return strided(a, (size,), (a.itemsize,))
        strides = (*a.strides[:dim], a.strides[dim] * step, *a.strides[dim + 1 :], a.strides[dim])
        return strided(a, (*shape[:dim], count, *shape[dim + 1 :], size), strides)

    def rule(g: Array) -> Array:
        total = array_module(g).zeros(shape, g.dtype)
        for place in range(size):
            if shape:
                total[along(dim, slice(place, place + count * step, step))] += g[..., place]
            else:
                total += g[place]
        return total

    return record_view(input, "Unfold", replay, rule)


def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """Return a view of the memory under `input` with any sizes and strides.

    Args:
        input: the tensor whose memory is viewed; of a view, the memory of its base.
        size: the sizes.
        stride: the distance between neighbours, in elements.
        storage_offset: where the first element lies, in elements; by default where `input`'s does.

    Raises:
        RuntimeError: sizes and strides differ in number, are negative, or leave the memory.
    """
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: {list(stride)} strides, {list(size)} sizes")
    base = input if input._base is None else input._base
    whole = base.strided_array()
    unit = whole.itemsize
    offset = storage_offset
    if offset is None:
        offset = (address(input.strided_array()) - address(whole)) // unit
    steps = tuple(step // unit for step in whole.strides)
    extent = _extent(whole.shape, steps)
    if min((*size, *stride, offset), default=0) < 0:
        raise RuntimeError(
            f"as_strided: Negative sizes, strides or offsets are not supported, got {list(size)}, {list(stride)}, "
            f"{offset}"
        )
    if _extent(size, stride) and offset + _extent(size, stride) > extent:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, requiring a storage of "
            f"{offset + _extent(size, stride)} elements are out of bounds for storage of {extent} elements"
        )

    def replay(a: Array) -> Array:
        strided = array_module(a).lib.stride_tricks.as_strided
        line = strided(a, (extent,), (a.itemsize,))
        return strided(line[offset:], tuple(size), tuple(step * a.itemsize for step in stride))

    def rule(g: Array) -> Array:
        xp = array_module(g)
        line = xp.zeros(extent, g.dtype)
        scatter_add(line, replay(_in_layout(xp.arange(extent), whole.shape, steps)), g)
        return _in_layout(line, whole.shape, steps)

    return record_view(base, "AsStrided", replay, rule)


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """Return a copy of `input` with `src` in place of `select(input, dim, index)`.

    Raises:
        RuntimeError: `src` has another shape than that part.
        IndexError: there is no such dimension or no such place.
    """
    chosen = _selection(input, dim, index)
    return _with_part(input, src, lambda a: a[(*chosen, ...)], "SelectScatter")


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """Return a copy of `input` with `src` in place of `input[..., start:end:step, ...]` along a dimension.

    Raises:
        RuntimeError: `src` has another shape than that part, or the step is not positive.
        IndexError: there is no such dimension.
    """
    if step <= 0:
        raise RuntimeError(f"slice step must be positive; got {step}")
    chosen = along(wrap_dim(dim, input.array.ndim), slice(start, end, step))
    return _with_part(input, src, lambda a: a[(*chosen, ...)], "SliceScatter")


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return a copy of `input` with `src` on a diagonal; see `diagonal`.

    Raises:
        RuntimeError: `src` has another shape than that diagonal, or the two dims are one.
        IndexError: there is no such dimension.
    """
    view = _diagonal_view(input.detach(), offset, dim1, dim2)._view
    assert view is not None
    return _with_part(input, src, view.replay, "DiagonalScatter")


def along(dim: int, index: Any) -> tuple[Any, ...]:
    """Return the NumPy index that takes `index` along one dimension and all of those before it."""
    return (*(slice(None),) * dim, index)


def part(input: Tensor, index: tuple[Any, ...], name: str) -> Tensor:
    """Return the view `input[index]` for a NumPy index of integers, slices, None and Ellipsis.

    Args:
        input: the tensor to view.
        index: a tuple; it needs no Ellipsis at its end.
        name: PyTorch's name of the operation.
    """
    if Ellipsis not in index:
        index = (*index, ...)  # without it NumPy returns a single element as a scalar, not as a view
    shape = input.array.shape

    def replay(a: Array) -> Array:
        return a[index]

    return record_view(input, name, replay, lambda g: _into_zeros(g, shape, replay))


def _diagonal_view(input: Tensor, offset: int, dim1: int, dim2: int) -> Tensor:
    """Return the view of a diagonal; `diagonal` documents the arguments."""
    shape = input.array.shape
    row, column = wrap_dim(dim1, len(shape)), wrap_dim(dim2, len(shape))
    if row == column or not shape:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")

    def replay(a: Array) -> Array:
        a = array_module(a).moveaxis(a, (row, column), (-2, -1))
        a = a[..., max(0, -offset) :, max(0, offset) :]
        return array_module(a).lib.stride_tricks.as_strided(
            a, (*a.shape[:-2], min(a.shape[-2:])), (*a.strides[:-2], a.strides[-2] + a.strides[-1])
        )

    return record_view(input, "Diagonal", replay, lambda g: _into_zeros(g, shape, replay))


def _selection(input: Tensor, dim: int, index: int) -> tuple[Any, ...]:
    """Return the NumPy index of one place along a dimension."""
    shape = input.array.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim, place = wrap_dim(dim, len(shape)), int(index)
    if not -shape[dim] <= place < shape[dim]:
        raise IndexError(f"select(): index {place} out of range for tensor of size {list(shape)} at dimension {dim}")
    return along(dim, place)


def _with_part(input: Tensor, src: Tensor, replay: Callable[[Array], Array], name: str) -> Tensor:
    """Return a copy of `input` with `src` where `replay` looks."""
    out = input.array.copy()
    target = replay(out)
    if target.shape != src.array.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src.array.shape)}, "
            f"slice size = {list(target.shape)}"
        )
    target[...] = src.array
    from_ = src.array.dtype

    def without(g: Array) -> Array:
        g = g.copy()
        replay(g)[...] = 0
        return g

    return record(out, name, (input, src), (without, lambda g: replay(g).astype(from_)))


def _into_zeros(g: Array, shape: tuple[int, ...], replay: Callable[[Array], Array]) -> Array:
    """Return zeros of `shape` with `g` where `replay` looks."""
    zeros = array_module(g).zeros(shape, g.dtype)
    replay(zeros)[...] = g
    return zeros


def _extent(size: Sequence[int], stride: Sequence[int]) -> int:
    """Return how many elements of memory lie from the first to the last."""
    if 0 in size:
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))


def _in_layout(line: Array, shape: tuple[int, ...], steps: tuple[int, ...]) -> Array:
    """Return the elements of a one-dimensional array under a shape with strides given in elements."""
    strides = tuple(step * line.itemsize for step in steps)
    return array_module(line).lib.stride_tricks.as_strided(line, shape, strides)
