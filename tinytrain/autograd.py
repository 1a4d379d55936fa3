"""Gradients by name, as in `torch.autograd`: `backward`, `grad`, the switches and `gradcheck`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.tape import (
    Node,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    propagate,
    set_grad_enabled,
    unbroadcast,
)
from tinytrain.tensor import Tensor, wrap

__all__ = [
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
    "unbroadcast",
]


def backward(
    tensors: Sequence[Tensor],
    grad_tensors: Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of `tensors` to the `grad` of the leaves; see `Tensor.backward`."""
    roots = _roots(tensors, grad_tensors, create_graph)
    chosen = [] if inputs is None else [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if inputs is not None and not chosen:
        raise RuntimeError("backward: `inputs` cannot be empty; leave it out to fill all leaves")
    nodes = _nodes_of(chosen)
    for each in chosen:
        each.retain_grad()
    propagate(roots, retain_graph=bool(retain_graph), capture=nodes)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `outputs` with respect to `inputs`, leaving every `grad` alone.

    Raises:
        RuntimeError: there are no inputs, or one was not used (unless `allow_unused`) or does not require gradients.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    grad_outputs = [grad_outputs] if isinstance(grad_outputs, Tensor) else grad_outputs
    if not inputs:
        raise RuntimeError("grad: `inputs` cannot be empty; name the tensors whose gradients are wanted")
    nodes = _nodes_of(inputs)
    roots = _roots(outputs, grad_outputs, create_graph)
    found = propagate(roots, retain_graph=bool(retain_graph), capture=nodes, accumulate=False)
    if not allow_unused and any(node not in found for node in nodes):
        raise RuntimeError(
            "one of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if "
            "this is the desired behavior."
        )
    return tuple(wrap(found[node].copy()) if node in found else None for node in nodes)


def gradcheck(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool:
    """Compare the recorded gradients of `function` with central differences.

    Args:
        function: takes the inputs, returns one tensor or a tuple of them.
        inputs: tensors; those that require gradients are checked and should be float64.
        eps: half the distance of a central difference.
        atol: absolute tolerance.
        rtol: relative tolerance.

    Raises:
        RuntimeError: a gradient differs; the message names input, element and both values.
    """
    outputs = _as_tuple(function(*inputs))
    recorded = [i for i, each in enumerate(outputs) if each.requires_grad]
    cotangents = [_spread(outputs[i].array) for i in recorded]
    for each in inputs:
        if getattr(each, "requires_grad", False):
            each.grad = None
    propagate([(outputs[i].edge(), g) for i, g in zip(recorded, cotangents, strict=True)])

    def weighted_sum() -> float:
        with no_grad():
            values = _as_tuple(function(*inputs))
        return float(sum((values[i].array * g).sum() for i, g in zip(recorded, cotangents, strict=True)))

    for position, each in enumerate(inputs):
        if not getattr(each, "requires_grad", False):
            continue
        array = each.strided_array()
        found = np.zeros(array.shape) if each.grad is None else each.grad.array
        for index in np.ndindex(array.shape):
            value = array[index].copy()
            array[index] = value + eps
            above = weighted_sum()
            array[index] = value - eps
            below = weighted_sum()
            array[index] = value
            expected = (above - below) / (2 * eps)
            if not abs(float(found[index]) - expected) <= atol + rtol * abs(expected):
                raise RuntimeError(
                    f"gradcheck: input {position}, element {index}: recorded gradient {float(found[index])!r}, "
                    f"central difference {expected!r}"
                )
    return True


def _nodes_of(inputs: Sequence[Tensor]) -> list[Node]:
    """Return the node of each tensor whose gradient is wanted."""
    nodes = []
    for each in inputs:
        node = each.edge()
        if node is None:
            raise RuntimeError("one of the differentiated Tensors does not require grad")
        nodes.append(node)
    return nodes


def _roots(
    tensors: Sequence[Tensor], gradients: Sequence[Tensor | None] | None, create_graph: bool
) -> list[tuple[Node, Array]]:
    """Pair each tensor's node with the gradient that starts there."""
    if create_graph:
        raise NotImplementedError("create_graph=True: gradients of gradients are not available, they are first order")
    roots = []
    for tensor, gradient in zip(tensors, gradients or [None] * len(tensors), strict=True):
        node = tensor.edge()
        if node is None:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        if gradient is None:
            if tensor.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            g = array_module(tensor.array).ones_like(tensor.array)
        else:
            if gradient.array.shape != tensor.array.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output has a shape of {gradient.shape} and output has a shape of "
                    f"{tensor.shape}."
                )
            g = gradient.array.astype(tensor.array.dtype, copy=False)
        roots.append((node, g))
    return roots


def _as_tuple(outputs: Any) -> tuple[Any, ...]:
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)


def _spread(array: Array) -> Array:
    """Return fixed, uneven weights of the shape and type of `array`, so that no error can cancel."""
    xp = array_module(array)
    return xp.cos(xp.arange(array.size, dtype=array.dtype) * 0.7 + 0.3).reshape(array.shape)
