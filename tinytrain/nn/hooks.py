"""How a module's backward hooks see the gradients that pass through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytrain.device import Array
from tinytrain.tape import Node, is_grad_enabled
from tinytrain.tensor import Tensor, name_of, replaced, share, wrap

Hook = Callable[..., Any]
Gradients = tuple[Tensor | None, ...]


class _Parts:
    """Gradients of several inputs on their way to one node, which the tape adds up like arrays."""

    def __init__(self, parts: dict[int, Array]):
        self.parts = parts

    def __add__(self, other: _Parts) -> _Parts:
        return _Parts({**self.parts, **other.parts})


def watch_inputs(
    module: Any, args: tuple[Any, ...], hooks: list[Hook], grad_outputs: list[Tensor | None]
) -> tuple[Any, ...]:
    """Return `args` with a node behind them that calls `hooks` once all their gradients are known.

    Args:
        module: the first argument of the hooks.
        args: what the module is called with; returned as they are where none requires gradients.
        hooks: `(module, grad_input, grad_output)`; what one returns replaces `grad_input`.
        grad_outputs: filled by `watch_outputs` before the gradients arrive here.
    """

    def see(grads: Gradients) -> Gradients:
        if not grad_outputs:
            return grads  # they came by another way than the results
        return _run(hooks, grads, lambda hook, g: hook(module, g, tuple(grad_outputs)))

    return _watch(args, see)


def watch_outputs(
    module: Any, output: Any, hooks: list[Hook], grad_outputs: list[Tensor | None], alone: list[Hook], num_inputs: int
) -> Any:
    """Return `output` with a node behind it that notes its gradients in `grad_outputs` and calls `hooks` with them.

    Args:
        module: the first argument of the hooks.
        output: a tensor, or a tuple or list with tensors; as in PyTorch, anything else is returned as it is.
        hooks: `(module, grad_output)`; what one returns replaces `grad_output`.
        grad_outputs: filled with a gradient, or None, for each output.
        alone: `(module, grad_input, grad_output)`, called here for want of inputs that require gradients.
        num_inputs: how many None such a hook gets as `grad_input`.
    """

    def note(grads: Gradients) -> Gradients:
        grads = _run(hooks, grads, lambda hook, g: hook(module, g))
        for hook in alone:
            changed = hook(module, (None,) * num_inputs, grads)
            if changed is not None and any(each is not None for each in _as_tuple(changed)):
                raise RuntimeError(
                    f"backward hook of {type(module).__name__}: no input requires gradients, so there is none to "
                    "replace. Return None"
                )
        grad_outputs[:] = grads
        return grads

    if isinstance(output, Tensor):
        return _watch((output,), note)[0]
    if not isinstance(output, (tuple, list)):
        return output
    watched = _watch(tuple(output), note)
    return output._make(watched) if hasattr(output, "_make") else type(output)(watched)


def _run(hooks: list[Hook], grads: Gradients, call: Callable[..., Any]) -> Gradients:
    """Call the hooks in turn, each with what the one before it made of the gradients.

    Raises:
        RuntimeError: one returned another number of gradients, or one of another shape, type or device.
        TypeError: it returned something else.
    """
    for hook in hooks:
        changed = call(hook, grads)
        if changed is None:
            continue
        changed = _as_tuple(changed)
        if len(changed) != len(grads):
            raise RuntimeError(
                f"backward hook '{name_of(hook)}' returned {len(changed)} gradients for {len(grads)}. Return as many "
                "as it was called with, None for those that are none"
            )
        for old, new in zip(grads, changed, strict=True):
            if old is not None:
                replaced(old.array, new, hook)
        grads = changed
    return grads


def _as_tuple(changed: Any) -> tuple[Any, ...]:
    """Return what a hook returned as one gradient or several."""
    return tuple(changed) if isinstance(changed, (tuple, list)) else (changed,)


def _watch(values: tuple[Any, ...], see: Callable[[Gradients], Gradients]) -> tuple[Any, ...]:
    """Return `values` with one node behind all their tensors through which their gradients go back together."""
    edges = tuple(each.edge() if isinstance(each, Tensor) else None for each in values)
    if not is_grad_enabled() or all(edge is None for edge in edges):
        return values

    def run(g: _Parts) -> _Parts:
        found = see(tuple(wrap(g.parts[i]) if i in g.parts else None for i in range(len(values))))
        return _Parts({i: each.array for i, each in enumerate(found) if each is not None and edges[i] is not None})

    def deliver(g: _Parts, _needs: tuple[bool, ...]) -> list[Array | None]:
        return [g.parts.get(i) for i in range(len(values))]

    gate = Node("BackwardHookFunction", edges, deliver)
    gate.hooks = {0: run}
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
