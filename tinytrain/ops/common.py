"""What every op needs: dims, tuples, type promotion, casts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any, TypeVar

import numpy as np

from tinytrain import dtypes
from tinytrain.device import array_module, module_of
from tinytrain.dtypes import FLOATS
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

Function = TypeVar("Function", bound=Callable[..., Any])


def wrap_dim(dim: int, ndim: int) -> int:
    """Return `dim` counted from the front.

    Args:
        dim: from -ndim to ndim - 1; a tensor without dimensions counts as having one.
        ndim: the number of dimensions.

    Raises:
        IndexError: there is no such dimension.
    """
    limit = ndim or 1
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    return dim + limit if dim < 0 else dim


def wrap_dims(dims: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return dims counted from the front; None or an empty sequence means all of them.

    Raises:
        IndexError: there is no such dimension.
        RuntimeError: a dimension is named twice.
    """
    if dims is None:
        return tuple(range(ndim))
    if isinstance(dims, int):
        return () if ndim == 0 and wrap_dim(dims, 0) == 0 else (wrap_dim(dims, ndim),)
    if len(dims) == 0:
        return tuple(range(ndim))
    wrapped = tuple(wrap_dim(dim, ndim) for dim in dims)
    for position, dim in enumerate(wrapped):
        if dim in wrapped[:position]:
            raise RuntimeError(f"dim {dim} appears multiple times in the list of dims")
    return wrapped if ndim else ()


def to_tuple(value: int | Sequence[int], n: int, name: str) -> tuple[int, ...]:
    """Return `value` as `n` integers, one for all where it is a single one.

    Args:
        value: an integer, or a sequence of 1 or `n`.
        n: how many are wanted.
        name: the argument, for the message.

    Raises:
        TypeError: it holds something other than integers.
        RuntimeError: it has another length.
    """
    if value.__class__ is int:
        return (value,) * n
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for each in values:
        if isinstance(each, bool) or not hasattr(each, "__index__"):
            raise TypeError(f"`{name}` must be an int or a tuple of ints; got {value!r}")
    values = tuple(int(each) for each in values)
    if len(values) == 1:
        return values * n
    if len(values) != n:
        raise RuntimeError(f"`{name}` must be a single int or a tuple of {n} ints; got {value!r}")
    return values


def is_number(value: Any) -> bool:
    """Return whether `value` is a Python or NumPy number (a bool too), not a tensor."""
    return isinstance(value, (Number, np.generic))


def result_type(*operands: Any) -> dtypes.dtype:
    """Return the type that operands are brought to before an operation, by PyTorch's rules.

    Tensors with dimensions decide first, then tensors without, then Python numbers: a later group only counts
    where it is of a higher kind (bool, integer, float) than those before it.

    Args:
        operands: tensors, dtypes (counted as tensors with dimensions) and Python numbers.
    """
    groups: list[dtypes.dtype | None] = [None, None, None]
    for each in operands:
        if isinstance(each, Tensor):
            rank, found = (0 if each.array.ndim else 1), each.dtype
        elif isinstance(each, dtypes.dtype):
            rank, found = 0, each
        else:
            rank, found = 2, _number_type(each)
        known = groups[rank]
        groups[rank] = found if known is None else dtypes.promote_types(known, found)
    result: dtypes.dtype | None = None
    for found in groups:  # type: ignore[assignment]  # None marks an empty group
        if found is not None and (result is None or found.kind > result.kind):
            result = found
    assert result is not None
    return result


def cast(tensor: Tensor, to: dtypes.dtype) -> Tensor:
    """Return `tensor` with elements of type `to`: itself where it has them already, else a recorded copy."""
    array = tensor.array
    if array.dtype == to.numpy:
        return tensor
    from_ = array.dtype
    with np.errstate(all="ignore"):
        converted = array.astype(to.numpy)
    return record(converted, "ToCopy", (tensor,), (lambda g: g.astype(from_),))


def rounds_once(function: Function, *, promotes: bool = False) -> Function:
    """Let an op of several steps compute floats of 16 bits in float32 and round the results, as PyTorch's kernels do.

    Args:
        function: an op whose first argument decides; where the caller names a `dtype`, that is the result's.
        promotes: the result's type is the one that all tensors promote to, not that of the first.
    """
    code = inspect.unwrap(function).__code__
    names = code.co_varnames[: code.co_argcount]

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        input = args[0] if args else kwargs.get(names[0])
        # The size first: asking for more takes a tenth of the time of a small op.
        if not isinstance(input, Tensor) or input.value.itemsize != 2 or not dtypes.is_low(input.value.dtype):
            return function(*args, **kwargs)
        if _given("inplace", names, args, kwargs):
            return function(*args, **kwargs)  # which rewrites the input by this op out of place
        named = {key: _widened(each) for key, each in kwargs.items()}
        result = function(*map(_widened, args), **named)
        if _given("dtype", names, args, kwargs) is not None:
            return result
        to = input.dtype
        if promotes:
            to = result_type(*(each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)))
        if isinstance(result, Tensor):
            return cast(result, to)
        return type(result)([cast(each, to) for each in result])

    return run  # type: ignore[return-value]  # the wrapper has the signature of what it wraps


