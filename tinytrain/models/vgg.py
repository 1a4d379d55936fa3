"""VGG: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), table 1."""

from __future__ import annotations

from collections.abc import Sequence

from tinytrain import nn
from tinytrain.models.blocks import initialise_fan_out
from tinytrain.models.registry import architecture
from tinytrain.ranges import Share
from tinytrain.tensor import Tensor

_WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each closed by pooling; three linear layers.

    Args:
        depths: convolutions of each stage.
        batch_norm: whether each convolution is followed by a normalisation.
        num_classes: size of the output.
        init_weights: whether the first values are VGG's own; else they are the layers'.
        dropout: probability after each of the first two linear layers.
        in_channels: channels of the images.
    """

    def __init__(
        self,
        depths: Sequence[int],
        batch_norm: bool,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: Share = 0.5,
        in_channels: int = 3,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        for width, depth in zip(_WIDTHS, depths, strict=True):
            for _ in range(depth):
                layers.append(nn.Conv2d(in_channels, width, kernel_size=3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU())
                in_channels = width
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            initialise_fan_out(self, linear_std=0.01)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w), h and w at least 32."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

vgg11 = architecture("vgg11", VGG, "VGG with 11 layers.", depths=_DEPTHS[11], batch_norm=False)
vgg11_bn = architecture("vgg11_bn", VGG, "VGG with 11 layers, normalised.", depths=_DEPTHS[11], batch_norm=True)
vgg13 = architecture("vgg13", VGG, "VGG with 13 layers.", depths=_DEPTHS[13], batch_norm=False)
vgg13_bn = architecture("vgg13_bn", VGG, "VGG with 13 layers, normalised.", depths=_DEPTHS[13], batch_norm=True)
vgg16 = architecture("vgg16", VGG, "VGG with 16 layers.", depths=_DEPTHS[16], batch_norm=False)
vgg16_bn = architecture("vgg16_bn", VGG, "VGG with 16 layers, normalised.", depths=_DEPTHS[16], batch_norm=True)
vgg19 = architecture("vgg19", VGG, "VGG with 19 layers.", depths=_DEPTHS[19], batch_norm=False)
vgg19_bn = architecture("vgg19_bn", VGG, "VGG with 19 layers, normalised.", depths=_DEPTHS[19], batch_norm=True)
