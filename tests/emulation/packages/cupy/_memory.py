"""The emulated device's memory: one range of addresses, blocks of it handed out by a pool as CuPy's.

Fresh memory holds no zeros but ones in every bit, NaN for floats, so that nobody relies on what `empty` returns. Around
each block lie bytes that nobody may write; `check_guards` says whether somebody did.
"""

from __future__ import annotations

import bisect
import contextlib
import gc
import mmap
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from cupy import _capture
from cupy.cuda import runtime

DEVICE_BYTES = 8 << 30
_ROUND = 512  # what CuPy's pool rounds to
_GUARD = 512
_PATTERN = 0xA5

_arena = mmap.mmap(
    -1, DEVICE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
)
_bytes = np.frombuffer(_arena, np.uint8)
_base = int(_bytes.ctypes.data)
_end = 0  # bytes of the arena that were ever handed out by the driver
_driver_free: dict[int, list[int]] = {}  # blocks given back to the driver, by size
_live: list[tuple[int, int]] = []  # (offset, size) of blocks in use, sorted
_lock = threading.RLock()


class OutOfMemoryError(MemoryError):
    """There is not enough memory on the device, or within the pool's limit."""

    def __init__(self, size: int, total: int, limit: int = 0):
        self._size, self._total, self._limit = size, total, limit
        text = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        super().__init__(text + (f", limit set to: {limit:,} bytes)." if limit else ")."))

    def __reduce__(self) -> Any:
        return type(self), (self._size, self._total, self._limit)


class BaseMemory:
    """Some memory of the device: `ptr`, `size`, `device_id`."""

    def __init__(self, offset: int, size: int):
        self._offset = offset
        self.size = size
        self.device_id = 0
        self.ptr = _base + offset

    @property
    def device(self) -> Any:
        from cupy.cuda import Device

        return Device(self.device_id)


class Memory(BaseMemory):
    """A block that came from the driver."""


class _PooledMemory(BaseMemory):
    """A block that goes back to its pool when nobody holds it any more."""

    def __init__(self, offset: int, size: int, rounded: int, pool: MemoryPool):
        super().__init__(offset, size)
        self._rounded, self._pool = rounded, pool

    def __del__(self) -> None:
        if _lock is None:  # the interpreter is going, and its modules before it
            return
        with _lock:
            if _live:
                del _live[bisect.bisect_left(_live, (self._offset, self.size))]
        self._pool._used -= self._rounded
        self._pool._free.setdefault(self._rounded, []).append(self._offset)


