"""The same values in another order of dims or elements: permutations (views), flips, rolls and turns."""

from __future__ import annotations

from collections.abc import Sequence

from tinytrain.device import Array, array_module
from tinytrain.ops.common import wrap_dim
from tinytrain.ops.shape import variadic
from tinytrain.recording import record, record_view
from tinytrain.tensor import Tensor

__all__ = [
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "movedim",
    "permute",
    "reversed_dims",
    "roll",
    "rot90",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
]


@variadic
def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Return a view with its dims in another order.

    Args:
        input: the tensor to view.
        dims: for each dimension of the result the one of `input`.

    Raises:
        RuntimeError: `dims` does not name every dimension once.
        IndexError: there is no such dimension.
    """
    ndim = input.array.ndim
    if len(dims) != ndim:
        raise RuntimeError(
            f"permute: number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(dims)}"
        )
    order = tuple(wrap_dim(dim, ndim) for dim in dims)
    if len(set(order)) != ndim:
        raise RuntimeError(f"permute(): duplicate dims are not allowed: {tuple(dims)}")
    return _permuted(input, order, "Permute")


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return a view with two dims exchanged.

    Raises:
        IndexError: there is no such dimension.
    """
    ndim = input.array.ndim
    dim0, dim1 = wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)
    order = list(range(ndim))
    if ndim:
        order[dim0], order[dim1] = dim1, dim0
    return _permuted(input, tuple(order), "Transpose")


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Return a view with two dims exchanged: `transpose`."""
    return transpose(input, axis0, axis1)


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return a view with two dims exchanged: `transpose`."""
    return transpose(input, dim0, dim1)


def t(input: Tensor) -> Tensor:
    """Return a view of a matrix with its dims exchanged; of a vector or a scalar, itself.

    Raises:
        RuntimeError: there are more than two dims.
    """
    ndim = input.array.ndim
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return _permuted(input, tuple(reversed(range(ndim))), "T")


def reversed_dims(input: Tensor) -> Tensor:
    """Return a view with all dims in reverse order, `Tensor.T` of PyTorch."""
    return _permuted(input, tuple(reversed(range(input.array.ndim))), "Permute")


def matrix_transpose(input: Tensor) -> Tensor:
    """Return a view with the last two dims exchanged, `Tensor.mT` of PyTorch.

    Raises:
        RuntimeError: there are fewer than two dims.
    """
    if input.array.ndim < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {input.array.ndim}-D tensor."
        )
    return transpose(input, -2, -1)


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Return a view with dims moved to other places, the rest in their order.

    Args:
        input: the tensor to view.
        source: the dims to move.
        destination: their places in the result.

    Raises:
        RuntimeError: the two have different lengths or name a dimension twice.
        IndexError: there is no such dimension.
    """
    ndim = input.array.ndim
    sources = _as_dims(source)
    destinations = _as_dims(destination)
    if len(sources) != len(destinations):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(sources)} dims) should contain the same "
            f"number of dims as destination ({list(destinations)} dims)"
        )
    from_ = [wrap_dim(dim, ndim) for dim in sources]
    to = [wrap_dim(dim, ndim) for dim in destinations]
    for name, dims in (("source", from_), ("destination", to)):
        if len(set(dims)) < len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({dims})")
    order = [dim for dim in range(ndim) if dim not in from_]
    for place, dim in sorted(zip(to, from_, strict=True)):
        order.insert(place, dim)
    return _permuted(input, tuple(order[:ndim]), "Permute")


def moveaxis(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Return a view with dims moved to other places: `movedim`."""
    return movedim(input, source, destination)


@variadic
def flip(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Return a copy with the order of elements reversed along dims.

    Raises:
        RuntimeError: a dimension is named twice.
        IndexError: there is no such dimension.
    """
    ndim = input.array.ndim
    wrapped = [wrap_dim(dim, ndim) for dim in dims]
    if len(set(wrapped)) < len(wrapped):
        raise RuntimeError(f"flip: a dim appears multiple times in the list of dims {list(dims)}")
    index = tuple(slice(None, None, -1 if dim in wrapped else 1) for dim in range(ndim))
    return record(input.array[(*index, ...)].copy(), "Flip", (input,), (lambda g: g[(*index, ...)],))


def fliplr(input: Tensor) -> Tensor:
    """Return a copy with the columns (dimension 1) in reverse.

    Raises:
        RuntimeError: there are fewer than two dims.
    """
    if input.array.ndim < 2:
        raise RuntimeError(f"fliplr: Input must be >= 2-d; it has {input.array.ndim} dims")
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """Return a copy with the rows (dimension 0) in reverse.

    Raises:
        RuntimeError: there are no dims.
    """
    if input.array.ndim < 1:
        raise RuntimeError("flipud: Input must be >= 1-d; it has 0 dims")
    return flip(input, (0,))


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Return a copy whose elements have moved along dims; what leaves at the end comes in at the front.

    Args:
        input: the tensor to roll.
        shifts: by how many places, one for each of `dims`.
        dims: along which; by default along the flattened tensor, which is then given its shape back.

    Raises:
        RuntimeError: shifts and dims differ in number.
        IndexError: there is no such dimension.
    """
    steps = _as_dims(shifts)
    along = () if dims is None else _as_dims(dims)
    if not steps:
        raise RuntimeError("`shifts` required")
    if len(steps) != (len(along) or 1):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(along)}")
    ndim = input.array.ndim
    if along and not ndim:
        raise IndexError(f"Dimension specified as {along[0]} but tensor has no dimensions")
    axes = tuple(wrap_dim(dim, ndim) for dim in along) or None
    back = tuple(-step for step in steps)
    xp = array_module(input.array)
    return record(
        xp.roll(input.array, steps if axes else steps[0], axes),
        "Roll",
        (input,),
        (lambda g: xp.roll(g, back if axes else back[0], axes),),
    )


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Return a copy turned by `k` times 90 degrees in the plane of two dims, from the first towards the second.

    Raises:
        RuntimeError: `dims` are not two different ones, or there are fewer than two.
        IndexError: there is no such dimension.
    """
    ndim = input.array.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == ndim:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    axes = (wrap_dim(dims[0], ndim), wrap_dim(dims[1], ndim))
    xp = array_module(input.array)
    turned = xp.rot90(input.array, k % 4, axes)
    return record(turned.copy(), "Rot90", (input,), (lambda g: xp.rot90(g, -k % 4, axes),))


def _permuted(input: Tensor, order: tuple[int, ...], name: str) -> Tensor:
    back = tuple(sorted(range(len(order)), key=order.__getitem__))

    def replay(a: Array) -> Array:
        return a.transpose(order)

    return record_view(input, name, replay, lambda g: g.transpose(back))


def _as_dims(value: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)  # type: ignore[return-value]
