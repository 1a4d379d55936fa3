"""How often things are tried, and the training program that is tried."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
IS_FULL = os.environ.get("TINYTRAIN_RELIABILITY") == "full"

CONFIG = """\
name: small
data: {dataset: digits, batch_size: 64, workers: 0}
transforms:
  train: [{RandomCrop: {size: 8, padding: 1}}, ToTensor]
  eval: [ToTensor]
model: {name: cnn, conv: separable, widths: [8, 16], strides: [1, 2], dropout: 0.1}
train:
  epochs: 4
  ema_decay: 0.95
  optimizer: {name: adamw, lr: 1e-2}
  schedule: {name: cosine, warmup_epochs: 1}
  checkpoint: {every_steps: 1}
"""


def trials(full: int, some: int) -> int:
    """Return how often to try something."""
    return full if IS_FULL else some


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of the program in this environment."""
    return [sys.executable, "-m", "tinytrain", *map(str, arguments)]


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start the program."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*arguments), **{"cwd": REPOSITORY, **pipes, **options})


def finish(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        command(*arguments),
        **{"cwd": REPOSITORY, "capture_output": True, "text": True, "check": False, "timeout": 400, **options},
    )


def outcome(folder: Path) -> tuple[Any, ...]:
    """Return what a run came to, without its times: weights, scores, rows of metrics."""
    summary = json.loads((folder / "summary.json").read_text())
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    for row in rows:
        del row["seconds"], row["images_per_second"]
    return summary["weights_sha256"], summary["best_epoch"], summary["val"], summary["test"], rows


def temporary_files(folder: Path) -> list[str]:
    """Return what was left half written below a folder."""
    return [path.name for path in folder.rglob("*") if ".tmp" in path.name]


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Yield what returns the largest number of bytes that this process had more within the block; Linux only."""

    def read(name: str) -> int:
        return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10  # type: ignore[index]

    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what there is
    before = read("VmRSS")
    yield lambda: read("VmHWM") - before
