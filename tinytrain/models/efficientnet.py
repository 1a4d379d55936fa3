"""EfficientNet-B0.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019), table 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from tinytrain import nn
from tinytrain.models.blocks import (
    Conv2dNormActivation,
    Layer,
    SqueezeExcitation,
    StochasticDepth,
    initialise_fan_out,
    make_divisible,
)
from tinytrain.models.registry import architecture
from tinytrain.ranges import Share
from tinytrain.tensor import Tensor


class MBConvConfig(NamedTuple):
    """One stage of the paper's table.

    Attributes:
        expand_ratio: a factor for the channels inside a block.
        kernel: size of the depthwise kernels, in pixels.
        stride: of the first block, in pixels.
        out_channels: channels of the output.
        num_layers: blocks.
    """

    expand_ratio: int
    kernel: int
    stride: int
    out_channels: int
    num_layers: int


_FIRST_CHANNELS = 32
_B0 = (
    MBConvConfig(1, 3, 1, 16, 1),
    MBConvConfig(6, 3, 2, 24, 2),
    MBConvConfig(6, 5, 2, 40, 2),
    MBConvConfig(6, 3, 2, 80, 3),
    MBConvConfig(6, 5, 1, 112, 3),
    MBConvConfig(6, 5, 2, 192, 4),
    MBConvConfig(6, 3, 1, 320, 1),
)


class MBConv(nn.Module):
    """Widen, convolve depthwise, scale channels, narrow; a shortcut where shapes allow it, the rest dropped at random.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        expand_ratio: a factor for the channels in between.
        kernel: size of the depthwise kernel, in pixels.
        stride: of the depthwise convolution, in pixels.
        stochastic_depth_prob: probability that only the shortcut is taken.
        norm_layer: makes a normalisation from a number of channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expand_ratio: int,
        kernel: int,
        stride: int,
        stochastic_depth_prob: float,
        norm_layer: Layer,
    ):
        super().__init__()
        hidden = make_divisible(in_channels * expand_ratio)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer)
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(conv(in_channels, hidden, 1, activation_layer=nn.SiLU))
        layers += [
            conv(hidden, hidden, kernel, stride, groups=hidden, activation_layer=nn.SiLU),
            SqueezeExcitation(hidden, max(1, in_channels // 4), activation=nn.SiLU),
            conv(hidden, out_channels, 1, activation_layer=None),
        ]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.use_res_connect = stride == 1 and in_channels == out_channels

    def forward(self, input: Tensor) -> Tensor:
        """Return the block's output."""
        x = self.block(input)
        return self.stochastic_depth(x) + input if self.use_res_connect else x


class EfficientNet(nn.Module):
    """A 3x3 convolution, stages of `MBConv`, a 1x1 convolution, a global average, a linear head.

    Args:
        inverted_residual_setting: the stages.
        dropout: probability before the head.
        stochastic_depth_prob: probability to skip a block, from 0 in the first up to this after the last.
        num_classes: size of the output.
        norm_layer: makes a normalisation from a number of channels; None: `BatchNorm2d`.
        in_channels: channels of the images.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[MBConvConfig],
        dropout: Share = 0.2,
        stochastic_depth_prob: Share = 0.2,
        num_classes: int = 1000,
        norm_layer: Callable[..., nn.Module] | None = None,
        in_channels: int = 3,
    ):
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        layers: list[nn.Module] = [conv(in_channels, _FIRST_CHANNELS, stride=2)]
        channels, number = _FIRST_CHANNELS, 0
        total = sum(stage.num_layers for stage in inverted_residual_setting)
        for stage in inverted_residual_setting:
            blocks: list[nn.Module] = []
            for i in range(stage.num_layers):
                stride = stage.stride if i == 0 else 1
                drop = stochastic_depth_prob * number / total
                blocks.append(
                    MBConv(channels, stage.out_channels, stage.expand_ratio, stage.kernel, stride, drop, norm_layer)
                )
                channels, number = stage.out_channels, number + 1
            layers.append(nn.Sequential(*blocks))
        layers.append(conv(channels, 4 * channels, 1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        head = nn.Linear(4 * channels, num_classes)
        self.classifier = nn.Sequential(nn.Dropout(dropout), head)
        initialise_fan_out(self)
        bound = 1 / math.sqrt(num_classes)
        nn.init.uniform_(head.weight, -bound, bound)
        nn.init.zeros_(head.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


efficientnet_b0 = architecture(
    "efficientnet_b0", EfficientNet, "EfficientNet-B0 (Tan and Le, 2019).", inverted_residual_setting=_B0
)
