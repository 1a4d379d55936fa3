"""How everything here is measured: contenders take turns, after a warm-up, and their medians are compared.

Turns, because the machine's speed drifts: a slow minute hits all contenders alike. Both libraries compute on the same
cores, `THREADS` of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

THREADS = 2

Rows = list[dict[str, object]]


def seconds_of(function: Callable[[], object]) -> float:
    """Return the wall-clock seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def repeated(
    step: Callable[[], object], *, seconds: float = 0.2, finish: Callable[[], object] = lambda: None
) -> Callable[[], float]:
    """Return a measurement of one step: as many in a row as fill `seconds`, after one that does not count.

    The first step of a turn finds the caches full of another contender's data, and perhaps its threads still awake.

    Args:
        step: what is measured.
        seconds: about how long a turn takes.
        finish: waits until all that was asked for is done, on devices that work beside the host.
    """
    count = 1

    def several() -> None:
        for _ in range(count):
            step()
        finish()

    def measure() -> float:
        nonlocal count
        step()
        finish()
        found = seconds_of(several) / count
        count = max(1, round(seconds / found))
        return found

    return measure


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


def share_cores() -> bool:
    """Hold this process to `THREADS` cores, and PyTorch to as many threads; return whether PyTorch is there.

    To be called before anything computes: thread pools are as large as the cores they find.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    if not has_torch():
        return False
    import torch

    torch.set_num_threads(THREADS)
    return True


def arguments_of(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """Return the reader of a benchmark's command line, with what most of them take.

    Args:
        description: the module's docstring.
        **defaults: `rounds`, where it takes that.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    if "rounds" in defaults:
        parser.add_argument("--rounds", type=int, default=defaults["rounds"], help="turns of each (%(default)s)")
    return parser


def print_rows(rows: Sequence[Mapping[str, object]], output: str | None = None) -> None:
    """Print rows as a table, and as JSON to a file if one is named; a row may lack columns of another."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    cells = [heads, *([_shown(row.get(head)) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    for line in cells:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    if output is not None:
        Path(output).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
