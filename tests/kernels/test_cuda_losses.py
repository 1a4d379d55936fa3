"""The GPU's cross-entropy gives what float64 gives on the host, and tells of wrong targets without waiting for it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.kernels.gpu import ELEMENTS, ROUNDING, dtype_of, elements, exact
from tests.kernels.native_reference import near
from tinytrain.kernels.cuda import losses

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]


def reference(x, target, weight, ignored, smoothing, reduction, g):
    """Return loss and gradient in float64."""
    n, c = x.shape
    weight = np.ones(c) if weight is None else weight
    valid = target != ignored
    chosen = np.where(valid, target, 0)
    y = x - x.max(1, keepdims=True)
    y = y - np.log(np.exp(y).sum(1, keepdims=True))
    share = np.full((n, c), smoothing / c) * weight
    share[np.arange(n), chosen] += (1 - smoothing) * weight[chosen]
    share *= valid[:, None]
    each = -(share * y).sum(1)
    divisor = {"none": 1, "sum": 1, "mean": (weight[chosen] * valid).sum()}[reduction]
    loss = each if reduction == "none" else each.sum() / divisor
    grad = (np.exp(y) * share.sum(1, keepdims=True) - share) * (np.reshape(g, (-1, 1)) / divisor)
    return loss, grad


@elements
@pytest.mark.parametrize("classes", [1, 2, 10, 33, 257, 1000])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_loss_and_gradient_are_those_of_float64(classes, reduction, element, gpu):
    rng = np.random.default_rng(classes)
    x = gpu.asarray((rng.normal(size=(37, classes)) * 4).astype(dtype_of(element)))
    target = rng.integers(0, classes, 37)
    target[::5] = -100
    weight = gpu.asarray(rng.uniform(0.1, 2, classes).astype(dtype_of(element)))
    for smoothing, weights, ignored in itertools.product((0.0, 0.2, 1.0), (None, weight), (-100, 0)):
        if ignored == 0:
            target = np.maximum(target, 0)
        settings = (gpu.asarray(target), weights, ignored, smoothing)
        loss, *saved = losses.cross_entropy_forward(x, *settings, reduction)
        assert loss.dtype == x.dtype
        g = gpu.asarray(rng.normal(size=loss.shape).astype(dtype_of(element)))
        grad = losses.cross_entropy_backward(g, saved[0], *settings, saved[1])
        assert grad.dtype == x.dtype
        given = (exact(x), target, None if weights is None else exact(weights), ignored, smoothing, reduction, exact(g))
        with np.errstate(invalid="ignore", divide="ignore"):
            expected, expected_grad = reference(*given)
        if np.isnan(expected).any():  # every row is ignored
            assert np.isnan(exact(loss)).all()
        else:
            assert near(exact(loss), np.asarray(expected), ROUNDING[element], scale=max(1, np.abs(expected).max()))
            assert near(exact(grad), expected_grad, ROUNDING[element], scale=max(0.05, np.abs(expected_grad).max()))
    losses.raise_wrong_target()


def test_extreme_scores_do_no_harm(gpu):
    scores = [[1e30, -1e30, 0], [-200, 0, -88], [0, 0, 0], [-np.inf, 0, 1]]
    x, target = np.array(scores, np.float32), np.array([0, 1, 2, 2])
    loss, *saved = losses.cross_entropy_forward(gpu.asarray(x), gpu.asarray(target), None, -100, 0.0, "none")
    g = gpu.ones(4, "float32")
    grad = losses.cross_entropy_backward(g, saved[0], gpu.asarray(target), None, -100, 0.0, saved[1])
    assert near(exact(loss), np.array([0, 0, np.log(3), np.log(1 + np.exp(-1))]))
    assert np.isfinite(exact(grad)).all()
    for bad in ([np.inf, 0, 0], [np.nan, 0, 0]):
        x = gpu.asarray(np.array([bad, [0, 0, 0]], np.float32))
        loss, *_ = losses.cross_entropy_forward(x, gpu.asarray(np.array([1, 1])), None, -100, 0.0, "none")
        assert np.isnan(exact(loss)).tolist() == [True, False]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("outside", [-1, 4, 1 << 40])
def test_a_target_that_names_no_class_makes_its_row_nan_and_is_told_when_asked(outside, reduction, gpu):
    target = gpu.asarray(np.array([0, outside, 3, -2]))
    x = gpu.zeros((4, 4), "float32")
    loss, *saved = losses.cross_entropy_forward(x, target, None, -2, 0.0, reduction)
    g = gpu.ones(loss.shape, "float32")
    grad = losses.cross_entropy_backward(g, saved[0], target, None, -2, 0.0, saved[1])
    assert np.isnan(exact(loss)).tolist() == ([False, True, False, False] if reduction == "none" else True)
    assert np.isnan(exact(grad)).any(1).tolist() == [False, True, False, False]
    losses.cross_entropy_forward(x, gpu.asarray(np.array([9, 0, 0, 0])), None, -2, 0.0, reduction)
    with pytest.raises(
        IndexError, match=rf"cross_entropy: Target {outside} is out of bounds: there are 4 classes.*\[0, 3\]"
    ):
        losses.raise_wrong_target()
    losses.raise_wrong_target()


def test_no_rows_have_no_mean(gpu):
    x, target = gpu.zeros((0, 4), "float32"), gpu.zeros(0, "int64")
    for reduction, expected in (("mean", np.nan), ("sum", 0.0)):
        loss, *saved = losses.cross_entropy_forward(x, target, None, -100, 0.0, reduction)
        assert np.array_equal(exact(loss), expected, equal_nan=True)
        grad = losses.cross_entropy_backward(loss, saved[0], target, None, -100, 0.0, saved[1])
        assert grad.shape == (0, 4)


def test_scores_that_lie_otherwise_are_read_all_the_same(gpu):
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    target = gpu.asarray(np.arange(5))
    settings = (target, None, -100, 0.0, "none")
    found = losses.cross_entropy_forward(gpu.ascontiguousarray(gpu.asarray(x).T).T, *settings)[0]
    assert (exact(found) == exact(losses.cross_entropy_forward(gpu.asarray(x), *settings)[0])).all()


def test_what_the_kernel_is_not_made_for_goes_the_other_way(gpu):
    target = gpu.zeros(4, "int64")
    settings = (None, -100, 0.0, "mean")
    for element in ELEMENTS:
        assert losses.cross_entropy_forward(gpu.zeros((4, 3), dtype_of(element)), target, *settings) is not None
    for shape, dtype in (((4, 3), "float64"), ((4, 3, 1), "float32"), ((4, 0), "float32"), ((3, 3), "float32")):
        assert losses.cross_entropy_forward(gpu.zeros(shape, dtype), target, *settings) is None
    x = gpu.zeros((4, 3), "float32")
    assert losses.cross_entropy_forward(x, target.astype("uint8"), *settings) is None
    assert losses.cross_entropy_forward(x, target, gpu.zeros(2, "float32"), *settings[1:]) is None
