"""What a training tells whoever listens: the screen, a log, a test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinytrain.training.metrics import Scores


@dataclass(frozen=True)
class EpochResult:
    """One row of `metrics.csv`.

    Attributes:
        epoch: from 1.
        lr: learning rate of the first group at the epoch's end.
        train: scores on the training batches, taken while the model learned.
        val: scores on the validation set, None where there is none.
        seconds: of the training part.
        images_per_second: of the training part.
        is_best: whether no epoch so far was better.
    """

    epoch: int
    lr: float
    train: Scores
    val: Scores | None
    seconds: float
    images_per_second: float
    is_best: bool


class Events:
    """Listens to a training; every method may be overridden and does nothing by itself."""

    def begin(self, run_dir: Path, epochs: int, first_epoch: int, steps_per_epoch: int) -> None:
        """The training begins, at `first_epoch` from 0."""

    def batch(self, epoch: int, step: int, images: int, loss: float | None, lr: float) -> None:
        """A batch was learned; `loss` is its mean loss where it is a batch to report, else None.

        Args:
            epoch: from 1.
            step: from 1, within the epoch.
            images: in the batch.
            loss: told only every `log_every` batches.
            lr: learning rate of the first group.
        """

    def pause(self, epoch: int, step: int) -> None:
        """The optimizer took a step, and nothing is half done: whoever wants to stop the training raises Interrupted.

        Args:
            epoch, step: as of `batch`.
        """

    def epoch(self, result: EpochResult) -> None:
        """An epoch ended."""

    def evaluate(self, split: str, scores: Scores) -> None:
        """A split was evaluated after the training."""

    def message(self, text: str) -> None:
        """Something people should know."""
