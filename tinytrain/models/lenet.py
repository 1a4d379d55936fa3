"""LeNet-5: the network of LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998), section II.

As it is usually read today: every map of the third layer sees all maps before it, the pooling has no weights, and the
output is linear. An image of 32x32 pixels gives 5x5 maps before the linear layers; other sizes are averaged to that.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge

from tinytrain import nn
from tinytrain.models.registry import architecture
from tinytrain.tensor import Tensor

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class LeNet5(nn.Module):
    """Two convolutions with pooling, three linear layers.

    Args:
        num_classes: size of the output.
        in_channels: channels of the images.
        activation: `tanh` as in the paper, or `relu`.
        padding: pixels around the image in the first convolution; 2 makes an image of 28x28 pixels one of 32x32.

    Raises:
        ValueError: there is no such activation.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        activation: Literal["tanh", "relu"] = "tanh",
        padding: Annotated[int, Ge(0)] = 0,
    ):
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ValueError(f"LeNet5: `activation` must be one of {', '.join(_ACTIVATIONS)}; got {activation!r}")
        act = _ACTIVATIONS[activation]
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, kernel_size=5, padding=padding),
            act(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5),
            act(),
            nn.AvgPool2d(2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(5)
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, num_classes)
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


lenet5 = architecture("lenet5", LeNet5, "LeNet-5 for 32x32 images (LeCun et al., 1998).")
