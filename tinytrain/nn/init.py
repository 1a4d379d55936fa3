"""First values of weights, by PyTorch's names; with the same seed, PyTorch's numbers.

Fans count as in PyTorch: for a weight `(out, in, *kernel)` the fan in is `in` and the fan out is `out`, each times
the number of kernel elements.

Sources: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010);
He et al., "Delving deep into rectifiers" (2015), section 2.2; Saxe et al., "Exact solutions to the nonlinear
dynamics of learning in deep linear neural networks" (2014).
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from tinytrain import dtypes
from tinytrain.device import device_of, move
from tinytrain.generator import Generator, default_generator
from tinytrain.ops.creation import empty_like, ones_like
from tinytrain.ops.masking import where
from tinytrain.recording import write
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


@no_grad
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with numbers drawn evenly from [a, b); return the tensor."""
    return tensor.uniform_(a, b, generator=generator)


@no_grad
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normally distributed numbers; return the tensor."""
    return tensor.normal_(mean, std, generator=generator)


@no_grad
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with normally distributed numbers that lie in [a, b]; return the tensor.

    Numbers outside are drawn again. Where more than 70 % would be, candidates are drawn evenly from [a, b) instead and
    accepted with the probability that their density has of the largest in the range.
    """
    mass = (math.erf((b - mean) / std / math.sqrt(2)) - math.erf((a - mean) / std / math.sqrt(2))) / 2
    if mass > 0.3:
        tensor.normal_(mean, std, generator=generator)
        while bool((outside := (tensor < a) | (tensor > b)).any()):
            tensor.copy_(where(outside, empty_like(tensor).normal_(mean, std, generator=generator), tensor))
        return tensor
    log_peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    pending = ones_like(tensor, dtype=dtypes.bool_)
    while bool(pending.any()):
        candidates = empty_like(tensor).uniform_(a, b, generator=generator)
        tensor.copy_(where(pending, candidates, tensor))
        log_density = -0.5 * ((candidates - mean) / std) ** 2 - log_peak
        rejected = empty_like(tensor).uniform_(generator=generator).log() > log_density
        pending = pending & rejected
    return tensor


@no_grad
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value; return the tensor."""
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones; return the tensor."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros; return the tensor."""
    return constant_(tensor, 0.0)


@no_grad
def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity; return the tensor.

    Raises:
        ValueError: it is no matrix.
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _store(tensor, np.eye(*tensor.shape))


@no_grad
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution's weight so that it hands its input channels through; return the tensor.

    Args:
        tensor: the weight, (out, in / groups, *kernel), of 3 to 5 dimensions.
        groups: in how many groups the output channels are divided.

    Raises:
        ValueError: another number of dimensions, or `groups` does not divide the output channels.
    """
    if not 3 <= tensor.ndim <= 5:
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(tensor.shape)
    per_group = tensor.shape[0] // groups
    center = tuple(size // 2 for size in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(per_group, tensor.shape[1])):
            values[(group * per_group + channel, channel, *center)] = 1
    return _store(tensor, values)


@no_grad
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill evenly from [-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)); return the tensor."""
    fan_in, fan_out = _fans(tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return tensor.uniform_(-bound, bound, generator=generator)


@no_grad
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill normally with std = gain * sqrt(2 / (fan_in + fan_out)); return the tensor."""
    fan_in, fan_out = _fans(tensor)
    return tensor.normal_(0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator=generator)


@no_grad
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill evenly from [-b, b) with b = gain * sqrt(3 / fan); return the tensor.

    Args:
        tensor: the weight, of at least 2 dimensions.
        a: the negative slope where the nonlinearity is `leaky_relu`.
        mode: `fan_in` or `fan_out`: which side keeps its variance.
        nonlinearity: what follows the weight; see `calculate_gain`.
        generator: where the numbers come from.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor.uniform_(-bound, bound, generator=generator)


@no_grad
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill normally with std = gain / sqrt(fan); arguments as for `kaiming_uniform_`; return the tensor."""
    return tensor.normal_(0, _kaiming_std(tensor, a, mode, nonlinearity), generator=generator)


@no_grad
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix: the Q of a random one, its signs made unique by R's; return the tensor.

    Args:
        tensor: the weight; its dimensions after the first count as one.
        gain: a factor.
        generator: where the numbers come from.

    Raises:
        ValueError: it has fewer than 2 dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    drawn = (generator or default_generator).normal((rows, columns), np.dtype("float32"))
    flat = drawn.astype(np.float64)
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diag(r))
    return _store(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the variance through a nonlinearity.

    Args:
        nonlinearity: `linear`, `conv1d` ... `conv_transpose3d`, `sigmoid`, `tanh`, `relu`, `leaky_relu`, `selu`.
        param: the negative slope of `leaky_relu`, by default 0.01.

    Raises:
        ValueError: the nonlinearity or the slope is none.
    """
    if nonlinearity in ("linear", "sigmoid") or nonlinearity.startswith(("conv1d", "conv2d", "conv3d", "conv_trans")):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Return the fan in and the fan out of a weight.

    Raises:
        ValueError: it has fewer than 2 dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    if tensor.numel() == 0:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=4)
        return 0.0
    fan = _fans(tensor)[mode.lower() == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _store(tensor: Tensor, values: np.ndarray) -> Tensor:
    """Put values that were computed on the CPU into a tensor of any device."""
    array = tensor.array
    write(tensor, ..., move(values.astype(array.dtype), device_of(array)))
    return tensor
