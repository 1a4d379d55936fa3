"""Update rules, norms and scaling for many arrays in one launch, however many there are.

`sgd`, `adam`, `rmsprop` and `lion` have the arguments of `kernels/native/_native.pyi`. Values and what rules remember
are float32; gradients may be halves. Results are those of the rules in `tinytrain.optim` to the rounding of float32: a
multiplication and the addition after it may round once in place of twice, so they are not the same to the bit as on
the CPU. On one GPU they repeat themselves to the bit.

A call has two parts. `Plan.upload` puts the numbers of a step (learning rate, momentum, bias corrections ...) into the
memory of the GPU, `Plan.launch` starts the kernel, which reads them there. Where a step is recorded as a CUDA graph,
only the launch belongs into it; the upload is a small launch of its own on the same stream before each replay.
`plan_for` returns the same plan for the same arrays; a recorded launch reads the memory of its plan, which must stay
as long.

`during_step` says what else a step does while it reads and writes: scale gradients, change nothing where a flag in the
memory of the GPU says so, write halves beside the float32 values.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import ELEMENTS, THREADS, kernel, launch

__all__ = ["adam", "during_step", "lion", "plan_for", "rmsprop", "scale", "sgd", "square_sums"]

CHUNK = 4096
"""Elements of a block, as in `src/updates.cuh`."""

NUMBERS = 9
"""Of a rule, at most."""

MOST_PLANS = 64
"""That are remembered; gradients that lie somewhere else at every step would make ever more."""

Lists = Sequence[Sequence[Array | None] | None]


@dataclass(frozen=True)
class StepOptions:
    """What an update does beside its rule.

    Args:
        factor: `()` float32, what gradients are multiplied with on the way: the reciprocal of a loss scale.
        is_void: `()` float32; where it is not 0, nothing is changed. The host, which counts Adam's steps, counts on.
        copies: the addresses of values to the arrays of halves that get a copy of them.
    """

    factor: Array | None = None
    is_void: Array | None = None
    copies: Mapping[int, Array] = field(default_factory=dict)


_options = StepOptions()


@contextmanager
def during_step(
    factor: Array | None = None, is_void: Array | None = None, copies: Mapping[int, Array] | None = None
) -> Iterator[None]:
    """Have updates do more than their rule meanwhile; see `StepOptions`."""
    global _options
    before, _options = _options, StepOptions(factor, is_void, copies or {})
    try:
        yield
    finally:
        _options = before


class Plan:
    """Arrays in the memory of a GPU as one launch goes through them.

    Args:
        rows: for each array the addresses of its values, its gradient, three states, its copy, and its size.
        element: the type of the gradients.
        copy: the type of the copies.
    """

    def __init__(self, rows: Sequence[Sequence[int]], element: str, copy: str):
        self.element, self.copy = element, copy
        table = np.array([(*row, all(each % 16 == 0 for each in row[:6])) for row in rows], np.int64)
        per_array = -(-table[:, 6] // CHUNK)
        firsts = np.concatenate([[0], np.cumsum(per_array)])
        chunks = np.empty((firsts[-1], 2), np.int32)
        chunks[:, 0] = np.repeat(np.arange(len(rows)), per_array)
        chunks[:, 1] = np.arange(firsts[-1]) - firsts[chunks[:, 0]]
        self.num_arrays, self.num_chunks = len(rows), len(chunks)
        self.table, self.chunks, self.firsts = map(_on_gpu, (table, chunks, firsts))
        self.numbers = cupy().empty(NUMBERS, "float32")

    def upload(self, numbers: Sequence[float]) -> None:
        """Put numbers into the memory of the GPU, in the order of the stream; the host does not wait.

        Args:
            numbers: as many as the rule has, in the order of its structure in `src/updates.cuh`.
        """
        rest = (0.0,) * (NUMBERS - len(numbers))
        launch(self._kernel("set_numbers"), (1,), (1,), self.numbers, *map(float, numbers), *rest)

    def launch(self, rule: str, options: StepOptions) -> None:
        """Change the arrays by one step of a rule, with the numbers that were uploaded last."""
        self._start(rule, self.numbers, options.factor, options.is_void)

    def scale(self, factor: Array) -> None:
        """Multiply gradients by a number in the memory of the GPU."""
        self._start("scale", factor)

    def square_sums(self) -> Array:
        """Return the sum of squares of each gradient, float64."""
        xp = cupy()
        sums, totals = xp.empty(self.num_chunks, "float64"), xp.empty(self.num_arrays, "float64")
        self._start("squares_of_chunks", sums)
        warps = THREADS // 32
        launch(
            self._kernel("squares_of_arrays"),
            (-(-self.num_arrays // warps),),
            (32, warps),
            *(sums, self.firsts, self.num_arrays, totals),
        )
        return totals

    def _start(self, name: str, *arguments: Array | None) -> None:
        launch(self._kernel(name), (self.num_chunks,), (THREADS,), self.table, self.chunks, *arguments)

    def _kernel(self, name: str) -> Any:
        return kernel("updates", name, self.element, COPY=ELEMENTS[self.copy])


def _on_gpu(values: np.ndarray) -> Array:
    """Return a copy in the memory of the GPU."""
    array = cupy().empty(values.shape, values.dtype)
    array.set(values)
    return array


_plans: OrderedDict[Any, tuple[list[tuple[Plan, list[int]]], list[int]]] = OrderedDict()


def plan_for(
    params: Sequence[Array], grads: Sequence[Array], states: Lists = ()
) -> tuple[list[tuple[Plan, list[int]]], list[int]]:
    """Return the plans for some arrays, the same ones whenever it is asked for them.

    Args:
        params: values.
        grads: their gradients.
        states: lists with what a rule remembers of each, None in place of a list that it goes without.

    Returns:
        A plan for each type of gradients and copies, with the positions of its arrays; and the positions that are left
        out, because an array is missing, is not contiguous or has another type.
    """
    present = [each for each in states if each is not None]
    copies = _options.copies
    key = (
        tuple([(w.data.ptr, w.size, w.dtype) for w in params]),
        tuple([(g.data.ptr, g.size, g.dtype, g.flags.c_contiguous) for g in grads]),
        tuple([state is not None and state.data.ptr for each in present for state in each]),
        tuple([each is not None for each in states]),
        tuple([(copy.data.ptr, copy.dtype) for w in params if (copy := copies.get(w.data.ptr)) is not None]),
    )
    if key in _plans:
        _plans.move_to_end(key)
        return _plans[key]
    found = _plans[key] = _make_plans(params, grads, states, copies)
    while len(_plans) > MOST_PLANS:
        _plans.popitem(last=False)
    return found


def _make_plans(
    params: Sequence[Array], grads: Sequence[Array], states: Lists, copies: Mapping[int, Array]
) -> tuple[list[tuple[Plan, list[int]]], list[int]]:
    groups: dict[tuple[str, str], tuple[list[list[int]], list[int]]] = {}
    left: list[int] = []
    for position, (w, g) in enumerate(zip(params, grads, strict=True)):
        remembered = [None if each is None else each[position] for each in states]
        is_missing = any(each is not None and state is None for each, state in zip(states, remembered, strict=True))
        floats = [w, *(state for state in remembered if state is not None)] if w is not g else []
        copy = copies.get(w.data.ptr)
        if (
            is_missing
            or g.dtype.name not in ELEMENTS
            or any(each.dtype != np.float32 for each in floats)
            or not all(each.flags.c_contiguous and each.size == w.size for each in (w, g, *floats))
        ):
            left.append(position)
            continue
        kinds = g.dtype.name, g.dtype.name if copy is None else copy.dtype.name
        rows, positions = groups.setdefault(kinds, ([], []))
        addresses = [
            0 if each is None else each.data.ptr for each in (*remembered, *(None,) * (3 - len(remembered)), copy)
        ]
        rows.append([w.data.ptr, g.data.ptr, *addresses, w.size])
        positions.append(position)
    return [(Plan(rows, *kinds), positions) for kinds, (rows, positions) in groups.items()], left


def sgd(
    params: list[Array],
    grads: list[Array],
    velocities: list[Array | None] | None,
    lr: float,
    momentum: float,
    keep: float,
    decay: float,
    nesterov: bool,
    maximize: bool,
) -> list[int] | None:
    """Take a step of `SGD.update`; return the positions of the parameters left alone, None where there are none."""
    return _update("sgd", params, grads, (velocities,), (lr, momentum, keep, decay, nesterov, maximize))


def adam(
    params: list[Array],
    grads: list[Array],
    means: list[Array | None],
    squares: list[Array | None],
    largest: list[Array | None] | None,
    *numbers: float,
) -> list[int] | None:
    """Take a step of `Adam.update`, as `sgd`.

    Args:
        params, grads: values and gradients.
        means, squares, largest: what the rule remembers.
        numbers: rate, root, mean_keep, square_fade, square_keep, eps, decay, shrink, maximize.
    """
    return _update("adam", params, grads, (means, squares, largest), numbers)


def rmsprop(
    params: list[Array],
    grads: list[Array],
    squares: list[Array | None],
    means: list[Array | None] | None,
    velocities: list[Array | None] | None,
    *numbers: float,
) -> list[int] | None:
    """Take a step of `RMSprop.update`, as `sgd`.

    Args:
        params, grads: values and gradients.
        squares, means, velocities: what the rule remembers.
        numbers: lr, fade, keep, eps, decay, momentum, maximize.
    """
    return _update("rmsprop", params, grads, (squares, means, velocities), numbers)


def lion(params: list[Array], grads: list[Array], means: list[Array | None], *numbers: float) -> list[int] | None:
    """Take a step of `Lion.update`, as `sgd`.

    Args:
        params, grads: values and gradients.
        means: what the rule remembers.
        numbers: lr, fade_now, keep_now, fade, keep, shrink, maximize.
    """
    return _update("lion", params, grads, (means,), numbers)


def square_sums(arrays: list[Array]) -> Array | None:
    """Return the sum of squares of each array in float64, in the memory of the GPU; the host does not wait.

    Returns:
        `(n,)` in the order of the arrays; None where one is not contiguous or of a type without kernels.
    """
    plans, left = plan_for(arrays, arrays)
    if left:
        return None
    if len(plans) == 1:
        return plans[0][0].square_sums()
    sums = cupy().empty(len(arrays), "float64")
    for plan, positions in plans:
        for place, total in zip(positions, plan.square_sums(), strict=True):
            sums[place] = total
    return sums


def scale(arrays: list[Array], factor: float | Array) -> list[int] | None:
    """Multiply arrays in their memory by a number, perhaps one in the memory of the GPU.

    Returns:
        The positions of those left alone, None where there are none.
    """
    plans, left = plan_for(arrays, arrays)
    for plan, _ in plans:
        if isinstance(factor, (int, float)):
            plan.upload((factor,))
            plan.scale(plan.numbers)
        else:
            plan.scale(factor.astype("float32", copy=False))
    return left or None


def _update(
    rule: str, params: list[Array], grads: list[Array], states: Lists, numbers: Sequence[float]
) -> list[int] | None:
    plans, left = plan_for(params, grads, states)
    for plan, _ in plans:
        plan.upload(numbers)
        plan.launch(rule, _options)
    return left or None
