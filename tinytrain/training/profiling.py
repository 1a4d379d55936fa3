"""The first steps of a training with a clock at every layer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from statistics import median
from typing import Any

import numpy as np

from tinytrain.device import synchronize
from tinytrain.inspection import LayerClock, Profile, layer_costs, profile_of
from tinytrain.inspection.clock import BACKWARD, FORWARD, Segment
from tinytrain.memory import keep_freed_memory
from tinytrain.tensor import Tensor
from tinytrain.threads import one_blas_thread
from tinytrain.training.experiment import Experiment
from tinytrain.training.step import groups_of, learn

Group = list[tuple[Tensor, Tensor]]

LOSS, OPTIMIZER, BATCHES = "(loss)", "(optimizer)", "(batches)"


def profile_training(e: Experiment, *, steps: int = 10, warmup: int = 3) -> Profile:
    """Time the layers of a model while it learns.

    Steps without clocks come first, as many again: after the warm-up they tell how long a step takes when nobody
    looks.

    Args:
        e: what is trained; its model and optimizer are changed, so train another one.
        steps: of the optimizer, that are watched.
        warmup: steps before all those.
    """
    keep_freed_memory()
    with one_blas_thread(), np.errstate(all="ignore"):
        macs: Counter[str] = Counter()
        for cost in layer_costs(e.model, e.input_shape):
            macs[cost.name] += cost.macs
        e.model.train()
        if e.freezing is not None:
            e.freezing.apply(0)
        groups = groups_of(_endless(e), e.accumulate_steps)
        for _ in range(warmup):
            learn(e, next(groups))
        unwatched = median(_seconds_of_step(e, groups) for _ in range(steps))
        clock = LayerClock(e.model, e.device)
        watched, images = _watch(e, clock, groups, steps)
    return profile_of(
        watched,
        {name: type(module).__name__ for name, module in e.model.named_modules()},
        macs,
        clock.passes,
        images=images / steps,
        unwatched=unwatched,
    )


def _endless(e: Experiment) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of epoch after epoch."""
    for epoch in count():
        e.train.set_epoch(epoch)
        yield from e.train


def _seconds_of_step(e: Experiment, groups: Iterator[Group]) -> float:
    synchronize(e.device)
    begin = time.perf_counter()
    learn(e, next(groups))
    synchronize(e.device)
    return time.perf_counter() - begin


def _watch(e: Experiment, clock: LayerClock, groups: Iterator[Group], steps: int) -> tuple[list[list[Segment]], int]:
    """Learn for some steps with a clock; return what it saw of each, and how many images there were."""

    def loss(*args: Any) -> Tensor:
        clock.switch(LOSS, FORWARD)
        value = e.loss(*args)
        _ = value.array
        clock.switch(LOSS, BACKWARD)
        return value

    found, images = [], 0
    learning = replace(e, loss=loss)
    with clock:
        clock.watch_gradients(
            [each for each in e.model.parameters() if each.grad is not None],
            lambda: clock.switch(OPTIMIZER, "update"),
        )
        for _ in range(steps):
            clock.switch(BATCHES, "load")
            group = next(groups)
            images += sum(len(each) for each, _ in group)
            clock.switch(OPTIMIZER, "update")
            learn(learning, group)
            found.append(clock.take())
    return found, images
