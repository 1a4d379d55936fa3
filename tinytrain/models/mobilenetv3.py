"""MobileNetV3: Howard et al., "Searching for MobileNetV3" (2019), tables 1 and 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from tinytrain import nn
from tinytrain.models.blocks import (
    Conv2dNormActivation,
    Layer,
    SqueezeExcitation,
    initialise_fan_out,
    make_divisible,
)
from tinytrain.models.registry import architecture
from tinytrain.ranges import Positive, Share
from tinytrain.tensor import Tensor


class InvertedResidualConfig(NamedTuple):
    """One row of the paper's tables.

    Attributes:
        kernel: size of the depthwise kernel, in pixels.
        expanded_channels: channels of the depthwise convolution.
        out_channels: channels of the output.
        use_se: whether channels are scaled by squeeze and excitation.
        use_hs: whether the activation is hardswish, else ReLU.
        stride: of the depthwise convolution, in pixels.
        dilation: of the depthwise convolution, in pixels; above 1 the stride is 1.
    """

    kernel: int
    expanded_channels: int
    out_channels: int
    use_se: bool
    use_hs: bool
    stride: int
    dilation: int = 1


_FIRST_CHANNELS = 16
_LARGE = (
    InvertedResidualConfig(3, 16, 16, False, False, 1),
    InvertedResidualConfig(3, 64, 24, False, False, 2),
    InvertedResidualConfig(3, 72, 24, False, False, 1),
    InvertedResidualConfig(5, 72, 40, True, False, 2),
    InvertedResidualConfig(5, 120, 40, True, False, 1),
    InvertedResidualConfig(5, 120, 40, True, False, 1),
    InvertedResidualConfig(3, 240, 80, False, True, 2),
    InvertedResidualConfig(3, 200, 80, False, True, 1),
    InvertedResidualConfig(3, 184, 80, False, True, 1),
    InvertedResidualConfig(3, 184, 80, False, True, 1),
    InvertedResidualConfig(3, 480, 112, True, True, 1),
    InvertedResidualConfig(3, 672, 112, True, True, 1),
    InvertedResidualConfig(5, 672, 160, True, True, 2),
    InvertedResidualConfig(5, 960, 160, True, True, 1),
    InvertedResidualConfig(5, 960, 160, True, True, 1),
)
_SMALL = (
    InvertedResidualConfig(3, 16, 16, True, False, 2),
    InvertedResidualConfig(3, 72, 24, False, False, 2),
    InvertedResidualConfig(3, 88, 24, False, False, 1),
    InvertedResidualConfig(5, 96, 40, True, True, 2),
    InvertedResidualConfig(5, 240, 40, True, True, 1),
    InvertedResidualConfig(5, 240, 40, True, True, 1),
    InvertedResidualConfig(5, 120, 48, True, True, 1),
    InvertedResidualConfig(5, 144, 48, True, True, 1),
    InvertedResidualConfig(5, 288, 96, True, True, 2),
    InvertedResidualConfig(5, 576, 96, True, True, 1),
    InvertedResidualConfig(5, 576, 96, True, True, 1),
)
_TAIL = 3  # the last rows, which `reduced_tail` makes half as wide and `dilated` dilates


class InvertedResidual(nn.Module):
    """Widen, convolve depthwise, scale channels, narrow; a shortcut where shapes allow it.

    Args:
        in_channels: channels of the input.
        cnf: the row of the table.
        norm_layer: makes a normalisation from a number of channels.
    """

    def __init__(self, in_channels: int, cnf: InvertedResidualConfig, norm_layer: Layer):
        super().__init__()
        hidden, act = cnf.expanded_channels, nn.Hardswish if cnf.use_hs else nn.ReLU
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer)
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(conv(in_channels, hidden, 1, activation_layer=act))
        stride = cnf.stride if cnf.dilation == 1 else 1
        layers.append(
            conv(hidden, hidden, cnf.kernel, stride, groups=hidden, dilation=cnf.dilation, activation_layer=act)
        )
        if cnf.use_se:
            squeezed = make_divisible(hidden // 4)
            layers.append(SqueezeExcitation(hidden, squeezed, scale_activation=nn.Hardsigmoid))
        layers.append(conv(hidden, cnf.out_channels, 1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = cnf.stride == 1 and in_channels == cnf.out_channels

    def forward(self, input: Tensor) -> Tensor:
        """Return the block's output."""
        return self.block(input) + input if self.use_res_connect else self.block(input)


class MobileNetV3(nn.Module):
    """A 3x3 convolution, inverted residuals, a 1x1 convolution, a global average, two linear layers.

    Args:
        rows: of the paper's table, a block each.
        last_channel: size of the first linear layer.
        num_classes: size of the output.
        width_mult: a factor for the channels of every layer; results are multiples of 8.
        reduced_tail: whether the last three blocks and the first linear layer are half as wide.
        dilated: whether the last three blocks keep the size of their maps and dilate.
        norm_layer: makes a normalisation from a number of channels; None: `BatchNorm2d` as in the paper.
        dropout: probability before the last layer.
        in_channels: channels of the images.
    """

    def __init__(
        self,
        rows: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        width_mult: Positive = 1.0,
        reduced_tail: bool = False,
        dilated: bool = False,
        norm_layer: Callable[..., nn.Module] | None = None,
        dropout: Share = 0.2,
        in_channels: int = 3,
    ):
        super().__init__()
        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        if reduced_tail:
            rows, last_channel = _halve_tail(rows), last_channel // 2
        if dilated:
            rows = [*rows[:-_TAIL], *(row._replace(dilation=2) for row in rows[-_TAIL:])]
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.Hardswish)
        channels = make_divisible(_FIRST_CHANNELS * width_mult)
        layers: list[nn.Module] = [conv(in_channels, channels, stride=2)]
        for row in rows:
            hidden, width = (make_divisible(n * width_mult) for n in (row.expanded_channels, row.out_channels))
            cnf = row._replace(expanded_channels=hidden, out_channels=width)
            layers.append(InvertedResidual(channels, cnf, norm_layer))
            channels = width
        layers.append(conv(channels, 6 * channels, 1))
        last_channel = make_divisible(last_channel * width_mult)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last_channel),
            nn.Hardswish(),
            nn.Dropout(dropout),
            nn.Linear(last_channel, num_classes),
        )
        initialise_fan_out(self, linear_std=0.01)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


def _halve_tail(rows: Sequence[InvertedResidualConfig]) -> list[InvertedResidualConfig]:
    """Return the rows with half the channels where the maps are smallest."""
    first, *rest = (row._replace(out_channels=row.out_channels // 2) for row in rows[-_TAIL:])
    return [*rows[:-_TAIL], first, *(row._replace(expanded_channels=row.expanded_channels // 2) for row in rest)]


mobilenet_v3_large = architecture(
    "mobilenet_v3_large", MobileNetV3, "MobileNetV3, large (Howard et al., 2019).", rows=_LARGE, last_channel=1280
)
mobilenet_v3_small = architecture(
    "mobilenet_v3_small", MobileNetV3, "MobileNetV3, small (Howard et al., 2019).", rows=_SMALL, last_channel=1024
)
