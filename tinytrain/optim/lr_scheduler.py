"""Learning-rate schedules, by `torch.optim.lr_scheduler`'s names.

A schedule changes the `lr` of its optimizer's groups at each `step()`, be that an epoch or a batch. Most compute the
new rate from the present one, so that several can be chained on one optimizer.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinytrain.optim.optimizer import Optimizer

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


class LRScheduler:
    """The base of all schedules.

    Args:
        optimizer: whose learning rates are changed.
        last_epoch: the number of the last step taken; -1 begins.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group["initial_lr"] = group["lr"]
            elif "initial_lr" not in group:
                raise KeyError("param 'initial_lr' is not specified in param_groups when resuming an optimizer")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def get_lr(self) -> list[float]:
        """Return the rate of each group for step `last_epoch`, from the rates in force."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the rate of each group as set by the last step."""
        return self._last_lr

    def step(self) -> None:
        """Go on by one step and set the rates."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """Return what the schedule remembers; functions are left out."""
        return {key: value for key, value in vars(self).items() if key != "optimizer" and not callable(value)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` remembers."""
        vars(self).update(state_dict)

    @property
    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _set(self, rates: Iterable[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates


class LambdaLR(LRScheduler):
    """The first rate times a function of the step.

    Args:
        optimizer: whose learning rates are changed.
        lr_lambda: the function, or one per group.
        last_epoch: the number of the last step taken.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        count = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            raise ValueError(f"Expected {count} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return what the schedule remembers, without its functions."""
        return {key: value for key, value in super().state_dict().items() if key != "lr_lambdas"}


class MultiplicativeLR(LambdaLR):
    """The present rate times a function of the step."""

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self.last_epoch == 0:
            return self._rates
        return [rate * f(self.last_epoch) for rate, f in zip(self._rates, self.lr_lambdas, strict=True)]


class StepLR(LRScheduler):
    """The rate times gamma every `step_size` steps.

    Args:
        optimizer: whose learning rates are changed.
        step_size: steps.
        gamma: the factor.
        last_epoch: the number of the last step taken.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [rate * self.gamma if due else rate for rate in self._rates]


class MultiStepLR(LRScheduler):
    """The rate times gamma at each milestone.

    Args:
        optimizer: whose learning rates are changed.
        milestones: steps.
        gamma: the factor.
        last_epoch: the number of the last step taken.
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        return [rate * self.gamma ** self.milestones[self.last_epoch] for rate in self._rates]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` remembers, the milestones also as JSON returns them: with text for keys."""
        super().load_state_dict(state_dict)
        self.milestones = Counter({int(step): times for step, times in self.milestones.items()})


class ExponentialLR(LRScheduler):
    """The rate times gamma every step.

    Args:
        optimizer: whose learning rates are changed.
        gamma: the factor.
        last_epoch: the number of the last step taken.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        return [rate if self.last_epoch == 0 else rate * self.gamma for rate in self._rates]


class ConstantLR(LRScheduler):
    """The rate times a factor until step `total_iters`, the rate itself from there.

    Args:
        optimizer: whose learning rates are changed.
        factor: from 0 to 1.
        total_iters: steps.
        last_epoch: the number of the last step taken.
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        if not 0 <= factor <= 1:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates]
        if self.last_epoch == self.total_iters:
            return [rate / self.factor for rate in self._rates]
        return self._rates


class LinearLR(LRScheduler):
    """The rate times a factor that goes in a straight line from `start_factor` to `end_factor`.

    Args:
        optimizer: whose learning rates are changed.
        start_factor: above 0, at most 1.
        end_factor: from 0 to 1.
        total_iters: steps that the line takes.
        last_epoch: the number of the last step taken.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            raise ValueError("Starting multiplicative factor expected to be greater than 0 and less or equal to 1.")
        if not 0 <= end_factor <= 1:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self._rates]
        if self.last_epoch > self.total_iters:
            return self._rates
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [rate * (1 + rise / before) for rate in self._rates]


class PolynomialLR(LRScheduler):
    """The rate times `(1 - step / total_iters) ** power`.

    Args:
        optimizer: whose learning rates are changed.
        total_iters: steps until the rate is zero.
        power: of the polynomial.
        last_epoch: the number of the last step taken.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self.last_epoch == 0 or self.last_epoch > self.total_iters:
            return self._rates
        left = 1 - self.last_epoch / self.total_iters
        factor = (left / (1 - (self.last_epoch - 1) / self.total_iters)) ** self.power
        return [rate * factor for rate in self._rates]


class CosineAnnealingLR(LRScheduler):
    """The rate along half a cosine from its first value to `eta_min` (Loshchilov and Hutter, 2017, without restarts).

    Args:
        optimizer: whose learning rates are changed.
        T_max: steps of the half cosine.
        eta_min: the smallest rate.
        last_epoch: the number of the last step taken.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        if self.last_epoch == 0:
            return self._rates
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [rate + (base - self.eta_min) * rise for rate, base in zip(self._rates, self.base_lrs, strict=True)]
        now, before = (1 + math.cos(math.pi * step / self.T_max) for step in (self.last_epoch, self.last_epoch - 1))
        return [(rate - self.eta_min) * now / before + self.eta_min for rate in self._rates]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines one after the other, each `T_mult` times as long as the one before (Loshchilov and Hutter, 2017).

    Args:
        optimizer: whose learning rates are changed.
        T_0: steps of the first.
        T_mult: the factor.
        eta_min: the smallest rate.
        last_epoch: the number of the last step taken.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`."""
        length, passed = self.T_0, self.last_epoch
        while passed >= length:
            passed -= length
            length *= self.T_mult
            if self.T_mult == 1:
                passed %= length
        share = (1 + math.cos(math.pi * passed / length)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class OneCycleLR(LRScheduler):
    """The rate up from `max_lr / div_factor` to `max_lr`, then down to a small fraction (Smith and Topin, 2019).

    Momentum, or Adam's first beta, goes the other way.

    Args:
        optimizer: whose learning rates are changed.
        max_lr: the highest rate, or one per group.
        total_steps: steps of the cycle; or give `epochs` and `steps_per_epoch`.
        epochs: epochs of the cycle.
        steps_per_epoch: steps in each.
        pct_start: the share of the steps that goes up.
        anneal_strategy: `cos` or `linear`.
        cycle_momentum: whether the momentum goes the other way.
        base_momentum: the lowest momentum, at the highest rate.
        max_momentum: the highest.
        div_factor: highest rate by first.
        final_div_factor: first rate by last.
        three_phase: go down to the first rate as fast as up, then to the last.
        last_epoch: the number of the last step taken.

    Raises:
        ValueError: the length of the cycle is not given, or an option is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
            total_steps = epochs * steps_per_epoch
        if total_steps <= 0:
            raise ValueError(f"Expected positive integer total_steps, but got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self.total_steps = total_steps
        self.is_linear = anneal_strategy == "linear"
        self.cycle_momentum = cycle_momentum
        top = pct_start * total_steps - 1
        ends = [top, 2 * top, total_steps - 1] if three_phase else [top, total_steps - 1]
        self.phase_ends = [float(end) for end in ends]
        groups = optimizer.param_groups
        highest = [max_lr] * len(groups) if isinstance(max_lr, (int, float)) else list(max_lr)
        if len(highest) != len(groups):
            raise ValueError(f"Expected {len(groups)} values for max_lr, but got {len(highest)}")
        self.lr_corners = []
        for group, peak in zip(groups, highest, strict=True):
            first = peak / div_factor
            corners = [first, peak, first, first / final_div_factor]
            self.lr_corners.append(corners if three_phase else [first, peak, first / final_div_factor])
            if last_epoch == -1:
                group["lr"] = first
        low, high = base_momentum, max_momentum
        self.momentum_corners = [high, low, high, high] if three_phase else [high, low, high]
        if cycle_momentum and not any(key in optimizer.defaults for key in ("momentum", "betas")):
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `last_epoch`, and set the momentum.

        Raises:
            ValueError: the cycle is over.
        """
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        if self.cycle_momentum:
            momentum = self._between(self.momentum_corners, step)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return [self._between(corners, step) for corners in self.lr_corners]

    def _between(self, corners: list[float], step: int) -> float:
        """Return the value at `step` on the way from corner to corner."""
        begin = 0.0
        for start, end, stop in zip(corners, corners[1:], self.phase_ends, strict=False):
            if step <= stop or stop == self.phase_ends[-1]:
                share = (step - begin) / (stop - begin) if stop > begin else 1.0
                if self.is_linear:
                    return start + (end - start) * share
                return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
            begin = stop
        raise AssertionError("the last phase ends with the cycle")


class SequentialLR(LRScheduler):
    """Schedules one after the other.

    Args:
        optimizer: whose learning rates are changed.
        schedulers: in order, all of this optimizer.
        milestones: the step at which each but the first begins.
        last_epoch: the number of the last step taken.

    Raises:
        ValueError: the numbers of schedules and milestones do not fit.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ):
        _check_schedulers("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to be "
                f"equal to {len(milestones)}"
            )
        self.optimizer = optimizer
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for each in self._schedulers:
            each.last_epoch = -1
        self._schedulers[0].step()
        self._last_lr = self._rates

    def step(self) -> None:
        """Go on by one step; a schedule whose turn it is begins at its first step, from the first rates."""
        self.last_epoch += 1
        position = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[position]
        if position and self._milestones[position - 1] == self.last_epoch:
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"]
            scheduler.last_epoch = -1
        scheduler.step()
        self._last_lr = self._rates

    def state_dict(self) -> dict[str, Any]:
        """Return what this schedule and its parts remember."""
        return _nested_state(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` remembers."""
        _load_nested_state(self, state_dict)


class ChainedScheduler(LRScheduler):
    """Schedules all at once, each changing what the one before it set.

    Args:
        schedulers: in order, all of one optimizer.
    """

    def __init__(self, schedulers: Sequence[LRScheduler]):
        _check_schedulers("ChainedScheduler", schedulers, schedulers[0].optimizer if schedulers else None)
        self._schedulers = list(schedulers)
        self.optimizer = self._schedulers[0].optimizer
        self._last_lr = self._rates

    def step(self) -> None:
        """Let every schedule take one step."""
        for each in self._schedulers:
            each.step()
        self._last_lr = self._rates

    def state_dict(self) -> dict[str, Any]:
        """Return what this schedule and its parts remember."""
        return _nested_state(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` remembers."""
        _load_nested_state(self, state_dict)


class ReduceLROnPlateau(LRScheduler):
    """The rate times a factor whenever a metric has not become better for some steps.

    Args:
        optimizer: whose learning rates are changed.
        mode: `min` where smaller is better, `max` where larger is.
        factor: below 1.
        patience: steps without improvement that are let pass.
        threshold: what counts as better.
        threshold_mode: `rel` measures it as a share of the best, `abs` as a difference.
        cooldown: steps after a change during which none are counted.
        min_lr: the smallest rate, or one per group.
        eps: the smallest change that is made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ):
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode, self.eps = threshold, threshold_mode, eps
        count = len(optimizer.param_groups)
        self.min_lrs = [min_lr] * count if isinstance(min_lr, (int, float)) else list(min_lr)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = self._rates

    def step(self, metrics: Any) -> None:  # type: ignore[override]  # PyTorch's signature
        """Go on by one step, told the metric."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lowered = (max(rate * self.factor, low) for rate, low in zip(self._rates, self.min_lrs, strict=True))
            self._set(new if old - new > self.eps else old for old, new in zip(self._rates, list(lowered), strict=True))
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * value > sign * self.best * (1 + sign * self.threshold)
        return sign * value > sign * self.best + self.threshold


def _check_schedulers(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
    if not schedulers:
        raise ValueError(f"{name} expects at least one scheduler")
    for position, each in enumerate(schedulers):
        if each.optimizer is not optimizer:
            raise ValueError(
                f"{name} expects all schedulers to belong to the same optimizer, but number {position} does not"
            )
        if isinstance(each, ReduceLROnPlateau):
            raise ValueError(f"{name} does not support ReduceLROnPlateau, whose steps are told a metric")


def _nested_state(scheduler: Any) -> dict[str, Any]:
    state = LRScheduler.state_dict(scheduler)
    state["_schedulers"] = [each.state_dict() for each in scheduler._schedulers]
    return state


def _load_nested_state(scheduler: Any, state_dict: dict[str, Any]) -> None:
    own = {key: value for key, value in state_dict.items() if key != "_schedulers"}
    vars(scheduler).update(own)
    for each, state in zip(scheduler._schedulers, state_dict["_schedulers"], strict=True):
        each.load_state_dict(state)
