"""Normalisation: by batch, by group of channels, by layer, by instance, by neighbouring channels, by norm."""

from __future__ import annotations

from math import prod

from tinytrain import kernels
from tinytrain.device import Array, array_module
from tinytrain.ops.common import same_device
from tinytrain.recording import record, write
from tinytrain.tensor import Tensor

__all__ = ["batch_norm"]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return `(input - mean) / sqrt(var + eps) * weight + bias` with statistics per channel.

    In training the statistics are those of `input` and the running ones move towards them, in place:
    `running = (1 - momentum) * running + momentum * new`, the variance counted with n - 1. Else the running ones
    are used. Ioffe and Szegedy, Batch Normalization (2015).

    Args:
        input: (n, c, *).
        running_mean: (c,); may be None in training.
        running_var: (c,); may be None in training.
        weight: (c,); None for 1.
        bias: (c,); None for 0.
        training: whether to normalise by the statistics of `input`.
        momentum: the share of the new statistics, 0 to 1.
        eps: added to the variance.

    Raises:
        ValueError: training with a single value per channel.
        RuntimeError: shapes or devices do not fit together, or running statistics are missing in evaluation.
    """
    x = input.array
    if training:
        _refuse_single_value(x.shape)
    if x.ndim < 2:
        raise RuntimeError(f"batch_norm: expected an input (n, c, *); got {list(x.shape)}")
    parts = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    same_device("batch_norm", input, *parts.values())
    for name, part in parts.items():
        if part is None:
            if name.startswith("running") and not training:
                raise RuntimeError(f"batch_norm: Expected {name} to be defined in evaluation mode")
        elif part.array.shape != x.shape[1:2]:
            raise RuntimeError(
                f"batch_norm: {name} should contain {x.shape[1]} elements not {part.array.size}; "
                f"its shape is {list(part.shape)}"
            )
    w = None if weight is None else weight.array
    b = None if bias is None else bias.array
    if training:
        y, mean, m2 = kernels.kernel("batch_norm_forward", x)(x, w, b, eps)
        count = x.size // max(1, x.shape[1])
        rstd = (m2 / count + eps) ** -0.5
        _move_towards(running_mean, mean, momentum)
        _move_towards(running_var, m2 / (count - 1), momentum)
    else:
        assert running_mean is not None
        assert running_var is not None
        xp = array_module(x)
        dtype = xp.promote_types(x.dtype, xp.float32)
        mean = running_mean.array.astype(dtype)
        rstd = (running_var.array.astype(dtype) + eps) ** -0.5
        y = kernels.kernel("batch_norm_inference", x)(x, mean, rstd, w, b)

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        grad_x, grad_w, grad_b = kernels.kernel("batch_norm_backward", g)(g, x, mean, rstd, w, training)
        return [
            grad_x if needs[0] else None,
            *([] if weight is None else [grad_w.astype(weight.array.dtype, copy=False)]),
            *([] if bias is None else [grad_b.astype(bias.array.dtype, copy=False)]),
        ]

    inputs = tuple(each for each in (input, weight, bias) if each is not None)
    saved = (input,) if weight is None else (input, weight)
    return record(y, "NativeBatchNorm", inputs, rule, saved=saved)


def _move_towards(running: Tensor | None, new: Array, momentum: float) -> None:
    """Move running statistics in place by `momentum` of the way to new ones, outside the tape."""
    if running is not None:
        write(running, ..., running.array * (1 - momentum) + new * momentum)


def _refuse_single_value(shape: tuple[int, ...]) -> None:
    """Raise a ValueError where a channel has one value: its variance would be 0."""
    if len(shape) > 1 and shape[0] * prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(shape)}")