def operands(first: Any, second: Any, *, to_float: bool = False) -> tuple[Tensor, Tensor]:
    """Return two operands, at least one of them a tensor, as tensors of one type on one device.

    Args:
        first: a tensor or a Python number.
        second: a tensor or a Python number.
        to_float: bring integers and bools to the default float type.

    Raises:
        RuntimeError: the tensors lie on different devices (one without dimensions may lie on the CPU).
        TypeError: an operand is neither tensor nor number.
    """
    if isinstance(first, Tensor):  # the usual cases, without asking for types by name: half the time of `x + y`
        x = first.array
        if isinstance(second, Tensor):
            y = second.array
            if x.dtype is y.dtype and type(x) is type(y) and (not to_float or x.dtype.kind in FLOATS):
                return first, second
        elif type(second) in (int, float) and x.dtype.kind in FLOATS:
            return first, wrap(array_module(x).asarray(second, x.dtype))
    like = first if isinstance(first, Tensor) else second
    if not isinstance(like, Tensor):
        raise TypeError(f"expected at least one Tensor; got {type(first).__name__} and {type(second).__name__}")
    to = result_type(first, second)
    if to_float and not to.is_floating_point:
        to = dtypes.get_default_dtype()
    return _operand(first, to, like), _operand(second, to, like)


def check_broadcast(a: Tensor, b: Tensor) -> Tensor:
    """Return `b` after checking that it broadcasts with `a`.

    Raises:
        RuntimeError: it does not; the message names the first dimension from the right that differs.
    """
    shape_a, shape_b = a.array.shape, b.array.shape
    if shape_a != shape_b:
        for back, (m, n) in enumerate(zip(reversed(shape_a), reversed(shape_b), strict=False), start=1):
            if m != n and m != 1 and n != 1:
                raise RuntimeError(
                    f"The size of tensor a ({m}) must match the size of tensor b ({n}) at non-singleton dimension "
                    f"{max(len(shape_a), len(shape_b)) - back}"
                )
    return b


def float_operand(tensor: Tensor) -> Tensor:
    """Return `tensor`, brought to the default float type where its elements are integers or bools."""
    return tensor if tensor.array.dtype.kind in FLOATS else cast(tensor, dtypes.get_default_dtype())


def require_tensors(name: str, *arguments: Any) -> None:
    """Check that the first arguments of an op, in their order, are tensors.

    Raises:
        TypeError: one is not; the message names the op and its position, counted from 1.
    """
    for position, each in enumerate(arguments, start=1):
        if not isinstance(each, Tensor):
            raise TypeError(f"{name}(): argument {position} must be Tensor, not {type(each).__name__}")


def same_device(name: str, *tensors: Tensor | None) -> None:
    """Check that tensors lie on one device.

    Raises:
        RuntimeError: they do not; the message names the op and both devices.
    """
    for each in tensors:
        if each is not None and each.value.__class__ is not np.ndarray:
            break
    else:
        return  # all on the CPU, the usual case
    places = {each.device for each in tensors if each is not None}
    if len(places) > 1:
        found = " and ".join(sorted(map(str, places)))
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found {found}. Move them with .to(device)"
        )


def _given(name: str, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the argument `name`, by name or in its place among `names`; None where it is left out."""
    return kwargs.get(name) if name not in names[: len(args)] else args[names.index(name)]


def _widened(value: Any) -> Any:
    """Return a tensor of floats of 16 bits in float32; anything else as it is."""
    is_low = isinstance(value, Tensor) and dtypes.is_low(value.value.dtype)
    return cast(value, dtypes.float32) if is_low else value


def _operand(value: Any, to: dtypes.dtype, like: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        if type(value.array) is not type(like.array):
            same_device("operation", value, like)
        return cast(value, to)
    xp = module_of(like.device)
    try:
        return wrap(xp.asarray(value, dtype=to.numpy))
    except OverflowError:  # an integer of more bits wraps, also where it is compared
        return wrap(xp.asarray(np.asarray(value).astype(to.numpy)))


def _number_type(value: Any) -> dtypes.dtype:
    if isinstance(value, (bool, np.bool_)):
        return dtypes.bool_
    if isinstance(value, (int, np.integer)):
        return dtypes.int64
    if isinstance(value, (float, np.floating)):
        return dtypes.get_default_dtype()
    raise TypeError(f"expected a Tensor or a number, but got {type(value).__name__}")
