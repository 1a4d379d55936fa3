"""A plain CNN in two builds that differ in nothing but the kind of convolution."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from tinytrain import nn
from tinytrain.errors import ConfigError, did_you_mean
from tinytrain.models.registry import MODELS
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
    to three channels of an image leave nothing to separate.

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

    Raises:
        ConfigError: an option is none of those.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        conv: str = "standard",
        widths: Sequence[int] = (32, 64, 128),
        strides: Sequence[int] = (1, 2, 2),
        kernel_size: int = 3,
        norm: str = "batch",
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        _check_choice("conv", conv, CONVOLUTIONS)
        _check_choice("norm", norm, NORMS)
        _check_choice("activation", activation, ACTIVATIONS)
        if not widths or len(widths) != len(strides):
            raise ConfigError(
                f"model cnn: `widths` and `strides` must have as many entries, one at least; "
                f"got {len(widths)} and {len(strides)}"
            )
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"model cnn: `kernel_size` must be odd and positive; got {kernel_size}")
        blocks: list[nn.Module] = []
        channels = in_channels
        for number, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            is_separable = conv == "separable" and number > 0
            build = _separable_block if is_separable else _standard_block
            blocks.append(build(channels, width, kernel_size, stride, norm, activation))
            channels = width
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        pooled = self.pool(self.features(input)).flatten(1)
        return self.classifier(self.dropout(pooled))


@MODELS.register()
def cnn(
    num_classes: int = 10,
    in_channels: int = 3,
    conv: str = "standard",
    widths: Sequence[int] = (32, 64, 128),
    strides: Sequence[int] = (1, 2, 2),
    kernel_size: int = 3,
    norm: str = "batch",
    activation: str = "relu",
    dropout: float = 0.0,
) -> CNN:
    """A plain CNN with standard or depthwise-separable convolutions; arguments as of `CNN`."""
    return CNN(num_classes, in_channels, conv, widths, strides, kernel_size, norm, activation, dropout)


def _standard_block(
    channels: int, width: int, kernel_size: int, stride: int, norm: str, activation: str
) -> nn.Sequential:
    return _block(
        nn.Conv2d(channels, width, kernel_size, stride, kernel_size // 2, bias=norm == "none"), norm, activation
    )


def _separable_block(
    channels: int, width: int, kernel_size: int, stride: int, norm: str, activation: str
) -> nn.Sequential:
    bias = norm == "none"
    depthwise = nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=bias)
    pointwise = nn.Conv2d(channels, width, 1, bias=bias)
    return nn.Sequential(*_block(depthwise, norm, activation), *_block(pointwise, norm, activation))


def _block(conv: nn.Conv2d, norm: str, activation: str) -> nn.Sequential:
    return nn.Sequential(conv, NORMS[norm](conv.out_channels), ACTIVATIONS[activation]())


def _groups(channels: int) -> int:
    """Return the largest divisor of `channels` that is at most 32, the usual number of groups."""
    return next(groups for groups in range(min(32, channels), 0, -1) if channels % groups == 0)


def _check_choice(option: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise ConfigError(
            f"model cnn: `{option}` must be one of {', '.join(known)}; got {value!r}{did_you_mean(value, known)}"
        )
