"""Batch norm kernels are accurate far from 0, take any strides, and give the same bits for any memory order."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.kernels.reference import normalization
from tinytrain.kernels.reference.normalization import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference,
)

SHAPES = [(3, 5), (7, 33), (2, 3, 7), (64, 3, 9, 11), (2, 5, 3, 2, 4), (1, 70, 5, 5)]


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def over_channel(values, ndim):
    return values.reshape(-1, *(1,) * (ndim - 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_statistics_far_from_zero_keep_their_digits(shape):
    x = (1000 + np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    axes = (0, *range(2, len(shape)))
    _, mean, m2 = batch_norm_forward(x, None, None, 1e-5)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=axes), rtol=1e-6)
    np.testing.assert_allclose(m2, exact.var(axis=axes) * (x.size / shape[1]), rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_memory_order_changes_no_bit(shape):
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, *shape)).astype(np.float32)
    w, b = rng.normal(size=(2, shape[1])).astype(np.float32)
    results = []
    for order in (np.ascontiguousarray, channels_last, np.asfortranarray):
        y, mean, m2 = batch_norm_forward(order(x), w, b, 1e-5)
        rstd = (m2 / (x.size / shape[1]) + 1e-5).astype(np.float32) ** -0.5
        results.append([y, mean, m2, *batch_norm_backward(order(g), order(x), mean, rstd, w, True)])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("shape", SHAPES)
def test_results_are_channels_last(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    y, mean, m2 = batch_norm_forward(x, None, None, 1e-5)
    grad, _, _ = batch_norm_backward(x, x, mean, m2 + 1, None, True)
    for result in (y, grad):
        assert np.moveaxis(result, 1, -1).flags.c_contiguous
        assert result.dtype == np.float32


def test_merged_pieces_agree_with_one_piece(monkeypatch):
    x = np.random.default_rng(0).normal(5, 2, (13, 3, 7, 5))
    whole = batch_norm_forward(x, None, None, 1e-5)
    monkeypatch.setattr(normalization, "PIECE_BYTES", 1000)
    monkeypatch.setattr(normalization, "ROW_LENGTH", 1)
    for one, merged in zip(whole, batch_norm_forward(x, None, None, 1e-5), strict=True):
        np.testing.assert_allclose(merged, one, rtol=1e-12, atol=1e-12)


def test_inference_is_the_formula():
    x = np.random.default_rng(0).normal(size=(2, 3, 5))
    mean, rstd, w, b = np.random.default_rng(1).normal(size=(4, 3))
    expected = (x - over_channel(mean, 3)) * over_channel(rstd * w, 3) + over_channel(b, 3)
    np.testing.assert_allclose(batch_norm_inference(x, mean, rstd, w, b), expected, rtol=1e-12)


def test_given_statistics_pass_no_gradient():
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 4, 3, 5))
    mean, rstd, w = rng.normal(size=(3, 3))
    grad, grad_w, grad_b = batch_norm_backward(g, x, mean, rstd, w, False)
    np.testing.assert_allclose(grad, g * over_channel(rstd * w, 3), rtol=1e-12)
    np.testing.assert_allclose(grad_w, (g * (x - over_channel(mean, 3)) * over_channel(rstd, 3)).sum((0, 2)))
    np.testing.assert_allclose(grad_b, g.sum((0, 2)))
