"""Where arrays live: NumPy on the CPU, CuPy on an NVIDIA GPU. The only module that imports CuPy."""

from __future__ import annotations

import functools
import importlib
import math
import re
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from tinytrain.errors import DeviceError
from tinytrain.gpu_problems import driver_problem, import_problem, library_problem
from tinytrain.gpu_problems import memory_problem as _memory_problem

Array = Any
"""A NumPy or CuPy array; the two share the interface that the engine uses."""


class device:
    """A place for tensors: `device("cpu")`, `device("cuda")`, `device("cuda", 1)`, `device("auto")`.

    Naming a device does not touch it; `require` does.

    Args:
        type: `cpu`, `cuda`, `cuda:N` or `auto` (the first GPU that works, else the CPU).
        index: which GPU, from 0.

    Raises:
        RuntimeError: the name is not one of these.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: str | device | int, index: int | None = None):
        if isinstance(type, device):
            self.type, self.index = type.type, type.index
            return
        if isinstance(type, int) and not isinstance(type, bool):
            index, type = type, "cuda"
        if type == "auto":
            type = "cuda" if cuda_problem() is None else "cpu"
        match = re.fullmatch(r"(cpu|cuda)(?::(\d{1,3}))?", type) if isinstance(type, str) else None
        if match is None:
            raise RuntimeError(f"Expected one of cpu, cuda, cuda:N, auto as device; got {type!r}")
        if match[2] is not None and index is not None:
            raise RuntimeError(f"device index given twice: {type!r} and index={index}")
        self.type = match[1]
        self.index = int(match[2]) if match[2] is not None else index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"


CPU = device("cpu")


@functools.cache
def cuda_problem() -> str | None:
    """Return why no GPU can be used, with the remedy, or None where one can."""
    try:
        module = cupy()
    except ImportError as error:
        return import_problem(error)
    return driver_problem(module) or library_problem(module, _import_cublas)


def cuda_is_available() -> bool:
    """Return whether a tensor can be put on a GPU here."""
    return cuda_problem() is None


def cuda_device_count() -> int:
    """Return how many GPUs can be used."""
    return 0 if cuda_problem() else int(cupy().cuda.runtime.getDeviceCount())


def memory_of(where: device) -> int:
    """Return the bytes of memory that a GPU has."""
    return int(cupy().cuda.Device(where.index or 0).mem_info[1])


def require(where: device | str | int | None) -> device:
    """Return the device meant by `where` (None: the CPU), after checking that it is there.

    Raises:
        DeviceError: there is no such GPU; the message says why and what to do.
    """
    if where is None:
        return CPU
    wanted = where if isinstance(where, device) else device(where)
    if wanted.type == "cpu":
        return CPU
    problem = cuda_problem()
    if problem is not None:
        raise DeviceError(f"device {str(wanted)!r} is not available: {problem}", remedy="Or use device cpu")
    count = cuda_device_count()
    if wanted.index is None:
        return device("cuda", int(cupy().cuda.runtime.getDevice()))
    if wanted.index >= count:
        there = "is 1 GPU, cuda:0" if count == 1 else f"are {count} GPUs, counted from 0"
        raise DeviceError(f"device {str(wanted)!r} is not available: there {there}")
    return wanted


def array_module(array: Array) -> ModuleType:
    """Return the module whose functions work on `array`: numpy or cupy."""
    return np if isinstance(array, (np.ndarray, np.generic)) else cupy()


def module_of(where: device) -> ModuleType:
    """Return the array module of a device."""
    return np if where.type == "cpu" else cupy()


def device_of(array: Array) -> device:
    """Return the device that `array` lies on."""
    if isinstance(array, (np.ndarray, np.generic)):
        return CPU
    return device("cuda", int(array.device.id))


def move(array: Array, to: device, *, non_blocking: bool = False) -> Array:
    """Return `array` on the device `to`, in the same order in memory; the same array where it is there already.

    Args:
        array: of any strides.
        to: where it shall lie.
        non_blocking: do not wait for a copy from pinned memory to a GPU, so that the memory must stay as it is until
            then. From other memory a copy is staged, and nobody waits for it in any case.
    """
    here = device_of(array)
    if here == to:
        return array
    order = memory_order(array)
    ordered = array.transpose(order)
    if to.type == "cpu":
        moved = fetch(ordered)
    else:
        with cupy().cuda.Device(to.index or 0):
            moved = cupy().asarray(ordered, blocking=not non_blocking and is_pinned(array))
    return moved.transpose(_inverse(order))


def memory_order(array: Array) -> tuple[int, ...]:
    """Return the axes of an array from the one with the largest steps in memory to the one with the smallest."""
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))


def like_in_memory(array: Array, empty: Callable[[tuple[int, ...], Any], Array]) -> Array:
    """Return an array in memory that `empty(shape, dtype)` gives, its elements in the order of those of `array`."""
    order = memory_order(array)
    return empty(tuple(array.shape[axis] for axis in order), array.dtype).transpose(_inverse(order))


def fetch(array: Array) -> np.ndarray:
    """Return the values of an array in the memory of the host; the same array where they lie there.

    Whatever the host learns of values on a GPU comes this way, and waits until the GPU has them.
    """
    if isinstance(array, (np.ndarray, np.generic)):
        return np.asarray(array)
    for watch in _reading:
        watch(array)
    with array.device:  # whose stream it is, not the current device's
        return cupy().asnumpy(array)


def number_of(array: Array) -> Any:
    """Return the only element of an array as a Python number; see `fetch`."""
    return fetch(array).item()


@contextmanager
def watched_reads(watch: Callable[[Array], None]) -> Iterator[None]:
    """Tell `watch` of each array on a GPU that the host reads; it may raise, so that it is not read."""
    _reading.append(watch)
    try:
        yield
    finally:
        _reading.remove(watch)


def pinned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an uninitialised array in memory of the host that a GPU can read by itself."""
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    memory = cupy().cuda.alloc_pinned_memory(max(count * dtype.itemsize, 1))
    array = np.frombuffer(memory, dtype, count)
    _pinned[id(array)] = array
    return array.reshape(shape)


