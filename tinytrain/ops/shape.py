"""Other shapes of the same values, in the same memory where its strides allow it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tinytrain.device import Array, array_module
from tinytrain.dtypes import dtype as Dtype
from tinytrain.ops.common import wrap_dim
from tinytrain.recording import record, record_view
from tinytrain.tape import unbroadcast
from tinytrain.tensor import Tensor

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_shapes",
    "broadcast_tensors",
    "broadcast_to",
    "expand",
    "expand_as",
    "flatten",
    "ravel",
    "reshape",
    "reshape_as",
    "squeeze",
    "unflatten",
    "unsqueeze",
    "view",
    "view_as",
]

Function = TypeVar("Function", bound=Callable[..., Any])


def variadic(function: Function) -> Function:
    """Let the sequence of integers after the tensor be given as separate integers too, as PyTorch's methods do."""

    @functools.wraps(function)
    def run(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if args and hasattr(args[0], "__index__"):
            return function(input, args, **kwargs)
        return function(input, *args, **kwargs)

    return run  # type: ignore[return-value]  # accepts what `function` does, and more


@variadic
def view(input: Tensor, size: Sequence[int] | Dtype) -> Tensor:
    """Return the same memory under another shape, or its bytes as elements of another type.

    Args:
        input: the tensor to view.
        size: the shape; one size may be -1, to be computed. Or a dtype.

    Raises:
        RuntimeError: the shape has another number of elements, or the strides do not allow it (use `reshape`).
    """
    if isinstance(size, Dtype):
        return _view_as_type(input, size)
    array = input.strided_array()
    shape = infer_shape(size, array.size)
    out = array.reshape(shape)
    if not _keeps_memory(array, out):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
            f"two contiguous subspaces): size {list(shape)}, input {list(array.shape)} with strides "
            f"{list(input.stride())}. Use .reshape(...) instead."
        )
    return _reshaped(input, shape, "View", out)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the same memory under the shape of `other`; see `view`."""
    return view(input, other.shape)


@variadic
def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the values under another shape: a view where the strides allow it, else a copy.

    Args:
        input: the tensor to reshape.
        shape: the sizes; one of them may be -1, to be computed.

    Raises:
        RuntimeError: the shape has another number of elements.
    """
    array = input.strided_array()
    shape = infer_shape(shape, array.size)
    out = array.reshape(shape)
    if _keeps_memory(array, out):
        return _reshaped(input, shape, "View", out)
    return record(out, "UnsafeView", (input,), (lambda g: g.reshape(array.shape),))


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the values under the shape of `other`; see `reshape`."""
    return reshape(input, other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the values with the dims from `start_dim` to `end_dim`, both included, made one.

    Raises:
        RuntimeError: the first comes after the last.
        IndexError: there is no such dimension.
    """
    shape = input.array.shape
    start, end = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if start > end:
        raise RuntimeError(
            f"flatten() has invalid args: start_dim (={start_dim}) cannot come after end_dim (={end_dim})"
        )
    if start == end and shape:
        return input
    return reshape(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """Return the values with one dimension."""
    return reshape(input, (-1,) if input.array.size else (0,))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Return the values with one dimension made several.

    Args:
        input: the tensor to reshape.
        dim: the dimension to divide.
        sizes: its parts; one of them may be -1, to be computed.

    Raises:
        RuntimeError: the sizes do not multiply to that of the dimension.
        IndexError: there is no such dimension.
    """
    shape = input.array.shape
    dim = wrap_dim(dim, len(shape))
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    size = shape[dim]
    known = math.prod(each for each in sizes if each != -1)
    if (size % known if -1 in sizes and known else size != known) or list(sizes).count(-1) > 1:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({size}) "
            "in the input tensor"
        )
    return view(input, (*shape[:dim], *infer_shape(sizes, size), *shape[dim + 1 :]))


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Return a view without dims of size 1.

    Args:
        input: the tensor to view.
        dim: the dims to leave out where their size is 1; all by default.

    Raises:
        IndexError: there is no such dimension.
        RuntimeError: a dimension is named twice.
    """
    shape = input.array.shape
    if dim is None:
        dims = tuple(range(len(shape)))
    else:
        dims = tuple(wrap_dim(each, len(shape)) for each in ((dim,) if isinstance(dim, int) else dim))
        if len(set(dims)) < len(dims):
            raise RuntimeError(f"squeeze: a dim appears multiple times in the list of dims {dim}")
    kept = tuple(size for i, size in enumerate(shape) if size != 1 or i not in dims)
    # PyTorch numbers its forms: of all dims, of one, of several.
    name = "Squeeze" if dim is None else "SqueezeBackward1" if isinstance(dim, int) else "SqueezeBackward2"
    return _reshaped(input, kept, name)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return a view with a new dimension of size 1.

    Args:
        input: the tensor to view.
        dim: its place in the result, from -ndim - 1 to ndim.

    Raises:
        IndexError: there is no such place.
    """
    shape = input.array.shape
    dim = wrap_dim(dim, len(shape) + 1)
    return _reshaped(input, (*shape[:dim], 1, *shape[dim:]), "Unsqueeze")


@variadic
def expand(input: Tensor, size: Sequence[int], *, implicit: bool = False) -> Tensor:
    """Return a view with dims of size 1 repeated, without copying; it cannot be written to.

    Args:
        input: the tensor to view.
        size: the sizes wanted, -1 for one that stays; more of them than `input` has make new dims in front.
        implicit: accepted as in PyTorch; it has no effect.

    Raises:
        RuntimeError: the shape does not broadcast to these sizes.
    """
    old = input.array.shape
    size = tuple(int(each) for each in size)
    new_dims = len(size) - len(old)
    if new_dims < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(size)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({len(old)})"
        )
    shape = []
    for i, wanted in enumerate(size):
        if i < new_dims:
            if wanted < 0:
                raise RuntimeError(
                    f"The expanded size of the tensor ({wanted}) isn't allowed in a leading, non-existing dimension {i}"
                )
            shape.append(wanted)
            continue
        existing = old[i - new_dims]
        if wanted not in (-1, existing) and (existing != 1 or wanted < 0):
            raise RuntimeError(
                f"The expanded size of the tensor ({wanted}) must match the existing size ({existing}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: {list(old)}"
            )
        shape.append(existing if wanted == -1 else wanted)

    def replay(a: Array) -> Array:
        strides = [
            step if existing == wanted else 0
            for step, existing, wanted in zip(a.strides, a.shape, shape[new_dims:], strict=True)
        ]
        for i in reversed(range(new_dims)):
            inner = shape[i + 1] * strides[0] if strides else a.itemsize
            strides.insert(0, inner if shape[i] == 1 else 0)
        return array_module(a).lib.stride_tricks.as_strided(a, shape, strides)

    return record_view(input, "Expand", replay, lambda g: unbroadcast(g, old))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Return `input` expanded to the shape of `other`; see `expand`."""
    return expand(input, other.shape)


@variadic
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """Return `input` broadcast to a shape, without copying; see `expand`."""
    return expand(input, size)


def broadcast_shapes(*shapes: int | Sequence[int]) -> tuple[int, ...]:
    """Return the shape that all of `shapes` broadcast to.

    Raises:
        RuntimeError: they do not broadcast.
    """
    sizes = [tuple(shape) if isinstance(shape, (tuple, list)) else (shape,) for shape in shapes]
    result = [1] * max(map(len, sizes), default=0)
    for shape in sizes:
        for back, size in enumerate(reversed(shape), start=1):
            if size < 0 or (size != 1 and result[-back] not in (1, size)):
                raise RuntimeError(
                    f"Shape mismatch: objects cannot be broadcast to a single shape: {', '.join(map(str, sizes))}"
                )
            if size != 1:
                result[-back] = size
    return tuple(result)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors expanded to one shape.

    Raises:
        RuntimeError: their shapes do not broadcast.
    """
    listed = unpack(tensors)
    shape = broadcast_shapes(*(each.array.shape for each in listed))
    return tuple(expand(each, shape) for each in listed)


def atleast_1d(*tensors: Any) -> Any:
    """Return each tensor with at least one dimension: one for one, a tuple for several."""
    return _atleast(tensors, lambda each: each if each.array.ndim else reshape(each, (1,)))


def atleast_2d(*tensors: Any) -> Any:
    """Return each tensor with at least two dims, new ones in front: one for one, a tuple for several."""
    return _atleast(tensors, lambda each: each if each.array.ndim > 1 else reshape(each, (1, each.array.size)))


def atleast_3d(*tensors: Any) -> Any:
    """Return each tensor with at least three dims: one for one, a tuple for several.

    A vector becomes (1, n, 1), a matrix (m, n, 1), as in NumPy.
    """

    def raised(each: Tensor) -> Tensor:
        shape = each.array.shape
        if len(shape) > 2:
            return each
        return reshape(each, (*shape, 1) if len(shape) == 2 else (1, each.array.size, 1))

    return _atleast(tensors, raised)


def infer_shape(size: Sequence[int], count: int) -> tuple[int, ...]:
    """Return `size` with its -1 computed, for `count` elements.

    Raises:
        RuntimeError: no such shape has that many elements.
    """
    shape = tuple(map(int, size))
    if math.prod(shape) == count and min(shape, default=0) >= 0:
        return shape
    if min(shape, default=0) < -1:
        raise RuntimeError(f"invalid shape dimension {next(each for each in shape if each < -1)}")
    if shape.count(-1) > 1:
        raise RuntimeError(f"only one dimension can be inferred; got {list(shape)}")
    if -1 in shape:
        known = -math.prod(shape)
        if known == 0 and count == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension "
                "size -1 can be any value and is ambiguous"
            )
        if known and count % known == 0:
            return tuple([count // known if each == -1 else each for each in shape])
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")


def unpack(tensors: Sequence[Any]) -> Sequence[Tensor]:
    """Return the tensors of an argument list that may hold one sequence of them instead."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        return tensors[0]
    return tensors


def address(array: Array) -> int:
    """Return where the first element of an array lies in memory."""
    return array.__array_interface__["data"][0] if hasattr(array, "__array_interface__") else array.data.ptr


def _reshaped(input: Tensor, shape: tuple[int, ...], name: str, out: Array | None = None) -> Tensor:
    """Return the view of another shape, which the strides are known to allow; `out` is its array, if there is one."""
    old = input.array.shape
    return record_view(input, name, lambda a: a.reshape(shape), lambda g: g.reshape(old), out)


def _keeps_memory(array: Array, reshaped: Array) -> bool:
    """Return whether a reshaped array still lies where it did, not in a copy."""
    return array.flags.c_contiguous or array.size == 0 or address(array) == address(reshaped)


def _view_as_type(input: Tensor, to: Dtype) -> Tensor:
    """Return the bytes of `input` as elements of another type, outside the tape.

    Raises:
        RuntimeError: the last dimension does not hold whole elements of that type side by side.
    """
    array = input.strided_array()
    if to.itemsize != array.itemsize:
        place = f"self.view({to.name}) of a {input.dtype.name} tensor"
        if array.ndim == 0:
            raise RuntimeError(f"{place}: self.dim() cannot be 0 when the element size changes")
        if array.strides[-1] != array.itemsize and array.size:
            raise RuntimeError(
                f"{place}: self.stride(-1) must be 1 when the element size changes, but got {input.stride(-1)}"
            )
        if array.shape[-1] * array.itemsize % to.itemsize:
            raise RuntimeError(f"{place}: self.size(-1) must be divisible by {to.itemsize // array.itemsize}")
        ratio = to.itemsize // array.itemsize
        if ratio > 1 and any(step % to.itemsize for step in array.strides[:-1]):
            raise RuntimeError(f"{place}: every stride but the last must be divisible by {ratio}")
    from_ = array.dtype
    return record_view(input.detach(), "ViewDtype", lambda a: a.view(to.numpy), lambda g: g.view(from_))


def _atleast(tensors: Sequence[Any], raised: Callable[[Tensor], Tensor]) -> Any:
    results = tuple(raised(each) for each in unpack(tensors))
    return results[0] if len(tensors) == 1 and isinstance(tensors[0], Tensor) else results
