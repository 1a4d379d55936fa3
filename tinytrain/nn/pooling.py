"""Pooling layers; arguments in pixels, one number or one per dimension."""

from __future__ import annotations

from typing import Any

from tinytrain.nn import functional as F
from tinytrain.nn.stateless import REQUIRED, Stateless
from tinytrain.ops.common import to_tuple

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]

_MAX: dict[str, Any] = {
    "kernel_size": REQUIRED,
    "stride": None,
    "padding": 0,
    "dilation": 1,
    "return_indices": False,
    "ceil_mode": False,
}
_AVERAGE: dict[str, Any] = {
    "kernel_size": REQUIRED,
    "stride": None,
    "padding": 0,
    "ceil_mode": False,
    "count_include_pad": True,
}


class _Pool(Stateless):
    """A window moved over the input; without a stride it moves by its own size."""

    shown: tuple[str, ...]
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.stride is None:
            self.stride = self.kernel_size

    def extra_repr(self) -> str:
        """Return the arguments that PyTorch shows."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.shown)


class _MaxPool(_Pool):
    """The largest value of each window."""

    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class _AvgPool(_Pool):
    """The mean of each window."""

    shown = ("kernel_size", "stride", "padding")


class MaxPool1d(_MaxPool, function=F.max_pool1d, **_MAX):
    """The largest value of each window of (n, c, l)."""


class MaxPool2d(_MaxPool, function=F.max_pool2d, **_MAX):
    """The largest value of each window of (n, c, h, w)."""


class MaxPool3d(_MaxPool, function=F.max_pool3d, **_MAX):
    """The largest value of each window of (n, c, d, h, w)."""


class AvgPool1d(_AvgPool, function=F.avg_pool1d, **_AVERAGE):
    """The mean of each window of (n, c, l)."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name in self.shown:  # tuples, as PyTorch shows them for this layer alone
            setattr(self, name, to_tuple(getattr(self, name), 1, name))


class AvgPool2d(_AvgPool, function=F.avg_pool2d, **_AVERAGE, divisor_override=None):
    """The mean of each window of (n, c, h, w)."""


class AvgPool3d(_AvgPool, function=F.avg_pool3d, **_AVERAGE, divisor_override=None):
    """The mean of each window of (n, c, d, h, w)."""


class AdaptiveAvgPool1d(Stateless, function=F.adaptive_avg_pool1d, output_size=REQUIRED):
    """Means of windows that give the output size."""


class AdaptiveAvgPool2d(Stateless, function=F.adaptive_avg_pool2d, output_size=REQUIRED):
    """Means of windows that give the output size; None keeps a dimension. Size 1 is the global average."""


class AdaptiveAvgPool3d(Stateless, function=F.adaptive_avg_pool3d, output_size=REQUIRED):
    """Means of windows that give the output size; None keeps a dimension."""


class _AdaptiveMaxPool(Stateless):
    """Largest values of windows that give the output size."""

    def extra_repr(self) -> str:
        """Return the output size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool, function=F.adaptive_max_pool1d, output_size=REQUIRED, return_indices=False):
    """Largest values of windows that give the output size."""


class AdaptiveMaxPool2d(_AdaptiveMaxPool, function=F.adaptive_max_pool2d, output_size=REQUIRED, return_indices=False):
    """Largest values of windows that give the output size; None keeps a dimension."""


class AdaptiveMaxPool3d(_AdaptiveMaxPool, function=F.adaptive_max_pool3d, output_size=REQUIRED, return_indices=False):
    """Largest values of windows that give the output size; None keeps a dimension."""