def is_pinned(array: Array) -> bool:
    """Return whether an array lies in memory that `pinned_empty` gave."""
    base = getattr(array, "base", None)
    return base is not None and _pinned.get(id(base)) is base


def choose(condition: Array, x: Any, y: Any, dtype: Any) -> Array:
    """Return `x` where a condition holds and `y` elsewhere, as `where` of the array's module, in the type named.

    CuPy's `where` has no bfloat16, and gives float32 for it.
    """
    return array_module(condition).where(condition, x, y).astype(dtype, copy=False)


def sortable(array: Array) -> Array:
    """Return an array of the same order that can be sorted: CuPy sorts no bfloat16, so float32 for it."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def synchronize(where: device | str | int | None = None) -> None:
    """Wait until a GPU has finished what was asked of it on all streams; nothing to do on the CPU.

    Args:
        where: the device; None: the current GPU.
    """
    if where is not None and not isinstance(where, device):
        where = device(where)
    if (where is None or where.type == "cuda") and cuda_problem() is None:
        cupy().cuda.Device(None if where is None else where.index).synchronize()


def memory_problem(error: BaseException) -> str | None:
    """Return what to say of an error that the GPU has too little memory; None for any other error."""
    return _memory_problem(cupy(), error) if "cupy" in sys.modules else None


def memory_message(error: MemoryError) -> str:
    """Return that there is too little memory, on a GPU with what is held there."""
    return memory_problem(error) or f"there is not enough memory{f': {error}' if str(error) else ''}"


def _import_cublas() -> ModuleType:
    return importlib.import_module("cupy_backends.cuda.libs.cublas")


@functools.cache
def cupy() -> ModuleType:
    """Return the module CuPy, imported at the first call."""
    import cupy

    return cupy


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(order)), key=order.__getitem__))


_reading: list[Callable[[Array], None]] = []
_pinned: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