class UnownedMemory(BaseMemory):
    """Memory that something else owns and keeps alive."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1):
        super().__init__(ptr - _base, size)
        self._owner = owner


class MemoryPointer:
    """A place in a block: `mem` and `ptr`."""

    def __init__(self, mem: BaseMemory, offset: int):
        self.mem = mem
        self.ptr = mem.ptr + offset

    @property
    def device_id(self) -> int:
        return self.mem.device_id

    @property
    def device(self) -> Any:
        return self.mem.device

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def __int__(self) -> int:
        return self.ptr

    def memset_async(self, value: int, size: int, stream: Any = None) -> None:
        view = _view(self.ptr, size)
        _capture.run(lambda: view.fill(value))

    def memset(self, value: int, size: int) -> None:
        _capture.forbid()
        _view(self.ptr, size).fill(value)

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Any = None) -> None:
        to, source = _view(self.ptr, size), _view(src.ptr, size)
        _capture.run(lambda: np.copyto(to, source))

    def copy_from_device(self, src: MemoryPointer, size: int) -> None:
        _capture.forbid()
        self.copy_from_device_async(src, size)

    def copy_from_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        to, source = _view(self.ptr, size), _host_view(mem, size)
        _capture.run(lambda: np.copyto(to, source))

    def copy_from_host(self, mem: Any, size: int) -> None:
        _capture.forbid()
        self.copy_from_host_async(mem, size)

    def copy_to_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        to, source = _host_view(mem, size), _view(self.ptr, size)
        _capture.run(lambda: np.copyto(to, source))

    def copy_to_host(self, mem: Any, size: int) -> None:
        _capture.forbid()
        self.copy_to_host_async(mem, size)


_hooks: dict[str, MemoryHook] = {}


class MemoryHook:
    """Is told of every allocation within its block."""

    name = "MemoryHook"

    def __enter__(self) -> MemoryHook:
        if self.name in _hooks:
            raise KeyError(f"memory hook {self.name} already exists")
        _hooks[self.name] = self
        return self

    def __exit__(self, *_: Any) -> None:
        del _hooks[self.name]

    def malloc_postprocess(self, **kwargs: Any) -> None:
        pass


class MemoryPool:
    """Keeps freed blocks and hands them out again, by size."""

    def __init__(self, allocator: Any = None):
        self._free: dict[int, list[int]] = {}
        self._used = 0
        self._total = 0
        self._limit = 0

    def malloc(self, size: int) -> MemoryPointer:
        rounded = max(-(-size // _ROUND), 1) * _ROUND
        if _capture.is_capturing():
            size = rounded  # a launch may use the block for several arrays, one after the other
        if not self._free.get(rounded):
            self._grow(rounded)
        offset = self._free[rounded].pop()
        self._used += rounded
        with _lock:
            bisect.insort(_live, (offset, size))
        _bytes[offset - _GUARD : offset] = _PATTERN
        _bytes[offset + size : offset + rounded + _GUARD] = _PATTERN
        if not _capture.is_capturing():  # the memory may be one that recorded work fills before
            _bytes[offset : offset + size] = 0xFF
        memory = _PooledMemory(offset, size, rounded, self)
        for hook in _hooks.values():
            hook.malloc_postprocess(device_id=0, size=size, mem_size=rounded, mem_ptr=memory.ptr, pmem_id=id(memory))
        return MemoryPointer(memory, 0)

    def _grow(self, rounded: int) -> None:
        limit = self._limit or 1 << 63
        for attempt in range(2):
            if self._total + rounded <= limit:
                offset = _driver_malloc(rounded)
                if offset is not None:
                    self._total += rounded
                    self._free.setdefault(rounded, []).append(offset)
                    return
            if attempt == 0:
                gc.collect()
                self.free_all_blocks()
                if self._free.get(rounded):
                    return
        raise OutOfMemoryError(rounded, self._total, self._limit)

    def free_all_blocks(self, stream: Any = None) -> None:
        for rounded, offsets in self._free.items():
            self._total -= rounded * len(offsets)
            _driver_free.setdefault(rounded, []).extend(offsets)
        self._free.clear()

    def free_all_free(self) -> None:
        self.free_all_blocks()

    def n_free_blocks(self) -> int:
        return sum(map(len, self._free.values()))

    def used_bytes(self) -> int:
        return self._used

    def free_bytes(self) -> int:
        return self._total - self._used

    def total_bytes(self) -> int:
        return self._total

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self._limit = int(DEVICE_BYTES * fraction) if fraction is not None else size or 0

    def get_limit(self) -> int:
        return self._limit


class PinnedMemoryPointer:
    """Host memory that the device may read while it works; has Python's buffer interface."""

    def __init__(self, mem: Any, offset: int):
        self.mem = mem
        self._offset = offset
        self.ptr = int(mem.ctypes.data) + offset

    def size(self) -> int:
        return self.mem.nbytes - self._offset

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self.mem[self._offset :].__array_interface__

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.mem[self._offset :])


class PinnedMemoryPool:
    """Hands out pinned host memory."""

    def __init__(self, allocator: Any = None):
        self._count = 0

    def malloc(self, size: int) -> PinnedMemoryPointer:
        return alloc_pinned_memory(size)

    def n_free_blocks(self) -> int:
        return self._count

    def free_all_blocks(self) -> None:
        self._count = 0


