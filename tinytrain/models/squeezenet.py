"""SqueezeNet: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016), table 1.

Version 1.1 pools earlier and begins with a smaller kernel, for 2.4 times fewer multiply-adds (its authors' repository).
"""

from __future__ import annotations

from typing import Literal

from tinytrain import nn
from tinytrain.models.registry import architecture
from tinytrain.ops.joining import cat
from tinytrain.ranges import Share
from tinytrain.tensor import Tensor

_LAYOUTS = {  # kernel size and channels of the first convolution; None: pooling; else squeezed and expanded channels
    "1_0": ((7, 96), (None, 16, 16, 32, None, 32, 48, 48, 64, None, 64)),
    "1_1": ((3, 64), (None, 16, 16, None, 32, 32, None, 48, 48, 64, 64)),
}


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions side by side.

    Args:
        inplanes: channels of the input.
        squeeze_planes: channels after the first convolution.
        expand1x1_planes: channels from the 1x1 convolution.
        expand3x3_planes: channels from the 3x3 convolution.
    """

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int):
        super().__init__()
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, kernel_size=1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, kernel_size=1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, input: Tensor) -> Tensor:
        """Return the channels of both expansions, one after the other."""
        x = self.squeeze_activation(self.squeeze(input))
        return cat([self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """A convolution, eight fire modules with pooling between them, and a convolution whose averages are the logits.

    Args:
        version: `1_0` or `1_1`.
        num_classes: size of the output.
        dropout: probability before the last convolution.
        in_channels: channels of the images.

    Raises:
        ValueError: there is no such version.
    """

    def __init__(
        self,
        version: Literal["1_0", "1_1"] = "1_0",
        num_classes: int = 1000,
        dropout: Share = 0.5,
        in_channels: int = 3,
    ):
        super().__init__()
        if version not in _LAYOUTS:
            raise ValueError(f"SqueezeNet: `version` must be one of {', '.join(_LAYOUTS)}; got {version!r}")
        (kernel_size, channels), layout = _LAYOUTS[version]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, kernel_size, stride=2), nn.ReLU()]
        for squeezed in layout:
            if squeezed is None:
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
            else:
                layers.append(Fire(channels, squeezed, 4 * squeezed, 4 * squeezed))
                channels = 8 * squeezed
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(channels, num_classes, kernel_size=1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), last, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is last:
                    nn.init.normal_(module.weight, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        return self.classifier(self.features(input)).flatten(1)


squeezenet1_0 = architecture("squeezenet1_0", SqueezeNet, "SqueezeNet 1.0.", version="1_0")
squeezenet1_1 = architecture("squeezenet1_1", SqueezeNet, "SqueezeNet 1.1, 2.4 times cheaper.", version="1_1")
