"""DenseNet: Huang et al., "Densely Connected Convolutional Networks" (2017), table 1."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from tinytrain import nn
from tinytrain.models.registry import architecture
from tinytrain.nn import functional as F
from tinytrain.ops.joining import cat
from tinytrain.ranges import Count, Share
from tinytrain.tensor import Tensor


class _DenseLayer(nn.Module):
    """A 1x1 and a 3x3 convolution, normalised before, of everything that came before in the block."""

    def __init__(self, channels: int, growth_rate: int, bn_size: int, drop_rate: float):
        super().__init__()
        hidden = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(channels, hidden, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(hidden, growth_rate, kernel_size=3, padding=1, bias=False)
        self.drop_rate = drop_rate

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = self.conv1(self.relu1(self.norm1(cat(features, 1))))
        x = self.conv2(self.relu2(self.norm2(x)))
        return F.dropout(x, self.drop_rate, self.training) if self.drop_rate > 0 else x


class _DenseBlock(nn.ModuleDict):
    """Layers that each add `growth_rate` channels."""

    def __init__(self, depth: int, channels: int, growth_rate: int, bn_size: int, drop_rate: float):
        super().__init__()
        for i in range(depth):
            layer = _DenseLayer(channels + i * growth_rate, growth_rate, bn_size, drop_rate)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, input: Tensor) -> Tensor:
        features = [input]
        for layer in self.children():
            features.append(layer(features))
        return cat(features, 1)


class _Transition(nn.Sequential):
    """Half the channels, half the height and width."""

    def __init__(self, channels: int):
        layers: list[tuple[str, nn.Module]] = [
            ("norm", nn.BatchNorm2d(channels)),
            ("relu", nn.ReLU()),
            ("conv", nn.Conv2d(channels, channels // 2, kernel_size=1, bias=False)),
            ("pool", nn.AvgPool2d(kernel_size=2, stride=2)),
        ]
        super().__init__(OrderedDict(layers))


class DenseNet(nn.Module):
    """A 7x7 convolution, dense blocks with transitions between them, a global average, a linear head.

    Args:
        growth_rate: channels that each layer adds.
        block_config: layers of each block.
        num_init_features: channels of the first convolution.
        bn_size: channels between the two convolutions of a layer, in growth rates.
        drop_rate: probability of dropout after each layer.
        num_classes: size of the output.
        in_channels: channels of the images.
    """

    def __init__(
        self,
        growth_rate: Count = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: Count = 64,
        bn_size: Count = 4,
        drop_rate: Share = 0.0,
        num_classes: int = 1000,
        in_channels: int = 3,
    ):
        super().__init__()
        channels = num_init_features
        stem: list[tuple[str, nn.Module]] = [
            ("conv0", nn.Conv2d(in_channels, channels, kernel_size=7, stride=2, padding=3, bias=False)),
            ("norm0", nn.BatchNorm2d(channels)),
            ("relu0", nn.ReLU()),
            ("pool0", nn.MaxPool2d(kernel_size=3, stride=2, padding=1)),
        ]
        self.features = nn.Sequential(OrderedDict(stem))
        for number, depth in enumerate(block_config, start=1):
            block = _DenseBlock(depth, channels, growth_rate, bn_size, drop_rate)
            self.features.add_module(f"denseblock{number}", block)
            channels += depth * growth_rate
            if number < len(block_config):
                self.features.add_module(f"transition{number}", _Transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w), h and w at least 29."""
        features = F.relu(self.features(input))
        return self.classifier(F.adaptive_avg_pool2d(features, 1).flatten(1))


densenet121 = architecture("densenet121", DenseNet, "DenseNet with 121 layers.", block_config=(6, 12, 24, 16))
