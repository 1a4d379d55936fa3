"""Losses have the values of their formulas, the gradients of their slopes, and refuse what does not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.nn import functional as F


def random(*shape, seed=0, low=-2.0, high=2.0):
    return tt.from_numpy(np.random.default_rng(seed).uniform(low, high, shape)).requires_grad_()


def signs(*shape):
    return tt.from_numpy(np.random.default_rng(7).choice([-1.0, 1.0], shape))


# (name, input, other arguments, options, mean), worked out from the formulas.
VALUES = [
    ("mse_loss", [1.0, 4.0], [[0.0, 2.0]], {}, 2.5),
    ("mse_loss", [1.0, 4.0], [[0.0, 2.0]], {"weight": [3.0, 1.0]}, (3 * 1 + 1 * 4) / 4),
    ("l1_loss", [1.0, 4.0], [[0.0, 6.0]], {}, 1.5),
    ("smooth_l1_loss", [0.5, 3.0], [[0.0, 0.0]], {"beta": 2.0}, (0.25 / 4 + 2) / 2),
    ("smooth_l1_loss", [0.5, 3.0], [[0.0, 0.0]], {"beta": 0.0}, 1.75),
    ("huber_loss", [0.5, 3.0], [[0.0, 0.0]], {"delta": 2.0}, (0.125 + 2 * 2) / 2),
    ("huber_loss", [0.5, 3.0], [[0.0, 0.0]], {"delta": 2.0, "weight": [2.0, 1.0]}, (0.25 + 2 * 2) / 2),
    ("binary_cross_entropy", [0.25, 1.0], [[1.0, 1.0]], {}, math.log(4) / 2),
    ("binary_cross_entropy", [0.0, 1.0], [[1.0, 0.0]], {}, 100.0),
    ("binary_cross_entropy_with_logits", [0.0, 0.0], [[1.0, 0.0]], {}, math.log(2)),
    ("binary_cross_entropy_with_logits", [0.0, 0.0], [[1.0, 0.0]], {"pos_weight": [3.0, 3.0]}, 2 * math.log(2)),
    ("kl_div", [math.log(0.5), math.log(0.5)], [[1.0, 0.0]], {"reduction": "sum"}, math.log(2)),
    ("kl_div", [math.log(0.5)], [[0.0]], {"log_target": True, "reduction": "batchmean"}, math.log(2)),
    ("soft_margin_loss", [0.0, math.log(3)], [[1.0, -1.0]], {}, (math.log(2) + math.log(4)) / 2),
    ("hinge_embedding_loss", [0.5, 0.25], [[1.0, -1.0]], {}, (0.5 + 0.75) / 2),
    ("margin_ranking_loss", [1.0, 1.0], [[0.0, 3.0], [1.0, 1.0]], {"margin": 0.5}, 2.5 / 2),
    ("gaussian_nll_loss", [1.0], [[3.0], [4.0]], {}, 0.5 * (math.log(4) + 1)),
    ("gaussian_nll_loss", [1.0], [[1.0], [1.0]], {"full": True}, 0.5 * math.log(2 * math.pi)),
    ("poisson_nll_loss", [0.0], [[3.0]], {}, 1.0),
    ("poisson_nll_loss", [math.e], [[2.0]], {"log_input": False, "eps": 0.0}, math.e - 2),
    ("poisson_nll_loss", [0.0], [[2.0]], {"full": True}, 1 + 2 * math.log(2) - 2 + 0.5 * math.log(4 * math.pi)),
]


@pytest.mark.parametrize(("name", "input", "others", "options", "expected"), VALUES)
def test_values_are_those_of_the_formula(name, input, others, options, expected):
    def double(values):
        return tt.tensor(values, dtype=tt.float64)

    options = {key: double(value) if isinstance(value, list) else value for key, value in options.items()}
    loss = getattr(F, name)(double(input), *map(double, others), **options)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mse_loss", {}),
        ("mse_loss", {"weight": random(3, 1, 5, seed=3).detach()}),
        ("l1_loss", {}),
        ("smooth_l1_loss", {"beta": 0.7}),
        ("huber_loss", {"delta": 0.7}),
        ("binary_cross_entropy_with_logits", {}),
        ("binary_cross_entropy_with_logits", {"weight": random(5).detach(), "pos_weight": random(1, 5).detach()}),
        ("poisson_nll_loss", {}),
    ],
)
def test_gradients_reach_both_operands(name, options, reduction):
    operands = [random(3, 1, 5), random(3, 1, 5, seed=1)]
    assert gradcheck(lambda x, t: getattr(F, name)(x, t, reduction=reduction, **options), operands)


@pytest.mark.parametrize("weight", [None, random(3, seed=2, low=0.5, high=2).detach()])
def test_gradients_of_binary_cross_entropy_reach_both_probabilities(weight):
    operands = [random(2, 3, low=0.1, high=0.9), random(2, 3, seed=1, low=0.1, high=0.9)]
    assert gradcheck(lambda x, t: F.binary_cross_entropy(x, t, weight), operands)


@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("reduction", ["none", "batchmean", "sum"])
def test_gradients_of_kl_div_reach_both_distributions(log_target, reduction):
    operands = [random(3, 1, 5), random(3, 1, 5, seed=1, low=0.1)]
    assert gradcheck(lambda x, t: F.kl_div(x, t, reduction=reduction, log_target=log_target), operands)


@pytest.mark.parametrize("name", ["soft_margin_loss", "hinge_embedding_loss"])
def test_gradients_of_signed_losses_reach_the_scores(name):
    assert gradcheck(lambda x: getattr(F, name)(x, signs(3, 1, 5)), [random(3, 1, 5)])


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weight", [None, random(5, seed=2, low=0.5).detach()])
def test_gradients_of_multi_margin_loss_reach_the_scores(p, weight):
    target = tt.tensor([4, 0, 2])
    assert gradcheck(lambda x: F.multi_margin_loss(x, target, p, 0.9, weight, reduction="none"), [random(3, 5)])


def test_multi_margin_loss_asks_for_a_margin_over_every_other_class():
    # max(0, 1 - 0.8 + 0.1) + max(0, 1 - 0.8 + 0.2) + max(0, 1 - 0.8 + 0.4), over 4 classes: PyTorch's documentation
    loss = F.multi_margin_loss(tt.tensor([[0.1, 0.2, 0.4, 0.8]]), tt.tensor([3]))
    assert loss.item() == pytest.approx(0.325)


def test_gradients_of_the_gaussian_loss_reach_mean_target_and_variance():
    operands = [random(3, 5), random(3, 5, seed=1), random(3, 1, seed=2, low=0.5)]
    assert gradcheck(F.gaussian_nll_loss, operands)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_another_shape_of_the_target_broadcasts_with_a_warning(name):
    x, t = random(3, 5), random(5, seed=1)
    with pytest.warns(UserWarning, match="Using a target size .* that is different to the input size") as caught:
        assert gradcheck(getattr(F, name), [x, t])
    assert caught


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy_with_logits", "smooth_l1_loss"])
def test_single_precision_stays(name):
    x = tt.zeros(3, requires_grad=True)
    loss = getattr(F, name)(x, tt.ones(3))
    loss.backward()
    assert loss.dtype is tt.float32
    assert x.grad.dtype is tt.float32


def test_logits_far_away_neither_overflow_nor_warn():
    x = tt.tensor([-1e4, 1e4], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, tt.tensor([0.0, 1.0]))
    loss.backward()
    assert loss.item() == 0
    assert x.grad.tolist() == [0, 0]


def test_the_mean_of_nothing_is_nan():
    assert math.isnan(F.mse_loss(tt.zeros(0), tt.zeros(0)).item())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: F.mse_loss(tt.zeros(3), tt.zeros(3), reduction="avg"), ValueError, "'avg' is not a valid value"),
        (lambda: F.mse_loss(tt.zeros(3), tt.zeros(3), weight=tt.zeros(2)), ValueError, r"Got \[2\] and \[3\]"),
        (lambda: F.smooth_l1_loss(tt.zeros(3), tt.zeros(3), beta=-1), RuntimeError, "negative values for beta; got -1"),
        (lambda: F.huber_loss(tt.zeros(3), tt.zeros(3), delta=0), RuntimeError, "non-positive values for delta; got 0"),
        (lambda: F.binary_cross_entropy(tt.ones(3) * 2, tt.ones(3)), RuntimeError, "should be between 0 and 1"),
        (lambda: F.binary_cross_entropy(tt.ones(3), tt.ones(2)), ValueError, "must be the same as input size"),
        (
            lambda: F.kl_div(tt.ones(3), tt.ones(2), reduction="sum"),
            RuntimeError,
            r"input \[3\] and target \[2\] do not",
        ),
        (lambda: F.soft_margin_loss(tt.ones(3), tt.ones(2)), RuntimeError, r"shape of the input, \[3\]; got \[2\]"),
        (
            lambda: F.multi_margin_loss(tt.ones(1, 3), tt.tensor([3])),
            RuntimeError,
            "target 3 is out of range: there are 3",
        ),
        (lambda: F.multi_margin_loss(tt.ones(1, 3), tt.tensor([0]), p=3), ValueError, "only p == 1 and p == 2"),
        (lambda: F.gaussian_nll_loss(tt.ones(3), tt.ones(3), -1.0), ValueError, "negative entry"),
        (lambda: F.gaussian_nll_loss(tt.ones(3, 2), tt.ones(3, 2), tt.ones(2)), ValueError, r"incorrect size: \[2\]"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("binary_cross_entropy", "weight"),
        ("binary_cross_entropy_with_logits", "weight"),
        ("binary_cross_entropy_with_logits", "pos_weight"),
    ],
)
def test_factors_that_do_not_broadcast_are_refused(name, factor):
    with pytest.raises(RuntimeError, match=r"tensor a \(2\) must match the size of tensor b \(3\)"):
        getattr(F, name)(tt.ones(2), tt.ones(2), **{factor: tt.ones(3)})
