"""The GPU by `torch.cuda`'s names. What needs a GPU says why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytrain import generator
from tinytrain.device import cuda_device_count as device_count
from tinytrain.device import cuda_is_available as is_available
from tinytrain.device import cuda_problem, cupy, require, synchronize
from tinytrain.device import device as device_type
from tinytrain.errors import DeviceError

__all__ = [
    "current_device",
    "device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "init",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_device",
    "synchronize",
]

Where = device_type | str | int | None
_peaks: dict[int, _Peak] = {}


@dataclass(frozen=True)
class DeviceProperties:
    """What a GPU is.

    Attributes:
        name: the product's.
        major: the first number of the compute capability; `minor` is the second.
        total_memory: bytes.
        multi_processor_count: streaming multiprocessors.
        max_threads_per_multi_processor: resident threads of one.
        shared_memory_per_block: bytes; `shared_memory_per_block_optin` those that a kernel may ask for.
        L2_cache_size: bytes.
        warp_size: threads.
    """

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    max_threads_per_multi_processor: int
    shared_memory_per_block: int
    shared_memory_per_block_optin: int
    L2_cache_size: int
    warp_size: int


class device:
    """Makes a GPU the current one within a block.

    Args:
        device: which; None: the current one.
    """

    def __init__(self, device: Where):
        self.idx = _index(device)

    def __enter__(self) -> None:
        self._before = current_device()
        set_device(self.idx)

    def __exit__(self, *error: Any) -> None:
        set_device(self._before)


def init() -> None:
    """Check that a GPU can be used.

    Raises:
        DeviceError: none can; the message says why.
    """
    if (problem := cuda_problem()) is not None:
        raise DeviceError(f"there is no GPU to use: {problem}")


def is_initialized() -> bool:
    """Return whether a GPU can be used: there is nothing else to initialise."""
    return is_available()


def current_device() -> int:
    """Return the number of the current GPU."""
    init()
    return int(cupy().cuda.runtime.getDevice())


def set_device(device: Where) -> None:
    """Make a GPU the current one of this thread, which `cuda` without a number means."""
    _gpu(device).use()


def get_device_properties(device: Where = None) -> DeviceProperties:
    """Return what a GPU is."""
    index = _index(device)
    found = cupy().cuda.runtime.getDeviceProperties(index)
    return DeviceProperties(
        name=found["name"].decode(),
        major=found["major"],
        minor=found["minor"],
        total_memory=found["totalGlobalMem"],
        multi_processor_count=found["multiProcessorCount"],
        max_threads_per_multi_processor=found["maxThreadsPerMultiProcessor"],
        shared_memory_per_block=found["sharedMemPerBlock"],
        shared_memory_per_block_optin=found["sharedMemPerBlockOptin"],
        L2_cache_size=found["l2CacheSize"],
        warp_size=found["warpSize"],
    )


def get_device_name(device: Where = None) -> str:
    """Return the product's name of a GPU."""
    return get_device_properties(device).name


def get_device_capability(device: Where = None) -> tuple[int, int]:
    """Return the compute capability of a GPU, as (9, 0)."""
    found = get_device_properties(device)
    return found.major, found.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Return whether bfloat16 can be used.

    Args:
        including_emulation: False: only on GPUs that compute with it themselves (capability 8.0 and later).
    """
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


def mem_get_info(device: Where = None) -> tuple[int, int]:
    """Return the (free, total) bytes of a GPU, whoever uses the rest."""
    with _gpu(device):
        free, total = cupy().cuda.runtime.memGetInfo()
    return int(free), int(total)


def memory_allocated(device: Where = None) -> int:
    """Return the bytes that this program's tensors take up on a GPU."""
    with _gpu(device):
        return int(cupy().get_default_memory_pool().used_bytes())


def memory_reserved(device: Where = None) -> int:
    """Return the bytes that this program holds on a GPU, for tensors that are there and that may come."""
    with _gpu(device):
        return int(cupy().get_default_memory_pool().total_bytes())


def reset_peak_memory_stats(device: Where = None) -> None:
    """Take the largest amounts of memory from now on, in this thread; before the first call nobody counts."""
    index = _index(device)
    if index not in _peaks:
        _peaks[index] = _Peak(index)
    _peaks[index].reset()


def max_memory_allocated(device: Where = None) -> int:
    """Return the largest number of bytes that tensors took up since `reset_peak_memory_stats`.

    Raises:
        RuntimeError: that was never called: counting costs a little at every allocation, so it has to be asked for.
    """
    return _peak(device).allocated


def max_memory_reserved(device: Where = None) -> int:
    """Return the largest number of bytes that this program held since `reset_peak_memory_stats`.

    Raises:
        RuntimeError: that was never called.
    """
    return _peak(device).reserved


def empty_cache() -> None:
    """Give memory back to the GPU that is held for tensors to come."""
    if is_available():
        cupy().get_default_memory_pool().free_all_blocks()


def manual_seed(seed: int) -> None:
    """Start the current GPU's generator anew from `seed`."""
    if is_available():
        generator.generator_of(device_type("cuda", current_device())).manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Start the generators of all GPUs anew from `seed`."""
    for index in range(device_count()):
        generator.generator_of(device_type("cuda", index)).manual_seed(int(seed))


class _Peak:
    """Follows the memory pool of a GPU through CuPy's hook on allocations."""

    def __init__(self, index: int):
        outer = self

        class Hook(cupy().cuda.MemoryHook):  # type: ignore[misc]  # CuPy may be absent when this file is read
            name = f"tinytrain's peak of cuda:{index}"

            def malloc_postprocess(self, **kwargs: Any) -> None:
                if kwargs["device_id"] == index:
                    outer._look()

        self._index = index
        Hook().__enter__()

    def reset(self) -> None:
        """Forget what was."""
        self.allocated = self.reserved = 0
        with cupy().cuda.Device(self._index):
            self._look()

    def _look(self) -> None:
        pool = cupy().get_default_memory_pool()
        self.allocated = max(self.allocated, int(pool.used_bytes()))
        self.reserved = max(self.reserved, int(pool.total_bytes()))


def _peak(device: Where) -> _Peak:
    index = _index(device)
    if index not in _peaks:
        raise RuntimeError("nobody counts yet: call tinytrain.cuda.reset_peak_memory_stats() first")
    return _peaks[index]


def _gpu(device: Where) -> Any:
    """Return CuPy's device, a context in which it is the current one."""
    index = _index(device)
    return cupy().cuda.Device(index)


def _index(device: Where) -> int:
    """Return the number of a GPU; None: the current one's.

    Raises:
        DeviceError: there is no such GPU.
        ValueError: it is no GPU.
    """
    if device is None:
        return current_device()
    found = require(device_type(device))
    if found.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {found}")
    return found.index or 0
