"""Distances and angles have the values of geometry and the right gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.nn import functional as F


def random(*shape, seed=0):
    return tt.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


def test_normalize_divides_by_the_norm():
    np.testing.assert_allclose(F.normalize(tt.tensor([[3.0, 4.0], [0.0, 0.0]])).numpy(), [[0.6, 0.8], [0, 0]])
    assert F.normalize(tt.tensor([[1.0, -3.0]]), p=1).tolist() == [[0.25, -0.75]]


@pytest.mark.parametrize(("p", "dim"), [(2.0, 1), (1.0, 0), (3.0, -1), (math.inf, 1)])
def test_gradients_of_normalize_are_those_of_central_differences(p, dim):
    assert gradcheck(lambda x: F.normalize(x, p, dim), [random(2, 3, 1)])


def test_pairwise_distance_is_the_norm_of_the_difference():
    a, b = tt.tensor([[3.0, 4.0]]), tt.tensor([[0.0, 0.0]])
    assert F.pairwise_distance(a, b, eps=0).tolist() == [5.0]
    assert F.pairwise_distance(a, b, p=1, eps=0, keepdim=True).tolist() == [[7.0]]
    assert gradcheck(F.pairwise_distance, [random(3, 5), random(1, 5, seed=1)])


def test_cosine_similarity_is_the_cosine_of_the_angle():
    a, b = tt.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), tt.tensor([[2.0, 2.0], [-3.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(F.cosine_similarity(a, b).numpy(), [math.sqrt(0.5), -1, 0], rtol=1e-6)
    assert gradcheck(lambda a, b: F.cosine_similarity(a, b, dim=-1), [random(3, 1, 5), random(2, 5, seed=1)])


def test_cosine_similarity_refuses_integers():
    with pytest.raises(RuntimeError, match="expected common dtype to be floating point, yet common dtype is int64"):
        F.cosine_similarity(tt.tensor([[1]]), tt.tensor([[1]]))


def test_cosine_embedding_loss_pulls_and_pushes():
    a, b = tt.tensor([[1.0, 0.0], [1.0, 0.0]]), tt.tensor([[0.0, 1.0], [2.0, 0.0]])
    losses = F.cosine_embedding_loss(a, b, tt.tensor([1, -1]), margin=0.25, reduction="none")
    np.testing.assert_allclose(losses.numpy(), [1, 0.75], rtol=1e-6)
    target = tt.tensor([1, -1, 1])
    assert gradcheck(lambda a, b: F.cosine_embedding_loss(a, b, target), [random(3, 5), random(3, 5, seed=1)])


def test_cosine_embedding_loss_refuses_dimensions_that_do_not_fit():
    with pytest.raises(RuntimeError, match=r"sizes \[2, 3\] and \[2, 3\] and a target with \[\]"):
        F.cosine_embedding_loss(tt.zeros(2, 3), tt.zeros(2, 3), tt.tensor(1))


@pytest.mark.parametrize("swap", [False, True])
def test_triplet_margin_loss_compares_distances(swap):
    anchor, positive, negative = tt.tensor([[0.0]]), tt.tensor([[3.0]]), tt.tensor([[5.0]])
    loss = F.triplet_margin_loss(anchor, positive, negative, margin=4.0, eps=0.0, swap=swap)
    assert loss.item() == (4 + 3 - 2 if swap else 4 + 3 - 5)
    operands = [random(3, 5, seed=seed) for seed in range(3)]
    assert gradcheck(lambda *x: F.triplet_margin_loss(*x, margin=2.0, swap=swap), operands)


def test_triplet_margin_loss_refuses_a_margin_of_zero():
    with pytest.raises(ValueError, match="margin must be greater than 0, got 0"):
        F.triplet_margin_loss(tt.zeros(1, 2), tt.zeros(1, 2), tt.zeros(1, 2), margin=0)
