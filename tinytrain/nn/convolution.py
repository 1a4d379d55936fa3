"""Convolution layers in one to three dimensions, their transposes, and the depthwise-separable pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinytrain.device import Array
from tinytrain.device import device as Device
from tinytrain.dtypes import dtype as Dtype
from tinytrain.nn import functional as F
from tinytrain.nn import init
from tinytrain.nn.module import Module
from tinytrain.nn.parameter import Parameter
from tinytrain.ops.common import to_tuple
from tinytrain.ops.convolution import convolved
from tinytrain.ops.creation import empty
from tinytrain.ops.fusion import on_values
from tinytrain.pending import Pending
from tinytrain.tensor import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DepthwiseSeparableConv2d",
    "Fold",
    "Unfold",
]

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}

IntOrTuple = int | tuple[int, ...]

_PAD_MODES = {"reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class _Convolution(Module):
    """What all convolution layers share: checked arguments, weight and bias, their first values, the repr."""

    num_spatial: int
    is_transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrTuple,
        stride: IntOrTuple,
        padding: str | IntOrTuple,
        output_padding: IntOrTuple,
        dilation: IntOrTuple,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Device | str | None,
        dtype: Dtype | None,
    ):
        super().__init__()
        n = self.num_spatial
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = to_tuple(kernel_size, n, "kernel_size")
        self.stride = to_tuple(stride, n, "stride")
        self.padding = padding if isinstance(padding, str) else to_tuple(padding, n, "padding")
        self.output_padding = to_tuple(output_padding, n, "output_padding")
        self.dilation = to_tuple(dilation, n, "dilation")
        self.groups = groups
        self.padding_mode = padding_mode
        self._check()
        channels = (in_channels, out_channels) if self.is_transposed else (out_channels, in_channels)
        shape = (channels[0], channels[1] // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias evenly from [-b, b) with b = 1 / sqrt(fan in), PyTorch's first values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def _check(self) -> None:
        """Refuse arguments that describe no convolution.

        Raises:
            ValueError: the message names the argument and its value.
        """
        name = type(self).__name__
        if self.groups <= 0:
            raise ValueError(f"{name}: `groups` must be a positive integer; got {self.groups}")
        for argument in ("in_channels", "out_channels"):
            count = getattr(self, argument)
            if count % self.groups:
                raise ValueError(f"{name}: `{argument}` (={count}) must be divisible by `groups` (={self.groups})")
        for argument in ("kernel_size", "stride", "dilation"):
            if min(getattr(self, argument)) <= 0:
                raise ValueError(f"{name}: `{argument}` must be positive; got {getattr(self, argument)}")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(f"{name}: `padding` must be 'same', 'valid' or integers; got {self.padding!r}")
            if self.padding == "same" and any(step != 1 for step in self.stride):
                raise ValueError(
                    f"{name}: padding='same' is not supported for strided convolutions; `stride` is {self.stride}. "
                    "Give the padding in numbers"
                )
        elif min(self.padding) < 0:
            raise ValueError(f"{name}: `padding` must not be negative; got {self.padding}")
        modes = ("zeros", *_PAD_MODES)
        if self.padding_mode not in modes:
            raise ValueError(f"{name}: `padding_mode` must be one of {', '.join(modes)}; got {self.padding_mode!r}")

    def extra_repr(self) -> str:
        """Return the arguments, those at their defaults left out."""
        n = self.num_spatial
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_Convolution):
    """A convolution, also with padding other than zeros.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: pixels, one number or one per dimension.
        stride: pixels between outputs.
        padding: pixels added at both ends, `valid` for none, `same` for as many as keep the size.
        dilation: pixels between taps of the kernel.
        groups: into how many separate convolutions the channels are divided; divides both channel counts.
        bias: whether a number per output channel is added.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`.
        device: where the parameters lie.
        dtype: their type.

    Raises:
        ValueError: an argument describes no convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrTuple,
        stride: IntOrTuple = 1,
        padding: str | IntOrTuple = 0,
        dilation: IntOrTuple = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Device | str | None = None,
        dtype: Dtype | None = None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _on_values(self, x: Array | Pending, is_private: bool) -> Array | None:
        own = self._parameters
        weight = own.get("weight")
        if weight is None or "bias" not in own or self.num_spatial != 2 or self.padding_mode != "zeros":
            return None  # also where somebody computes them
        return convolved(x, weight, own["bias"], (self.stride, self.padding, self.dilation, self.groups))

    @on_values(_on_values)
    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of `input`, (n, c, *spatial) or (c, *spatial)."""
        padding: str | IntOrTuple = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._pad_amounts(), mode=_PAD_MODES[self.padding_mode])
            padding = 0
        own = self._parameters
        weight, bias = self._held(own, "weight"), self._held(own, "bias")
        return _CONVOLVE[self.num_spatial](input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def _pad_amounts(self) -> list[int]:
        """Return pixels before and after each dimension, the last dimension first, as `F.pad` takes them."""
        amounts: list[int] = []
        for i in reversed(range(self.num_spatial)):
            if isinstance(self.padding, str):
                total = self.dilation[i] * (self.kernel_size[i] - 1) if self.padding == "same" else 0
                amounts += [total // 2, total - total // 2]
            else:
                amounts += [self.padding[i]] * 2
        return amounts


class Conv1d(_Conv):
    __doc__ = _Conv.__doc__
    num_spatial = 1


class Conv2d(_Conv):
    __doc__ = _Conv.__doc__
    num_spatial = 2


class Conv3d(_Conv):
    __doc__ = _Conv.__doc__
    num_spatial = 3


class _ConvTranspose(_Convolution):
    """The transpose of a convolution: each input element spreads the kernel over the output.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: pixels, one number or one per dimension.
        stride: pixels between the kernels spread.
        padding: pixels cut off at both ends.
        output_padding: pixels added at one end, less than stride or dilation.
        groups: into how many separate operations the channels are divided.
        bias: whether a number per output channel is added.
        dilation: pixels between taps of the kernel.
        padding_mode: only `zeros`.
        device: where the parameters lie.
        dtype: their type.

    Raises:
        ValueError: an argument describes no transposed convolution.
    """

    is_transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrTuple,
        stride: IntOrTuple = 1,
        padding: IntOrTuple = 0,
        output_padding: IntOrTuple = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrTuple = 1,
        padding_mode: str = "zeros",
        device: Device | str | None = None,
        dtype: Dtype | None = None,
    ):
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return the transposed convolution of `input`, (n, c, *spatial) or (c, *spatial).

        Args:
            input: the tensor.
            output_size: the spatial sizes wanted, where the stride leaves several possible.
        """
        spread = getattr(F, f"conv_transpose{self.num_spatial}d")
        output_padding = self.output_padding if output_size is None else self._output_padding(input, output_size)
        return spread(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups, self.dilation
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """Return the output padding that gives `output_size`.

        Raises:
            ValueError: no output padding does.
        """
        n = self.num_spatial
        wanted = tuple(output_size)[-n:]
        if len(wanted) != n:
            raise ValueError(f"{type(self).__name__}: `output_size` must have {n} or {n + 2} elements")
        smallest = [
            (input.shape[i - n] - 1) * self.stride[i]
            - 2 * self.padding[i]  # type: ignore[operator]  # never a string in a transposed convolution
            + self.dilation[i] * (self.kernel_size[i] - 1)
            + 1
            for i in range(n)
        ]
        for size, low, step in zip(wanted, smallest, self.stride, strict=True):
            if not low <= size < low + step:
                largest = [low + step - 1 for low, step in zip(smallest, self.stride, strict=True)]
                raise ValueError(
                    f"requested an output size of {wanted}, but valid sizes range from {smallest} to {largest}"
                )
        return tuple(size - low for size, low in zip(wanted, smallest, strict=True))


class ConvTranspose1d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    num_spatial = 1


class ConvTranspose2d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    num_spatial = 2


class ConvTranspose3d(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__
    num_spatial = 3


class DepthwiseSeparableConv2d(Module):
    """A convolution per channel, then a 1x1 convolution that mixes the channels.

    It has `1/out + 1/k²` of the multiply-adds of the standard convolution it stands for (Howard et al., "MobileNets",
    2017, section 3.1).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: pixels of the convolution per channel.
        stride: its pixels between outputs.
        padding: its padding, as of `Conv2d`.
        dilation: its pixels between taps.
        bias: whether both convolutions add a bias.
        padding_mode: as of `Conv2d`.
        device: where the parameters lie.
        dtype: their type.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrTuple,
        stride: IntOrTuple = 1,
        padding: str | IntOrTuple = 0,
        dilation: IntOrTuple = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Device | str | None = None,
        dtype: Dtype | None = None,
    ):
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.depthwise = Conv2d(
            in_channels, in_channels, kernel_size, stride, padding, dilation, in_channels, bias, padding_mode, **place
        )
        self.pointwise = Conv2d(in_channels, out_channels, 1, bias=bias, **place)

    def forward(self, input: Tensor) -> Tensor:
        """Return both convolutions of `input`, (n, c, h, w)."""
        return self.pointwise(self.depthwise(input))


class Unfold(Module):
    """The patches of a batch of images as columns.

    Args:
        kernel_size: pixels of a patch.
        dilation: pixels between its elements.
        padding: zeros added on all sides.
        stride: pixels between patches.
    """

    def __init__(
        self, kernel_size: IntOrTuple, dilation: IntOrTuple = 1, padding: IntOrTuple = 0, stride: IntOrTuple = 1
    ):
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """Return patches (n, c * kernel elements, patches) of images (n, c, h, w)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Unfold):
    """Images from columns of patches; where patches overlap their values are added.

    Args:
        output_size: pixels of the images.
        kernel_size: pixels of a patch.
        dilation: pixels between its elements.
        padding: zeros added on all sides before the patches were taken.
        stride: pixels between patches.
    """

    def __init__(
        self,
        output_size: IntOrTuple,
        kernel_size: IntOrTuple,
        dilation: IntOrTuple = 1,
        padding: IntOrTuple = 0,
        stride: IntOrTuple = 1,
    ):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """Return images (n, c, h, w) of patches (n, c * kernel elements, patches)."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"output_size={self.output_size}, {super().extra_repr()}"