def alloc_pinned_memory(size: int) -> Any:
    """Return pinned host memory that `numpy.frombuffer` reads and writes."""
    _capture.forbid()
    return _PinnedBuffer(max(size, 1))


class _PinnedBuffer(bytearray):
    """A buffer with what CuPy's pointer to pinned memory has besides."""

    @property
    def mem(self) -> Any:
        return self

    @property
    def ptr(self) -> int:
        return int(np.frombuffer(self, np.uint8).ctypes.data)

    def size(self) -> int:
        return len(self)


_default_pool = MemoryPool()
_default_pinned_pool = PinnedMemoryPool()
_allocator: Callable[[int], MemoryPointer] = _default_pool.malloc
_overriding = threading.local()


def get_allocator() -> Callable[[int], MemoryPointer]:
    """Return what allocates the current thread's arrays."""
    return getattr(_overriding, "allocator", None) or _allocator


def set_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> None:
    """Let `allocator` allocate all arrays."""
    global _allocator
    if getattr(_overriding, "allocator", None):
        raise ValueError("Can't change the global allocator inside `using_allocator` context manager")
    _allocator = allocator or MemoryPool().malloc


@contextlib.contextmanager
def using_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> Iterator[None]:
    """Let `allocator` allocate this thread's arrays within the block."""
    before = getattr(_overriding, "allocator", None)
    _overriding.allocator = allocator
    try:
        yield
    finally:
        _overriding.allocator = before


def alloc(size: int) -> MemoryPointer:
    """Return memory for an array."""
    return get_allocator()(size)


def info() -> tuple[int, int]:
    """Return (free, total) bytes of the device."""
    return DEVICE_BYTES - _end + sum(size * len(each) for size, each in _driver_free.items()), DEVICE_BYTES


def check_guards(addresses: Iterable[int] | None = None) -> None:
    """Raise where bytes beside a block in use were written.

    Args:
        addresses: of the blocks to look at; None: all of them.

    Raises:
        CUDARuntimeError: the message tells the block.
    """
    if addresses is None:
        blocks = list(_live)
    else:
        found = (bisect.bisect_right(_live, (address - _base, DEVICE_BYTES)) - 1 for address in addresses)
        blocks = [_live[i] for i in found if i >= 0]
    for offset, size in blocks:
        rounded = max(-(-size // _ROUND), 1) * _ROUND
        before, after = _bytes[offset - _GUARD : offset], _bytes[offset + size : offset + rounded + _GUARD]
        if (before != _PATTERN).any() or (after != _PATTERN).any():
            raise runtime.CUDARuntimeError(
                runtime._errorIllegalAddress, f"a kernel wrote beside the block of {size} bytes at {_base + offset:#x}"
            )


def array_at(pointer: MemoryPointer, shape: Any, dtype: Any, strides: Any) -> np.ndarray:
    """Return NumPy's view of some of the device's memory, which does not keep the block."""
    if 0 in shape:
        return np.empty(shape, dtype)
    offset = pointer.ptr - _base
    return np.ndarray(shape, dtype, buffer=_arena, offset=offset, strides=strides)


def _driver_malloc(rounded: int) -> int | None:
    global _end
    if _driver_free.get(rounded):
        return _driver_free[rounded].pop()
    needed = rounded + 2 * _GUARD
    if _end + needed > DEVICE_BYTES:
        _driver_free.clear()  # a real device would put the pieces together
        return None
    offset = _end + _GUARD
    _end += needed
    return offset


def _view(address: int, size: int) -> np.ndarray:
    return _bytes[address - _base : address - _base + size]


def _host_view(address: Any, size: int) -> np.ndarray:
    import ctypes

    place = int(getattr(address, "value", address))
    return np.frombuffer((ctypes.c_uint8 * size).from_address(place), np.uint8)
