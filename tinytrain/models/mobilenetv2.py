"""MobileNetV2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinytrain import nn
from tinytrain.models.blocks import Conv2dNormActivation, Layer, initialise_fan_out, make_divisible
from tinytrain.models.registry import architecture
from tinytrain.nn import functional as F
from tinytrain.ranges import Count, Positive, Share
from tinytrain.tensor import Tensor

_SETTING = (  # expansion, output channels, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Widen, convolve depthwise, narrow without activation; a shortcut where shapes allow it.

    Args:
        inp: channels of the input.
        oup: channels of the output.
        stride: of the depthwise convolution, 1 or 2 pixels.
        expand_ratio: a factor for the channels in between.
        norm_layer: makes a normalisation from a number of channels; None: `BatchNorm2d`.

    Raises:
        ValueError: the stride is neither 1 nor 2.
    """

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: float, norm_layer: Layer | None = None):
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm_layer = norm_layer or nn.BatchNorm2d
        hidden = round(inp * expand_ratio)
        self.use_res_connect = stride == 1 and inp == oup
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(Conv2dNormActivation(inp, hidden, 1, norm_layer=norm_layer, activation_layer=nn.ReLU6))
        layers += [
            Conv2dNormActivation(
                hidden, hidden, stride=stride, groups=hidden, norm_layer=norm_layer, activation_layer=nn.ReLU6
            ),
            nn.Conv2d(hidden, oup, kernel_size=1, bias=False),
            norm_layer(oup),
        ]
        self.conv = nn.Sequential(*layers)
        self.out_channels = oup

    def forward(self, input: Tensor) -> Tensor:
        """Return the block's output."""
        return input + self.conv(input) if self.use_res_connect else self.conv(input)


class MobileNetV2(nn.Module):
    """A 3x3 convolution, inverted residuals, a 1x1 convolution, a global average, a linear head.

    Args:
        num_classes: size of the output.
        width_mult: a factor for the channels of every layer.
        inverted_residual_setting: for each stage: expansion, output channels, blocks, stride; None: the paper's.
        round_nearest: channels are multiples of it.
        block: makes a block as `InvertedResidual` does, by default that.
        norm_layer: makes a normalisation from a number of channels; None: `BatchNorm2d`.
        dropout: probability before the head.
        in_channels: channels of the images.

    Raises:
        ValueError: the setting is empty, or an entry has not four numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: Positive = 1.0,
        inverted_residual_setting: Sequence[Sequence[Count]] | None = None,
        round_nearest: Count = 8,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        dropout: Share = 0.2,
        in_channels: int = 3,
    ):
        super().__init__()
        block = block or InvertedResidual
        norm_layer = norm_layer or nn.BatchNorm2d
        setting = _SETTING if inverted_residual_setting is None else inverted_residual_setting
        if not setting or any(len(each) != 4 for each in setting):
            raise ValueError(f"inverted_residual_setting should be a list of 4-element lists, got {setting}")
        channels = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        features: list[nn.Module] = [
            Conv2dNormActivation(in_channels, channels, stride=2, norm_layer=norm_layer, activation_layer=nn.ReLU6)
        ]
        for expansion, wide, depth, stride in setting:
            width = make_divisible(wide * width_mult, round_nearest)
            for i in range(depth):
                step = stride if i == 0 else 1
                features.append(block(channels, width, step, expand_ratio=expansion, norm_layer=norm_layer))
                channels = width
        features.append(
            Conv2dNormActivation(channels, self.last_channel, 1, norm_layer=norm_layer, activation_layer=nn.ReLU6)
        )
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes))
        initialise_fan_out(self, linear_std=0.01)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        return self.classifier(F.adaptive_avg_pool2d(self.features(input), 1).flatten(1))


mobilenet_v2 = architecture("mobilenet_v2", MobileNetV2, "MobileNetV2 of any width (Sandler et al., 2018).")
