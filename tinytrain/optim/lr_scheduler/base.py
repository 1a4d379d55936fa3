"""What all schedules share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinytrain.optim.optimizer import Optimizer

__all__ = ["LRScheduler"]


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
                group.setdefault("initial_lr", group["lr"])
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

    def _get_closed_form_lr(self) -> list[float]:
        """Return the rate of each group for step `last_epoch`, from the first rates where the schedule can do so."""
        return self.get_lr()

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next step.

        Args:
            epoch: the number of another step to go to.
        """
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set(self.get_lr() if epoch is None else self._get_closed_form_lr())

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
