"""Plots of a run: learning curves and the confusion matrix.

Colours are a palette that colour-blind readers can tell apart (Okabe and Ito, 2008).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAIN, VAL = "#0072B2", "#D55E00"
SERIES = (TRAIN, VAL, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MAX_LABELLED_CLASSES = 40
"""With more classes the confusion matrix shows no names and no numbers."""


def draw_curves(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss, accuracy and learning rate over the epochs.

    Args:
        rows: per epoch `epoch`, `lr`, `train_loss`, `train_top1`, and `val_loss`, `val_top1` or None.
        path: of the PNG.
    """
    figure = empty_figure(10.5, 3.4)
    axes = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    for axis, key, title in ((axes[0], "loss", "loss"), (axes[1], "top1", "top-1 accuracy (%)")):
        scale = 100 if key == "top1" else 1
        for split, colour, label in (("train", TRAIN, "training"), ("val", VAL, "validation")):
            values = [row[f"{split}_{key}"] for row in rows]
            if all(value is not None for value in values):
                axis.plot(epochs, [scale * v for v in values], color=colour, label=label, marker=_marker(rows), ms=3)
        axis.set_title(title)
        axis.legend(frameon=False)
    axes[2].plot(epochs, [row["lr"] for row in rows], color="#666666", marker=_marker(rows), ms=3)
    axes[2].set_title("learning rate")
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, format="png")


def draw_confusion_matrix(confusion: np.ndarray, class_names: Sequence[str], path: Path) -> None:
    """Draw how often each true class was taken for each class; colours are shares of the true class.

    Args:
        confusion: (classes, classes) counts; a row is a true class.
        class_names: by class index.
        path: of the PNG.
    """
    n = len(class_names)
    is_labelled = n <= MAX_LABELLED_CLASSES
    side = min(max(3.6, 0.46 * n + 1.8), 16) if is_labelled else 9
    figure = empty_figure(side + 0.6, side)
    axis = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, fraction=0.046, pad=0.03, label="share of the true class")
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if is_labelled:
        is_long = max(map(len, class_names)) > 2
        axis.set_xticks(range(n), class_names, rotation=45 * is_long, ha="right" if is_long else "center")
        axis.set_yticks(range(n), class_names)
        for row, column in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, format="png")


def draw_reliability(curves: Mapping[float, np.ndarray], path: Path) -> None:
    """Draw how often a classifier is right, by how sure it is; below the diagonal it is too sure.

    Args:
        curves: (confidence, accuracy, images) of intervals, (bins, 3), by the temperature of the probabilities.
        path: of the PNG.
    """
    figure = empty_figure(6.4, 4.2)
    axis, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    axis.plot([0, 100], [0, 100], color="#999999", lw=1, ls="--", label="as sure as right")
    for (temperature, bins), colour in zip(
        sorted(curves.items(), key=lambda item: item[0] != 1), (TRAIN, VAL), strict=False
    ):
        confidence, accuracy, counts = bins[bins[:, 2] > 0].T
        label = "probabilities" if temperature == 1 else f"with temperature {temperature:.2f}"
        axis.plot(100 * confidence, 100 * accuracy, color=colour, marker="o", ms=4, label=label)
        below.plot(100 * confidence, counts, color=colour, marker="o", ms=3)
    axis.set_ylabel("right (%)")
    axis.legend(frameon=False)
    below.set(xlabel="probability of the likeliest class (%)", ylabel="images", yscale="log")
    for each in (axis, below):
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")


def empty_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches; matplotlib is imported only here."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _marker(rows: Sequence[Any]) -> str:
    """Return a marker for the points where they are few enough to be seen one by one."""
    return "o" if len(rows) <= 40 else ""
