"""What stands between this machine's NVIDIA GPUs and a training on them, asked of the driver itself.

The driver answers without CuPy, so that it can be said which CuPy to install.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tinytrain.cache import cache_folder
from tinytrain.device import cuda_problem
from tinytrain.kernels import kernels_in_use
from tinytrain.kernels.cuda import frontend

CUPY = {12: "cupy-cuda12x", 13: "cupy-cuda13x"}
"""CuPy's packages by the major version of CUDA; `cuda12` and `cuda13` are our extras that need them."""

_LIBRARIES = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_NAME_LENGTH = 128


@dataclass(frozen=True)
class Driver:
    """What the driver says.

    Attributes:
        version: of CUDA that it is for at most, as (13, 0).
        devices: each GPU in words, by number.
        problem: why it does not start, None where it does.
    """

    version: tuple[int, int]
    devices: tuple[str, ...] = ()
    problem: str | None = None


def read_driver(load: Callable[[str], Any] = ctypes.CDLL) -> Driver | None:
    """Return what the driver says; None where there is none.

    Args:
        load: opens a shared library by its name.
    """
    for name in _LIBRARIES:
        try:
            library = load(name)
        except OSError:
            continue
        return _ask(library)
    return None


def examine_gpu(
    driver: Driver | None, installed: Mapping[str, str], *, problem: str | None = None, without_cudnn: str | None = None
) -> dict[str, str]:
    """Return what `tinytrain doctor` says of the GPU: each matter, and under `next` what to do first.

    Args:
        driver: what the driver says, None where there is none.
        installed: versions of the distributions that matter, by name.
        problem: why CuPy finds no GPU to use, None where it finds one.
        without_cudnn: why cuDNN cannot be used, None where it can.
    """
    found = {"driver": _driver_in_words(driver)}
    if driver is not None:
        found |= {f"gpu {number}": device for number, device in enumerate(driver.devices)}
    packages = [f"{name} {installed[name]}" for name in CUPY.values() if name in installed]
    found["cupy"] = ", ".join(packages) or "not installed"
    libraries = [f"{name} {version}" for name, version in installed.items() if "cudnn" in name]
    ours = f"; dense convolutions by kernels of our own, which are slower: {without_cudnn}" if without_cudnn else ""
    found["cudnn"] = (", ".join(libraries) or "not installed") + ours
    sets = {each["set"]: each["reason"] for each in kernels_in_use()}
    found["kernels"] = sets.get("cuda", "the reference alone")
    found["compiled kernels"] = os.environ.get("CUPY_CACHE_DIR") or str(Path.home() / ".cupy" / "kernel_cache")
    found["convolution plans"] = str(cache_folder("plans"))
    found["next"] = _advice(driver, installed, problem, without_cudnn)
    return found


def gpu_report() -> dict[str, str]:
    """Return what `tinytrain doctor` says of the GPU of this machine."""
    return examine_gpu(read_driver(), _installed(), problem=cuda_problem(), without_cudnn=frontend.problem())


def _advice(driver: Driver | None, installed: Mapping[str, str], problem: str | None, without_cudnn: str | None) -> str:
    """Return the first thing to do, or that there is nothing to do."""
    if driver is None:
        return "nothing, for the CPU; for a GPU, install NVIDIA's driver (in a container, start that with --gpus all)"
    if driver.problem is not None:
        return f"mend the driver, which does not start: {driver.problem}"
    if not driver.devices:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return "nothing, for the CPU; the driver finds no GPU" + (
            "" if visible is None else f", for CUDA_VISIBLE_DEVICES is {visible!r}"
        )
    majors = [major for major in CUPY if major <= driver.version[0]]
    shown = ".".join(map(str, driver.version))
    if not majors:
        return f"update the driver, which is for CUDA {shown}, to one for CUDA {min(CUPY)} or later: nvidia.com/drivers"
    install = f"pip install 'tinytrain[cuda{max(majors)}]'"
    present = [major for major, name in CUPY.items() if name in installed]
    if not present:
        return f"{install}, which is for drivers of CUDA {shown} (CuPy is not installed)"
    if len(present) > 1:
        surplus = " ".join(CUPY[major] for major in present)
        return f"pip uninstall {surplus}, then {install}: two CuPys are installed, and overwrite each other's files"
    if present[0] > driver.version[0]:
        return (
            f"pip uninstall {CUPY[present[0]]}, then {install}: the driver is for CUDA {shown}; or update it to one "
            f"for CUDA {present[0]}"
        )
    if problem is not None:
        return problem
    if without_cudnn is not None:
        return f"for faster dense convolutions: {without_cudnn}"
    return "nothing: a training with device: cuda, or auto, uses the GPU"


def _driver_in_words(driver: Driver | None) -> str:
    if driver is None:
        return f"none: {_LIBRARIES[0]} is not found"
    return f"for CUDA {driver.version[0]}.{driver.version[1]}" + (f"; {driver.problem}" if driver.problem else "")


def _installed() -> dict[str, str]:
    """Return the versions of the distributions that a GPU is used through."""
    names = [*CUPY.values(), "nvidia-cudnn-frontend", *(f"nvidia-cudnn-cu{major}" for major in CUPY)]
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _ask(library: Any) -> Driver:
    """Ask an opened driver for its version and its devices."""
    number = ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(number))
    version = (number.value // 1000, number.value % 1000 // 10)
    status = library.cuInit(0)
    if status not in (0, _NO_DEVICE):
        return Driver(version, problem=f"cuInit returns {status} ({_name_of(library, status)})")
    count = ctypes.c_int(0)
    if status == 0:
        library.cuDeviceGetCount(ctypes.byref(count))
    return Driver(version, tuple(_describe(library, number) for number in range(count.value)))


def _describe(library: Any, number: int) -> str:
    device, memory, name = ctypes.c_int(0), ctypes.c_size_t(0), ctypes.create_string_buffer(_NAME_LENGTH)
    library.cuDeviceGet(ctypes.byref(device), number)
    library.cuDeviceGetName(name, _NAME_LENGTH, device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int(0)
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(str(value.value))
    gib = memory.value / (1 << 30)
    return f"{name.value.decode('utf-8', 'replace')}, compute capability {'.'.join(capability)}, {gib:.1f} GiB"


def _name_of(library: Any, status: int) -> str:
    text = ctypes.c_char_p()
    library.cuGetErrorName(status, ctypes.byref(text))
    return (text.value or b"unknown").decode()
