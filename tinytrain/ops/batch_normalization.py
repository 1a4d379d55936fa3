"""Batch normalisation: mean 0 and variance 1 over the batch in training, by remembered statistics in evaluation.

y = (x - mean) / sqrt(var + eps) * w + b
"""

from __future__ import annotations

from math import prod

from tinytrain import kernels
from tinytrain.device import Array, array_module
from tinytrain.ops.activation import floats
from tinytrain.ops.common import same_device
from tinytrain.ops.fusion import watch
from tinytrain.pending import Pending
from tinytrain.recording import record, touch, write
from tinytrain.tape import is_grad_enabled
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
    x = floats(input, "batch_norm")
    if training:
        refuse_single_value(x.shape)
    elif running_mean is None or running_var is None:
        raise RuntimeError("batch_norm: Expected running_mean and running_var to be defined in evaluation mode")
    if input.may_be_read_later() and x.size:
        result = _waiting_batch_norm(input, x, running_mean, running_var, weight, bias, training, momentum, eps)
        if result is not None:
            return result
    if x.size == 0:
        return _of_nothing(input, weight, bias)
    if x.ndim < 2:
        raise RuntimeError(f"batch_norm: expected an input (n, c, *); got {list(x.shape)}")
    check_channels("batch_norm", input, running_mean, running_var, weight, bias)
    w = None if weight is None else weight.array
    b = None if bias is None else bias.array
    if training:
        y, mean, m2 = kernels.kernel("batch_norm_forward", x)(x, w, b, eps)
        count = x.size // x.shape[1]
        rstd = (m2 / count + eps) ** -0.5
        move_towards(running_mean, mean, momentum)
        move_towards(running_var, m2 / (count - 1), momentum)
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
            *([] if w is None else [grad_w.astype(w.dtype, copy=False)]),
            *([] if b is None else [grad_b.astype(b.dtype, copy=False)]),
        ]

    saved = (input,) if weight is None else (input, weight)
    return record(y, "NativeBatchNorm", given(input, weight, bias), rule, saved=saved)


def _waiting_batch_norm(
    input: Tensor,
    x: Array,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor | None:
    """Return a batch normalisation that waits for its reader; None where no kernel set can do that with these."""
    normalize = kernels.find_kernel("normalize_batch" if training else "normalize_by", x)
    if normalize is None:
        return None
    *running, w, b = _arrays_of(running_mean, running_var, weight, bias)
    if training:
        found = normalize(x, input.moments, w, b, eps, *running, momentum)
    else:
        found = normalize(x, w, b, eps, *running)
    if found is None:
        return None
    y, x, mean, rstd = found
    if training:
        for each in (running_mean, running_var):
            if each is not None:
                touch(each)
    elif is_grad_enabled():
        mean = mean.copy()  # the running one may move before the gradients come
    watch(y, input)
    gradients = kernels.find_kernel("batch_norm_gradients", x)
    assert gradients is not None

    def rule(g: Array | Pending, needs: tuple[bool, ...]) -> list[Array | Pending | None]:
        grad_x, grad_w, grad_b = gradients(g, x, mean, rstd, w, training)
        return [
            grad_x if needs[0] else None,
            *([] if w is None else [grad_w]),
            *([] if b is None else [grad_b]),
        ]

    saved = (input,) if weight is None else (input, weight)
    inputs = given(input, weight, bias)
    return record(y, "NativeBatchNorm", inputs, rule, saved=saved, takes_pending=True)


def normalized(
    x: Array, running_mean: Tensor, running_var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Pending | None:
    """Return the values of `batch_norm` by running statistics, of values that nobody will change, pending.

    None where no kernel set can do that with these.
    """
    normalize = kernels.find_kernel("normalize_by", x)
    if normalize is None or x.size == 0:
        return None
    mean, var, w, b = _arrays_of(running_mean, running_var, weight, bias)
    found = normalize(x, w, b, eps, mean, var)
    return None if found is None else found[0]


def _arrays_of(*tensors: Tensor | None) -> list[Array | None]:
    return [None if each is None else each.array for each in tensors]


def given(*tensors: Tensor | None) -> tuple[Tensor, ...]:
    """Return the tensors that are not None."""
    return tuple([each for each in tensors if each is not None])


def check_channels(
    name: str,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
) -> None:
    """Check that everything lies on one device and has one entry per channel.

    Raises:
        RuntimeError: it does not.
    """
    same_device(name, input, running_mean, running_var, weight, bias)
    num_channels = input.array.shape[1]
    for argument, each in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if each is not None and each.array.shape != (num_channels,):
            raise RuntimeError(
                f"{name}: {argument} should contain {num_channels} elements, one per channel; "
                f"its shape is {list(each.shape)}"
            )


def move_towards(running: Tensor | None, new: Array, momentum: float) -> None:
    """Move running statistics in place by `momentum` of the way to new ones, outside the tape."""
    if running is not None:
        write(running, ..., running.array * (1 - momentum) + new * momentum)


def _of_nothing(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return a batch norm of no elements; no statistics, and gradients of zero."""
    inputs = given(input, weight, bias)
    zeros = tuple(lambda g, a=each.array: array_module(a).zeros_like(a) for each in inputs)
    return record(input.array.copy(), "NativeBatchNorm", inputs, zeros)


def refuse_single_value(shape: tuple[int, ...]) -> None:
    """Raise a ValueError where a channel has one value: its variance would be 0."""
    if len(shape) > 1 and shape[0] * prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(shape)}")
