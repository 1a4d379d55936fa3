"""The native cross-entropy gives what the array code gives, and leaves alone what it is not made for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinytrain as tt
import tinytrain.nn.functional as F
from tinytrain.kernels.fused import losses
from tinytrain.kernels.native.extension import native

pytestmark = pytest.mark.skipif(native() is None, reason="the native kernels are not built, or not wanted")


def loss_and_gradient(x, target, monkeypatch, is_native, **options):
    with monkeypatch.context() as patch:
        if not is_native:
            patch.setattr(losses, "offered", lambda value: None)
        scores = tt.tensor(x, requires_grad=True)
        loss = F.cross_entropy(scores, tt.tensor(target), **options)
        weights = tt.tensor(np.linspace(0.5, 2, loss.numel()).astype(np.float32).reshape(loss.shape))
        with np.errstate(invalid="ignore"):
            (loss * weights).sum().backward()
    return loss.detach().numpy(), scores.grad.numpy()


@pytest.mark.parametrize("classes", [1, 2, 10, 16, 17, 100, 1000])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_loss_and_gradient_are_those_of_the_array_code(classes, reduction, monkeypatch):
    rng = np.random.default_rng(classes)
    x = (rng.normal(size=(37, classes)) * 4).astype(np.float32)
    target = rng.integers(0, classes, 37)
    target[::5] = -100
    weight = tt.tensor(rng.uniform(0.1, 2, classes).astype(np.float32))
    for smoothing, weights, ignored in itertools.product((0.0, 0.2, 1.0), (None, weight), (-100, 0)):
        if ignored == 0:
            target = np.maximum(target, 0)
        options = {"label_smoothing": smoothing, "weight": weights, "ignore_index": ignored, "reduction": reduction}
        found = loss_and_gradient(x, target, monkeypatch, True, **options)
        expected = loss_and_gradient(x, target, monkeypatch, False, **options)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6, strict=True)


@pytest.mark.parametrize("scores", [[1e30, -1e30, 0], [-200, 0, -88], [np.inf, 0, 0], [np.nan, 0, 0], [-np.inf, 0, 1]])
def test_extreme_scores_give_what_they_give_in_array_code(scores, monkeypatch):
    x = np.array([scores, [0, 0, 0]], np.float32)
    for target in ([0, 1], [1, 1], [2, 2]):
        found = loss_and_gradient(x, np.array(target), monkeypatch, True)
        expected = loss_and_gradient(x, np.array(target), monkeypatch, False)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_batch_of_ignored_rows_has_no_mean_and_no_gradient(monkeypatch):
    loss, grad = loss_and_gradient(np.ones((3, 4), np.float32), np.full(3, -100), monkeypatch, True)
    assert np.isnan(loss)
    assert (grad == 0).all()


@pytest.mark.parametrize("outside", [-1, 4, 1 << 40])
def test_a_target_that_names_no_class_is_refused(outside):
    with pytest.raises(IndexError, match=f"Target {outside} is out of bounds: there are 4 classes"):
        F.cross_entropy(tt.zeros(2, 4), tt.tensor([0, outside]))


def test_what_the_kernel_is_not_made_for_goes_the_other_way():
    x, target = np.zeros((4, 3), np.float32), np.zeros(4, np.int64)
    settings = (None, -100, 0.0, "mean")
    assert losses.cross_entropy_forward(x, target, *settings) is not None
    for other in (x.astype(np.float64), np.zeros((3, 4), np.float32).T, np.zeros((4, 3, 1), np.float32), x[:0, :0]):
        assert losses.cross_entropy_forward(other, target[: len(other)], *settings) is None
    assert losses.cross_entropy_forward(x, target.astype(np.uint8), *settings) is None
    assert losses.cross_entropy_forward(x, target, np.zeros(2, np.float32), *settings[1:]) is None
