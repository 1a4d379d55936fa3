"""Element types and devices: conversions as methods of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytrain import dtypes
from tinytrain.device import CPU, cuda_problem, device, device_of, like_in_memory, move, pinned_empty, require
from tinytrain.device import is_pinned as is_pinned_array
from tinytrain.ops.common import cast
from tinytrain.ops.copying import CHANNELS_LAST, PRESERVE, clone, contiguous
from tinytrain.recording import record
from tinytrain.tensor import Tensor

CASTS = {
    "bfloat16": dtypes.bfloat16,
    "bool": dtypes.bool_,
    "byte": dtypes.uint8,
    "char": dtypes.int8,
    "double": dtypes.float64,
    "float": dtypes.float32,
    "half": dtypes.float16,
    "int": dtypes.int32,
    "long": dtypes.int64,
    "short": dtypes.int16,
}
"""The methods that change the element type: `x.float()`, `x.long()`, ..."""

_TENSOR_TYPES = {f"{name.capitalize()}Tensor": to for name, to in CASTS.items()}


def to(
    input: Tensor,
    *args: Any,
    device: Any = None,
    dtype: dtypes.dtype | None = None,
    other: Tensor | None = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: str = PRESERVE,
) -> Tensor:
    """Return the tensor with elements of another type, on another device; itself where nothing changes.

    `to(dtype)`, `to(device, dtype=None)`, `to(other)`, each followed by `non_blocking` and `copy`.

    Args:
        input: the tensor to convert.
        args: as above.
        device: where to put it.
        dtype: the element type.
        other: a tensor whose type and device are taken.
        non_blocking: from pinned memory to a GPU: do not wait for the copy, so that the memory must stay as it is.
        copy: make a copy even where nothing changes.
        memory_format: the order of the elements in memory.

    Raises:
        DeviceError: there is no such device.
        TypeError: the arguments fit no form.
    """
    rest = list(args)
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
    elif rest and isinstance(rest[0], dtypes.dtype):
        dtype = rest.pop(0)
    elif rest:
        device = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], dtypes.dtype)):
            dtype = rest.pop(0)
    if len(rest) > 2 or not all(isinstance(flag, bool) for flag in rest):
        raise TypeError(
            "to() received an invalid combination of arguments; expected to(dtype, non_blocking, copy), "
            f"to(device, dtype, non_blocking, copy) or to(other, non_blocking, copy), got {args!r}"
        )
    if len(rest) == 2:
        copy = rest[1]
    non_blocking = rest[0] if rest else non_blocking
    if other is not None:
        device, dtype = other.device, other.dtype
    result = input if dtype is None else cast(input, dtypes.as_dtype(dtype))
    if device is not None:
        result = _moved(result, require(device), non_blocking)
    if memory_format == CHANNELS_LAST:
        result = contiguous(result, memory_format)
    return clone(result, memory_format=memory_format) if copy and result is input else result


def cpu(input: Tensor, memory_format: str = PRESERVE) -> Tensor:
    """Return the tensor on the CPU; itself where it lies there."""
    return to(input, CPU, memory_format=memory_format)


def cuda(
    input: Tensor,
    device: device | str | int | None = None,
    non_blocking: bool = False,
    memory_format: str = PRESERVE,
) -> Tensor:
    """Return the tensor on a GPU, by default the current one; itself where it lies there.

    Raises:
        DeviceError: there is no such GPU.
    """
    return to(input, "cuda" if device is None else device, non_blocking=non_blocking, memory_format=memory_format)


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the tensor with the element type and on the device of `other`."""
    return to(input, other)


def type(input: Tensor, dtype: dtypes.dtype | str | None = None, non_blocking: bool = False) -> Tensor | str:
    """Return the tensor with elements of another type; without one, the name of its type.

    Args:
        input: the tensor.
        dtype: a dtype or a name such as `torch.FloatTensor`.
        non_blocking: accepted as in PyTorch; it has no effect.

    Raises:
        ValueError: there is no type of that name.
    """
    if dtype is None:
        prefix = "torch.cuda." if input.is_cuda else "torch."
        return prefix + next(name for name, each in _TENSOR_TYPES.items() if each is input.dtype)
    if isinstance(dtype, str):
        place, _, name = dtype.rpartition(".")
        if name not in _TENSOR_TYPES or place not in ("torch", "torch.cuda"):
            raise ValueError(f"invalid type: {dtype!r}")
        return to(input, "cuda" if place == "torch.cuda" else CPU, _TENSOR_TYPES[name])
    return to(input, dtypes.as_dtype(dtype))


def caster(name: str, dtype: dtypes.dtype) -> Callable[..., Tensor]:
    """Return the method of a tensor that converts its elements to `dtype`.

    Args:
        name: of the method.
        dtype: the type to convert to.
    """

    def method(input: Tensor, memory_format: str = PRESERVE) -> Tensor:
        return to(input, dtype, memory_format=memory_format)

    method.__name__ = name
    method.__doc__ = f"Return the tensor with elements of type {dtype.name}; itself where they are that."
    return method


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """Return a copy in memory of the host that a GPU reads by itself; the tensor where it lies there.

    Args:
        input: a tensor on the CPU.
        device: accepted as in PyTorch; it has no effect.

    Raises:
        RuntimeError: the tensor lies on a GPU, or there is none.
    """
    if input.is_cuda:
        raise RuntimeError(f"cannot pin '{input.device}': only dense CPU tensors can be pinned")
    problem = cuda_problem()
    if problem is not None:
        raise RuntimeError(f"pin_memory: there is no GPU to pin memory for: {problem}")
    if is_pinned(input):
        return input
    array = like_in_memory(input.array, pinned_empty)
    array[...] = input.array
    result = record(array, "PinMemory", (input,), (lambda g: g,))
    result._is_strided = input._is_strided
    return result


def is_pinned(input: Tensor, device: Any = None) -> bool:
    """Return whether a tensor lies in memory that `pin_memory` gave; arguments as for that."""
    return not input.is_cuda and is_pinned_array(input.array)


def _moved(tensor: Tensor, where: device, non_blocking: bool) -> Tensor:
    """Return `tensor` on a device that is there, in the same order in memory; its gradient moves back."""
    here = device_of(tensor.array)
    if where == here:
        return tensor
    moved = move(tensor.array, where, non_blocking=non_blocking)
    result = record(moved, "ToCopy", (tensor,), (lambda g: move(g, here),))
    result._is_strided = tensor._is_strided
    return result
