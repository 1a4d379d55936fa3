"""MobileNetV1: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision" (2017), table 1.

Names of the weights are those of the ImageNet weights that come with bubbliiiing/retinaface-pytorch.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from tinytrain import nn
from tinytrain.models.blocks import Layer, initialise_fan_out, make_divisible
from tinytrain.models.registry import architecture
from tinytrain.ranges import Positive
from tinytrain.tensor import Tensor

_ACTIVATIONS: dict[str, Layer] = {"relu": nn.ReLU, "leaky_relu": partial(nn.LeakyReLU, 0.1)}
_STAGES = (  # output channels and stride of each depthwise-separable convolution
    ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)


class MobileNetV1(nn.Module):
    """A 3x3 convolution, thirteen depthwise-separable ones, a global average, a linear head.

    Args:
        num_classes: size of the output.
        width_mult: a factor for the channels of every layer; results are multiples of 8.
        activation: `relu`, or `leaky_relu` with a slope of 0.1.
        in_channels: channels of the images.

    Raises:
        ValueError: there is no such activation.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: Positive = 1.0,
        activation: Literal["relu", "leaky_relu"] = "relu",
        in_channels: int = 3,
    ):
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ValueError(f"MobileNetV1: `activation` must be one of {', '.join(_ACTIVATIONS)}; got {activation!r}")
        act = _ACTIVATIONS[activation]
        channels = make_divisible(32 * width_mult)
        layers: list[nn.Module] = [nn.Sequential(*_conv(in_channels, channels, 3, 2, 1, act))]
        stages: list[nn.Sequential] = []
        for stage in _STAGES:
            for wide, stride in stage:
                width = make_divisible(wide * width_mult)
                depthwise = _conv(channels, channels, 3, stride, channels, act)
                layers.append(nn.Sequential(*depthwise, *_conv(channels, width, 1, 1, 1, act)))
                channels = width
            stages.append(nn.Sequential(*layers))
            layers = []
        self.stage1, self.stage2, self.stage3 = stages
        self.avg = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        initialise_fan_out(self, linear_std=0.01)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        x = self.stage3(self.stage2(self.stage1(input)))
        return self.fc(self.avg(x).flatten(1))


def _conv(channels: int, width: int, kernel_size: int, stride: int, groups: int, act: Layer) -> list[nn.Module]:
    conv = nn.Conv2d(channels, width, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(width), act()]


mobilenet_v1 = architecture("mobilenet_v1", MobileNetV1, "MobileNetV1 of any width (Howard et al., 2017).")
