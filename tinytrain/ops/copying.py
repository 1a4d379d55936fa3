"""Copies: one in the same shape, or the same values several times over."""

from __future__ import annotations

from collections.abc import Sequence

from tinytrain.device import Array, array_module, number_of
from tinytrain.kernels.scattering import scatter_add
from tinytrain.ops.common import wrap_dim
from tinytrain.ops.shape import expand, reshape, unpack, variadic
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = ["clone", "contiguous", "meshgrid", "repeat", "repeat_interleave", "tile"]

PRESERVE, CONTIGUOUS, CHANNELS_LAST = (
    "torch.preserve_format",
    "torch.contiguous_format",
    "torch.channels_last",
)


def clone(input: Tensor, *, memory_format: str = PRESERVE) -> Tensor:
    """Return a copy in memory of its own.

    Args:
        input: the tensor to copy.
        memory_format: the order of the elements in memory; the same by default.

    Raises:
        RuntimeError: channels-last is asked of a tensor that has not four dims.
    """
    result = record(in_format(input, memory_format), "Clone", (input,), (lambda g: g,))
    result._is_strided = memory_format == CHANNELS_LAST or (memory_format == PRESERVE and input._is_strided)
    return result


def contiguous(input: Tensor, memory_format: str = CONTIGUOUS) -> Tensor:
    """Return the tensor itself where its elements lie in memory in this order, else a copy.

    Args:
        input: the tensor.
        memory_format: row-major (contiguous) or channels-last order.

    Raises:
        RuntimeError: the format is another, or channels-last is asked of a tensor that has not four dims.
    """
    if memory_format == PRESERVE:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    if input.is_contiguous(memory_format):
        return input
    return clone(input, memory_format=memory_format)


def in_format(input: Tensor, memory_format: str) -> Array:
    """Return a copy of the array of `input` whose elements lie in memory in the order that a format names.

    Raises:
        RuntimeError: there is no such format, or it does not fit the number of dims.
    """
    array = input.array
    if memory_format == PRESERVE:
        return array.copy(order="K")
    if memory_format == CONTIGUOUS:
        return array.copy(order="C")
    if memory_format != CHANNELS_LAST:
        raise RuntimeError(
            f"`memory_format` must be one of {PRESERVE}, {CONTIGUOUS}, {CHANNELS_LAST}; got {memory_format}"
        )
    if array.ndim != 4:
        raise RuntimeError(f"required rank 4 tensor to use channels_last format; got {array.ndim} dims")
    return array.transpose(0, 2, 3, 1).copy(order="C").transpose(0, 3, 1, 2)


@variadic
def repeat(input: Tensor, repeats: Sequence[int]) -> Tensor:
    """Return the tensor laid side by side with itself along each dimension.

    Args:
        input: the tensor, of n dims.
        repeats: how often along each dimension, n numbers or more; the extra ones in front make new dims.

    Raises:
        RuntimeError: there are fewer numbers than dims, or one is negative.
    """
    counts = tuple(int(each) for each in repeats)
    extra = len(counts) - input.array.ndim
    if extra < 0:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: "
            f"{len(counts)} < {input.array.ndim}"
        )
    if min(counts, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeat by {list(counts)}")
    old = input.array.shape
    shape = (1,) * extra + old
    apart = tuple(n for pair in zip(counts, shape, strict=True) for n in pair)
    out = array_module(input.array).tile(input.array, counts)

    def rule(g: Array) -> Array:
        return g.reshape(apart).sum(axis=tuple(range(0, len(apart), 2)), dtype=g.dtype).reshape(old)

    return record(out, "Repeat", (input,), (rule,))


@variadic
def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Return the tensor laid side by side with itself: `repeat`, but missing numbers in front count as 1."""
    missing = input.array.ndim - len(dims)
    return repeat(input, (1,) * missing + tuple(dims))


def repeat_interleave(
    input: Tensor,
    repeats: int | Tensor | None = None,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """Return each element (or slice along `dim`) repeated in place.

    Args:
        input: the values; where `repeats` is left out, the repeats, and the values are 0, 1, 2, ...
        repeats: how often each, one number or one per element along `dim`.
        dim: along which; by default along the flattened tensor.
        output_size: the size of the result along `dim`, checked where given.

    Raises:
        RuntimeError: the repeats do not fit the dimension, are negative or no integers.
        IndexError: there is no such dimension.
    """
    xp = array_module(input.array)
    if repeats is None:
        if input.array.ndim != 1:
            raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
        counts = _checked_repeats(input)
        return wrap(_repeated_places(counts))
    if dim is None:
        input, dim = reshape(input, (input.array.size,)), 0
    ndim = input.array.ndim
    dim = wrap_dim(dim, ndim)
    size = input.array.shape[dim] if ndim else 1
    if isinstance(repeats, Tensor):
        if repeats.array.ndim > 1 or repeats.array.size not in (1, size):
            raise RuntimeError(
                f"repeats must have the same size as input along dim, but got repeats.size(0) = {repeats.array.size} "
                f"and input.size({dim}) = {size}"
            )
        counts = xp.broadcast_to(_checked_repeats(repeats), (size,))
    else:
        if repeats < 0:
            raise RuntimeError(f"repeats can not be negative; got {repeats}")
        counts = xp.full(size, repeats, "int64")
    places = _repeated_places(counts)
    if output_size is not None and output_size != places.size:
        raise RuntimeError(f"output_size (={output_size}) does not match the sum of repeats ({places.size})")
    index = (*(slice(None),) * dim, places)
    shape = input.array.shape

    def rule(g: Array) -> Array:
        total = xp.zeros(shape or (1,), g.dtype)
        scatter_add(total, index, g)
        return total.reshape(shape)

    out = input.array.reshape(shape or (1,))[index]
    return record(out, "IndexSelect", (input,), (rule,))


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Return the coordinates of a grid: each vector expanded over the dims of all.

    Args:
        tensors: vectors, or single numbers as tensors without dims.
        indexing: `ij` for the order given, `xy` to exchange the first two dims of the results.

    Raises:
        RuntimeError: a tensor has more than one dimension, their types differ, or the indexing is another.
    """
    vectors = list(unpack(tensors))
    if not vectors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for each in vectors:
        if each.array.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {list(each.array.shape)}"
            )
        if each.dtype is not vectors[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    places = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        places[0], places[1] = 1, 0
    shape = [0] * len(vectors)
    for place, each in zip(places, vectors, strict=True):
        shape[place] = each.array.size
    return tuple(
        expand(reshape(each, [each.array.size if i == place else 1 for i in range(len(shape))]), shape)
        for place, each in zip(places, vectors, strict=True)
    )


def _checked_repeats(repeats: Tensor) -> Array:
    """Return the repeats as an array, after checking that they are integers from 0."""
    if repeats.array.dtype not in ("int32", "int64"):
        raise RuntimeError(f"repeats has to be Long or Int tensor; got {repeats.dtype.name}")
    if number_of((repeats.array < 0).any()):
        raise RuntimeError("repeats can not be negative")
    return repeats.array.reshape(-1)


def _repeated_places(counts: Array) -> Array:
    """Return 0, 1, 2, ... each as often as `counts` says."""
    xp = array_module(counts)
    ends = xp.cumsum(counts)
    total = number_of(ends[-1]) if ends.size else 0
    return xp.searchsorted(ends, xp.arange(total), side="right")
