"""The one emulated device."""

from __future__ import annotations

from typing import Any

from cupy.cuda import runtime


class Device:
    """A device by number; as a context, the current one."""

    def __init__(self, device: int | Device | None = None):
        self.id = 0 if device is None else int(device)

    def __int__(self) -> int:
        return self.id

    def __enter__(self) -> Device:
        runtime.setDevice(self.id)
        return self

    def __exit__(self, *args: Any) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> Device:
        runtime.setDevice(self.id)
        return self

    def synchronize(self) -> None:
        runtime.deviceSynchronize()

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def mem_info(self) -> tuple[int, int]:
        return runtime.memGetInfo()

    @property
    def attributes(self) -> dict[str, int]:
        return {
            "MultiProcessorCount": 2,
            "MaxThreadsPerBlock": 1024,
            "MaxSharedMemoryPerBlockOptin": 232448,
            "ComputeCapabilityMajor": 9,
            "ComputeCapabilityMinor": 0,
            "WarpSize": 32,
        }

    @property
    def pci_bus_id(self) -> str:
        return "0000:00:00.0"


def get_device_id() -> int:
    return 0


def get_compute_capability() -> str:
    return "90"
