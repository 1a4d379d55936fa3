"""Pictures and a page of a sweep: every trial as a line through what it tried to how good it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.report import page
from tinytrain.report.plots import empty_figure

MAX_TICKS = 6
"""So many different values of an axis are named one by one."""

LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}


def write_sweep(
    folder: Path,
    *,
    title: str,
    subtitle: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    seeds: tuple[Sequence[str], Sequence[Sequence[str]]] | None,
    points: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    metric: str,
    log_keys: Sequence[str],
    command: str,
) -> None:
    """Draw `parallel.png`, where a trial is complete, and write `sweep.html` into a folder.

    Args:
        folder: of the sweep.
        title: of the page.
        subtitle: how far the sweep is.
        header: of the table.
        rows: a trial each, the best first.
        seeds: header and rows of what was repeated with other seeds, None where nothing was.
        points: what each complete trial tried.
        values: its score.
        metric: what the score is.
        log_keys: keys whose axis is logarithmic.
        command: how to go on.
    """
    sections = []
    if values:
        draw_parallel(points, values, metric, folder / "parallel.png", log_keys=log_keys)
        description = "each line is a trial: what it tried, and how good it was"
        sections.append(("What led where", page.picture(folder / "parallel.png", description)))
    if seeds is not None:
        sections.append(("Mean over seeds", page.table(*seeds)))
    sections += [("Trials", page.table(header, rows)), ("How to go on", page.preformatted(command))]
    (folder / "sweep.html").write_text(page.page(title, subtitle, sections), encoding="utf-8")


def draw_parallel(
    points: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    metric: str,
    path: Path,
    *,
    log_keys: Sequence[str] = (),
) -> None:
    """Draw trials as lines over an axis for each key and one for the score, coloured by the score.

    Args:
        points: what each trial tried, by key.
        values: its score.
        metric: what the score is; of a loss the lowest is the best.
        path: of the PNG.
        log_keys: keys whose axis is logarithmic.
    """
    import matplotlib

    columns = {key: [point[key] for point in points] for key in points[0]}
    columns = {key: column for key, column in columns.items() if len({str(value) for value in column}) > 1}
    columns[metric] = list(values)
    figure = empty_figure(max(5.0, 1.9 * len(columns) + 1.2), 4.6)
    axis = figure.subplots()
    places = []
    for i, (key, column) in enumerate(columns.items()):
        heights, ticks = _heights(column, is_log=key in log_keys)
        places.append(heights)
        axis.plot([i, i], [0, 1], color="#999999", lw=1)
        for height, label in ticks:
            axis.text(i - 0.03, height, label, ha="right", va="center", size=8, bbox=LABEL, zorder=3)
    merit = places[-1] if metric != "loss" else 1 - places[-1]
    colours = matplotlib.colormaps["viridis_r"](0.1 + 0.9 * merit)
    for trial in np.argsort(merit):
        line = [column[trial] for column in places]
        axis.plot(range(len(places)), line, color=colours[trial], alpha=0.85, lw=1 + 1.5 * float(merit[trial]))
    axis.set_xticks(
        range(len(columns)), [key.rpartition(".")[2] if key != metric else f"val {metric}" for key in columns]
    )
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.margins(x=0.12)
    figure.savefig(path, format="png")


def _heights(column: Sequence[Any], *, is_log: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Return where values lie on an axis from 0 to 1, and the axis's labels."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in column):
        numbers = np.asarray(column, np.float64)
        scaled = np.log(numbers) if is_log else numbers
        low, high = scaled.min(), scaled.max()
        span = high - low or 1.0
        distinct = np.unique(scaled)
        marked = distinct if len(distinct) <= MAX_TICKS else np.linspace(low, high, 5)
        labels = [((value - low) / span, f"{np.exp(value) if is_log else value:.4g}") for value in marked]
        if high == low:
            return np.full(len(numbers), 0.5), [(0.5, labels[0][1])]
        return (scaled - low) / span, labels
    known = list(dict.fromkeys(str(value) for value in column))
    step = 1 / max(len(known) - 1, 1)
    return np.asarray([known.index(str(value)) * step for value in column]), [
        (i * step, label) for i, label in enumerate(known)
    ]
