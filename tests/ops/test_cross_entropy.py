"""Cross-entropy takes PyTorch's arguments, refuses bad targets by name, and has the right gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.nn import functional as F

SHAPES = [((5,), ()), ((1, 5), (1,)), ((3, 5), (3,)), ((2, 5, 3), (2, 3)), ((2, 5, 3, 1), (2, 3, 1))]


def scores(shape):
    return tt.from_numpy(np.random.default_rng(0).normal(0, 2, shape)).requires_grad_()


def targets(shape):
    return tt.from_numpy(np.random.default_rng(1).integers(0, 5, shape))


def test_uniform_scores_cost_the_logarithm_of_the_number_of_classes():
    assert F.cross_entropy(tt.zeros(3, 10), tt.tensor([0, 4, 9])).item() == pytest.approx(math.log(10))


def test_reductions_are_of_the_losses():
    # softmax of (0, log 3) is (1/4, 3/4)
    x, t = tt.tensor([[0.0, math.log(3)]] * 2), tt.tensor([0, 1])
    losses = [math.log(4), math.log(4 / 3)]
    np.testing.assert_allclose(F.cross_entropy(x, t, reduction="none").numpy(), losses, rtol=1e-6)
    assert F.cross_entropy(x, t, reduction="sum").item() == pytest.approx(sum(losses))
    assert F.cross_entropy(x, t).item() == pytest.approx(sum(losses) / 2)


def test_the_mean_is_weighted_by_the_weights_of_the_targets():
    x, t = tt.tensor([[0.0, math.log(3)]] * 2), tt.tensor([0, 1])
    loss = F.cross_entropy(x, t, weight=tt.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx((math.log(4) + 3 * math.log(4 / 3)) / 4)


def test_label_smoothing_spreads_the_target():
    x = tt.tensor([[0.0, math.log(3)]])
    loss = F.cross_entropy(x, tt.tensor([0]), label_smoothing=0.2)
    assert loss.item() == pytest.approx(0.9 * math.log(4) + 0.1 * math.log(4 / 3))


@pytest.mark.parametrize(("shape", "target_shape"), SHAPES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.3}, {"ignore_index": 2}, {"ignore_index": -100}])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_those_of_central_differences(shape, target_shape, reduction, options, weighted):
    weight = tt.tensor([0.5, 1.0, 2.0, 0.1, 3.0], dtype=tt.float64) if weighted else None
    target = targets(target_shape)
    target[(0,) * len(target_shape)] = 1  # one target counts whatever is ignored
    assert gradcheck(lambda x: F.cross_entropy(x, target, weight, reduction=reduction, **options), [scores(shape)])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gradients_reach_scores_and_probabilities(weighted, smoothing, reduction):
    weight = tt.tensor([0.5, 1.0, 2.0, 0.1, 3.0], dtype=tt.float64) if weighted else None
    probabilities = F.softmax(scores((2, 5, 3)).detach(), 1).requires_grad_()
    assert gradcheck(
        lambda x, t: F.cross_entropy(x, t, weight, reduction=reduction, label_smoothing=smoothing),
        [scores((2, 5, 3)), probabilities],
    )


def test_one_hot_probabilities_cost_what_their_class_costs():
    x, t = scores((4, 5)), tt.tensor([3, 0, 2, 2])
    by_class = F.cross_entropy(x, t)
    by_probability = F.cross_entropy(x, F.one_hot(t, 5).double())
    assert by_class.item() == pytest.approx(by_probability.item(), rel=1e-12)


def test_large_scores_do_not_overflow():
    x = tt.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, tt.tensor([1]))
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert x.grad.tolist() == [[1.0, -1.0, 0.0]]


def test_ignored_targets_cost_nothing_and_count_for_nothing():
    x = tt.tensor([[0.0, math.log(3)], [math.inf, math.nan]], requires_grad=True)
    loss = F.cross_entropy(x, tt.tensor([0, -100]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))


def test_all_targets_ignored_give_nan_and_no_gradient():
    x = tt.zeros(2, 3, requires_grad=True)
    loss = F.cross_entropy(x, tt.tensor([-100, -100]))
    loss.backward()
    assert math.isnan(loss.item())
    assert x.grad.tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("target", [5, -1])
def test_a_target_that_names_no_class_is_an_index_error(name, target):
    with pytest.raises(IndexError, match=f"{name}: Target {target} is out of bounds: there are 5 classes"):
        getattr(F, name)(tt.zeros(2, 5), tt.tensor([0, target]))


@pytest.mark.parametrize(
    ("target", "options", "error", "text"),
    [
        (tt.zeros(3, dtype=tt.int64), {}, ValueError, r"input batch_size \(2\) to match target batch_size \(3\)"),
        (tt.zeros(2, 1, dtype=tt.int64), {}, RuntimeError, r"class indices of the shape \[2\] for scores \[2, 5\]"),
        (tt.zeros(2), {}, RuntimeError, "expected scalar type Long but found float32"),
        (tt.zeros(2, 5, dtype=tt.int64), {}, RuntimeError, "floating point type for target with class prob"),
        (tt.zeros(2, 5), {"ignore_index": 1}, RuntimeError, "ignore_index is not supported"),
        (tt.zeros(2, dtype=tt.int64), {"label_smoothing": 1.5}, RuntimeError, "between 0.0 and 1.0. Got: 1.5"),
        (tt.zeros(2, dtype=tt.int64), {"reduction": "avg"}, ValueError, "'avg' is not a valid value for reduction"),
        (tt.zeros(2, dtype=tt.int64), {"weight": tt.zeros(4)}, RuntimeError, "either for all 5 classes or no classes"),
    ],
)
def test_what_does_not_fit_is_refused(target, options, error, text):
    with pytest.raises(error, match=text):
        F.cross_entropy(tt.zeros(2, 5), target, **options)


@pytest.mark.parametrize(
    ("size_average", "reduce", "reduction"),
    [(True, None, "mean"), (False, None, "sum"), (None, False, "none"), (False, True, "sum")],
)
def test_the_older_arguments_choose_the_reduction_with_a_warning(size_average, reduce, reduction):
    x, t = scores((3, 5)), targets((3,))
    with pytest.warns(UserWarning, match=f"please use reduction='{reduction}'"):
        found = F.cross_entropy(x, t, size_average=size_average, reduce=reduce)
    np.testing.assert_array_equal(found.detach().numpy(), F.cross_entropy(x, t, reduction=reduction).detach().numpy())


@pytest.mark.parametrize(("shape", "target_shape"), SHAPES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_nll_loss_of_log_softmax_is_cross_entropy(shape, target_shape, reduction):
    x, t = scores(shape), targets(target_shape)
    y = F.log_softmax(x, 0 if len(shape) == 1 else 1)
    found = F.nll_loss(y, t, reduction=reduction)
    np.testing.assert_allclose(
        found.detach().numpy(), F.cross_entropy(x, t, reduction=reduction).detach().numpy(), rtol=1e-12
    )
    assert gradcheck(lambda y: F.nll_loss(y, t, reduction=reduction), [scores(shape)])
