"""The cross-entropy of float32 scores (n, c) and class indices in one pass; see `tinytrain.ops.cross_entropy`."""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.kernels.fused.backends import offered, primitives


def cross_entropy_forward(
    x: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float, reduction: str
) -> tuple[Array, Array, float] | None:
    """Return the loss, the probabilities and what the sum of losses was divided by.

    Returns:
        None where this is not the case of contiguous memory, (n, c) float32 scores, (n,) int64 targets that all name
        classes, and (c,) float32 weights or none.
    """
    backend = offered(x)
    if backend is None:
        return None
    return backend.cross_entropy_forward(x, target, weight, ignore_index, label_smoothing, reduction)


def cross_entropy_backward(g: Array, probabilities: Array, *arguments: Any) -> Array:
    """Return the gradient of the scores from that of the loss.

    Args:
        g: of the shape of the loss.
        probabilities: what the forward returned.
        arguments: target, weight, ignore_index and label_smoothing as they were, and the divisor that was returned.
    """
    g = array_module(g).ascontiguousarray(g) if g.ndim else g
    return primitives(probabilities).cross_entropy_backward(g, probabilities, *arguments)


def raise_wrong_target(loss: Array) -> None:
    """Raise an IndexError where a target named no class; on the CPU the loss did so at once. Waits for a GPU.

    Args:
        loss: on the device that is asked.
    """
    backend = primitives(loss)
    if hasattr(backend, "raise_wrong_target"):
        backend.raise_wrong_target(loss.device.id)
