"""Several schedules on one optimizer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from tinytrain.optim.lr_scheduler.base import LRScheduler
from tinytrain.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tinytrain.optim.optimizer import Optimizer

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Combined(LRScheduler):
    """What combinations share: their state is theirs and that of their parts."""

    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Return what this schedule and its parts remember."""
        return {**super().state_dict(), "_schedulers": [each.state_dict() for each in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` remembers."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for each, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            each.load_state_dict(state)


class SequentialLR(_Combined):
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

    def step(self) -> None:  # type: ignore[override]  # PyTorch's signature
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


class ChainedScheduler(_Combined):
    """Schedules all at once, each changing what the one before it set.

    Args:
        schedulers: in order, all of one optimizer.
    """

    def __init__(self, schedulers: Sequence[LRScheduler]):
        _check_schedulers("ChainedScheduler", schedulers, schedulers[0].optimizer if schedulers else None)
        self._schedulers = list(schedulers)
        self.optimizer = self._schedulers[0].optimizer
        self._last_lr = self._rates

    def step(self) -> None:  # type: ignore[override]  # PyTorch's signature
        """Let every schedule take one step."""
        for each in self._schedulers:
            each.step()
        self._last_lr = self._rates


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
