"""Which epoch is the best, and when a training is over."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.training import Scores
from tinytrain.training.events import EpochResult
from tinytrain.training.selection import EarlyStopping, is_better


def scores(loss: float, *hits: int) -> Scores:
    """Of three classes with four images each, `hits` of them right."""
    confusion = np.diag(hits) + np.roll(np.diag([4 - hit for hit in hits]), 1, axis=1)
    return Scores(loss, {1: sum(hits) / 12, 5: 1.0}, 12, confusion)


@pytest.mark.parametrize(
    ("metric", "better"), [("top1", True), ("top5", False), ("loss", False), ("macro_recall", True)]
)
def test_epochs_are_compared_by_the_metric_asked_for(metric: str, better: bool):
    assert is_better(scores(0.9, 4, 3, 2), scores(0.5, 3, 3, 2), metric) is better


def test_recall_is_averaged_over_the_classes_that_have_samples():
    assert scores(1.0, 4, 2, 0).macro_recall == pytest.approx((1 + 0.5 + 0) / 3)
    assert Scores(0.0, {1: 0.5}, 4, np.array([[1, 3], [0, 0]])).macro_recall == 0.25


@pytest.mark.parametrize(("losses", "due"), [([3, 2, 2.5], False), ([3, 2, 2.5, 2.1], True), ([3, 2, 2.5, 1], False)])
def test_a_training_is_over_when_the_last_epochs_were_no_better(losses: list[float], due: bool):
    history = [EpochResult(i, 0.1, scores(1, 0, 0, 0), scores(x, 1, 1, 1), 1, 1, False) for i, x in enumerate(losses)]
    assert EarlyStopping(2).is_due(history) is due
