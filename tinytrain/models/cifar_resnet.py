"""The small residual networks for CIFAR: He et al., "Deep Residual Learning for Image Recognition" (2016), section 4.2.

Their shortcuts have no weights (option A of the paper): where the maps shrink, every second pixel is taken and the new
channels are zero. Names of the weights are those of akamaster/pytorch_resnet_cifar10.
"""

from __future__ import annotations

from typing import Any

from tinytrain import nn
from tinytrain.models.registry import architecture
from tinytrain.nn import functional as F
from tinytrain.nn.rows import in_row
from tinytrain.tensor import Tensor


class _Block(nn.Module):
    """Two 3x3 convolutions with a shortcut that has no weights."""

    def __init__(self, inplanes: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.new_channels = stride, planes - inplanes

    def forward(self, input: Tensor) -> Tensor:
        x = F.relu(in_row(input, self.conv1, self.bn1))
        return F.relu(in_row(x, self.conv2, self.bn2) + self._shortcut(input))

    def _shortcut(self, input: Tensor) -> Tensor:
        if not self.new_channels:
            return input
        # Windows of one pixel: unlike a slice they keep the order in memory.
        taken: Any = F.max_pool2d(input, 1, self.stride)
        before = self.new_channels // 2
        return F.pad(taken, (0, 0, 0, 0, before, self.new_channels - before))


class CifarResNet(nn.Module):
    """A 3x3 convolution, three stages of 16, 32 and 64 channels, a global average, a linear head.

    Args:
        depth: layers with weights, 6n + 2 for n blocks a stage.
        num_classes: size of the output.
        in_channels: channels of the images.

    Raises:
        ValueError: `depth` is not 6n + 2.
    """

    def __init__(self, depth: int, num_classes: int = 10, in_channels: int = 3):
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"CifarResNet: `depth` must be 6n + 2, as 20, 32 or 44; got {depth}")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        x = F.relu(in_row(input, self.conv1, self.bn1))
        x = in_row(x, self.layer1, self.layer2, self.layer3)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _stage(inplanes: int, planes: int, stride: int, blocks: int) -> nn.Sequential:
    first = _Block(inplanes, planes, stride)
    return nn.Sequential(first, *(_Block(planes, planes, 1) for _ in range(blocks - 1)))


cifar_resnet20 = architecture("cifar_resnet20", CifarResNet, "CIFAR's ResNet with 20 layers.", depth=20)
cifar_resnet32 = architecture("cifar_resnet32", CifarResNet, "CIFAR's ResNet with 32 layers.", depth=32)
cifar_resnet44 = architecture("cifar_resnet44", CifarResNet, "CIFAR's ResNet with 44 layers.", depth=44)
cifar_resnet56 = architecture("cifar_resnet56", CifarResNet, "CIFAR's ResNet with 56 layers.", depth=56)
cifar_resnet110 = architecture("cifar_resnet110", CifarResNet, "CIFAR's ResNet with 110 layers.", depth=110)
