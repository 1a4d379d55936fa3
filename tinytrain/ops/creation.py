"""Tensors from values, sizes and ranges.

Every function here that makes a tensor also takes PyTorch's keywords `out` (a tensor that receives the result),
`dtype`, `device`, `requires_grad`, `layout` (only `strided` exists) and `pin_memory` (no effect: a memory hint).
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, device, module_of, move, require
from tinytrain.dtypes import FLOATS
from tinytrain.ops.values import array_of
from tinytrain.recording import write
from tinytrain.tensor import Tensor, share, wrap

__all__ = [
    "arange",
    "as_tensor",
    "empty",
    "empty_like",
    "empty_strided",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "new_empty",
    "new_full",
    "new_ones",
    "new_tensor",
    "new_zeros",
    "ones",
    "ones_like",
    "scalar_tensor",
    "tensor",
    "zeros",
    "zeros_like",
]

Create = Callable[..., Tensor]


def creation(function: Callable[..., Array]) -> Create:
    """Turn a function that returns an array into one that returns a tensor and takes the common keywords.

    Args:
        function: takes its own arguments and the keywords `dtype` (or None) and `where`, the device.
    """

    @functools.wraps(function)
    def create(
        *args: Any,
        out: Tensor | None = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        if layout is not None and str(layout) != "torch.strided":
            raise NotImplementedError(f"{function.__name__}: `layout` (={layout}) must be strided")
        if out is not None and dtype is None:
            dtype = out.dtype
        wanted = None if dtype is None else dtypes.as_dtype(dtype)
        where = require(device if device is not None or out is None else out.device)
        array = move(function(*args, dtype=wanted, where=where, **kwargs), where)
        return wrap(array).requires_grad_(requires_grad) if out is None else store(array, out)

    return create


def store(array: Array, out: Tensor) -> Tensor:
    """Put a result into the tensor that the caller passed as `out`, and return that.

    Raises:
        RuntimeError: the element types differ, or `out` requires gradients.
    """
    if out.array.dtype != array.dtype:
        found, wanted = dtypes.from_numpy_dtype(array.dtype), out.dtype
        raise RuntimeError(f"dtype {found.name} does not match dtype of out parameter ({wanted.name})")
    if out.requires_grad:
        raise RuntimeError("functions with out=... don't support automatic differentiation, but `out` requires grad")
    if out.shape == array.shape:
        write(out, ..., array)
    else:
        out.data = wrap(array)
    return out


def sizes_of(name: str, sizes: Sequence[Any], size: Any = None) -> tuple[int, ...]:
    """Return sizes given as separate integers or as one sequence.

    Args:
        name: of the function, for messages.
        sizes: the positional arguments.
        size: the keyword argument of that name.

    Raises:
        TypeError: a size is not an integer, or there is none.
        RuntimeError: a size is negative.
    """
    if size is not None:
        sizes = (size,)
    if not sizes:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    for position, each in enumerate(sizes, start=1):
        if isinstance(each, bool) or not hasattr(each, "__index__"):
            raise TypeError(
                f"{name}(): argument 'size' (position {position}) must be tuple of ints, not {type(each).__name__}"
            )
    checked = tuple(each.__index__() for each in sizes)
    if min(checked, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(checked)}: {list(checked)}")
    return checked


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return a leaf with a copy of `data`.

    Args:
        data: a number, nested sequences of numbers, an array or a tensor.
        dtype: by default that of an array or tensor; of Python numbers bool, int64 or the default float type,
            whichever is the first that holds them all.
        device: by default that of a tensor, else the CPU.
        requires_grad: whether `backward` shall fill `grad`.
        pin_memory: no effect.

    Raises:
        ValueError: the sequences are ragged, or an integer does not fit 64 bits.
        TypeError: something is not a number.
        RuntimeError: the type of a number cannot be told, or a value does not fit `dtype`.
    """
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        device = data.device if device is None else device
        array = data.array.astype((wanted or data.dtype).numpy)
    elif isinstance(data, np.ndarray):
        array = data.astype((wanted or dtypes.from_numpy_dtype(data.dtype)).numpy)
    else:
        array = array_of(data, wanted)
    return wrap(move(array, require(device))).requires_grad_(requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return `data` as a tensor, with its memory and its place on the tape where nothing has to change."""
    if isinstance(data, np.ndarray) and (dtype is None or dtypes.as_dtype(dtype).numpy == data.dtype):
        data = from_numpy(data) if min(data.strides, default=0) >= 0 else tensor(data)
    if isinstance(data, Tensor):
        same_type = data if dtype is None else data.to(dtypes.as_dtype(dtype))
        return same_type if device is None else same_type.to(require(device))
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a tensor that shares the memory of a NumPy array: a change in one is seen in the other.

    Raises:
        TypeError: it is no array, or tensors have no such element type.
        ValueError: a stride is negative.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    dtypes.from_numpy_dtype(array.dtype)
    if not array.dtype.isnative:
        raise ValueError("given numpy array has byte order different from the native byte order")
    if min(array.strides, default=0) < 0:
        raise ValueError(
            f"At least one stride in the given numpy array is negative ({array.strides}), which tensors do not "
            "support. Make a copy with array.copy()"
        )
    return share(array)


@creation
def empty(*sizes: Any, size: Any = None, memory_format: Any = None, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return a tensor of the given sizes whose values are whatever the memory held."""
    return module_of(where).empty(sizes_of("empty", sizes, size), _or_default(dtype))


@creation
def zeros(*sizes: Any, size: Any = None, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return zeros of the given sizes."""
    return module_of(where).zeros(sizes_of("zeros", sizes, size), _or_default(dtype))


@creation
def ones(*sizes: Any, size: Any = None, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return ones of the given sizes."""
    return module_of(where).ones(sizes_of("ones", sizes, size), _or_default(dtype))


@creation
def full(size: Sequence[int], fill_value: Any, *, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return a tensor of the given sizes filled with one number, of the number's type unless `dtype` says other."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    number = array_of(fill_value, dtype)
    if number.ndim:
        raise TypeError(f"full(): argument 'fill_value' (position 2) must be Number, not {type(fill_value).__name__}")
    return module_of(where).full(sizes_of("full", (size,)), number.item(), number.dtype)


@creation
def scalar_tensor(value: Any, *, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return one number as a tensor without dimensions, of the default float type."""
    return np.asarray(value, _or_default(dtype))


@creation
def eye(n: int, m: int | None = None, *, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return a matrix (n, m) with ones on its diagonal and zeros elsewhere; square by default.

    Raises:
        RuntimeError: `n` or `m` is negative.
    """
    m = n if m is None else m
    for name, count in (("n", n), ("m", m)):
        if count < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {count}")
    return module_of(where).eye(n, m, dtype=_or_default(dtype))


@creation
def empty_strided(size: Any, stride: Any, *, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return an uninitialised tensor whose neighbours along each dimension lie `stride` elements apart."""
    size, stride = sizes_of("empty_strided", (size,)), sizes_of("empty_strided", (stride,))
    xp, element = module_of(where), np.dtype(_or_default(dtype))
    extent = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if math.prod(size) else 0
    steps = tuple(step * element.itemsize for step in stride)
    return xp.lib.stride_tricks.as_strided(xp.empty(extent, element), size, steps)


@creation
def arange(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return the numbers from `start` up to but not including `end`, `step` apart; `arange(end)` starts at 0.

    Args:
        start: the first number.
        end: the bound that is not reached.
        step: the distance, not 0.
        dtype: by default int64 where all three are integers, else the default float type.
        where: the device.

    Raises:
        RuntimeError: the step is 0 or leads away from `end`, or a bound is not finite.
        ValueError: the step is below 1 and the dtype int64.
    """
    if end is None:
        start, end = 0, start
    start, end, step = (each.item() if hasattr(each, "item") else each for each in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError(
            f"upper bound and lower bound inconsistent with step sign: start={start}, end={end}, step={step}"
        )
    is_float = any(isinstance(each, float) for each in (start, end, step))
    if dtype is None:
        dtype = dtypes.get_default_dtype() if is_float else dtypes.int64
    if dtype is dtypes.int64:
        start, end, step, is_float = int(start), int(end), int(step), False
        if step == 0:
            raise ValueError("step must be nonzero, also after it is rounded towards zero for integers")
    count = math.ceil((end - start) / step) if is_float else -((start - end) // step)
    if not dtype.is_floating_point:
        start, step = int(start), int(step)
    numbers = module_of(where).arange(count, dtype=np.float64 if dtype.is_floating_point else np.int64) * step + start
    return numbers.astype(dtype.numpy)


@creation
def linspace(start: Any, end: Any, steps: int, *, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return `steps` numbers at equal distances from `start` to `end`, both included.

    Raises:
        RuntimeError: `steps` is negative.
        TypeError: `steps` is not an integer.
    """
    return _spaced(start, end, steps, _or_default(dtype), module_of(where)).astype(_or_default(dtype))


@creation
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: dtypes.dtype | None, where: device
) -> Array:
    """Return `base` to the power of `steps` numbers at equal distances from `start` to `end`, both included.

    Raises:
        RuntimeError: `steps` is negative.
        TypeError: `steps` is not an integer.
    """
    exponents = _spaced(start, end, steps, _or_default(dtype), module_of(where))
    return (float(base) ** exponents).astype(_or_default(dtype))


def like(create: Create) -> Create:
    """Return the `_like` form of a function of sizes: size, dtype and device come from a tensor."""

    def create_like(input: Tensor, *, memory_format: Any = None, **options: Any) -> Tensor:
        return create(input.shape, **_options_of(input, options))

    create_like.__name__ = create_like.__qualname__ = f"{create.__name__}_like"
    create_like.__doc__ = f"As `{create.__name__}`, with the size and by default the dtype and device of `input`."
    return create_like


def _new(create: Create) -> Create:
    """Return the `new_` method of a function: dtype and device come from the tensor it is called on."""

    def create_new(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return create(*args, **_options_of(self, options))

    create_new.__name__ = create_new.__qualname__ = f"new_{create.__name__}"
    create_new.__doc__ = f"As `{create.__name__}`, by default with the dtype and device of this tensor."
    return create_new


empty_like, zeros_like, ones_like = like(empty), like(zeros), like(ones)
new_empty, new_zeros, new_ones, new_full = _new(empty), _new(zeros), _new(ones), _new(full)
new_tensor = _new(tensor)


def full_like(input: Tensor, fill_value: Any, *, memory_format: Any = None, **options: Any) -> Tensor:
    """As `full`, with the size and by default the dtype and device of `input`."""
    return full(input.shape, fill_value, **_options_of(input, options))


def _options_of(source: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    """Return keywords with dtype and device taken from a tensor where they are not given."""
    given = {key: value for key, value in options.items() if value is not None}
    return {"dtype": source.dtype, "device": source.device, **given}


def _or_default(dtype: dtypes.dtype | None) -> np.dtype:
    return (dtype or dtypes.get_default_dtype()).numpy


def _spaced(start: Any, end: Any, steps: int, dtype: np.dtype, xp: Any) -> Array:
    """Return equally spaced float64 numbers, counted from the nearer end so that both ends are exact."""
    if not hasattr(steps, "__index__"):
        raise TypeError(f"argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, got {steps}")
    start, end = (float(np.asarray(float(each)).astype(dtype)) for each in (start, end))
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    if dtype.kind in FLOATS:
        step = float(dtype.type(step))
    index = xp.arange(steps, dtype=np.float64)
    return xp.where(index < steps // 2 if steps > 1 else True, start + step * index, end - step * (steps - 1 - index))
