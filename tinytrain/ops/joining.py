"""Joining tensors into one, and dividing one into views."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from tinytrain.device import Array, array_module
from tinytrain.kernels import find_kernel
from tinytrain.ops.common import cast, result_type, same_device, wrap_dim
from tinytrain.ops.output import accepts_out
from tinytrain.ops.shape import atleast_1d, atleast_2d, atleast_3d, reshape
from tinytrain.ops.slicing import along, part
from tinytrain.recording import record
from tinytrain.tensor import Tensor

__all__ = [
    "cat",
    "chunk",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "row_stack",
    "split",
    "split_with_sizes",
    "stack",
    "tensor_split",
    "unbind",
    "vsplit",
    "vstack",
]


@accepts_out
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors one after the other along a dimension, in the type they promote to.

    Args:
        tensors: of the same sizes but along `dim`; empty vectors of shape (0,) are passed over.
        dim: the dimension.

    Raises:
        ValueError: there are no tensors.
        RuntimeError: the shapes do not fit, or one has no dims.
        TypeError: one is no tensor.
        IndexError: there is no such dimension.
    """
    tensors = _listed(tensors, "torch.cat(): expected a non-empty list of Tensors")
    joined = _join_channels(tensors, dim)
    if joined is not None:
        return joined
    to = result_type(*(each.dtype for each in tensors))
    for position, each in enumerate(tensors):
        if each.array.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {position}) cannot be concatenated")
    casts = tuple(cast(each, to) for each in tensors)
    skipped = [each.array.shape == (0,) for each in casts]
    arrays = [each.array for each, skip in zip(casts, skipped, strict=True) if not skip]
    arrays = arrays or [each.array for each in casts]
    dim = wrap_dim(dim, arrays[0].ndim)
    for position, array in enumerate(arrays):
        _check_fits(arrays[0].shape, array.shape, dim, position)
    xp = array_module(arrays[0])

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        parts: list[Array | None] = []
        start = 0
        for each, skip, wanted in zip(casts, skipped, needs, strict=True):
            stop = start if skip else start + each.array.shape[dim]
            part_of_g = xp.zeros((0,), g.dtype) if skip else g[along(dim, slice(start, stop))]
            parts.append(part_of_g if wanted else None)
            start = stop
        return parts

    return record(xp.concatenate(arrays, axis=dim), "Cat", casts, rule)


def _join_channels(tensors: Sequence[Tensor], dim: int) -> Tensor | None:
    """Return `cat` along the channels by a kernel that computes each into its place, None where there is none."""
    values = [each.value for each in tensors]
    shape, dtype = values[0].shape, values[0].dtype
    if dim not in (1, -3) or len(shape) != 4 or 0 in shape:
        return None
    for each in values:
        if each.dtype != dtype or len(each.shape) != 4 or (each.shape[0], *each.shape[2:]) != (shape[0], *shape[2:]):
            return None
        join = find_kernel("join_channels", each)
        if join is None:
            return None
    assert join is not None
    sizes = [each.shape[1] for each in values]

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        parts = zip(itertools.accumulate(sizes), sizes, needs, strict=True)
        return [g[:, stop - size : stop] if needed else None for stop, size, needed in parts]

    return record(join(values), "Cat", tuple(tensors), rule)


