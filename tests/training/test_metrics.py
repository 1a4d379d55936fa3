"""Scores of batches, against counts made by hand."""

from __future__ import annotations

import math

import pytest

import tinytrain as tt
from tinytrain.training import Meter


def test_scores_count_hits_among_the_k_likeliest_and_fill_the_confusion_matrix():
    meter = Meter(3, topk=(1, 2))
    logits = tt.tensor([[3.0, 2.0, 1.0], [0.0, 1.0, 2.0], [5.0, 4.0, 0.0], [0.0, 0.0, 9.0]])
    targets = tt.tensor([0, 1, 2, 2])
    meter.update(logits, targets, tt.tensor(0.5))
    scores = meter.scores()
    assert scores.topk == {1: 0.5, 2: 0.75}
    assert scores.confusion.tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 1]]
    assert scores.loss == 0.5
    assert scores.count == 4


def test_losses_are_weighted_by_the_size_of_their_batches():
    meter = Meter(2, topk=(1,))
    meter.update(tt.zeros(3, 2), tt.tensor([0, 0, 0]), tt.tensor(1.0))
    meter.update(tt.zeros(1, 2), tt.tensor([0]), tt.tensor(5.0))
    assert meter.scores().loss == pytest.approx(2.0)


def test_among_equal_logits_the_lower_class_wins():
    meter = Meter(3, topk=(1, 2))
    meter.update(tt.zeros(2, 3), tt.tensor([0, 1]), tt.tensor(0.0))
    assert meter.scores().topk == {1: 0.5, 2: 1.0}


def test_more_guesses_than_classes_always_hit():
    meter = Meter(2, topk=(5,))
    meter.update(tt.tensor([[0.0, 1.0]]), tt.tensor([0]), tt.tensor(0.0))
    assert meter.scores().topk == {1: 0.0, 5: 1.0}


def test_precision_and_recall_of_each_class():
    meter = Meter(3)
    logits = tt.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    meter.update(logits, tt.tensor([0, 1, 1]), tt.tensor(0.0))
    a, b, c = meter.scores().per_class(["a", "b", "c"])
    assert a == {"class": "a", "count": 1, "precision": 0.5, "recall": 1.0, "f1": 2 / 3}
    assert (b["precision"], b["recall"]) == (1.0, 0.5)
    assert c == {"class": "c", "count": 0, "precision": None, "recall": None, "f1": None}


def test_scores_of_nothing_are_no_numbers():
    assert math.isnan(Meter(2).scores().loss)
