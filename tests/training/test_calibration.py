"""Calibration errors and temperatures, against figures worked out by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain.training.calibration import calibration_error, confidences, fit_temperature, log_softmax


def logits_of(confidence: float, count: int) -> np.ndarray:
    """Return logits of two classes that give the first a probability."""
    return np.tile([np.log(confidence / (1 - confidence)), 0.0], (count, 1)).astype(np.float32)


def test_the_error_is_the_mean_distance_of_confidence_and_accuracy():
    # ten images at 90 %, of which 7 are right; five at 60 %, of which 3 are right
    logits = np.concatenate([logits_of(0.9, 10), logits_of(0.6, 5)])
    labels = np.array([0] * 7 + [1] * 3 + [0] * 3 + [1] * 2)
    assert calibration_error(logits, labels) == pytest.approx((10 * 0.2 + 5 * 0.0) / 15, abs=1e-6)
    bins = confidences(logits, labels)
    np.testing.assert_allclose(bins[bins[:, 2] > 0], [[0.6, 0.6, 5], [0.9, 0.7, 10]], rtol=1e-6)


def test_the_temperature_of_scaled_logits_is_the_scale():
    rng = np.random.default_rng(0)
    honest = rng.standard_normal((20000, 5)) * 2
    probabilities = np.exp(log_softmax(honest))
    labels = (probabilities.cumsum(axis=1) > rng.random((20000, 1))).argmax(axis=1)
    assert fit_temperature(3 * honest, labels) == pytest.approx(3, rel=0.03)
    assert fit_temperature(honest / 4, labels) == pytest.approx(0.25, rel=0.03)
    assert calibration_error(3 * honest, labels) > 0.1
    assert calibration_error(3 * honest, labels, 3.0) < 0.02


def test_no_other_temperature_has_a_lower_cross_entropy():
    rng = np.random.default_rng(1)
    logits, labels = rng.standard_normal((300, 4)) * 3, rng.integers(0, 4, 300)
    labels = np.where(rng.random(300) < 0.6, logits.argmax(axis=1), labels)

    def cross_entropy(temperature: float) -> float:
        return -log_softmax(logits, temperature)[np.arange(300), labels].mean()

    best = cross_entropy(fit_temperature(logits, labels))
    assert all(best <= cross_entropy(t) + 1e-9 for t in np.geomspace(0.05, 50, 200))


def test_where_all_is_right_the_temperature_stays_in_its_range():
    assert 0.01 <= fit_temperature(logits_of(0.8, 5), np.zeros(5, int)) < 0.02
