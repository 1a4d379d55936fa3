"""What a training shows on the screen: a bar on a terminal, plain lines elsewhere; on stderr in both cases."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tinytrain.report.text_plot import sparkline
from tinytrain.training import EpochResult, Events, Scores


class Screen(Events):
    """Shows a training's events; a context manager that leaves the terminal as it was.

    On a terminal two bars tell the epoch and the whole training, with the time left, images a second, the learning
    rate, and small curves of the loss and of the validation accuracy.
    """

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._epochs = self._steps = 0
        self._tasks: dict[str, TaskID] = {}
        self._losses: list[float] = []
        self._accuracies: list[float] = []
        self._loss = ""
        self._begin, self._images = time.perf_counter(), 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[words]}"),
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
        self._losses, self._accuracies, self._loss = [], [], ""
        for task in self._tasks.values():
            self._bar.remove_task(task)
        self._tasks = {}
        again = f", going on after epoch {first_epoch}" if first_epoch else ""
        lengths = f"{epochs} epoch{'s' * (epochs > 1)} of {steps_per_epoch} step{'s' * (steps_per_epoch > 1)}"
        self.message(f"{run_dir}: {lengths}{again}")

    def batch(self, epoch: int, step: int, images: int, loss: float | None, lr: float) -> None:
        """Move the bars."""
        if self._bar.disable:
            return
        if step == 1 or "epoch" not in self._tasks:
            self._begin, self._images = time.perf_counter(), 0
        self._images += images
        if loss is not None:
            self._losses.append(loss)
            self._loss = f"loss {loss:.4f} {sparkline(self._losses)}"
        speed = self._images / max(time.perf_counter() - self._begin, 1e-9)
        words = f"{speed:,.0f} images/s  lr {lr:.3g}  {self._loss}"
        self._move("epoch", f"epoch {epoch}/{self._epochs}", step, self._steps, words)
        accuracy = f"val top-1 {self._accuracies[-1]:.4f} {sparkline(self._accuracies)}" if self._accuracies else ""
        self._move("all", "training", (epoch - 1) * self._steps + step, self._epochs * self._steps, accuracy)

    def _move(self, name: str, description: str, completed: int, total: int, words: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(description, total=total, words="")
        self._bar.update(self._tasks[name], completed=completed, description=description, words=words)

    def epoch(self, result: EpochResult) -> None:
        """Print a line for the epoch."""
        if "epoch" in self._tasks:
            self._bar.remove_task(self._tasks.pop("epoch"))
        if result.val is not None:
            self._accuracies.append(result.val.top1)
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
