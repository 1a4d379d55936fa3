"""A network that learns CIFAR-10 in seconds: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024).

arXiv:2404.00498: a 2x2 convolution whose filters whiten the patches of the training images (`training/whitening.py`),
three blocks of two 3x3 convolutions, and a linear head whose scores are scaled down. The first outputs of each 3x3
convolution are its inputs at the beginning. The paper keeps the scales of normalisation at 1, as a config does with
`{suffix: norm.weight, lr_scale: 0}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytrain import nn
from tinytrain.models.cnn import ACTIVATIONS, check_choice
from tinytrain.models.registry import architecture
from tinytrain.nn import functional as F
from tinytrain.ranges import Count, Positive
from tinytrain.tensor import Tensor


class _Unit(nn.Module):
    """A 3x3 convolution, maybe max pooling, normalisation and activation."""

    def __init__(self, in_channels: int, channels: int, activation: str, *, pools: bool):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, bias=False)
        nn.init.dirac_(self.conv.weight[:in_channels])
        self.norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
        self.act = ACTIVATIONS[activation]()
        self.pools = pools

    def forward(self, input: Tensor) -> Tensor:
        x = self.conv(input)
        return self.act(self.norm(F.max_pool2d(x, 2) if self.pools else x))


class CifarFast(nn.Module):
    """Whitening, three blocks, a linear head.

    Args:
        widths: channels of the blocks; each halves the image.
        activation: one of `models.cnn.ACTIVATIONS`; the paper's is `gelu`.
        score_scale: what the scores are multiplied by.
        num_classes: size of the output.
        in_channels: channels of the images, which are of 24 pixels and more.
    """

    def __init__(
        self,
        widths: Sequence[Count] = (64, 256, 256),
        activation: str = "gelu",
        score_scale: Positive = 1 / 9,
        num_classes: int = 10,
        in_channels: int = 3,
    ):
        super().__init__()
        check_choice("cifar_fast", "activation", activation, ACTIVATIONS)
        patch = 2 * 2 * in_channels
        self.whiten = nn.Conv2d(in_channels, 2 * patch, kernel_size=2)
        self.act = ACTIVATIONS[activation]()
        self.blocks = nn.Sequential()
        before = 2 * patch
        for width in widths:
            first, second = _Unit(before, width, activation, pools=True), _Unit(width, width, activation, pools=False)
            self.blocks.append(nn.Sequential(first, second))
            before = width
        self.head = nn.Linear(before, num_classes, bias=False)
        self.score_scale = score_scale

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        largest: Any = F.adaptive_max_pool2d(self.blocks(self.act(self.whiten(input))), 1)
        return self.head(largest.flatten(1)) * self.score_scale


cifar_fast = architecture("cifar_fast", CifarFast, "A small network that learns CIFAR-10 in a few epochs.")