def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors one after the other along a dimension: `cat`."""
    return cat(tensors, dim)


def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors one after the other along a dimension: `cat`."""
    return cat(tensors, dim)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors, all of one shape, side by side along a new dimension.

    Args:
        tensors: of one shape.
        dim: the place of the new dimension.

    Raises:
        RuntimeError: there are none, or the shapes differ.
        IndexError: there is no such place.
    """
    tensors = _listed(tensors, "stack expects a non-empty TensorList", RuntimeError)
    shape = tensors[0].array.shape
    dim = wrap_dim(dim, len(shape) + 1)
    for position, each in enumerate(tensors):
        if each.array.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(each.array.shape)} at entry {position}"
            )
    to = result_type(*(each.dtype for each in tensors))
    joined = tuple(cast(each, to) for each in tensors)

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        return [g[(*along(dim, place), ...)] if wanted else None for place, wanted in enumerate(needs)]

    return record(array_module(joined[0].array).stack([each.array for each in joined], axis=dim), "Stack", joined, rule)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors side by side along their columns (vectors: end to end).

    Raises:
        RuntimeError: there are none, or the shapes do not fit.
    """
    raised = atleast_1d(_listed(tensors, "hstack expects a non-empty TensorList", RuntimeError))
    return cat(raised, 0 if raised[0].array.ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors one below the other; vectors count as rows.

    Raises:
        RuntimeError: there are none, or the shapes do not fit.
    """
    return cat(atleast_2d(_listed(tensors, "vstack expects a non-empty TensorList", RuntimeError)), 0)


def row_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors one below the other: `vstack`."""
    return vstack(tensors)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors one behind the other, along their third dimension.

    Raises:
        RuntimeError: there are none, or the shapes do not fit.
    """
    return cat(atleast_3d(_listed(tensors, "dstack expects a non-empty TensorList", RuntimeError)), 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors side by side; vectors count as columns.

    Raises:
        RuntimeError: there are none, or the shapes do not fit.
    """
    listed = _listed(tensors, "column_stack expects a non-empty TensorList", RuntimeError)
    return hstack([each if each.array.ndim > 1 else reshape(each, (each.array.size, 1)) for each in listed])


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of consecutive parts along a dimension.

    Args:
        tensor: what to divide.
        split_size_or_sections: the size of every part (the last may be smaller), or one size per part.
        dim: the dimension.

    Raises:
        RuntimeError: a size is negative, the sizes do not add up, or the tensor has no dims.
        IndexError: there is no such dimension.
    """
    if not hasattr(split_size_or_sections, "__index__"):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    if tensor.array.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    width = int(split_size_or_sections)
    dim = wrap_dim(dim, tensor.array.ndim)
    size = tensor.array.shape[dim]
    if width < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={width}")
    if width == 0 and size:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
    count = max(-(-size // width), 1) if width else 1
    return _divided(tensor, [min(place * width, size) for place in range(count)] + [size], dim)


def split_with_sizes(tensor: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of consecutive parts of given sizes along a dimension.

    Raises:
        RuntimeError: a size is negative, the sizes do not add up, or the tensor has no dims.
        IndexError: there is no such dimension.
    """
    if tensor.array.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, tensor.array.ndim)
    size = tensor.array.shape[dim]
    bounds = [0]
    for each in split_sizes:
        if each < 0:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes have only non-negative entries, but got {list(split_sizes)}"
            )
        bounds.append(bounds[-1] + int(each))
    if bounds[-1] != size:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {dim}), "
            f"but got split_sizes={list(split_sizes)}"
        )
    return _divided(tensor, bounds, dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of at most `chunks` consecutive parts of equal size, the last perhaps smaller.

    Raises:
        RuntimeError: `chunks` is not positive, or the tensor has no dims.
        IndexError: there is no such dimension.
    """
    if input.array.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = wrap_dim(dim, input.array.ndim)
    size = input.array.shape[dim]
    if size == 0:
        return _divided(input, [0] * (chunks + 1), dim)
    return split(input, -(-size // chunks), dim)


def tensor_split(input: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of parts along a dimension, as even as can be or divided at given places.

    Args:
        input: what to divide.
        indices_or_sections: how many parts, or the places where a new part begins.
        dim: the dimension.

    Raises:
        RuntimeError: the number of parts is not positive, or the tensor has no dims.
        TypeError: the parts are given by something else.
        IndexError: there is no such dimension.
    """
    if input.array.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap_dim(dim, input.array.ndim)
    size = input.array.shape[dim]
    if isinstance(indices_or_sections, Tensor):
        if indices_or_sections.array.ndim > 1 or indices_or_sections.array.dtype != "int64":
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor "
                f"of dtype long, but got {indices_or_sections.array.ndim} dims of {indices_or_sections.dtype.name}"
            )
        indices_or_sections = indices_or_sections.tolist()
    if not isinstance(indices_or_sections, (tuple, list)):
        sections = operator.index(indices_or_sections)  # type: ignore[arg-type]  # a tensor has become its list
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        return _divided(
            input, [place * (size // sections) + min(place, size % sections) for place in range(sections + 1)], dim
        )
    places = [slice(0, place).indices(size)[1] for place in indices_or_sections]
    return tuple(
        part(input, along(dim, slice(start, max(start, stop))), "Slice")
        for start, stop in zip([0, *places], [*places, size], strict=True)
    )


def hsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Return views of parts along the columns (of a vector: along itself); see `tensor_split`."""
    return _split_along(input, indices_or_sections, "hsplit", 1, 0 if input.array.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Return views of parts along the rows; see `tensor_split`."""
    return _split_along(input, indices_or_sections, "vsplit", 2, 0)


def dsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Return views of parts along the third dimension; see `tensor_split`."""
    return _split_along(input, indices_or_sections, "dsplit", 3, 2)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return a view for every place along a dimension, without that dimension.

    Raises:
        IndexError: there is no such dimension.
    """
    if input.array.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = wrap_dim(dim, input.array.ndim)
    return tuple(part(input, along(dim, place), "Unbind") for place in range(input.array.shape[dim]))


def _listed(tensors: Sequence[Tensor], when_empty: str, error: type[Exception] = ValueError) -> tuple[Tensor, ...]:
    """Return the tensors as a tuple, after checking that there are some, on one device.

    Raises:
        TypeError: an element is no tensor.
        RuntimeError: they lie on different devices.
    """
    if isinstance(tensors, Tensor):
        raise TypeError("argument 'tensors' must be tuple of Tensors, not Tensor")
    listed = tuple(tensors)
    if not listed:
        raise error(when_empty)
    for position, each in enumerate(listed):
        if not isinstance(each, Tensor):
            raise TypeError(f"expected Tensor as element {position} in argument 0, but got {type(each).__name__}")
    same_device("cat", *listed)
    return listed


def _check_fits(first: tuple[int, ...], shape: tuple[int, ...], dim: int, position: int) -> None:
    """Raise a RuntimeError where `shape` cannot be joined to `first` along `dim`."""
    if len(shape) != len(first):
        raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}")
    for i, (expected, size) in enumerate(zip(first, shape, strict=True)):
        if i != dim and size != expected:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected size {expected} in dimension {i} "
                f"but got size {size} for tensor number {position} in the list."
            )


def _divided(tensor: Tensor, bounds: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    """Return views of the parts between neighbouring bounds."""
    return tuple(part(tensor, along(dim, slice(start, stop)), "Split") for start, stop in itertools.pairwise(bounds))


def _split_along(
    input: Tensor, indices_or_sections: int | Sequence[int], name: str, min_dims: int, dim: int
) -> tuple[Tensor, ...]:
    """Return the parts along `dim`; a number of parts must divide its size.

    Raises:
        RuntimeError: there are too few dims, or the number of parts does not divide the size.
    """
    if input.array.ndim < min_dims:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {min_dims} dimension(s), but got a tensor with "
            f"{input.array.ndim} dimensions!"
        )
    if isinstance(indices_or_sections, int):
        size = input.array.shape[dim]
        if indices_or_sections <= 0 or size % indices_or_sections:
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {size} is not "
                f"divisible by the split_size {indices_or_sections}!"
            )
    return tensor_split(input, indices_or_sections, dim)
