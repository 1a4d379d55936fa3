"""What a training tells other programs, where they are installed and asked for: TensorBoard, MLflow, Weights & Biases.

Nothing is sent anywhere by itself: TensorBoard's files lie in the run's folder, MLflow writes where its
`MLFLOW_TRACKING_URI` says (on this machine by default), and Weights & Biases does as its own settings say.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinytrain.errors import UsageError, did_you_mean
from tinytrain.training.events import EpochResult, Events
from tinytrain.training.metrics import Scores


class Several(Events):
    """Passes every event on to several listeners, in their order.

    Args:
        listeners: who is told.
    """

    def __init__(self, listeners: Sequence[Events]):
        self._listeners = listeners

    def begin(self, run_dir: Path, epochs: int, first_epoch: int, steps_per_epoch: int) -> None:
        """Pass on."""
        for each in self._listeners:
            each.begin(run_dir, epochs, first_epoch, steps_per_epoch)

    def batch(self, epoch: int, step: int, images: int, loss: float | None, lr: float) -> None:
        """Pass on."""
        for each in self._listeners:
            each.batch(epoch, step, images, loss, lr)

    def pause(self, epoch: int, step: int) -> None:
        """Pass on."""
        for each in self._listeners:
            each.pause(epoch, step)

    def epoch(self, result: EpochResult) -> None:
        """Pass on."""
        for each in self._listeners:
            each.epoch(result)

    def evaluate(self, split: str, scores: Scores) -> None:
        """Pass on."""
        for each in self._listeners:
            each.evaluate(split, scores)

    def message(self, text: str) -> None:
        """Pass on."""
        for each in self._listeners:
            each.message(text)


class Writer(Events):
    """Writes numbers by name and epoch; a subclass says where.

    Args:
        config_yaml: the config in force.
    """

    def __init__(self, config_yaml: str):
        self._config_yaml = config_yaml
        self._epoch = 0

    def write(self, numbers: dict[str, float], epoch: int) -> None:
        """Write numbers of an epoch, from 1."""
        raise NotImplementedError

    def epoch(self, result: EpochResult) -> None:
        """Write the row of an epoch."""
        self._epoch = result.epoch
        numbers = {
            "train/loss": result.train.loss,
            "train/top1": result.train.top1,
            "lr": result.lr,
            "images_per_second": result.images_per_second,
        }
        if result.val is not None:
            numbers |= {"val/loss": result.val.loss, "val/top1": result.val.top1}
        self.write(numbers, result.epoch)

    def evaluate(self, split: str, scores: Scores) -> None:
        """Write the scores of the best weights."""
        self.write({f"best/{split}_loss": scores.loss, f"best/{split}_top1": scores.top1}, self._epoch)

    def close(self) -> None:
        """Write what is still held back."""


class TensorBoard(Writer):
    """Event files in the run's folder `tensorboard`, for `tensorboard --logdir runs`."""

    _file: Any = None

    def begin(self, run_dir: Path, epochs: int, first_epoch: int, steps_per_epoch: int) -> None:
        """Open a file."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._summary = Summary
        self._file = EventFileWriter(os.fspath(run_dir / "tensorboard"))

    def write(self, numbers: dict[str, float], epoch: int) -> None:
        """Add a summary."""
        from tensorboard.compat.proto.event_pb2 import Event

        values = [self._summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._file.add_event(Event(wall_time=time.time(), step=epoch, summary=self._summary(value=values)))

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            self._file.close()


class MLflow(Writer):
    """A run of MLflow, in the experiment `tinytrain`, with the config as an artifact."""

    _mlflow: Any = None

    def begin(self, run_dir: Path, epochs: int, first_epoch: int, steps_per_epoch: int) -> None:
        """Start the run."""
        import mlflow

        self._mlflow = mlflow
        mlflow.set_experiment("tinytrain")
        mlflow.start_run(run_name=run_dir.name)
        mlflow.log_text(self._config_yaml, "config.yaml")

    def write(self, numbers: dict[str, float], epoch: int) -> None:
        """Log metrics."""
        self._mlflow.log_metrics(numbers, step=epoch)

    def close(self) -> None:
        """End the run."""
        if self._mlflow is not None:
            self._mlflow.end_run()


class WandB(Writer):
    """A run of Weights & Biases, in the project `tinytrain`."""

    _run: Any = None

    def begin(self, run_dir: Path, epochs: int, first_epoch: int, steps_per_epoch: int) -> None:
        """Start the run."""
        import wandb
        import yaml

        self._run = wandb.init(
            project="tinytrain", name=run_dir.name, dir=os.fspath(run_dir), config=yaml.safe_load(self._config_yaml)
        )

    def write(self, numbers: dict[str, float], epoch: int) -> None:
        """Log numbers."""
        self._run.log(numbers, step=epoch)

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()


WRITERS: dict[str, tuple[Callable[[str], Writer], str]] = {
    "tensorboard": (TensorBoard, "tensorboard"),
    "mlflow": (MLflow, "mlflow"),
    "wandb": (WandB, "wandb"),
}
"""Writers by name, and the package that each needs, which is also the name of the extra."""


def check_writers(names: Sequence[str]) -> None:
    """Check that there are writers of these names, and what they need.

    Raises:
        UsageError: there is no such writer, or its package is not installed.
    """
    for name in names:
        if name not in WRITERS:
            raise UsageError(
                f"--log: there is no writer called {name!r}{did_you_mean(name, WRITERS)}",
                remedy=f"Known: {', '.join(WRITERS)}",
            )
        package = WRITERS[name][1]
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"--log {name} needs the package {package}, which is missing", remedy=f"pip install 'tinytrain[{name}]'"
            )


@contextlib.contextmanager
def open_writers(names: Sequence[str], config_yaml: str) -> Iterator[list[Writer]]:
    """Yield writers by their names; those that began are closed at the end, whatever it is.

    Args:
        names: of `WRITERS`, checked.
        config_yaml: the config in force.
    """
    writers = [WRITERS[name][0](config_yaml) for name in dict.fromkeys(names)]
    try:
        yield writers
    finally:
        for writer in writers:
            writer.close()
