"""ConvNeXt: Liu et al., "A ConvNet for the 2020s" (2022), section 2 and table 9."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tinytrain import nn
from tinytrain.models.blocks import Conv2dNormActivation, LayerNorm2d, Permute, StochasticDepth
from tinytrain.models.registry import architecture
from tinytrain.ops.creation import full
from tinytrain.ranges import NotNegative, Share
from tinytrain.tensor import Tensor

_EPS = 1e-6


class CNBlock(nn.Module):
    """A 7x7 depthwise convolution, a normalisation, two linear layers over channels; scaled, with a shortcut.

    Args:
        dim: channels.
        layer_scale: first value of the factor of each channel.
        stochastic_depth_prob: probability that only the shortcut is taken.
    """

    def __init__(self, dim: int, layer_scale: float, stochastic_depth_prob: float):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim),
            Permute([0, 2, 3, 1]),
            nn.LayerNorm(dim, eps=_EPS),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(full((dim, 1, 1), layer_scale))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Tensor) -> Tensor:
        """Return the block's output."""
        return self.stochastic_depth(self.layer_scale * self.block(input)) + input


class ConvNeXt(nn.Module):
    """A 4x4 convolution of stride 4, four stages, a global average, a normalisation, a linear head.

    Args:
        widths: channels of each stage.
        depths: blocks of each stage.
        stochastic_depth_prob: probability to skip the last block; it rises linearly from 0 in the first.
        layer_scale: first value of the factors at the end of each block.
        num_classes: size of the output.
        in_channels: channels of the images.
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        stochastic_depth_prob: Share = 0.1,
        layer_scale: NotNegative = 1e-6,
        num_classes: int = 1000,
        in_channels: int = 3,
    ):
        super().__init__()
        norm = partial(LayerNorm2d, eps=_EPS)
        layers: list[nn.Module] = [
            Conv2dNormActivation(
                in_channels, widths[0], 4, stride=4, padding=0, norm_layer=norm, activation_layer=None, bias=True
            )
        ]
        last, number = sum(depths) - 1, 0
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if i > 0:
                layers.append(nn.Sequential(norm(widths[i - 1]), nn.Conv2d(widths[i - 1], width, 2, stride=2)))
            drops = [stochastic_depth_prob * block / last for block in range(number, number + depth)]
            layers.append(nn.Sequential(*(CNBlock(width, layer_scale, drop) for drop in drops)))
            number += depth
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(norm(widths[-1]), nn.Flatten(1), nn.Linear(widths[-1], num_classes))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w), h and w at least 32."""
        return self.classifier(self.avgpool(self.features(input)))


convnext_tiny = architecture(
    "convnext_tiny",
    ConvNeXt,
    "ConvNeXt, tiny (Liu et al., 2022).",
    widths=(96, 192, 384, 768),
    depths=(3, 3, 9, 3),
)
