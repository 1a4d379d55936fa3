"""What is done with parameters and their gradients as a whole, by `torch.nn.utils`'s names."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tinytrain.device import array_module
from tinytrain.kernels.fused.clipping import norms_of, scale_arrays
from tinytrain.ops.joining import cat
from tinytrain.recording import touch, write
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor, wrap

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


@no_grad
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale gradients down in place so that their norm, taken over all together, is at most `max_norm`.

    Args:
        parameters: whose gradients; those without one are passed over.
        max_norm: the largest norm allowed.
        norm_type: the power of the norm; `inf` for the largest absolute value.
        error_if_nonfinite: refuse a norm that is not finite.
        foreach: accepted for PyTorch's sake.

    Returns:
        The norm before scaling, a tensor without dimensions.

    Raises:
        RuntimeError: the norm is not finite and `error_if_nonfinite` is set.
    """
    grads = _gradients(parameters)
    if not grads:
        from tinytrain.ops.creation import tensor

        return tensor(0.0)
    xp = array_module(grads[0].array)
    arrays = [each.strided_array() for each in grads]
    norms = norms_of(arrays) if norm_type == 2 else None
    is_native = norms is not None
    if norms is None:
        norms = xp.stack([xp.asarray(_norm(xp, each, float(norm_type))) for each in arrays])
    total = xp.asarray(_norm(xp, norms, float(norm_type)))
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    factor = xp.minimum(max_norm / (total + 1e-6), 1.0)
    if is_native and scale_arrays(arrays, factor):
        for each in grads:
            touch(each)
    else:
        for each in grads:
            write(each, ..., each.array * factor.astype(each.array.dtype))
    return wrap(total)


@no_grad
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of the gradients to `-clip_value` to `clip_value` in place."""
    for each in _gradients(parameters):
        write(each, ..., each.array.clip(-float(clip_value), float(clip_value)))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return all parameters one after the other as a tensor of one dimension."""
    return cat([each.reshape(-1) for each in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give parameters the values that `parameters_to_vector` put into `vec`."""
    start = 0
    for each in parameters:
        each.data = vec.detach()[start : start + each.numel()].view_as(each)
        start += each.numel()


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [each.grad for each in parameters if each.grad is not None]


def _norm(xp, array, power: float):  # type: ignore[no-untyped-def]  # arrays of either module
    """Return the norm of all elements; squares are summed in float64, so that it does not overflow."""
    if power == math.inf:
        return abs(array).max()
    flat = abs(array.reshape(-1)).astype("float64")
    return ((flat**power).sum() ** (1.0 / power)).astype(array.dtype)
