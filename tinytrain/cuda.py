"""The GPU by `torch.cuda`'s names."""

from tinytrain.device import cuda_device_count as device_count
from tinytrain.device import cuda_is_available as is_available
from tinytrain.device import synchronize

__all__ = ["device_count", "is_available", "synchronize"]
