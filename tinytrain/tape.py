"""The tape: nodes that remember how a result was made, and the walk back over them.

The engine knows no op. A node holds one gradient rule per input (or one joint rule for all of them) and edges to
the nodes of those inputs; arrays go in, arrays come out. Gradients are first order: rules work on raw arrays and
are not recorded themselves.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from tinytrain.device import Array
from tinytrain.pending import Pending, plus, settled
from tinytrain.sums import sum_array

Rule = Callable[[Array], Array]
JointRule = Callable[[Array, tuple[bool, ...]], Sequence[Array | None]]
Hook = Callable[[Array], Array | None]
Function = TypeVar("Function", bound=Callable[..., Any])

_numbers = itertools.count()

KEPT = -1
"""Among the hooks of a node, the one of `Tensor.retain_grad`: it sees what the others have made of the gradient."""


class Storage:
    """What tensors that share memory share.

    Attributes:
        version: how often the memory was written to.
        rewrites: how often its history was rewritten.
        readers: pending values that will read the memory.
    """

    __slots__ = ("readers", "rewrites", "version")

    def __init__(self) -> None:
        self.version = 0
        self.rewrites = 0
        self.readers: list[weakref.ref[Pending]] | None = None

    def will_be_read_by(self, value: Pending) -> None:
        """Remember a pending value that reads this memory later."""
        if self.readers is None:
            self.readers = []
        elif len(self.readers) >= 64:
            self.readers = [each for each in self.readers if each() is not None]
        self.readers.append(weakref.ref(value))

    def settle(self) -> None:
        """Have what is pending on this memory computed, before it changes or is shared."""
        readers, self.readers = self.readers, None
        for reader in readers or ():
            value = reader()
            if value is not None:
                value.let_go()


class Node:
    """One recorded operation.

    Args:
        name: PyTorch's name of the operation, as in `Mul`.
        edges: the node of each differentiable input, None where no gradient is wanted.
        rules: one rule per edge, or a joint rule `(g, needs) -> gradients`.
        saved: pairs of a storage whose values the rules read and the version they must still have.
        takes_pending: whether the rules understand gradients that are not computed yet.
    """

    __slots__ = ("__weakref__", "edges", "hooks", "label", "number", "rules", "saved", "takes_pending")

    def __init__(
        self,
        name: str,
        edges: Sequence[Node | None],
        rules: tuple[Rule, ...] | JointRule | None,
        saved: list[tuple[Storage, int]] | tuple[tuple[Storage, int], ...] = (),
        takes_pending: bool = False,
    ):
        self.label = name
        self.edges = edges
        self.rules = rules
        self.saved = saved
        self.takes_pending = takes_pending
        self.hooks: dict[int, Hook] | None = None
        self.number = next(_numbers)

    def name(self) -> str:
        """Return PyTorch's name of this node: `MulBackward0`."""
        is_whole = "Backward" in self.label or self.label == "CopySlices"
        return self.label if is_whole else f"{self.label}Backward0"

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that gradients go to next, each with output number 0, as in PyTorch."""
        return tuple((edge, 0) for edge in self.edges)

    def gradients(self, g: Array) -> Sequence[Array | None]:
        """Return the gradient for every edge (None where not wanted), given the output's.

        Raises:
            RuntimeError: what the rules read was freed, or changed in place since.
        """
        if self.rules is None:
            raise RuntimeError(
                f"{self.name()}: trying to backward through the graph a second time; the saved values were freed by "
                "the first. Pass retain_graph=True to the first backward"
            )
        for storage, version in self.saved:
            if storage.version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"{self.name()} expected version {version}, found version {storage.version}. Use the form that "
                    "returns a new tensor, or clone() before changing it"
                )
        if isinstance(self.rules, tuple):
            return [None if edge is None else rule(g) for edge, rule in zip(self.edges, self.rules, strict=True)]
        return self.rules(g, tuple([edge is not None for edge in self.edges]))

    def release(self) -> None:
        """Drop the rules and the values they hold; a rule that reads no values can be used again, as in PyTorch."""
        if self.saved:
            self.rules = None
            self.saved = ()

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """The end of a path: adds what arrives to a leaf tensor's `grad`.

    Args:
        variable: the leaf, or a weak reference where the leaf keeps this node: tensors are not left to the collector of
            cycles.
    """

    __slots__ = ("_variable",)

    def __init__(self, variable: Any):
        super().__init__("AccumulateGrad", (), ())
        self._variable = variable

    @property
    def variable(self) -> Any:
        """The leaf; None where nobody holds it any more."""
        held = self._variable
        return held() if isinstance(held, weakref.ref) else held

    def deliver(self, g: Array, is_private: bool = False) -> None:
        """Hand the leaf its whole gradient; `is_private` where nobody else holds its memory."""
        variable = self.variable
        if variable is not None:
            variable._accumulate(g, is_private)

    def after_hooks(self, g: Array) -> Array:
        """Return the gradient that the hooks of the leaf make of `g`."""
        variable = self.variable
        return g if variable is None else variable._after_hooks(g)

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def release(self) -> None:
        """Keep everything: a leaf takes gradients from any number of graphs."""


@np.errstate(all="ignore")  # slopes are infinite here and there; PyTorch does not warn of that either
def propagate(
    roots: Iterable[tuple[Node, Array]],
    *,
    retain_graph: bool = False,
    capture: Iterable[Node] = (),
    accumulate: bool = True,
) -> dict[Node, Array]:
    """Walk back from `roots`, each with its gradient, and deliver gradients to the leaves.

    A node is made after the nodes that it reads from, so going through them from the youngest to the oldest meets
    every use of a value before the value itself. A gradient that is not computed yet is handed on as it is to a node
    that understands it. Leaves get theirs at the end, the youngest first: until then, what computes a pending one may
    be asked for more. Before a hook of a result is called, those that are whole get theirs, for the hook may look.

    Args:
        roots: nodes and the gradients that start there.
        retain_graph: keep what the rules hold, for another walk.
        capture: nodes whose whole gradient is wanted, and nothing else: the walk leaves out, and does not free, what
            does not lead to them. All leaves by default.
        accumulate: False leaves the `grad` of the leaves alone.

    Returns:
        The gradient of each captured node that was reached. As in PyTorch, it is that after the node's hooks only
        where the walk ends there.
    """
    wanted = set(capture)
    roots = list(roots)
    passed = _leading_to(wanted, [node for node, _ in roots]) if wanted else None
    captured: dict[Node, Array] = {}
    gradients: dict[Node, Any] = {}
    queue: list[tuple[int, Node]] = []
    leaves: list[AccumulateGrad] = []
    oldest: dict[Node, int] | None = None

    def add(node: Node, g: Any) -> None:
        if passed is not None and node not in passed and node not in wanted:
            return
        known = gradients.get(node)
        if known is not None:
            gradients[node] = plus(known, g)
            return
        gradients[node] = g
        if isinstance(node, AccumulateGrad):
            leaves.append(node)
        else:
            heapq.heappush(queue, (-node.number, node))

    def shown(node: Node, g: Array, is_passed: bool) -> Array:
        """Return a whole gradient after the hooks of its node; keep it where it is wanted."""
        if node in wanted and is_passed:
            captured[node] = g
        for _, hook in sorted((node.hooks or {}).items(), key=lambda item: item[0] == KEPT):
            changed = hook(g)
            g = g if changed is None else changed
        if node in wanted and not is_passed:
            captured[node] = g
        return g

    def deliver(whole: list[AccumulateGrad]) -> None:
        """Hand leaves their gradients."""
        whole.sort(key=lambda leaf: -leaf.number)
        # All are computed before any is delivered: a hook of a leaf may change what the others are computed from.
        found = [(leaf, gradients.pop(leaf)) for leaf in whole]
        for leaf, g, value in [(leaf, g, settled(g)) for leaf, g in found]:
            if accumulate:
                leaf.deliver(value, isinstance(g, Pending) and g.is_private)
            else:
                captured[leaf] = leaf.after_hooks(value)

    for node, g in roots:
        add(node, g)
    while queue:
        node = heapq.heappop(queue)[1]
        g = gradients.pop(node)
        if node.hooks or node in wanted:
            g = settled(g)
            if leaves:
                if oldest is None:
                    oldest = _oldest_readers([node, *(each for _, each in queue)])
                deliver([leaf for leaf in leaves if leaf not in oldest or oldest[leaf] > node.number])
                leaves = [leaf for leaf in leaves if leaf in gradients]
            is_passed = passed is None or node in passed
            g = shown(node, g, is_passed)
            if not is_passed:
                continue
        elif not node.takes_pending:
            g = settled(g)
        for edge, part in zip(node.edges, node.gradients(g), strict=True):
            if edge is not None and part is not None:
                add(edge, part)
        if not retain_graph:
            node.release()
    deliver(leaves)
    return captured


def _reachable(nodes: Iterable[Node]) -> set[Node]:
    """Return the nodes and all that their gradients could go to."""
    reached = set(nodes)
    waiting = list(reached)
    while waiting:
        for edge in waiting.pop().edges:
            if edge is not None and edge not in reached:
                reached.add(edge)
                waiting.append(edge)
    return reached


def _leading_to(ends: set[Node], roots: Iterable[Node]) -> set[Node]:
    """Return the nodes between `roots` and `ends` that a gradient passes on its way to one of the ends."""
    passed: set[Node] = set()
    for node in sorted(_reachable(roots), key=lambda each: each.number):
        if any(edge in passed or edge in ends for edge in node.edges if edge is not None):
            passed.add(node)
    return passed


def _oldest_readers(nodes: Iterable[Node]) -> dict[Node, int]:
    """Return for what the gradients of `nodes` could go to the number of the last node of a walk that adds to it."""
    oldest: dict[Node, int] = {}
    for node in _reachable(nodes):
        for edge in node.edges:
            if edge is not None:
                oldest[edge] = min(oldest.get(edge, node.number), node.number)
    return oldest


class _Mode(threading.local):
    grad = True


_mode = _Mode()


def is_grad_enabled() -> bool:
    """Return whether operations are being recorded on this thread."""
    return _mode.grad


class set_grad_enabled:
    """Switch recording on or off, at once, and back when used as a context manager.

    Args:
        mode: whether operations are recorded.
    """

    def __init__(self, mode: bool):
        self.mode = mode
        self.previous = _mode.grad
        _mode.grad = mode

    def __enter__(self) -> None:
        _mode.grad = self.mode

    def __exit__(self, *_: object) -> None:
        _mode.grad = self.previous


class _Switch:
    """A context manager, and a decorator with or without parentheses, that sets whether operations are recorded."""

    mode: bool

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        switch = super().__new__(cls)
        return switch if function is None else switch(function)

    def __enter__(self) -> None:
        self.previous = _mode.grad
        _mode.grad = self.mode

    def __exit__(self, *_: object) -> None:
        _mode.grad = self.previous

    def __call__(self, function: Function) -> Function:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return run  # type: ignore[return-value]  # the wrapper has the signature of what it wraps


class no_grad(_Switch):
    """Record nothing inside: results do not require gradients."""

    mode = False


class enable_grad(_Switch):
    """Record inside, also within `no_grad`."""

    mode = True


inference_mode = no_grad


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Return `g` summed back to `shape`, the shape of an operand that was broadcast to `g`'s."""
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, size in enumerate(shape) if size == 1 and g.shape[extra + i] != 1
    )
    return sum_array(g, axes).reshape(shape)
