"""AlexNet in one tower: Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014).

The first such network (Krizhevsky et al., 2012) was divided over two GPUs and normalised across channels.
"""

from __future__ import annotations

from tinytrain import nn
from tinytrain.models.registry import architecture
from tinytrain.ranges import Share
from tinytrain.tensor import Tensor


class AlexNet(nn.Module):
    """Five convolutions, three linear layers.

    Args:
        num_classes: size of the output.
        dropout: probability before each of the first two linear layers.
        in_channels: channels of the images.
    """

    def __init__(self, num_classes: int = 1000, dropout: Share = 0.5, in_channels: int = 3):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w), h and w at least 63."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


alexnet = architecture("alexnet", AlexNet, "AlexNet in one tower (Krizhevsky, 2014).")
