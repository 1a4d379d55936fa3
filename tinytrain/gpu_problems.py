"""Why a GPU cannot be used, or is out of memory, and what to do about it, as texts."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

_NO_DEVICE = 100  # cudaErrorNoDevice
_GIB = 1 << 30
_OLDEST_MAJOR = 12  # of CUDA, that there is an extra for


def import_problem(error: ImportError) -> str:
    """Return what is said where CuPy cannot be imported."""
    if error.name == "cupy":
        return "CuPy is not installed: pip install 'tinytrain[cuda13]' (or [cuda12], by your driver)"
    return f"CuPy is installed but cannot be imported: {error}"


def driver_problem(cupy: ModuleType) -> str | None:
    """Return what is wrong with driver and devices, None where there is a GPU."""
    runtime = cupy.cuda.runtime
    try:
        return None if runtime.getDeviceCount() else _no_device()
    except runtime.CUDARuntimeError as error:
        found, wanted = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        if found == 0:
            return (
                "there is no NVIDIA driver here: install it from nvidia.com/drivers (in a container, start that with "
                "--gpus all)"
            )
        if found // 1000 < wanted // 1000:
            return _old_driver(found, wanted)
        if error.status == _NO_DEVICE:
            return _no_device()
        return f"CuPy finds no usable GPU or driver: {error}"


def library_problem(cupy: ModuleType, import_cublas: Any) -> str | None:
    """Return which of CUDA's libraries cannot be loaded, None where all can.

    Args:
        cupy: the module.
        import_cublas: imports CuPy's binding of cuBLAS.
    """
    for name, load in (("NVRTC", cupy.cuda.nvrtc.getVersion), ("cuBLAS", import_cublas)):
        try:
            load()
        except (ImportError, OSError, RuntimeError) as error:
            major = cupy.cuda.runtime.runtimeGetVersion() // 1000
            said = str(error).strip().splitlines()[0]
            return (
                f"CuPy is installed, but CUDA's library {name} cannot be loaded ({said}): "
                f"pip install 'cupy-cuda{major}x[ctk]', or install the CUDA Toolkit {major}"
            )
    return None


def memory_problem(cupy: ModuleType, error: BaseException) -> str | None:
    """Return what is said of an error of CuPy's that there is too little memory, None for other errors."""
    if not isinstance(error, cupy.cuda.memory.OutOfMemoryError):
        return None
    asked = error.__reduce__()[1][0]  # the one public way to the number of bytes
    pool = cupy.get_default_memory_pool()
    free, total = cupy.cuda.runtime.memGetInfo()
    limit = f", which may hold {_size(pool.get_limit())}" if pool.get_limit() else ""
    return (
        f"the GPU has too little memory: {_size(asked)} more were asked for; this program holds "
        f"{_size(pool.total_bytes())} ({_size(pool.used_bytes())} in use){limit}, and {_size(free)} of {_size(total)} "
        "are free on the device. Lower data.batch_size, set train.precision to bf16 or fp16, or data.resident to false"
    )


def _no_device() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hint = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r}: only those are shown to programs)"
    return f"this machine has no NVIDIA GPU{hint}"


def _old_driver(found: int, wanted: int) -> str:
    major = wanted // 1000
    remedy = f"update the driver from nvidia.com/drivers to one for CUDA {major}"
    if found // 1000 >= _OLDEST_MAJOR:
        extra = f"cuda{found // 1000}"
        remedy += f", or pip uninstall cupy-cuda{major}x and pip install 'tinytrain[{extra}]'"
    return f"the driver is for CUDA {_version(found)}, and this CuPy for CUDA {_version(wanted)}: {remedy}"


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _size(count: int) -> str:
    if count >= _GIB / 10:
        return f"{count / _GIB:.2f} GiB"
    return f"{count / (1 << 20):.1f} MiB" if count >= (1 << 20) / 10 else f"{count / (1 << 10):.1f} KiB"
