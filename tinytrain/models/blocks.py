"""Blocks that several architectures share, by torchvision's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinytrain import nn
from tinytrain.nn import functional as F
from tinytrain.tensor import Tensor

Layer = Callable[..., nn.Module]


class Conv2dNormActivation(nn.Sequential):
    """A convolution, a normalisation and an activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: pixels.
        stride: pixels.
        padding: pixels; None: as many as keep the size of the image at stride 1, for odd kernels.
        groups: of the convolution.
        norm_layer: makes a normalisation from a number of channels; None: there is none.
        activation_layer: makes an activation; None: there is none.
        dilation: pixels between taps of the kernel.
        bias: of the convolution; None: only where there is no normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: int = 1,
        bias: bool | None = None,
    ):
        if padding is None:
            padding = (kernel_size - 1) // 2 * dilation
        if bias is None:
            bias = norm_layer is None
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer())
        super().__init__(*layers)
        self.out_channels = out_channels


class SqueezeExcitation(nn.Module):
    """Scale every channel by a factor that depends on the averages of all channels.

    Source: Hu et al., "Squeeze-and-Excitation Networks" (2018), section 3, equation 3.

    Args:
        input_channels: channels of the image.
        squeeze_channels: size of the hidden layer.
        activation: makes what follows the hidden layer.
        scale_activation: makes what turns the result into factors.
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (n, c, h, w), with its channels scaled."""
        hidden = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(hidden)) * input


class StochasticDepth(nn.Module):
    """Drop a residual branch at random in training, and scale it by 1 / (1 - p) where it stays.

    Source: Huang et al., "Deep Networks with Stochastic Depth" (2016).

    Args:
        p: the probability to drop, from 0 to 1.
        mode: `row` decides for each image, `batch` for all images together.

    Raises:
        ValueError: `p` is no probability, or there is no such mode.
    """

    def __init__(self, p: float, mode: str):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
        if mode not in ("batch", "row"):
            raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
        self.p, self.mode = p, mode

    def forward(self, input: Tensor) -> Tensor:
        """Return the branch's output (n, ...), in training with some of it zero."""
        if not self.training or self.p == 0:
            return input
        survival = 1 - self.p
        rows = input.shape[0] if self.mode == "row" else 1
        factors = input.new_empty((rows,) + (1,) * (input.ndim - 1)).bernoulli_(survival)
        return input * (factors / survival if survival else factors)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"p={self.p}, mode={self.mode}"


class Permute(nn.Module):
    """Reorder the dimensions.

    Args:
        dims: where each dimension of the output comes from.
    """

    def __init__(self, dims: Sequence[int]):
        super().__init__()
        self.dims = list(dims)

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` with its dimensions reordered."""
        return input.permute(*self.dims)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"dims={self.dims}"


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel; arguments as of `LayerNorm`."""

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (n, c, h, w), normalised."""
        last = input.permute(0, 2, 3, 1)
        return F.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


def make_divisible(channels: float, divisor: int = 8, least: int | None = None) -> int:
    """Return the multiple of `divisor` closest to `channels`, but none that is more than 10 % below it.

    Args:
        channels: the number wished for.
        divisor: what the result is a multiple of.
        least: the smallest result, by default `divisor`.
    """
    rounded = max(least or divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def initialise_fan_out(model: nn.Module, linear_std: float | None = None) -> None:
    """Draw the first values of convolutions so that gradients keep their variance (He et al., 2015, section 2.2).

    Args:
        model: the network; the biases of its convolutions become 0.
        linear_std: standard deviation of the weights of linear layers, whose biases become 0 then; None leaves them.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear) and linear_std is not None:
            nn.init.normal_(module.weight, 0, linear_std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
