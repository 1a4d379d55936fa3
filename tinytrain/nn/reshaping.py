"""Layers that rearrange, pad or resample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytrain.nn import functional as F
from tinytrain.nn.module import Module
from tinytrain.nn.stateless import REQUIRED, Stateless
from tinytrain.ops.common import to_tuple
from tinytrain.ops.shape import flatten, unflatten
from tinytrain.tensor import Tensor

__all__ = [
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Flatten",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "Unflatten",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class Flatten(Stateless, function=flatten, start_dim=1, end_dim=-1):
    """Dimensions from `start_dim` to `end_dim` as one."""


class Unflatten(Module):
    """One dimension as several.

    Args:
        dim: which.
        unflattened_size: the sizes; one may be -1.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]):
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` with the dimension unfolded."""
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class PixelShuffle(Stateless, function=F.pixel_shuffle, upscale_factor=REQUIRED):
    """Channels (n, c r², h, w) spread over pixels (n, c, h r, w r)."""

    def extra_repr(self) -> str:
        """Return the argument."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Stateless, function=F.pixel_unshuffle, downscale_factor=REQUIRED):
    """Pixels (n, c, h r, w r) gathered into channels (n, c r², h, w)."""


class ChannelShuffle(Stateless, function=F.channel_shuffle, groups=REQUIRED):
    """Channels of `groups` groups dealt out in turn."""

    def extra_repr(self) -> str:
        """Return the argument."""
        return f"groups={self.groups}"


class _Pad(Module):
    """Elements added around the spatial dimensions.

    Args:
        padding: how many on all sides, or before and after each dimension, the last dimension first.
    """

    num_spatial: int
    mode: str

    def __init__(self, padding: int | tuple[int, ...]):
        super().__init__()
        self.padding = to_tuple(padding, 2 * self.num_spatial, "padding")

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` padded."""
        return F.pad(input, self.padding, mode=self.mode)

    def extra_repr(self) -> str:
        """Return the padding."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """A constant added around the spatial dimensions.

    Args:
        padding: how many elements on all sides, or before and after each dimension, the last dimension first.
        value: the constant.
    """

    mode = "constant"

    def __init__(self, padding: int | tuple[int, ...], value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` padded."""
        return F.pad(input, self.padding, value=self.value)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    """Zeros added around the spatial dimensions.

    Args:
        padding: how many on all sides, or before and after each dimension, the last dimension first.
    """

    def __init__(self, padding: int | tuple[int, ...]):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """Return the padding."""
        return f"{self.padding}"


def _padding_layers(kind: type[_Pad], stem: str, mode: str) -> tuple[Any, ...]:
    """Return the layers of one kind of padding for one, two and three dimensions."""
    return tuple(
        type(
            f"{stem}{n}d",
            (kind,),
            {"__doc__": kind.__doc__, "__module__": __name__, "num_spatial": n, "mode": mode},
        )
        for n in (1, 2, 3)
    )


ConstantPad1d, ConstantPad2d, ConstantPad3d = _padding_layers(_ConstantPad, "ConstantPad", "constant")
ZeroPad1d, ZeroPad2d, ZeroPad3d = _padding_layers(_ZeroPad, "ZeroPad", "constant")
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = _padding_layers(_Pad, "ReflectionPad", "reflect")
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = _padding_layers(_Pad, "ReplicationPad", "replicate")
CircularPad1d, CircularPad2d, CircularPad3d = _padding_layers(_Pad, "CircularPad", "circular")


class Upsample(Module):
    """Images resampled to a size or by a factor.

    Args:
        size: pixels of the output.
        scale_factor: output pixels per input pixel, instead of a size.
        mode: `nearest`, `linear`, `bilinear`, `bicubic`, `trilinear`.
        align_corners: whether the corners' centres coincide, for the linear and cubic modes.
        recompute_scale_factor: whether the factor is taken anew from the rounded size.
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        super().__init__()
        self.size = size
        self.scale_factor = tuple(map(float, scale_factor)) if isinstance(scale_factor, tuple) else scale_factor
        if isinstance(self.scale_factor, int):
            self.scale_factor = float(self.scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (n, c, *spatial), resampled."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """Return the arguments."""
        what = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{what}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images resampled by the nearest pixel.

    Args:
        size: pixels of the output.
        scale_factor: output pixels per input pixel, instead of a size.
    """

    def __init__(
        self, size: int | tuple[int, ...] | None = None, scale_factor: float | tuple[float, ...] | None = None
    ):
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Images resampled bilinearly, the corners' centres coinciding.

    Args:
        size: pixels of the output.
        scale_factor: output pixels per input pixel, instead of a size.
    """

    def __init__(
        self, size: int | tuple[int, ...] | None = None, scale_factor: float | tuple[float, ...] | None = None
    ):
        super().__init__(size, scale_factor, "bilinear", align_corners=True)
