"""A GPU for cuDNN to plan for, where there is none: Hopper with 132 multiprocessors, as CUDA describes it.

The names are those of cuDNN's own description, `cudnn.create_device_properties(index).serialize()` on a device.
"""

from __future__ import annotations

import json

import pytest

DESCRIPTION = json.dumps(
    {
        "deviceName": "Hopper",
        "deviceVer": 900,
        "driverVer": 13000,
        "cudaDeviceId": 0,
        "pciDeviceId": 0,
        "isTccDriver": 0,
        "supportCoopLaunch": 1,
        "multiProcessorCount": 132,
        "warpSize": 32,
        "maxGridSize": [2**31 - 1, 2**16 - 1, 2**16 - 1],
        "maxBlockSize": [1024, 1024, 64],
        "maxThreadsPerBlock": 1024,
        "maxThreadsPerSM": 2048,
        "maxCtasPerSM": 32,
        "regsPerBlock": 65536,
        "maxRegistersPerSM": 65536,
        "maxSharedMemoryPerBlock": 48 << 10,
        "maxSharedMemoryPerBlockOptin": 227 << 10,
        "reservedSharedMemoryPerBlock": 1 << 10,
        "oversizedSharedMemoryPerBlock": 0,  # this and the next are read by newer libraries only
        "memoryBusWidth": 5120,
        "totalGlobalMem": 140 << 30,
        "l2CacheSize": 50 << 20,
        "smClockRateKHz": 1_980_000,
        "memClockRateKHz": 3_200_000,
    }
)


def described_device() -> dict[str, object]:
    """Return the keyword that makes cuDNN plan for this device; the test is skipped where cuDNN cannot.

    That is where it is not installed, and with libraries that load the driver even so (9.28 does, 9.19 does not).
    """
    from tinytrain.kernels.cuda import frontend

    problem = frontend.problem()
    if problem is not None:
        pytest.skip(problem)
    library = frontend.load()
    try:
        return {"device_property": library.create_device_properties(DESCRIPTION)}
    except RuntimeError as error:
        if "SUBLIBRARY_LOADING_FAILED" not in str(error):
            raise
        pytest.skip(f"cuDNN {library.backend_version_string()} does not plan without a driver: {error}")
