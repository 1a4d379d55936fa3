"""A few training steps on an experiment that is thrown away afterwards, to tell what the real one will take."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

from tinytrain.device import synchronize
from tinytrain.inspection import layer_costs
from tinytrain.optim.lr_scheduler import ReduceLROnPlateau
from tinytrain.tensor import Tensor
from tinytrain.training.experiment import Experiment
from tinytrain.training.precision import bytes_per_activation
from tinytrain.training.step import learn

MAX_STEPS = 50
"""No more are taken, however little time they need."""


@dataclass(frozen=True)
class Rehearsal:
    """How long things took.

    Attributes:
        load_seconds: to load one batch, in this process.
        step_seconds: to learn from one batch.
    """

    load_seconds: float
    step_seconds: float

    def epoch_seconds(self, batches: int, workers: int) -> float:
        """Return what an epoch will take: workers load while the network learns, without them one waits."""
        if workers:
            return batches * max(self.step_seconds, self.load_seconds / workers)
        return batches * (self.step_seconds + self.load_seconds)


def rehearse(experiment: Experiment, *, seconds: float = 2.0) -> Rehearsal:
    """Learn from a few batches; the model and the optimizer change, nothing is written.

    The first step, which pays for what is set up once, is not counted where there are more.

    Args:
        experiment: whose loader has no worker processes.
        seconds: about how long to go on; two steps are made at least, where there are so many.
    """
    e = experiment
    e.model.train()
    if e.freezing is not None:
        e.freezing.apply(0)
    begin = last = time.perf_counter()
    loads, steps = [], []
    for batch in itertools.islice(e.train, MAX_STEPS):
        loads.append(time.perf_counter() - last)
        learn(e, [batch])
        synchronize(e.device)
        now = time.perf_counter()
        steps.append(now - last - loads[-1])
        last = now
        if len(steps) > 1 and last - begin > seconds:
            break
    return Rehearsal(_settled(loads), _settled(steps))


def learning_rates(experiment: Experiment, *, points: int = 60) -> list[tuple[float, float]]:
    """Return (epoch, learning rate) at even steps over a run; the schedule is worn out afterwards.

    A schedule that waits for a plateau of the validation loss is shown as if there were none.

    Args:
        experiment: whose schedule has taken no step.
        points: at most so many.
    """
    steps = experiment.epochs * experiment.steps_per_epoch
    wanted = {i * (steps - 1) // max(points - 1, 1) for i in range(points)}
    rates = []
    for step in range(steps):
        if step in wanted:
            rates.append((step / experiment.steps_per_epoch, float(experiment.optimizer.param_groups[0]["lr"])))
        experiment.schedule.step()
    return rates


def waits_for_plateau(experiment: Experiment) -> bool:
    """Return whether the learning rates depend on how the training goes."""
    return isinstance(experiment.schedule.scheduler, ReduceLROnPlateau)


def estimate_memory(experiment: Experiment) -> dict[str, int]:
    """Return the bytes of a training step, by what they hold.

    Activations are the outputs of every layer for a whole batch, as if each was kept for the backward pass. The
    optimizer's state is what it holds now, so take steps before.
    """
    e = experiment
    batch = min(e.train.batch_size or 1, len(e.train.dataset))
    outputs = sum(math.prod(layer.output) for layer in layer_costs(e.model, e.input_shape))
    memory = {
        "weights": sum(tensor.array.nbytes for tensor in e.model.state_dict().values()),
        "gradients": sum(p.array.nbytes for p in e.model.parameters() if p.requires_grad),
        "optimizer": sum(_num_bytes(value) for state in e.optimizer.state.values() for value in state.values()),
        "activations": bytes_per_activation(e.precision) * batch * (outputs + math.prod(e.input_shape)),
    }
    return {**memory, "total": sum(memory.values())}


def _settled(times: list[float]) -> float:
    """Return the median of all times but the first: other programs' bursts do not count."""
    return statistics.median(times[1:] or times)


def _num_bytes(value: Any) -> int:
    array = value.array if isinstance(value, Tensor) else value
    return int(getattr(array, "nbytes", 0))
