"""Whether a classifier's probabilities can be believed, and the temperature that makes them so.

Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), sections 2 and 4.2.
"""

from __future__ import annotations

import math

import numpy as np

BINS = 15
"""Intervals of confidence, as in the source."""

_HIGHEST, _LOWEST = math.log(100.0), math.log(0.01)


def log_softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the logarithms of probabilities (n, classes) in float64, of logits divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))


def confidences(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return (confidence, accuracy, images) of each interval of confidence, (bins, 3); NaN where there is no image.

    Args:
        logits: (n, classes).
        labels: (n,) class indices.
        temperature: that logits are divided by.
    """
    probabilities = np.exp(log_softmax(logits, temperature))
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, each, BINS) / counts for each in (confidence, right.astype(np.float64))]
    return np.stack([*means, counts], axis=1)


def calibration_error(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Return the expected calibration error: the mean distance between confidence and accuracy over equal intervals.

    `sum_b n_b / n |accuracy_b - confidence_b|`, confidence being the probability of the likeliest class.

    Args:
        logits: (n, classes).
        labels: (n,) class indices.
        temperature: that logits are divided by.
    """
    confidence, accuracy, counts = confidences(logits, labels, temperature).T
    return float(np.nansum(counts * np.abs(accuracy - confidence)) / len(labels))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature, from 0.01 to 100, with the lowest cross-entropy; accuracy stays as it is.

    The cross-entropy is convex in 1 / T, so halving the interval by the sign of its slope finds the lowest.

    Args:
        logits: (n, classes).
        labels: (n,) class indices.
    """
    own = logits[np.arange(len(labels)), labels].astype(np.float64)
    low, high = _LOWEST, _HIGHEST
    for _ in range(60):
        middle = (low + high) / 2
        probabilities = np.exp(log_softmax(logits, math.exp(middle)))
        # The slope in 1 / T: the mean logit under the model, less that of the true class.
        slope = float(((probabilities * logits).sum(axis=1) - own).mean())
        low, high = (middle, high) if slope > 0 else (low, middle)
    return math.exp((low + high) / 2)
