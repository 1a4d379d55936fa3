"""The GPU by `torch.accelerator`'s names, which do not say of what make it is."""

from __future__ import annotations

from tinytrain.device import cuda_device_count as device_count
from tinytrain.device import cuda_is_available as is_available
from tinytrain.device import device, synchronize

__all__ = ["current_accelerator", "device_count", "is_available", "synchronize"]


def current_accelerator(check_available: bool = False) -> device | None:
    """Return the kind of device that tensors can be put on besides the CPU, None where there is none.

    Args:
        check_available: accepted as in PyTorch; what is returned can always be used.
    """
    return device("cuda") if is_available() else None
