"""Many arrays in the memory of a GPU as one launch goes through them, however many there are.

A call has two parts. `Plan.upload` puts the numbers of a step (learning rate, momentum, bias corrections ...) into the
memory of the GPU, `Plan.launch` starts the kernel, which reads them there. Where a step is recorded as a CUDA graph,
only the launch belongs into it; the upload is a small launch of its own on the same stream before each replay
(`tinytrain.capturing`). `plan_for` returns the same plan for the same arrays; a recorded launch reads the memory of its
plan, which stays as long.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.capturing import before_launch, constant, is_replaying, lasting
from tinytrain.device import Array, cupy
from tinytrain.kernels.cuda.compiler import ELEMENTS, THREADS, kernel, launch

CHUNK = 4096
"""Elements of a block, as in `src/updates.cuh`."""

NUMBERS = 9
"""Of a rule, at most."""

MOST_PLANS = 64
"""That are remembered; gradients that lie somewhere else at every step would make ever more."""

Lists = Sequence[Sequence[Array | None] | None]


class Plan:
    """Arrays in the memory of a GPU as one launch goes through them.

    Args:
        rows: for each array the addresses of its values, its gradient, three states, and its size.
        element: the type of the gradients.
    """

    def __init__(self, rows: Sequence[Sequence[int]], element: str):
        assert not is_replaying(), "a recorded launch reads the numbers of another plan"
        self.element = element
        table = np.array([(*row, all(each % 16 == 0 for each in row[:5])) for row in rows], np.int64)
        per_array = -(-table[:, 5] // CHUNK)
        firsts = np.concatenate([[0], np.cumsum(per_array)])
        chunks = np.empty((firsts[-1], 2), np.int32)
        chunks[:, 0] = np.repeat(np.arange(len(rows)), per_array)
        chunks[:, 1] = np.arange(firsts[-1]) - firsts[chunks[:, 0]]
        self.num_arrays, self.num_chunks = len(rows), len(chunks)
        self.table, self.chunks, self.firsts = map(constant, (table, chunks, firsts))
        self.numbers = lasting((NUMBERS,), "float32")

    def upload(self, numbers: Sequence[float]) -> None:
        """Put numbers into the memory of the GPU, in the order of the stream; the host does not wait.

        Args:
            numbers: as many as the rule has, in the order of its structure in `src/updates.cuh`.
        """
        rest = (0.0,) * (NUMBERS - len(numbers))
        set_numbers, given = self._kernel("set_numbers"), (*map(float, numbers), *rest)
        before_launch(lambda: launch(set_numbers, (1,), (1,), self.numbers, *given))

    def launch(self, rule: str, is_void: Array | None = None) -> None:
        """Change the arrays by one step of a rule, with the numbers that were uploaded last.

        Args:
            rule: `sgd`, `adam`, `rmsprop` or `lion`.
            is_void: `()` float32; where it is not 0, nothing is changed.
        """
        self._start(rule, self.numbers, is_void)

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
        if not is_replaying():
            launch(self._kernel(name), (self.num_chunks,), (THREADS,), self.table, self.chunks, *arguments)

    def _kernel(self, name: str) -> Any:
        return kernel("updates", name, self.element)


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
        A plan for each type of gradients, with the positions of its arrays; and the positions that are left
        out, because an array is missing, is not contiguous or has another type.
    """
    present = [each for each in states if each is not None]
    key = (
        tuple([(w.data.ptr, w.size, w.dtype) for w in params]),
        tuple([(g.data.ptr, g.size, g.dtype, g.flags.c_contiguous) for g in grads]),
        tuple([state is not None and state.data.ptr for each in present for state in each]),
        tuple([each is not None for each in states]),
    )
    if key in _plans:
        _plans.move_to_end(key)
        return _plans[key]
    found = _plans[key] = _make_plans(params, grads, states)
    while len(_plans) > MOST_PLANS:
        _plans.popitem(last=False)
    return found


def _make_plans(
    params: Sequence[Array], grads: Sequence[Array], states: Lists
) -> tuple[list[tuple[Plan, list[int]]], list[int]]:
    groups: dict[str, tuple[list[list[int]], list[int]]] = {}
    left: list[int] = []
    for position, (w, g) in enumerate(zip(params, grads, strict=True)):
        remembered = [None if each is None else each[position] for each in states]
        is_missing = any(each is not None and state is None for each, state in zip(states, remembered, strict=True))
        floats = [w, *(state for state in remembered if state is not None)] if w is not g else []
        if (
            is_missing
            or g.dtype.name not in ELEMENTS
            or any(each.dtype != np.float32 for each in floats)
            or not all(each.flags.c_contiguous and each.size == w.size for each in (w, g, *floats))
        ):
            left.append(position)
            continue
        rows, positions = groups.setdefault(g.dtype.name, ([], []))
        addresses = [0 if each is None else each.data.ptr for each in (*remembered, *(None,) * (3 - len(remembered)))]
        rows.append([w.data.ptr, g.data.ptr, *addresses, w.size])
        positions.append(position)
    return [(Plan(rows, element), positions) for element, (rows, positions) in groups.items()], left
