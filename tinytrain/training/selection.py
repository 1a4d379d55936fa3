"""Which epoch is the best, and when there is no use in going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tinytrain.training.events import EpochResult
from tinytrain.training.metrics import Scores

Metric = Literal["top1", "top5", "macro_recall", "loss"]
"""What epochs are compared by: of the loss the lowest is the best, of the others the highest."""


def is_better(scores: Scores, earlier: Scores, metric: Metric) -> bool:
    """Return whether scores beat earlier ones; among equals the lower loss decides."""
    return _merit(scores, metric) > _merit(earlier, metric)


@dataclass(frozen=True)
class EarlyStopping:
    """Ends a training whose validation scores no longer get better.

    Attributes:
        patience: epochs without a better score after which it ends.
        metric: what epochs are compared by.
    """

    patience: int
    metric: Metric = "loss"

    def is_due(self, history: Sequence[EpochResult]) -> bool:
        """Return whether no epoch among the last `patience` ones beats all before them.

        Args:
            history: the epochs so far, with validation scores.
        """
        best = 0
        for i, each in enumerate(history):
            val, earlier = each.val, history[best].val
            if val is not None and earlier is not None and _merit(val, self.metric) > _merit(earlier, self.metric):
                best = i
        return len(history) - 1 - best >= self.patience


def _merit(scores: Scores, metric: Metric) -> tuple[float, float]:
    """Return what is the higher the better."""
    if metric == "loss":
        return -scores.loss, 0.0
    value = scores.macro_recall if metric == "macro_recall" else scores.topk[int(metric.removeprefix("top"))]
    return value, -scores.loss
