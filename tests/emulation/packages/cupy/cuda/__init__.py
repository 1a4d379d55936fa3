"""Devices, streams, events, memory and kernels of the emulated device."""

from __future__ import annotations

from cupy._memory import (
    BaseMemory,
    Memory,
    MemoryHook,
    MemoryPointer,
    MemoryPool,
    PinnedMemoryPointer,
    PinnedMemoryPool,
    UnownedMemory,
    alloc,
    alloc_pinned_memory,
    get_allocator,
    set_allocator,
    using_allocator,
)
from cupy.cuda import compiler, device, graph, memory, nvrtc, pinned_memory, runtime, stream
from cupy.cuda.device import Device, get_device_id
from cupy.cuda.graph import Graph
from cupy.cuda.stream import Event, ExternalStream, Stream, get_current_stream, get_elapsed_time


def is_available() -> bool:
    return runtime.getDeviceCount() > 0


def get_local_runtime_version() -> int:
    return runtime.runtimeGetVersion()


def get_cuda_path() -> str | None:
    return None
