"""Products with learned weights have the right values and gradients and say which shapes do not fit."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.nn import functional as F


def random(*shape, seed=0):
    return tt.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 5), (2, 1, 3, 5), (0, 5)])
@pytest.mark.parametrize("weight_shape", [(4, 5), (5,)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_is_a_product_and_a_sum(shape, weight_shape, with_bias):
    x, w = random(*shape), random(*weight_shape, seed=1)
    operands = [x, w, random(*weight_shape[:-1], seed=2)] if with_bias else [x, w]
    y = F.linear(*operands)
    expected = x.detach().numpy() @ w.detach().numpy().T + (operands[2].detach().numpy() if with_bias else 0)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.detach().numpy(), expected)
    assert gradcheck(F.linear, operands)


@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (3, 1)])
def test_linear_adds_what_broadcasts_to_its_result(shape):
    operands = [random(3, 5), random(4, 5, seed=1), random(*shape, seed=2)]
    x, w, b = (each.detach().numpy() for each in operands)
    np.testing.assert_allclose(F.linear(*operands).detach().numpy(), x @ w.T + b)
    assert gradcheck(F.linear, operands)


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5)])
def test_linear_rounds_floats_of_16_bits_once(shape):
    x, w, b = (random(*s, seed=i).detach().to(tt.float16) for i, s in enumerate([shape, (4, 5), (4,)]))
    wide = F.linear(x.float(), w.float(), b.float())
    assert F.linear(x, w, b).tolist() == wide.to(tt.float16).tolist()


@pytest.mark.filterwarnings("error")
def test_a_sum_beyond_16_bits_is_infinite_and_nobody_is_warned():
    x, w = tt.full((1, 2), 300.0).to(tt.float16), tt.full((1, 2), 300.0).to(tt.float16)
    assert F.linear(x, w).tolist() == [[float("inf")]]


def test_linear_takes_no_features():
    assert F.linear(tt.zeros(2, 0), tt.zeros(3, 0), tt.ones(3)).tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("x", "w", "b", "text"),
    [
        (tt.zeros(2, 3), tt.zeros(4, 5), None, r"input \[2, 3\] has 3 features, the weight \[4, 5\] takes 5"),
        (tt.zeros(2, 3), tt.zeros(4, 3, dtype=tt.float64), None, "same dtype, but got float32 and float64"),
        (tt.zeros(2, 3), tt.zeros(4, 3), tt.zeros(5), r"`bias` must have the shape \[4\]; got \[5\]"),
        (tt.zeros(2, 3), tt.zeros(4, 3), tt.zeros(2, 2, 4), r"`bias` must have the shape \[4\]; got \[2, 2, 4\]"),
        (tt.zeros(2, 3), tt.zeros(4, 3), tt.zeros(4, dtype=tt.float64), "dtype of the input, float32; got float64"),
        (tt.zeros(()), tt.zeros(4, 3), None, r"expected an input \(\*, in_features\)"),
        (tt.zeros(2, 3), tt.zeros(1, 4, 3), None, r"and a weight \(out_features, in_features\)"),
    ],
)
def test_linear_names_the_shapes_that_do_not_fit(x, w, b, text):
    with pytest.raises(RuntimeError, match=text):
        F.linear(x, w, b)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1), (0,)])
def test_bilinear_is_a_product_from_both_sides(batch):
    operands = [random(*batch, 3), random(*batch, 2, seed=1), random(4, 3, 2, seed=2), random(4, seed=3)]
    a, b, w, bias = (each.detach().numpy() for each in operands)
    expected = np.einsum("...i,kij,...j->...k", a, w, b) + bias
    np.testing.assert_allclose(F.bilinear(*operands).detach().numpy(), expected, atol=1e-12)
    assert gradcheck(F.bilinear, operands)
    assert gradcheck(F.bilinear, operands[:3])


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (((2, 3), (4, 5), (6, 3, 5), (6,)), r"batch dimensions do not match: got \[2\] and \[4\]"),
        (((2, 3), (2, 5), (6, 5, 3), (6,)), r"`weight` must have the shape \(out, 3, 5\); got \[6, 5, 3\]"),
        (((2, 3), (2, 5), (6, 3, 5), (5,)), "bias size does not match weight size"),
    ],
)
def test_bilinear_names_the_shapes_that_do_not_fit(shapes, text):
    with pytest.raises(RuntimeError, match=text):
        F.bilinear(*(tt.zeros(*shape) for shape in shapes))


def test_embedding_takes_rows_and_gives_each_its_gradient():
    weight = random(4, 3)
    index = tt.tensor([[0, 2], [2, 2]])
    np.testing.assert_array_equal(F.embedding(index, weight).detach().numpy(), weight.detach().numpy()[index.numpy()])
    assert gradcheck(lambda w: F.embedding(index, w), [weight])


def test_embedding_gives_the_padding_row_no_gradient():
    weight = tt.ones(3, 2, requires_grad=True)
    F.embedding(tt.tensor([0, 2, 2]), weight, padding_idx=-1).sum().backward()
    assert weight.grad.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_embedding_can_share_a_row_s_gradient_among_its_uses():
    weight = tt.ones(2, 1, requires_grad=True)
    F.embedding(tt.tensor([1, 1, 1]), weight, scale_grad_by_freq=True).sum().backward()
    assert weight.grad.tolist() == [[0], [1]]


def test_embedding_scales_long_rows_down_in_place():
    weight = tt.tensor([[3.0, 4.0], [30.0, 40.0]])
    y = F.embedding(tt.tensor([0]), weight, max_norm=1.0)
    np.testing.assert_allclose(y.numpy(), [[0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(weight.numpy(), [[0.6, 0.8], [30, 40]], rtol=1e-6)


@pytest.mark.parametrize(
    ("index", "options", "error", "text"),
    [
        (tt.tensor([0, 3]), {}, IndexError, r"indices must lie in \[0, 2\], these in \[0, 3\]"),
        (tt.tensor([0.0]), {}, RuntimeError, "scalar types: Long, Int; but got float32"),
        (tt.tensor([0]), {"padding_idx": 3}, AssertionError, "Padding_idx must be within num_embeddings: 3 of 3"),
        (tt.tensor([0]), {"sparse": True}, NotImplementedError, "`sparse` gradients are not available"),
    ],
)
def test_embedding_refuses_what_names_no_row(index, options, error, text):
    with pytest.raises(error, match=text):
        F.embedding(index, tt.zeros(3, 2), **options)


def test_one_hot_marks_the_class():
    assert F.one_hot(tt.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert F.one_hot(tt.tensor(1), 3).tolist() == [0, 1, 0]
    assert F.one_hot(tt.tensor([[0]]), 2).dtype is tt.int64


@pytest.mark.parametrize(
    ("index", "num_classes", "text"),
    [
        (tt.tensor([0, -1]), -1, "must be non-negative; the smallest is -1"),
        (tt.tensor([0, 3]), 3, r"smaller than num_classes \(=3\); the largest is 3"),
        (tt.tensor([0]), 0, "num_classes should be positive; got 0"),
        (tt.tensor([0.0]), 2, "expected int64, got float32"),
        (tt.zeros(0, dtype=tt.int64), -1, "Can not infer total number of classes from empty tensor"),
    ],
)
def test_one_hot_refuses_what_names_no_class(index, num_classes, text):
    with pytest.raises(RuntimeError, match=text):
        F.one_hot(index, num_classes)
