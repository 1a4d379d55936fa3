"""What one convolution does to shapes and costs, and the depthwise-separable pair that could replace it.

Conventions, all for one image: a multiply-add is one multiplication with its addition, and counts as two FLOPs; biases
are not counted. Bytes are those of float32 input, weights and output, each moved once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinytrain import nn
from tinytrain.ops.common import to_tuple

FLOAT_BYTES = 4

Pair = tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """A two-dimensional convolution of images of a size; numbers are checked.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: (height, width), pixels.
        size: (height, width) of the input, pixels.
        stride: (height, width), pixels.
        padding: (height, width) on either side, pixels; `same` (stride 1 only) or `valid`.
        dilation: (height, width), pixels between taps.
        groups: parts into which the channels are divided.
        bias: whether a number is added to each output channel.

    Raises:
        ValueError: there is no such convolution, or the kernel does not fit into the padded image.
    """

    in_channels: int
    out_channels: int
    kernel_size: Pair
    size: Pair
    stride: Pair = (1, 1)
    padding: Pair | str = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1; got {getattr(self, name)}")
        for name in ("kernel_size", "size", "stride", "dilation"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"`{name}` must be at least 1; got {by(getattr(self, name))}")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be divisible by `groups` (={self.groups})")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(f"`padding` must be same, valid or pixels; got {self.padding!r}")
            if self.padding == "same" and self.stride != (1, 1):
                raise ValueError(
                    f"`padding` same needs stride 1, `stride` is {by(self.stride)}: with it the output is smaller. "
                    f"Give the padding in pixels, as {by(_half(self))}"
                )
        elif min(self.padding) < 0:
            raise ValueError(f"`padding` must not be negative; got {by(self.padding)}")
        for axis in (0, 1):
            if self.padded[axis] < self.receptive_field[axis]:
                raise ValueError(
                    f"the kernel covers {by(self.receptive_field)} pixels, the padded image has only {by(self.padded)}"
                    ". Make the image or the padding larger"
                )

    @classmethod
    def of(cls, layer: nn.Conv2d, size: Sequence[int]) -> Convolution:
        """Return a layer's convolution of images of `size`, (height, width)."""
        return cls(
            layer.in_channels,
            layer.out_channels,
            _pair(layer.kernel_size),
            _pair(size),
            _pair(layer.stride),
            layer.padding if isinstance(layer.padding, str) else _pair(layer.padding),
            _pair(layer.dilation),
            layer.groups,
            layer.bias is not None,
        )

    def layer(self, **place: Any) -> nn.Conv2d:
        """Return a layer with fresh weights; `place` is `device` and `dtype`."""
        return nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.bias,
            **place,
        )

    @property
    def receptive_field(self) -> Pair:
        """The (height, width) that one output pixel sees: d (k - 1) + 1."""
        return _pair([d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)])

    @property
    def total_padding(self) -> Pair:
        """The (height, width) added in all, both sides together."""
        if self.padding == "valid":
            return (0, 0)
        if isinstance(self.padding, str):
            return _pair([field - 1 for field in self.receptive_field])
        return _pair([2 * p for p in self.padding])

    @property
    def padding_before(self) -> Pair:
        """The (height, width) added above and on the left; `same` puts an odd pixel on the other side."""
        return _pair([p // 2 for p in self.total_padding])

    @property
    def padded(self) -> Pair:
        """The (height, width) of the padded image."""
        return _pair([n + p for n, p in zip(self.size, self.total_padding, strict=True)])

    @property
    def input(self) -> tuple[int, int, int]:
        """The shape (c, h, w) of the input."""
        return (self.in_channels, *self.size)

    @property
    def output(self) -> tuple[int, int, int]:
        """The shape (c, h, w) of the output: floor((n + 2 p - d (k - 1) - 1) / s) + 1."""
        height, width = (
            (n - field) // s + 1 for n, field, s in zip(self.padded, self.receptive_field, self.stride, strict=True)
        )
        return (self.out_channels, height, width)

    @property
    def params(self) -> int:
        """Trained numbers, the bias included where there is one."""
        weights = self.out_channels * (self.in_channels // self.groups) * math.prod(self.kernel_size)
        return weights + self.out_channels * self.bias

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""
        return math.prod(self.output) * (self.in_channels // self.groups) * math.prod(self.kernel_size)

    @property
    def bytes(self) -> int:
        """Bytes of input, weights and output in float32."""
        return FLOAT_BYTES * (math.prod(self.input) + self.params + math.prod(self.output))

    def is_depthwise(self) -> bool:
        """Return whether each channel is convolved by itself."""
        return self.groups == self.in_channels == self.out_channels > 1

    def separable(self) -> tuple[Convolution, Convolution]:
        """Return the depthwise and the pointwise convolution that together give the same output shape."""
        depthwise = replace(self, out_channels=self.in_channels, groups=self.in_channels)
        pointwise = Convolution(
            self.in_channels, self.out_channels, (1, 1), _pair(depthwise.output[1:]), bias=self.bias
        )
        return depthwise, pointwise


@dataclass(frozen=True)
class Cost:
    """What one or several convolutions in a row cost for one image.

    Attributes:
        output: shape (c, h, w).
        params: trained numbers.
        macs: multiply-adds.
        bytes: moved.
    """

    output: tuple[int, int, int]
    params: int
    macs: int
    bytes: int

    @classmethod
    def of(cls, *convolutions: Convolution) -> Cost:
        """Return the cost of convolutions, each of which takes the output of the one before."""
        return cls(
            convolutions[-1].output,
            sum(each.params for each in convolutions),
            sum(each.macs for each in convolutions),
            sum(each.bytes for each in convolutions),
        )

    @property
    def flops(self) -> int:
        """Floating-point operations: two for each multiply-add."""
        return 2 * self.macs

    @property
    def intensity(self) -> float:
        """FLOPs for each byte moved."""
        return self.flops / self.bytes

    def document(self) -> dict[str, Any]:
        """Return the numbers as `inspect-conv --json` prints them."""
        return {
            "output": list(self.output),
            "params": self.params,
            "macs": self.macs,
            "flops": self.flops,
            "bytes": self.bytes,
        }


def by(pair: Sequence[int]) -> str:
    """Return two lengths as people write them: `3x3`."""
    return "x".join(map(str, pair))


def _pair(values: Any) -> Pair:
    first, second = to_tuple(values, 2, "size") if isinstance(values, int) else values
    return (int(first), int(second))


def _half(convolution: Convolution) -> Pair:
    """Return the padding that keeps the size at stride 1, for odd kernels."""
    return _pair([(field - 1) // 2 for field in convolution.receptive_field])
