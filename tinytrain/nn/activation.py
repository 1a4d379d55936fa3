"""Activations as layers; the formulas stand with the functions in `tinytrain.ops`."""

from __future__ import annotations

from tinytrain.device import device as Device
from tinytrain.dtypes import dtype as Dtype
from tinytrain.nn import functional as F
from tinytrain.nn.module import Module
from tinytrain.nn.parameter import Parameter
from tinytrain.nn.stateless import REQUIRED, Stateless
from tinytrain.ops.creation import full
from tinytrain.tensor import Tensor

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class ReLU(Stateless, function=F.relu, inplace=False):
    """The larger of x and 0."""


class ReLU6(Stateless, function=F.relu6, inplace=False):
    """x limited to 0 to 6."""


class LeakyReLU(Stateless, function=F.leaky_relu, negative_slope=0.01, inplace=False):
    """x above 0, `negative_slope * x` below."""


class ELU(Stateless, function=F.elu, alpha=1.0, inplace=False):
    """x above 0, `alpha * (exp(x) - 1)` below."""


class SELU(Stateless, function=F.selu, inplace=False):
    """The ELU whose scale keeps zero mean and unit variance."""


class CELU(Stateless, function=F.celu, alpha=1.0, inplace=False):
    """The ELU with a continuous slope at 0 for every alpha."""


class GELU(Stateless, function=F.gelu, approximate="none"):
    """x times the normal distribution function of x, or its tanh approximation."""


class SiLU(Stateless, function=F.silu, inplace=False):
    """x times sigmoid(x)."""


class Mish(Stateless, function=F.mish, inplace=False):
    """x times tanh(softplus(x))."""


class Hardtanh(Stateless, function=F.hardtanh, min_val=-1.0, max_val=1.0, inplace=False):
    """x limited to `min_val` to `max_val`."""


class Hardswish(Stateless, function=F.hardswish, inplace=False):
    """x times hardsigmoid(x)."""


class Hardsigmoid(Stateless, function=F.hardsigmoid, inplace=False):
    """`x / 6 + 1 / 2` limited to 0 to 1."""


class _Shrink(Stateless):
    """An activation that is 0 around 0."""

    def extra_repr(self) -> str:
        """Return the width without its name, as PyTorch."""
        return str(self.lambd)


class Hardshrink(_Shrink, function=F.hardshrink, lambd=0.5):
    """x outside -lambd to lambd, 0 inside."""


class Softshrink(_Shrink, function=F.softshrink, lambd=0.5):
    """x moved towards 0 by lambd, 0 inside -lambd to lambd."""


class Sigmoid(Stateless, function=F.sigmoid):
    """`1 / (1 + exp(-x))`."""


class LogSigmoid(Stateless, function=F.logsigmoid):
    """The logarithm of sigmoid(x)."""


class Softplus(Stateless, function=F.softplus, beta=1.0, threshold=20.0):
    """`log(1 + exp(beta * x)) / beta`, linear where `beta * x` exceeds the threshold."""


class Softsign(Stateless, function=F.softsign):
    """`x / (1 + |x|)`."""


class Tanh(Stateless, function=F.tanh):
    """The hyperbolic tangent."""


class Tanhshrink(Stateless, function=F.tanhshrink):
    """`x - tanh(x)`."""


class Threshold(Stateless, function=F.threshold, threshold=REQUIRED, value=REQUIRED, inplace=False):
    """x above the threshold, `value` elsewhere."""


class GLU(Stateless, function=F.glu, dim=-1):
    """The first half of a dimension times the sigmoid of the second."""


class Softmax(Stateless, function=F.softmax, dim=None):
    """`exp(x)` divided by its sum along `dim`."""


class Softmin(Stateless, function=F.softmin, dim=None):
    """The softmax of -x."""


class LogSoftmax(Stateless, function=F.log_softmax, dim=None):
    """The logarithm of the softmax along `dim`."""


class Softmax2d(Module):
    """The softmax over channels of images (n, c, h, w) or (c, h, w)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the softmax over channels.

        Raises:
            ValueError: the input has neither 3 nor 4 dimensions.
        """
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D (got {input.ndim}D)")
        return F.softmax(input, dim=-3)


class PReLU(Module):
    """x above 0, `weight * x` below, with a trained weight for all channels or for each.

    Args:
        num_parameters: 1, or the number of channels.
        init: the first value.
        device: where the weight lies.
        dtype: its type.
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Device | str | None = None,
        dtype: Dtype | None = None,
    ):
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), float(init), device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        """Return the activation of `input`, (n, c, ...)."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"num_parameters={self.num_parameters}"
