"""What a training shows on the screen: a bar on a terminal, plain lines elsewhere; on stderr in both cases."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tinytrain.training import EpochResult, Events, Scores


class Screen(Events):
    """Shows a training's events; a context manager that leaves the terminal as it was."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._epochs = self._steps = 0
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Screen:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.message("interrupted; the same command goes on from the last checkpoint")

    def begin(self, run_dir: Path, epochs: int, first_epoch: int, steps_per_epoch: int) -> None:
        """Say where the results go."""
        self._epochs, self._steps = epochs, steps_per_epoch
        again = f", going on after epoch {first_epoch}" if first_epoch else ""
        lengths = f"{epochs} epoch{'s' * (epochs > 1)} of {steps_per_epoch} step{'s' * (steps_per_epoch > 1)}"
        self.message(f"{run_dir}: {lengths}{again}")

    def batch(self, epoch: int, step: int, images: int, loss: float | None, lr: float) -> None:
        """Move the bar."""
        if self._task is None:
            self._task = self._bar.add_task(f"epoch {epoch}/{self._epochs}", total=self._steps, loss="")
        self._bar.update(self._task, completed=step)
        if loss is not None:
            self._bar.update(self._task, loss=f"loss {loss:.4f}")

    def epoch(self, result: EpochResult) -> None:
        """Print a line for the epoch."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        val = "" if result.val is None else f"  val loss {result.val.loss:.4f} top-1 {result.val.top1:.4f}"
        self.message(
            f"epoch {result.epoch:>{len(str(self._epochs))}}/{self._epochs}"
            f"  loss {result.train.loss:.4f} top-1 {result.train.top1:.4f}{val}"
            f"  lr {result.lr:.4g}  {result.images_per_second:.0f} images/s{'  best' if result.is_best else ''}"
        )

    def evaluate(self, split: str, scores: Scores) -> None:
        """Print a line for the split."""
        self.message(f"{split}: loss {scores.loss:.4f} top-1 {scores.top1:.4f} over {scores.count} images")

    def message(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self._console.print(text, markup=False)
