"""Reading elements by index tensors: along a dimension, from the flattened tensor, by mask."""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.kernels.scattering import scatter_add
from tinytrain.ops.common import same_device, wrap_dim
from tinytrain.ops.output import accepts_out
from tinytrain.ops.places import checked_places, checked_vector, lattice
from tinytrain.ops.shape import broadcast_shapes, broadcast_tensors, expand, reshape
from tinytrain.ops.slicing import along
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = [
    "argwhere",
    "gather",
    "index_select",
    "masked_select",
    "nonzero",
    "take",
    "take_along_dim",
]


@accepts_out
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Return `out[i][j][k] = input[index[i][j][k]][j][k]` (for dim 0), of the shape of `index`.

    Args:
        input: the values.
        dim: the dimension that the indices count along.
        index: int64, of as many dims as `input` and no larger in any dimension but `dim`.
        sparse_grad: accepted as in PyTorch; gradients are dense.

    Raises:
        RuntimeError: an index is out of range, or shape or type of `index` do not fit.
        IndexError: there is no such dimension.
    """
    dim = wrap_dim(dim, input.array.ndim)
    places = lattice("gather", input, dim, index)
    array = input.array.reshape(input.array.shape or (1,))
    out = array[places].reshape(index.array.shape)
    return record(out, "Gather", (input,), (lambda g: _sum_at(input, places, g),))


@accepts_out
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the slices of `input` along a dimension that `index` names, in its order.

    Args:
        input: the values.
        dim: the dimension.
        index: a vector of int32 or int64.

    Raises:
        IndexError: an index is out of range, `index` is no vector, or there is no such dimension.
        RuntimeError: `index` has another type.
    """
    dim = wrap_dim(dim, input.array.ndim)
    places = along(dim, checked_vector("index_select", input, dim, index))
    array = input.array.reshape(input.array.shape or (1,))
    out = array[places]
    if input.array.ndim == 0:
        out = out.reshape(())
    return record(out, "IndexSelect", (input,), (lambda g: _sum_at(input, places, g),))


@accepts_out
def take(input: Tensor, index: Tensor) -> Tensor:
    """Return the elements of the flattened tensor that `index` names, in the shape of `index`.

    Args:
        input: the values.
        index: int64; negative ones count from the end.

    Raises:
        IndexError: an index is out of range.
        RuntimeError: `index` has another type.
    """
    places = checked_places("take", input, index)
    out = input.array.reshape(-1)[places]
    shape = input.array.shape

    def rule(g: Array) -> Array:
        total = array_module(g).zeros(input.array.size, g.dtype)
        scatter_add(total, places, g)
        return total.reshape(shape)

    return record(out, "Take", (input,), (rule,))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Return the values at `indices` along a dimension; the other dims broadcast.

    Args:
        input: the values.
        indices: int64, as `argsort` and `argmax` with `keepdim` give them; negative ones count from the end.
        dim: the dimension; without one both are flattened.

    Raises:
        RuntimeError: an index is out of range, or shape or type of `indices` do not fit.
        IndexError: there is no such dimension.
    """
    same_device("take_along_dim", input, indices)
    if dim is None:
        return take_along_dim(reshape(input, (-1,)), reshape(indices, (-1,)), 0)
    if indices.array.ndim != input.array.ndim:
        raise RuntimeError(
            f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.array.ndim} dimensions for input, and {indices.array.ndim} dimensions for indices"
        )
    dim = wrap_dim(dim, input.array.ndim)
    shape = list(input.array.shape)
    others = list(indices.array.shape)
    size, count = shape[dim], others[dim]
    shape[dim] = others[dim] = 1
    common = list(broadcast_shapes(shape, others))
    from_front = array_module(indices.array).where(indices.array < 0, indices.array + size, indices.array)
    return gather(
        expand(input, (*common[:dim], size, *common[dim + 1 :])),
        dim,
        expand(wrap(from_front), (*common[:dim], count, *common[dim + 1 :])),
    )


@accepts_out
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where a mask is true, in a vector.

    Args:
        input: the values.
        mask: bool; it broadcasts with `input`.

    Raises:
        RuntimeError: the mask has another type or does not broadcast.
    """
    if mask.array.dtype != bool:
        raise RuntimeError(f"masked_select: expected BoolTensor for mask; got {mask.dtype.name}")
    same_device("masked_select", input, mask)
    spread, chosen = broadcast_tensors(input, mask)
    where = chosen.array
    xp = array_module(where)

    def rule(g: Array) -> Array:
        total = xp.zeros(where.shape, g.dtype)
        total[where] = g
        return total

    return record(spread.array[where], "MaskedSelect", (spread,), (rule,))


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Return where the elements are not zero.

    Args:
        input: the tensor.
        as_tuple: return one vector per dimension, which can index, instead of one matrix.

    Returns:
        int64: a row of indices per element found, (count, ndim); or a tuple of vectors (count).
    """
    xp = array_module(input.array)
    if as_tuple:
        return tuple(wrap(each) for each in xp.nonzero(xp.atleast_1d(input.array)))
    return argwhere(input)


def argwhere(input: Tensor) -> Tensor:
    """Return the indices of the elements that are not zero, one row each: (count, ndim)."""
    return wrap(array_module(input.array).argwhere(input.array))


def _sum_at(input: Tensor, places: tuple[Any, ...], g: Array) -> Array:
    """Return the gradient of `input`, from whose `places` elements were read."""
    shape = input.array.shape
    total = array_module(g).zeros(shape or (1,), g.dtype)
    scatter_add(total, places, g if shape and g.size else g.reshape(-1))
    return total.reshape(shape)
