"""A plain CNN in two builds that differ in nothing but the kind of convolution."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from tinytrain import nn
from tinytrain.errors import ConfigError, did_you_mean
from tinytrain.models.registry import architecture
from tinytrain.ranges import Count, Share
from tinytrain.tensor import Tensor

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "tanh": nn.Tanh,
}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(_groups(channels), channels),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "none": lambda channels: nn.Identity(),
}
CONVOLUTIONS = ("standard", "separable")


class CNN(nn.Module):
    """Blocks of convolution, normalisation and activation; a global average; a linear head.

    The separable build replaces every convolution but the first by a depthwise and a pointwise one, each with its own
    normalisation and activation (Howard et al., "MobileNets", 2017). The first convolution is standard in both: the one
    to three channels of an image leave nothing to separate. With `expansion`, another pointwise one before them makes
    the depthwise one work on more channels (Sandler et al., "MobileNetV2", 2018, section 3.3).

    Args:
        num_classes: size of the output.
        in_channels: channels of the images.
        conv: `standard` or `separable`.
        widths: output channels of each block.
        strides: stride of each block, in pixels.
        kernel_size: pixels; odd, so that the padding of `kernel_size // 2` keeps the size.
        norm: `batch`, `group`, `instance` or `none`.
        activation: one of `ACTIVATIONS`.
        dropout: probability before the head, from 0 to 1.
        expansion: a factor for the channels of the depthwise convolutions, 1 or more.

    Raises:
        ConfigError: an option is none of those.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        conv: str = "standard",
        widths: Sequence[Count] = (32, 64, 128),
        strides: Sequence[Count] = (1, 2, 2),
        kernel_size: Count = 3,
        norm: str = "batch",
        activation: str = "relu",
        dropout: Share = 0.0,
        expansion: Count = 1,
    ):
        super().__init__()
        check_choice("cnn", "conv", conv, CONVOLUTIONS)
        check_choice("cnn", "norm", norm, NORMS)
        check_choice("cnn", "activation", activation, ACTIVATIONS)
        if not widths or len(widths) != len(strides):
            raise ConfigError(
                f"model cnn: `widths` and `strides` must have as many entries, one at least; "
                f"got {len(widths)} and {len(strides)}"
            )
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"model cnn: `kernel_size` must be odd and positive; got {kernel_size}")
        if expansion < 1 or (expansion > 1 and conv != "separable"):
            raise ConfigError(
                f"model cnn: `expansion` is 1, or more where `conv` is separable; got {expansion} for {conv}",
                remedy="It widens what a depthwise convolution works on; a standard one has its `widths`",
            )
        blocks: list[nn.Module] = []
        channels = in_channels
        for number, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            if conv == "separable" and number > 0:
                block = _separable_block(channels, width, kernel_size, stride, norm, activation, expansion)
            else:
                block = _standard_block(channels, width, kernel_size, stride, norm, activation)
            blocks.append(block)
            channels = width
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        pooled = self.pool(self.features(input)).flatten(1)
        return self.classifier(self.dropout(pooled))


cnn = architecture("cnn", CNN, "A plain CNN with standard or depthwise-separable convolutions.")


def _standard_block(
    channels: int, width: int, kernel_size: int, stride: int, norm: str, activation: str
) -> nn.Sequential:
    return _block(
        nn.Conv2d(channels, width, kernel_size, stride, kernel_size // 2, bias=norm == "none"), norm, activation
    )


def _separable_block(
    channels: int, width: int, kernel_size: int, stride: int, norm: str, activation: str, expansion: int
) -> nn.Sequential:
    bias = norm == "none"
    layers: list[nn.Module] = []
    if expansion > 1:
        layers += _block(nn.Conv2d(channels, channels * expansion, 1, bias=bias), norm, activation)
        channels *= expansion
    depthwise = nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=bias)
    pointwise = nn.Conv2d(channels, width, 1, bias=bias)
    return nn.Sequential(*layers, *_block(depthwise, norm, activation), *_block(pointwise, norm, activation))


def _block(conv: nn.Conv2d, norm: str, activation: str) -> nn.Sequential:
    return nn.Sequential(conv, NORMS[norm](conv.out_channels), ACTIVATIONS[activation]())


def _groups(channels: int) -> int:
    """Return the largest divisor of `channels` that is at most 32, the usual number of groups."""
    return next(groups for groups in range(min(32, channels), 0, -1) if channels % groups == 0)


def check_choice(model: str, option: str, value: str, known: Collection[str]) -> None:
    """Raise ConfigError unless an option of a model is one of the known words."""
    if value not in known:
        raise ConfigError(
            f"model {model}: `{option}` must be one of {', '.join(known)}; got {value!r}{did_you_mean(value, known)}"
        )
