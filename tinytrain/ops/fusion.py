"""Results that wait: where a kernel set can hand on an activation or a sum without writing it.

Each function returns None where there is nothing to gain or the memory might change unseen; the caller computes then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tinytrain.device import Array
from tinytrain.kernels import find_kernel
from tinytrain.pending import Pending
from tinytrain.recording import record
from tinytrain.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

RELU, CLIP, LEAKY, HARDSWISH = range(1, 5)
"""Activations that kernels know, by the numbers they know them by."""


def on_values(compute: Callable[..., Array | Pending | None]) -> Callable[[Function], Function]:
    """Name what computes the same as an op, or a module's `forward`, on bare values, where nothing is recorded.

    It belongs to the function: a `forward` that is written anew, in a subclass or for one object, has none.

    Args:
        compute: `(x, **options)` for an op, `(module, x, is_private)` for a module; returns the values of the result
            for those of the input, or None where the op or module shall be called as usual. Nobody else holds the
            memory of an op's `x`, and of a module's where `is_private` is true: the result may read it later, or be it.
    """

    def mark(function: Function) -> Function:
        function.on_values = compute  # type: ignore[attr-defined]
        return function

    return mark


def activated(x: Array | Pending, kind: int, low: float = 0.0, high: float = 0.0) -> Pending | None:
    """Return an activation of values that nobody will change, pending; arguments as of `pending_activation`."""
    make = find_kernel("activation", x)
    return None if make is None else make(x, kind, low, high)


def pending_activation(input: Tensor, name: str, kind: int, low: float = 0.0, high: float = 0.0) -> Tensor | None:
    """Return an activation of `input` that waits for its reader.

    Args:
        input: any tensor.
        name: PyTorch's name of the operation.
        kind: which activation.
        low, high: its parameters: the limits of a clip, the slope of a leaky one.
    """
    x = input.value
    if not input.may_be_read_later():
        return None
    z = activated(x, kind, low, high)
    if z is None:
        return None
    through = find_kernel("through_activation", z)
    assert through is not None
    watch(z, input)
    by_result = kind == RELU  # as in `ops.activation`; the others' slopes are read off what they were made of
    saved = () if by_result else (input,)
    rules = (lambda g: through(g, z),)
    return record(z, name, (input,), rules, saved=saved, saves_output=by_result, takes_pending=True)


def pending_sum(a: Tensor, b: Tensor) -> Tensor | None:
    """Return the sum of two tensors of one shape and type that waits for its reader."""
    x, y = a.value, b.value
    if x.shape != y.shape or not (a.may_be_read_later() and b.may_be_read_later()):
        return None
    make = find_kernel("total", x)
    if make is None or x.dtype != y.dtype or x.ndim != 4:
        return None
    z = make(x, y)
    if z is None:
        return None
    share = find_kernel("shared", z)
    assert share is not None
    watch(z, a, b)

    def rule(g: Array | Pending, needs: tuple[bool, ...]) -> list[Array | Pending | None]:
        if all(needs):
            g = share(g)
        return [g if each else None for each in needs]

    return record(z, "Add", (a, b), rule, takes_pending=True)


def watch(value: Pending, *inputs: Tensor) -> None:
    """Have a pending value computed before the memory of `inputs` changes, or what they read where they are pending."""
    reads = []
    for each in inputs:
        x = each.value
        reads += [each._storage, *(x.reads if isinstance(x, Pending) else ())]
    value.reads = tuple(reads)
    for storage in value.reads:
        storage.will_be_read_by(value)
