"""A curve in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


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
