"""Layers that bring activations to zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytrain.device import Array
from tinytrain.device import device as Device
from tinytrain.dtypes import dtype as Dtype
from tinytrain.dtypes import int64
from tinytrain.nn import functional as F
from tinytrain.nn.module import Module
from tinytrain.nn.parameter import Parameter
from tinytrain.ops.batch_normalization import normalized
from tinytrain.ops.creation import ones, tensor, zeros
from tinytrain.ops.fusion import on_values
from tinytrain.pending import Pending, settled
from tinytrain.recording import count_up
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
]


class _RunningNorm(Module):
    """What batch and instance normalisation share: parameters, running statistics, the repr."""

    num_dims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Device | str | None,
        dtype: Dtype | None,
        bias: bool,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_features, **place)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features, **place)) if affine and bias else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **place) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **place) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=int64, device=device) if tracked else None)

    @no_grad
    def reset_running_stats(self) -> None:
        """Forget the statistics seen so far."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    @no_grad
    def reset_parameters(self) -> None:
        """Forget the statistics; set the weight to ones and the bias to zeros."""
        self.reset_running_stats()
        if self.weight is not None:
            self.weight.fill_(1)
        if self.bias is not None:
            self.bias.zero_()

    def _check_input(self, input: Tensor) -> None:
        if input.ndim not in self.num_dims:
            raise ValueError(
                f"{type(self).__name__}: expected {' or '.join(f'{n}D' for n in self.num_dims)} input "
                f"(got {input.ndim}D input)"
            )

    def extra_repr(self) -> str:
        """Return the arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    """`y = (x - mean) / sqrt(var + eps) * weight + bias`, mean and variance of each channel over the batch.

    In evaluation, and where they are tracked, the running statistics stand in for the batch's (Ioffe and Szegedy,
    2015). The running variance is the unbiased one.

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a new batch in the running statistics; None averages over all batches.
        affine: whether there are a weight and a bias.
        track_running_stats: whether running statistics are kept.
        device: where parameters and statistics lie.
        dtype: their type.
        bias: whether, with `affine`, there is a bias.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Device | str | None = None,
        dtype: Dtype | None = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def _on_values(self, x: Array | Pending, is_private: bool) -> Pending | None:
        own, mean, var = self._parameters, self._buffers.get("running_mean"), self._buffers.get("running_var")
        if self.training or not is_private or mean is None or var is None or x.ndim not in self.num_dims:
            return None
        if "weight" not in own or "bias" not in own:
            return None  # somebody computes them
        return normalized(settled(x), mean, var, own["weight"], own["bias"], self.eps)

    @on_values(_on_values)
    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (n, c, ...), normalised."""
        self._check_input(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        own, statistics = self._parameters, self._buffers
        mean, var = self._held(statistics, "running_mean"), self._held(statistics, "running_var")
        by_batch = self.training or mean is None
        if self.training:
            if not self.track_running_stats:
                mean = var = None
            else:
                count = self._held(statistics, "num_batches_tracked")
                if count is not None:
                    count_up(count)
                    if self.momentum is None:
                        momentum = 1.0 / float(count)
        weight, bias = self._held(own, "weight"), self._held(own, "bias")
        return F.batch_norm(input, mean, var, weight, bias, by_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    num_dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    num_dims = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    num_dims = (5,)


class _InstanceNorm(_RunningNorm):
    """`_BatchNorm`'s formula with mean and variance of each channel of each image (Ulyanov et al., 2016).

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a new batch in the running statistics.
        affine: whether there are a weight and a bias.
        track_running_stats: whether running statistics are kept and used in evaluation.
        device: where parameters and statistics lie.
        dtype: their type.
        bias: whether, with `affine`, there is a bias.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Device | str | None = None,
        dtype: Dtype | None = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (n, c, *spatial) or (c, *spatial), normalised."""
        self._check_input(input)
        batched = input if input.ndim == self.num_dims[-1] else input.unsqueeze(0)
        output = F.instance_norm(
            batched,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return output if batched is input else output.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    num_dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    num_dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    num_dims = (4, 5)


class GroupNorm(Module):
    """Normalisation over groups of channels of each image (Wu and He, 2018).

    Args:
        num_groups: into how many groups the channels are divided.
        num_channels: channels.
        eps: added to the variance.
        affine: whether there are a weight and a bias per channel.
        device: where they lie.
        dtype: their type.
        bias: whether, with `affine`, there is a bias.

    Raises:
        ValueError: `num_groups` does not divide `num_channels`.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Device | str | None = None,
        dtype: Dtype | None = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: `num_channels` (={num_channels}) must be divisible by `num_groups` (={num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_channels, **place)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_channels, **place)) if affine and bias else None)

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (n, c, ...), normalised."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments."""
        has_bias = self.bias is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={has_bias}"


class LayerNorm(Module):
    """Normalisation over the last dimensions of each element (Ba et al., 2016).

    Args:
        normalized_shape: the sizes of those dimensions.
        eps: added to the variance.
        elementwise_affine: whether there is a weight per element.
        bias: whether there is a bias per element too.
        device: where they lie.
        dtype: their type.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Device | str | None = None,
        dtype: Dtype | None = None,
    ):
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(shape, **place)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(zeros(shape, **place)) if elementwise_affine and bias else None)

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (..., *normalized_shape), normalised."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Each activation divided by a power of the squares around it across channels (Krizhevsky et al., 2012).

    Args:
        size: how many channels count.
        alpha: the factor of their mean square.
        beta: the power.
        k: what is added before the power is taken.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (n, c, ...), normalised."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
