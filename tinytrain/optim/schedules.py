"""Schedules as an experiment asks for them: lengths in epochs, a step after every step of the optimizer.

Each builder of `SCHEDULES` takes the optimizer, the epochs of the run and the optimizer's steps in an epoch, and then
its own arguments, in the ranges of their types: PyTorch's schedules, which they build, take numbers that make no sense
as well. `Schedule` adds a warm-up to any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from tinytrain.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)
from tinytrain.optim.optimizer import Optimizer
from tinytrain.ranges import Count, NotNegative, Positive, Share
from tinytrain.registry import Registry

__all__ = ["SCHEDULES", "Schedule"]

Momentum = Annotated[float, Ge(0), Lt(1)]

SCHEDULES: Registry[Callable[..., LRScheduler]] = Registry("schedule")
"""What a config may name."""


class Schedule:
    """The learning rate of a run: a schedule's rate times a warm-up that rises linearly to 1.

    In step s of a warm-up of w steps the rate is `(s + 1) / (w + 1)` of the schedule's (Goyal et al., "Accurate, Large
    Minibatch SGD", 2017, section 2.2). The schedule itself counts from the start of the run, so that its epochs are
    the run's.

    Args:
        scheduler: of the optimizer whose rate is meant, at its first step.
        warmup_steps: optimizer steps; 0: none.
    """

    def __init__(self, scheduler: LRScheduler, *, warmup_steps: int = 0):
        self.scheduler = scheduler
        self.warmup_steps = warmup_steps
        self.num_steps = 0
        self._rates = self._rates_in_force
        self._apply()

    def step(self) -> None:
        """Go on by one step of the optimizer."""
        self.num_steps += 1
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self._advance()
        self._apply()

    def end_epoch(self, metric: float) -> None:
        """Tell a schedule that waits for a plateau how the epoch went.

        Args:
            metric: the validation loss, or the training loss where there is no validation set.
        """
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self._advance(metric)
            self._apply()

    def state_dict(self) -> dict[str, Any]:
        """Return what the schedule remembers."""
        return {"num_steps": self.num_steps, "rates": self._rates, "scheduler": self.scheduler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` remembers, and set the rates."""
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self.num_steps, self._rates = state_dict["num_steps"], list(state_dict["rates"])
        self._apply()

    @property
    def _rates_in_force(self) -> list[float]:
        return [group["lr"] for group in self.scheduler.optimizer.param_groups]

    def _advance(self, *metrics: float) -> None:
        """Let the schedule take a step from its own rate, which it may compute from the one in force."""
        self._set(self._rates)
        self.scheduler.step(*metrics)  # type: ignore[arg-type]  # only a plateau is told any
        self._rates = self._rates_in_force

    def _apply(self) -> None:
        ramp = min(1.0, (self.num_steps + 1) / (self.warmup_steps + 1))
        self._set([rate * ramp for rate in self._rates])

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.scheduler.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


@SCHEDULES.register()
def constant(optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """The optimizer's own rate throughout."""
    return ConstantLR(optimizer, factor=1.0)


@SCHEDULES.register()
def step(
    optimizer: Optimizer, epochs: int, steps_per_epoch: int, step_size: Positive, gamma: Positive = 0.1
) -> LRScheduler:
    """The rate times gamma every `step_size` epochs."""
    return StepLR(optimizer, _steps(step_size, steps_per_epoch), gamma)


@SCHEDULES.register()
def multistep(
    optimizer: Optimizer, epochs: int, steps_per_epoch: int, milestones: Sequence[Positive], gamma: Positive = 0.1
) -> LRScheduler:
    """The rate times gamma at each milestone, an epoch from the start."""
    return MultiStepLR(optimizer, [_steps(milestone, steps_per_epoch) for milestone in milestones], gamma)


@SCHEDULES.register()
def exponential(optimizer: Optimizer, epochs: int, steps_per_epoch: int, gamma: Positive) -> LRScheduler:
    """The rate times gamma every epoch, a little with every step."""
    return ExponentialLR(optimizer, gamma ** (1 / steps_per_epoch))


@SCHEDULES.register()
def cosine(optimizer: Optimizer, epochs: int, steps_per_epoch: int, eta_min: NotNegative = 0.0) -> LRScheduler:
    """The rate along half a cosine down to `eta_min` at the end of the run."""
    return CosineAnnealingLR(optimizer, epochs * steps_per_epoch, eta_min)


@SCHEDULES.register()
def warm_restarts(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    T_0: Positive,
    T_mult: Count = 1,
    eta_min: NotNegative = 0.0,
) -> LRScheduler:
    """Half a cosine of `T_0` epochs again and again, each `T_mult` times as long as the one before."""
    return CosineAnnealingWarmRestarts(optimizer, _steps(T_0, steps_per_epoch), T_mult, eta_min)


@SCHEDULES.register()
def one_cycle(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    max_lr: Positive,
    pct_start: Share = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    cycle_momentum: bool = True,
    base_momentum: Momentum = 0.85,
    max_momentum: Momentum = 0.95,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 1e4,
    three_phase: bool = False,
) -> LRScheduler:
    """The rate up to `max_lr` (times a group's `lr_scale`) and down again over the run, the momentum the other way."""
    return OneCycleLR(
        optimizer,
        [max_lr * group.get("lr_scale", 1.0) for group in optimizer.param_groups],
        epochs * steps_per_epoch,
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,
        cycle_momentum=cycle_momentum,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        three_phase=three_phase,
    )


@SCHEDULES.register()
def linear(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    start_factor: Annotated[float, Gt(0), Le(1)] = 1.0,
    end_factor: Share = 0.0,
) -> LRScheduler:
    """The rate times a factor that goes in a straight line from `start_factor` to `end_factor` over the run."""
    return LinearLR(optimizer, start_factor, end_factor, epochs * steps_per_epoch)


@SCHEDULES.register()
def polynomial(optimizer: Optimizer, epochs: int, steps_per_epoch: int, power: NotNegative = 1.0) -> LRScheduler:
    """The rate times `(1 - done) ** power`, where `done` is the share of the run that is over."""
    return PolynomialLR(optimizer, epochs * steps_per_epoch, power)


@SCHEDULES.register()
def plateau(
    optimizer: Optimizer,
    epochs: int,
    steps_per_epoch: int,
    factor: Annotated[float, Gt(0), Lt(1)] = 0.1,
    patience: Annotated[int, Ge(0)] = 10,
    threshold: NotNegative = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: Annotated[int, Ge(0)] = 0,
    min_lr: NotNegative = 0.0,
) -> LRScheduler:
    """The rate times `factor` when the validation loss has not fallen for more than `patience` epochs."""
    return ReduceLROnPlateau(optimizer, "min", factor, patience, threshold, threshold_mode, cooldown, min_lr)


def _steps(epochs: float, steps_per_epoch: int) -> int:
    """Return a length in optimizer steps, at least one."""
    return max(1, round(epochs * steps_per_epoch))
