"""How everything here is measured: contenders take turns, after a warm-up, and their medians are compared.

Turns, because the machine's speed drifts: a slow minute hits all contenders alike.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def seconds_of(function: Callable[[], object]) -> float:
    """Return the wall-clock seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def medians(contenders: Mapping[str, Callable[[], float]], *, rounds: int, warmup: int = 1) -> dict[str, float]:
    """Return the median measurement of each contender.

    Args:
        contenders: each returns one measurement, in seconds.
        rounds: how often each has its turn.
        warmup: turns before those, which do not count.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(warmup + rounds):
        for name, measure in contenders.items():
            value = measure()
            if number >= warmup:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def command(*arguments: str) -> Callable[[], float]:
    """Return a measurement of a whole process, its output thrown away."""
    return lambda: seconds_of(lambda: subprocess.run(arguments, check=True, capture_output=True))


def python(code: str) -> Callable[[], float]:
    """Return a measurement of a fresh Python process that runs `code`."""
    return command(sys.executable, "-c", code)


def has_torch() -> bool:
    """Return whether PyTorch is there to compare with; say so where it is not."""
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed here: no ratios. pip install torch==2.13.0", file=sys.stderr)
        return False
    return bool(torch.__version__)


def print_rows(rows: list[dict[str, object]], output: str | None = None) -> None:
    """Print rows as a table, and as JSON to a file if one is named."""
    heads = list(rows[0])
    cells = [heads, *([_shown(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    for line in cells:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    if output is not None:
        Path(output).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
