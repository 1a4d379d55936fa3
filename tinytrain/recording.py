"""How results enter the tape: fresh ones, views of a memory, and changes in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, array_module
from tinytrain.dtypes import FLOATS
from tinytrain.pending import Pending
from tinytrain.tape import JointRule, Node, Rule, is_grad_enabled
from tinytrain.tensor import Replay, Tensor, View, wrap


def record(
    array: Array | Pending,
    name: str,
    inputs: tuple[Tensor, ...],
    rules: tuple[Rule, ...] | JointRule,
    saved: tuple[Tensor, ...] = (),
    saves_output: bool = False,
    takes_pending: bool = False,
) -> Tensor:
    """Return a fresh result, recorded where it holds floats and one of its inputs requires gradients.

    Args:
        array: the result, or what stands for it until it is computed; nobody else may hold its memory.
        name: PyTorch's name of the operation, as in `Mul`.
        inputs: the differentiable operands.
        rules: one callable per input from the output's gradient to the input's, or one for all, `(g, needs)`.
        saved: tensors whose values the rules read.
        saves_output: whether the rules read the result's values.
        takes_pending: whether the rules understand gradients that are not computed yet.
    """
    result = wrap(array)
    if is_grad_enabled() and result.value.dtype.kind in FLOATS:
        edges, is_wanted = [], False
        for each in inputs:
            edge = each.edge()
            edges.append(edge)
            is_wanted = is_wanted or edge is not None
        if is_wanted:
            versions = []
            for each in saved:
                versions.append((each._storage, each._storage.version))
            if saves_output:
                versions.append((result._storage, 0))
            result._node = Node(name, edges, rules, versions, takes_pending)
    return result


def record_view(base: Tensor, name: str, replay: Replay, rule: Rule, array: Array | None = None) -> Tensor:
    """Return a result that shares the memory of `base`.

    Args:
        base: the tensor viewed.
        name: PyTorch's name of the operation, as in `Transpose`.
        replay: makes the view on `base.strided_array()`, and again on any array of its shape and strides.
        rule: from the view's gradient to the base's.
        array: what `replay` makes of the base, where that is known.
    """
    view = record(replay(base.strided_array()) if array is None else array, name, (base,), (rule,))
    view._is_strided = True
    view._storage = base._storage
    recorded = is_grad_enabled()
    if base._view is None:
        root, whole, pull = base, replay, rule
    else:
        root, first, outer = base._view.base, base._view.replay, base._view.pull
        recorded = recorded and base._view.recorded

        def whole(a: Array) -> Array:
            return replay(first(a))

        def pull(g: Array) -> Array:
            return outer(rule(g))

    view._view = View(root, whole, pull, view._storage.rewrites, recorded)
    return view


def rewrite(target: Tensor, values: Callable[[Tensor], Tensor]) -> Tensor:
    """Give `target` new values in place, in its memory and on the tape; return it.

    Args:
        target: the tensor to change.
        values: computes the new values as a tensor of the same shape from a tensor that stands for the old ones.

    Raises:
        RuntimeError: the tensor is a leaf that requires gradients, or the values have another shape or a wider type.
    """
    recording = is_grad_enabled()
    if recording:
        refuse_unrecordable(target)
    is_private = not target._is_strided
    result = values(_old_values(target, is_private) if recording else target)
    if result.value.shape != target.value.shape:
        raise RuntimeError(
            f"output with shape {list(target.shape)} doesn't match the broadcast shape {list(result.shape)}"
        )
    if not dtypes.can_cast(result.dtype, target.dtype):
        raise RuntimeError(
            f"result type {result.dtype.name} can't be cast to the desired output type {target.dtype.name}"
        )
    if result is not target:
        if is_private and not result._is_strided and result.value.dtype == target.value.dtype:
            target.value = result.value  # nobody shares the old memory: the new takes its place
            touch(target)
        else:
            write(target, ..., result.array)
        if recording:
            change_history(target, result)
    return target


def become_view(target: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
    """Make `target` a view of what it was, in the same memory; return it.

    Args:
        target: the tensor to change.
        view: makes the view of a tensor that stands for `target` as it was.

    Raises:
        RuntimeError: the tensor is a leaf that requires gradients.
    """
    if is_grad_enabled():
        refuse_unrecordable(target)
    former = object.__new__(Tensor)
    for name in Tensor.__slots__:
        if name != "__weakref__":
            setattr(former, name, getattr(target, name))
    result = view(former)
    target.value, target._is_strided = result.value, True
    target._node, target._view = result._node, result._view
    target._storage.version += 1
    return target


def write(target: Tensor, index: Any, values: Any) -> None:
    """Store `values` at `target[index]` in memory and count the change; the tape does not hear of it.

    Raises:
        RuntimeError: the tensor is expanded (elements share memory) or read-only.
    """
    array = target.array
    target._storage.settle()
    if shares_elements(array) or (isinstance(array, np.ndarray) and not array.flags.writeable):
        raise RuntimeError(
            "unsupported operation: elements of the written-to tensor share a single memory location, "
            "or its memory is read-only. Please clone() the tensor before performing the operation"
        )
    array[index] = values
    target._storage.version += 1


def shares_elements(array: Array) -> bool:
    """Return whether an array is expanded: several of its elements are one place in memory."""
    steps = zip(array.strides, array.shape, strict=True)
    return array.size > 0 and any(step == 0 and size > 1 for step, size in steps)


def count_up(target: Tensor) -> None:
    """Add 1 to a single number in memory; the tape does not hear of it."""
    array = target.strided_array()
    if isinstance(array, np.ndarray):
        array[()] = (
            array[()] + 1
        )  # by far less code than an addition of arrays, which is not in cache between two layers
    else:
        array += 1
    touch(target)


def touch(target: Tensor) -> None:
    """Count a change that was made directly to the memory of `target`."""
    target._storage.version += 1


def refuse_unrecordable(target: Tensor) -> None:
    """Raise a RuntimeError where a change in place would lose a gradient: of a leaf, or past an unrecorded view."""
    if target._requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    view = target._view
    if view is None:
        return
    if view.base._requires_grad:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    if not view.recorded and view.base.edge() is not None:
        raise RuntimeError(
            "A view was created in no_grad mode and is being modified inplace with grad mode enabled. "
            "Make the view and the change both inside no_grad, or both outside"
        )


def change_history(target: Tensor, result: Tensor) -> None:
    """Make `target`'s place on the tape that of `result`, whose values it now holds, and its base's with it."""
    node = result._node
    if node is not None:
        node.saved = [
            (target._storage, target._storage.version) if storage is result._storage else (storage, version)
            for storage, version in node.saved
        ]
    target._storage.rewrites += 1
    view = target._view
    if view is None:
        target._move_to(node)
        return
    old = view.base._node
    if old is None and node is None:
        return
    view.base._move_to(Node("CopySlices", (old, *(() if node is None else node.edges)), _copy_slices(view, node)))
    target._renew_view()


def _old_values(target: Tensor, is_private: bool) -> Tensor:
    """Return a tensor with `target`'s values, in memory of its own, and its place on the tape."""
    old = wrap(target.value if is_private else target.array.copy(order="K"))
    old._node = target.edge()
    return old


def _copy_slices(view: View, node: Node | None) -> JointRule:
    """Return the rule for a base of which a view was overwritten with what `node` made.

    The part of the gradient under the view goes to `node`, the rest to the base's old values.
    """

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        g_base = _in_base_layout(view, g)
        part = view.replay(g_base)
        g_view = part.copy()
        part[...] = 0
        return [g_base if needs[0] else None, *([] if node is None else node.gradients(g_view))]

    return rule


def _in_base_layout(view: View, g: Array) -> Array:
    """Return a copy of `g` with the strides of the view's base, so that the view can be replayed on it."""
    xp = array_module(g)
    base = view.base.strided_array()
    steps = [step // base.itemsize for step in base.strides]
    extent = 1 + sum(step * (size - 1) for step, size in zip(steps, base.shape, strict=True)) if base.size else 0
    strides = [step * g.itemsize for step in steps]
    copy = xp.lib.stride_tricks.as_strided(xp.zeros(extent, g.dtype), base.shape, strides)
    copy[...] = g
    return copy
