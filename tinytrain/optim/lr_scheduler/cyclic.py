"""Schedules along cosines and cycles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinytrain.optim.lr_scheduler.base import LRScheduler
from tinytrain.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "OneCycleLR"]


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

    def _get_closed_form_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


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
        self._turn_to(last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates of step `T_cur` of the present `T_i`."""
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Set the rates of the next step.

        Args:
            epoch: another step to go to, with a fraction for a place between two, as in `epoch + batch / batches`.

        Raises:
            ValueError: it is negative.
        """
        if epoch is None and self.last_epoch >= 0:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = epoch or 0
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            self._turn_to(epoch)
        self._set(self.get_lr())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` remembers; one from before there was `T_cur` tells it by `last_epoch`."""
        super().load_state_dict(state_dict)
        if "T_cur" not in state_dict:
            self._turn_to(self.last_epoch)

    def _turn_to(self, epoch: float) -> None:
        """Note which half cosine a step lies in, `T_i` long, and how far into it, `T_cur`."""
        self.last_epoch = math.floor(epoch)
        self.T_cur, self.T_i = epoch, self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
            if self.T_mult == 1:
                self.T_cur %= self.T_i


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
                group["lr"] = group["initial_lr"] = first
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
