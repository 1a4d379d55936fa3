"""GoogLeNet: Szegedy et al., "Going Deeper with Convolutions" (2015), table 1, with batch normalisation.

As in torchvision, whose weights it takes, the third branch of a block has a 3x3 kernel where the paper has 5x5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tinytrain import nn
from tinytrain.models.registry import architecture
from tinytrain.nn import functional as F
from tinytrain.nn.rows import in_row
from tinytrain.ops.joining import cat
from tinytrain.ranges import Share
from tinytrain.tensor import Tensor


class GoogLeNetOutputs(NamedTuple):
    """What the network returns in training.

    Attributes:
        logits: (n, num_classes) of the head.
        aux_logits2: (n, num_classes) of the head after the fourth block of the middle stage.
        aux_logits1: (n, num_classes) of the head after its first block.
    """

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class BasicConv2d(nn.Module):
    """A convolution, a normalisation and ReLU.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: pixels.
        stride: pixels.
        padding: pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, input: Tensor) -> Tensor:
        """Return the block's output."""
        return F.relu(in_row(input, self.conv, self.bn))


class Inception(nn.Module):
    """Four branches side by side: 1x1, twice 1x1 then 3x3, pooling then 1x1.

    Args:
        in_channels: channels of the input.
        ch1x1: channels of the first branch.
        ch3x3red: channels between the convolutions of the second.
        ch3x3: channels of the second.
        ch5x5red: channels between the convolutions of the third.
        ch5x5: channels of the third.
        pool_proj: channels of the fourth.
    """

    def __init__(
        self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int
    ):
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(BasicConv2d(in_channels, ch3x3red, 1), BasicConv2d(ch3x3red, ch3x3, 3, padding=1))
        self.branch3 = nn.Sequential(BasicConv2d(in_channels, ch5x5red, 1), BasicConv2d(ch5x5red, ch5x5, 3, padding=1))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True), BasicConv2d(in_channels, pool_proj, 1)
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return the channels of all branches, one after the other."""
        return cat([self.branch1(input), self.branch2(input), self.branch3(input), self.branch4(input)], 1)


class InceptionAux(nn.Module):
    """A classifier from the middle of the network, for training.

    Args:
        in_channels: channels of the input.
        num_classes: size of the output.
        dropout: probability before the last layer.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7):
        super().__init__()
        self.conv = BasicConv2d(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of maps (n, in_channels, h, w)."""
        x = self.conv(F.adaptive_avg_pool2d(input, 4)).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Three convolutions, nine inception blocks, a global average, a linear head; two more heads in training.

    Args:
        num_classes: size of the output.
        aux_logits: whether there are the auxiliary heads.
        transform_input: whether images normalised by ImageNet's mean and deviation are turned to those of 0.5 and 0.5.
        init_weights: whether the first values are the network's own; else they are the layers'.
        dropout: probability before the head.
        dropout_aux: probability before the auxiliary heads.
        in_channels: channels of the images.

    Raises:
        ValueError: `transform_input` is for images of three channels.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        dropout: Share = 0.2,
        dropout_aux: Share = 0.7,
        in_channels: int = 3,
    ):
        super().__init__()
        if transform_input and in_channels != 3:
            raise ValueError(f"GoogLeNet: `transform_input` needs images of 3 channels; `in_channels` is {in_channels}")
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.conv1 = BasicConv2d(in_channels, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, 1)
        self.conv3 = BasicConv2d(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1 = InceptionAux(512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            for module in self.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    nn.init.trunc_normal_(module.weight, std=0.01)

    def forward(self, input: Tensor) -> Tensor | GoogLeNetOutputs:
        """Return logits (n, num_classes) of images (n, in_channels, h, w), h and w at least 15.

        In training, the logits of all three heads, where there are auxiliary ones.
        """
        x = _renormalise(input) if self.transform_input else input
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x4a = self.inception4a(x)
        x4d = self.inception4d(self.inception4c(self.inception4b(x4a)))
        x = self.maxpool4(self.inception4e(x4d))
        x = self.avgpool(self.inception5b(self.inception5a(x))).flatten(1)
        if not self.training or self.aux1 is None or self.aux2 is None:
            return self.fc(self.dropout(x))
        aux1, aux2 = self.aux1(x4a), self.aux2(x4d)
        return GoogLeNetOutputs(self.fc(self.dropout(x)), aux2, aux1)


def _renormalise(images: Tensor) -> Tensor:
    """Return images normalised by ImageNet's mean and deviation, normalised by 0.5 and 0.5 instead."""
    scale, shift = (images.new_tensor(values).reshape(1, 3, 1, 1) for values in (_SCALE, _SHIFT))
    return images * scale + shift


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SCALE: Sequence[float] = [std / 0.5 for std in _STD]
_SHIFT: Sequence[float] = [(mean - 0.5) / 0.5 for mean in _MEAN]

googlenet = architecture("googlenet", GoogLeNet, "GoogLeNet, also called Inception v1 (Szegedy et al., 2015).")
