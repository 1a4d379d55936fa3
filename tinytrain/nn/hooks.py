"""How a module's backward hooks see the gradients that pass through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytrain.device import Array
from tinytrain.tape import Node, is_grad_enabled
from tinytrain.tensor import Tensor, share, wrap

Gradients = tuple[Tensor | None, ...]


class _Parts:
    """Gradients of several inputs on their way to one node, which the tape adds up like arrays."""

    def __init__(self, parts: dict[int, Array]):
        self.parts = parts

    def __add__(self, other: _Parts) -> _Parts:
        return _Parts({**self.parts, **other.parts})


def watch_inputs(
    module: Any, args: tuple[Any, ...], hooks: list[Callable[..., Any]], grad_outputs: list[Tensor | None]
) -> tuple[Any, ...]:
    """Return `args` with a node behind them that calls `hooks` once all their gradients are known.

    Args:
        module: the first argument of the hooks.
        args: what the module is called with.
        hooks: `(module, grad_input, grad_output)`; what one returns replaces `grad_input`.
        grad_outputs: filled by `watch_outputs` before the gradients arrive here.
    """
    return _watch(args, lambda grads: _run(hooks, grads, lambda hook, g: hook(module, g, tuple(grad_outputs))))


def watch_outputs(module: Any, output: Any, hooks: list[Callable[..., Any]], grad_outputs: list[Tensor | None]) -> Any:
    """Return `output` with a node behind it that notes its gradients in `grad_outputs` and calls `hooks` with them.

    Args:
        module: the first argument of the hooks.
        output: a tensor, or a tuple or list with tensors.
        hooks: `(module, grad_output)`; what one returns replaces `grad_output`.
        grad_outputs: filled with a gradient, or None, for each output.
    """

    def note(grads: Gradients) -> Gradients:
        grads = _run(hooks, grads, lambda hook, g: hook(module, g))
        grad_outputs[:] = grads
        return grads

    if isinstance(output, Tensor):
        return _watch((output,), note)[0]
    return type(output)(_watch(tuple(output), note))


def _run(hooks: list[Callable[..., Any]], grads: Gradients, call: Callable[..., Any]) -> Gradients:
    """Call the hooks in turn, each with what the one before it made of the gradients."""
    for hook in hooks:
        changed = call(hook, grads)
        if changed is not None:
            grads = changed if isinstance(changed, tuple) else (changed,)
    return grads


def _watch(values: tuple[Any, ...], see: Callable[[Gradients], Gradients]) -> tuple[Any, ...]:
    """Return `values` with one node behind all their tensors through which their gradients go back together."""
    edges = tuple(each.edge() if isinstance(each, Tensor) else None for each in values)
    if not is_grad_enabled() or all(edge is None for edge in edges):
        return values

    def deliver(g: _Parts, _needs: tuple[bool, ...]) -> list[Array | None]:
        found = see(tuple(wrap(g.parts[i]) if i in g.parts else None for i in range(len(values))))
        return [None if each is None else each.array for each in found]

    gate = Node("BackwardHookFunction", edges, deliver)
    return tuple(
        each if edge is None else _pass(each, Node("BackwardHookFunction", (gate,), (_to_part(i),)))
        for i, (each, edge) in enumerate(zip(values, edges, strict=True))
    )


def _to_part(index: int) -> Callable[[Array], Any]:
    return lambda g: _Parts({index: g})


def _pass(tensor: Tensor, node: Node) -> Tensor:
    """Return the same values with `node` as the place on the tape."""
    passed = share(tensor.strided_array())
    passed._node = node
    return passed
