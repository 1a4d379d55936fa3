"""Curves in a terminal."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], *, width: int = 24) -> str:
    """Return a curve as one line of text, from the smallest value to the largest.

    Args:
        values: any; of more than `width` the means of neighbours are shown.
        width: characters at most.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    parts = min(width, len(finite))
    ends = [i * len(finite) // parts for i in range(parts + 1)]
    means = [statistics.fmean(finite[low:high]) for low, high in itertools.pairwise(ends)]
    low, high = min(means), max(means)
    return "".join(_EIGHTHS[1 + round(7 * (mean - low) / (high - low or 1))] for mean in means)


def text_plot(values: Sequence[float], *, height: int = 6) -> list[str]:
    """Return a curve as lines of text, a column a value, on an axis from 0 to the largest value.

    Args:
        values: at least one, none below 0.
        height: lines.
    """
    top = max(values) or 1.0
    levels = [round(value / top * height * 8) for value in values]
    labels = {height - 1: "0", 0: f"{top:.3g}"}
    margin = max(map(len, labels.values()))
    lines = []
    for row in range(height):
        floor = 8 * (height - 1 - row)
        bars = "".join(_EIGHTHS[min(max(level - floor, 0), 8)] for level in levels)
        lines.append(f"{labels.get(row, ''):>{margin}} │{bars}".rstrip())
    return lines
