"""Softmax adds up to 1 along its dimension, does not overflow, and has the right gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.nn import functional as F


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gradients_are_those_of_central_differences(name, dim):
    x = tt.randn(1, 3, 5, dtype=tt.float64).requires_grad_()
    assert gradcheck(lambda x: getattr(F, name)(x, dim), [x])


def test_values_are_shares_of_exponentials():
    x = tt.tensor([[0.0, math.log(3)]])
    np.testing.assert_allclose(F.softmax(x, 1).numpy(), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(F.softmin(x, 1).numpy(), [[0.75, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(F.log_softmax(x, 1).numpy(), [[math.log(0.25), math.log(0.75)]], rtol=1e-6)


def test_large_scores_do_not_overflow():
    x = tt.tensor([1000.0, 1000.0 - math.log(2)])
    np.testing.assert_allclose(F.softmax(x, 0).numpy(), [2 / 3, 1 / 3], rtol=1e-4)
    np.testing.assert_allclose(F.log_softmax(x, 0).numpy(), np.log([2 / 3, 1 / 3]), rtol=1e-4)


def test_dtype_is_the_type_of_the_computation():
    y = F.softmax(tt.tensor([1, 2]), dim=0, dtype=tt.float64)
    assert y.dtype is tt.float64
    assert y.sum().item() == pytest.approx(1, rel=1e-15)


def test_dtype_is_the_type_of_the_result_also_by_position():
    x = tt.tensor([1.0, 2.0]).half()
    y = F.softmax(x, 0, 3, tt.float32)
    assert y.dtype is tt.float32
    np.testing.assert_array_equal(y.array, F.softmax(x.float(), 0).array)


def test_integers_are_refused_without_a_dtype():
    with pytest.raises(NotImplementedError, match='"softmax" not implemented for int64'):
        F.softmax(tt.tensor([1, 2]), 0)


def test_a_dimension_that_is_not_there_is_an_index_error():
    with pytest.raises(IndexError, match=r"range of \[-2, 1\], but got 2"):
        F.softmax(tt.zeros(2, 3), 2)


@pytest.mark.parametrize(("shape", "dim"), [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 2, 2), 1)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_leaving_the_dimension_out_warns_and_takes_the_one_of_pytorch(name, shape, dim):
    x = tt.randn(*shape)
    with pytest.warns(UserWarning, match=f"Implicit dimension choice for {name}") as caught:
        y = getattr(F, name)(x)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(y.numpy(), getattr(F, name)(x, dim).numpy())


def test_a_scalar_has_all_the_probability():
    assert F.softmax(tt.tensor(5.0), 0).item() == 1
    assert F.log_softmax(tt.tensor(5.0), 0).item() == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_masked_scores_get_nothing_and_a_row_of_them_is_nan(name):
    x = tt.tensor([[-math.inf, 0.0], [-math.inf, -math.inf]])
    y = getattr(F, name)(x, 1)
    assert y[0].tolist() == ([0.0, 1.0] if name == "softmax" else [-math.inf, 0.0])
    assert np.isnan(y[1].numpy()).all()
