"""Which places indices name: checks of their type, shape and range, and index arrays for NumPy and CuPy."""

from __future__ import annotations

from tinytrain.device import Array, array_module, number_of
from tinytrain.ops.common import same_device, wrap_dim
from tinytrain.ops.shape import reshape
from tinytrain.ops.slicing import part
from tinytrain.tensor import Tensor


def as_line(array: Array) -> Array:
    """Return the array, as a vector where it has no dims."""
    return array if array.ndim else array.reshape(1)


def lattice(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor | None = None) -> tuple[Array, ...]:
    """Return, for every element of `index`, its place in `input`, as index arrays that broadcast.

    Args:
        name: of the op, for messages.
        input: the tensor indexed; without dims it counts as having one.
        dim: the dimension that the indices count along.
        index: int64.
        src: a tensor that is read at the places of `index` itself.

    Raises:
        RuntimeError: an index is out of range, or shape or type of `index` do not fit.
    """
    same_device(name, input, index, src)
    xp = array_module(input.array)
    sizes = input.array.shape or (1,)
    places = as_line(index.array)
    if places.size == 0:
        return tuple(xp.zeros(0, "int64") for _ in sizes)
    if places.dtype not in ("int64", "int32"):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index; got {index.dtype.name}")
    limits = [(f"{name}(): index", sizes, dim)]
    if src is not None:
        limits.append((f"{name}(): index against src", src.array.shape or (1,), -1))
    for what, limit, free in limits:
        if places.ndim != len(limit):
            raise RuntimeError(
                f"Index tensor must have the same number of dimensions as {'self' if free >= 0 else 'src'} tensor: "
                f"{what} has {places.ndim}, expected {len(limit)}"
            )
        for i, (size, most) in enumerate(zip(places.shape, limit, strict=True)):
            if size > most and i != free:
                raise RuntimeError(
                    f"Size does not match at dimension {i} expected {what} {list(places.shape)} to be no larger than "
                    f"{list(limit)} apart from dimension {dim}"
                )
    check_range(places, 0, sizes[dim], RuntimeError, f"dimension {dim}")
    grid = [
        xp.arange(size).reshape([-1 if i == axis else 1 for i in range(places.ndim)])
        for axis, size in enumerate(places.shape)
    ]
    grid[dim] = places
    return tuple(grid)


def checked_vector(name: str, input: Tensor, dim: int, index: Tensor, *, negative: bool = False) -> Array:
    """Return a vector of indices along a dimension, counted from the front.

    Args:
        name: of the op, for messages.
        input: the tensor indexed.
        dim: the dimension.
        index: int32 or int64, a vector or a single number.
        negative: whether indices may count from the end.

    Raises:
        IndexError: `index` has more dims, or an index is out of range.
        RuntimeError: `index` has another type.
    """
    same_device(name, input, index)
    if index.array.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector; it has {index.array.ndim} dims")
    if index.array.dtype not in ("int64", "int32"):
        raise RuntimeError(f"{name}(): Expected dtype int32 or int64 for index; got {index.dtype.name}")
    size = input.array.shape[dim] if input.array.ndim else 1
    places = index.array.reshape(-1)
    check_range(places, -size if negative else 0, size, IndexError, f"dimension {dim}")
    return array_module(places).where(places < 0, places + size, places) if negative else places


def checked_places(name: str, input: Tensor, index: Tensor) -> Array:
    """Return indices into the flattened tensor, after checking their type and range.

    Raises:
        IndexError: an index is out of range.
        RuntimeError: `index` is not of type int64.
    """
    same_device(name, input, index)
    if index.array.dtype != "int64":
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {index.dtype.name}")
    size = input.array.size
    check_range(index.array, -size, size, IndexError, "the flattened tensor")
    return index.array


def check_range(index: Array, low: int, high: int, error: type[Exception], where: str) -> None:
    """Check that all indices are from `low` to `high - 1`.

    Raises:
        error: one is not; the message names it.
    """
    wrong = (index < low) | (index >= high)
    if number_of(wrong.any()):
        raise error(f"index {number_of(index[wrong][0])} is out of bounds for {where} with size {high}")


def prepared(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor) -> tuple[tuple[Array, ...], Tensor | None]:
    """Return the places in `input` that elements of `index` name, and the part of `src` for them.

    Args:
        name: of the op, for messages.
        input: the tensor to write to.
        dim: the dimension that the indices count along.
        index: int64.
        src: what to write, at least as large as `index`.

    Returns:
        Index arrays that broadcast, and the part; None where there is nothing to write.

    Raises:
        RuntimeError: an index is out of range, or shapes or types do not fit.
        IndexError: there is no such dimension.
    """
    dim = wrap_dim(dim, input.array.ndim)
    places = lattice(name, input, dim, index, src)
    if src.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype; got {input.dtype.name} and {src.dtype.name}"
        )
    if index.array.ndim != src.array.ndim or not index.array.ndim:
        return places, reshape(src, (1,)) if index.array.size else None
    if src.array.shape == index.array.shape:
        return places, src
    return places, part(src, tuple(slice(size) for size in index.array.shape), "Slice")
