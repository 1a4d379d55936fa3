"""Dropout drops what it says with the probability given, keeps the mean, and repeats with the seed."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.nn import functional as F

ALL = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
SHAPES = {"dropout1d": (40, 50, 3), "dropout2d": (40, 50, 2, 3), "dropout3d": (40, 50, 1, 2, 3)}


def test_dropout_drops_a_share_and_scales_the_rest():
    tt.manual_seed(0)
    y = F.dropout(tt.ones(100, 100), 0.25).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("name", SHAPES)
def test_channels_are_dropped_whole(name):
    tt.manual_seed(0)
    y = getattr(F, name)(tt.ones(*SHAPES[name]), 0.25).numpy().reshape(40, 50, -1)
    assert (y == y[:, :, :1]).all()
    assert (y[:, :, 0] == 0).mean() == pytest.approx(0.25, abs=0.03)


def test_dropout3d_without_a_batch_drops_channels():
    tt.manual_seed(0)
    y = F.dropout3d(tt.ones(2000, 1, 2, 3), 0.25).numpy().reshape(2000, -1)
    assert (y == y[:, :1]).all()
    assert 0 < (y[:, 0] == 0).mean() < 1


@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_keeps_mean_and_variance(name):
    tt.manual_seed(0)
    y = getattr(F, name)(tt.randn(300, 200, 2), 0.2, training=True).numpy()
    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_the_factor(name):
    x = tt.randn(*SHAPES.get(name, (30, 20))).requires_grad_()
    function = getattr(F, name)
    tt.manual_seed(0)
    function(x, 0.5, training=True).sum().backward()
    tt.manual_seed(0)
    at_x = function(x.detach(), 0.5, training=True)
    tt.manual_seed(0)
    beside = function(x.detach() + 1, 0.5, training=True)
    np.testing.assert_allclose(x.grad.numpy(), (beside - at_x).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_seed_repeats_the_choice(name):
    x = tt.randn(*SHAPES.get(name, (30, 20)))
    results = []
    for seed in (3, 3, 4):
        tt.manual_seed(seed)
        results.append(getattr(F, name)(x, 0.5, training=True).numpy())
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()


@pytest.mark.parametrize("name", ALL)
def test_evaluation_returns_the_input(name):
    x = tt.randn(*SHAPES.get(name, (3, 2)))
    assert getattr(F, name)(x, 0.5, training=False) is x


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certainty_keeps_or_drops_everything(name, p):
    x = tt.randn(*SHAPES.get(name, (3, 2)))
    y = getattr(F, name)(x, p, training=True)
    np.testing.assert_allclose(y.numpy(), x.numpy() * (1 - p), rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_a_probability_of_zero_returns_the_input_and_draws_nothing(name):
    tt.manual_seed(0)
    expected = tt.rand(3).tolist()
    x = tt.ones(*SHAPES.get(name, (3, 2)), requires_grad=True)
    tt.manual_seed(0)
    assert getattr(F, name)(x, 0.0, training=True) is x
    assert tt.rand(3).tolist() == expected


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_a_probability_outside_0_to_1_is_refused(name, p):
    with pytest.raises(ValueError, match=f"between 0 and 1, but got {p}"):
        getattr(F, name)(tt.zeros(*SHAPES.get(name, (3, 2))), p)


def test_inplace_writes_into_the_input():
    tt.manual_seed(0)
    x = tt.ones(1000)
    assert F.dropout(x, 0.5, inplace=True) is x
    assert set(x.tolist()) == {0.0, 2.0}


def test_dropout1d_refuses_other_dimensions():
    with pytest.raises(RuntimeError, match="Expected 2D or 3D input, but received a 4D input"):
        F.dropout1d(tt.zeros(1, 2, 3, 4))


@pytest.mark.parametrize(("name", "ndim"), [("dropout2d", 2), ("dropout3d", 3)])
def test_unusual_dimensions_warn(name, ndim):
    with pytest.warns(UserWarning, match=f"Received a {ndim}-D input to {name}") as caught:
        getattr(F, name)(tt.zeros(*(2,) * ndim))
    assert caught[0].filename == __file__
