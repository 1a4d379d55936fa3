"""The worst mistakes are found, ordered and bounded as told."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.training import worst_mistakes

PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.99, 0.01], [0.3, 0.7]], np.float32)
TARGETS = [0, 1, 0, 1, 1]  # samples 1, 2 and 3 are taken for the other class


class Logarithm(nn.Module):
    """Takes images that hold their own probabilities."""

    def forward(self, images):
        return images.flatten(1).log()


def batches(size):
    images = tt.tensor(PROBABILITIES).reshape(-1, 2, 1, 1)
    targets = tt.tensor(TARGETS)
    return [(images[i : i + size], targets[i : i + size]) for i in range(0, len(TARGETS), size)]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_worst_are_those_whose_own_class_was_least_likely(size):
    model = Logarithm().train()
    found = worst_mistakes(model, batches(size), count=9, device=tt.device("cpu"))
    assert [(m.target, m.prediction) for m in found] == [(1, 0), (0, 1), (1, 0)]
    assert [m.target_probability for m in found] == pytest.approx([0.01, 0.2, 0.4])
    assert [m.probability for m in found] == pytest.approx([0.99, 0.8, 0.6])
    assert found[0].image.flatten().tolist() == pytest.approx([0.99, 0.01])
    assert model.training


def test_no_more_are_kept_than_asked_for():
    assert len(worst_mistakes(Logarithm(), batches(2), count=2, device=tt.device("cpu"))) == 2


def test_a_model_without_mistakes_has_none():
    images, targets = tt.tensor(PROBABILITIES[:1]).reshape(-1, 2, 1, 1), tt.tensor([0])
    assert worst_mistakes(Logarithm(), [(images, targets)], count=3, device=tt.device("cpu")) == []
