"""CUDA's runtime interface, as far as it is needed: one device of compute capability 9.0."""

from __future__ import annotations

from typing import Any

_errorInvalidValue = 1
_errorMemoryAllocation = 2
_errorIllegalAddress = 700
_errorNoDevice = 100
_errorInsufficientDriver = 35
_errorInvalidDevice = 101
_errorStreamCaptureUnsupported = 900
streamNonBlocking = 1
streamCaptureModeGlobal = 0
streamCaptureModeThreadLocal = 1
streamCaptureModeRelaxed = 2

_TEXTS = {
    _errorInvalidValue: "cudaErrorInvalidValue: invalid argument",
    _errorMemoryAllocation: "cudaErrorMemoryAllocation: out of memory",
    _errorIllegalAddress: "cudaErrorIllegalAddress: an illegal memory access was encountered",
    _errorNoDevice: "cudaErrorNoDevice: no CUDA-capable device is detected",
    _errorInsufficientDriver: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for the runtime",
    _errorInvalidDevice: "cudaErrorInvalidDevice: invalid device ordinal",
    _errorStreamCaptureUnsupported: "cudaErrorStreamCaptureUnsupported: not permitted when stream is capturing",
}


class CUDARuntimeError(RuntimeError):
    """An error of the runtime, with its number as `status`."""

    def __init__(self, status: int, _detail: str = ""):
        self.status = status
        super().__init__(_TEXTS[status] + (f" ({_detail})" if _detail else ""))


def getDeviceCount() -> int:
    return 1


def getDevice() -> int:
    return 0


def setDevice(device: int) -> None:
    if device != 0:
        raise CUDARuntimeError(_errorInvalidDevice)


def getDeviceProperties(device: int) -> dict[str, Any]:
    """Return the device's properties; names are bytes, as CuPy's."""
    from cupy import _memory

    if device != 0:
        raise CUDARuntimeError(_errorInvalidDevice)
    return {
        "name": b"Emulated GPU",
        "totalGlobalMem": _memory.DEVICE_BYTES,
        "sharedMemPerBlock": 49152,
        "sharedMemPerBlockOptin": 232448,
        "sharedMemPerMultiprocessor": 233472,
        "regsPerBlock": 65536,
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "maxThreadsDim": (1024, 1024, 64),
        "maxGridSize": (2147483647, 65535, 65535),
        "clockRate": 1000000,
        "memoryClockRate": 1000000,
        "memoryBusWidth": 64,
        "l2CacheSize": 1 << 20,
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 2,
        "maxThreadsPerMultiProcessor": 2048,
        "totalConstMem": 65536,
        "pciBusID": 0,
        "pciDeviceID": 0,
        "pciDomainID": 0,
        "integrated": 0,
        "concurrentKernels": 1,
    }


def driverGetVersion() -> int:
    return 13000


def runtimeGetVersion() -> int:
    return 13000


def memGetInfo() -> tuple[int, int]:
    from cupy import _memory

    return _memory.info()


def deviceSynchronize() -> None:
    from cupy import _capture, _memory

    _capture.forbid()
    _memory.check_guards()


def streamSynchronize(stream: int) -> None:
    deviceSynchronize()
