"""How far a training has come: the epochs behind it, and what it has of the one that it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytrain.training.events import EpochResult
from tinytrain.training.metrics import Meter, Scores


@dataclass
class Progress:
    """What the rest of a training depends on beside the network and what makes it learn.

    Attributes:
        meter: scores on the training batches of the epoch so far.
        history: the epochs that are finished.
        batches: of the epoch, learned or left out; the order within an epoch depends on the seed and its number alone.
        steps: of the optimizer in the epoch.
        seconds: spent learning in the epoch.
        lr: learning rate of the first group at the last step of the epoch so far.
        best: the weights of the best epoch by name, None before there is one.
    """

    meter: Meter
    history: list[EpochResult] = field(default_factory=list)
    batches: int = 0
    steps: int = 0
    seconds: float = 0.0
    lr: float = 0.0
    best: dict[str, np.ndarray] | None = None

    @property
    def epoch(self) -> int:
        """The number of the epoch that the training is in, from 0."""
        return len(self.history)

    def begin_epoch(self) -> None:
        """Count from the beginning of an epoch."""
        self.meter.clear()
        self.batches, self.steps, self.seconds = 0, 0, 0.0

    def document(self) -> dict[str, Any]:
        """Return what is no array, in JSON's terms."""
        rows = [_to_json(each) for each in self.history]
        counts = {"batches": self.batches, "steps": self.steps, "seconds": self.seconds, "lr": self.lr}
        return {"epochs": rows, **counts}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        best = {f"best/{name}": array for name, array in (self.best or {}).items()}
        return {**{f"meter/{name}": array for name, array in self.meter.state().items()}, **best}

    def load(self, document: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `document` and `arrays` returned."""
        self.history = [_from_json(row) for row in document["epochs"]]
        self.batches, self.steps = int(document["batches"]), int(document["steps"])
        self.seconds, self.lr = float(document["seconds"]), float(document["lr"])
        self.meter.load_state(under("meter", arrays))
        self.best = under("best", arrays) or None


def under(kind: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with `kind/`, without that."""
    prefix = f"{kind}/"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _to_json(result: EpochResult) -> dict[str, Any]:
    """Return a row without its tables of classes, which grow with the square of their number."""
    row = dict(vars(result))
    for split in ("train", "val"):
        scores: Scores | None = getattr(result, split)
        if scores is not None:
            row[split] = {
                "loss": scores.loss,
                "topk": scores.topk,
                "count": scores.count,
                "kept_recall": scores.macro_recall,
            }
    return row


def _from_json(row: dict[str, Any]) -> EpochResult:
    def scores(found: dict[str, Any]) -> Scores:
        topk = {int(k): value for k, value in found["topk"].items()}
        return Scores(found["loss"], topk, found["count"], None, found["kept_recall"])

    val = None if row["val"] is None else scores(row["val"])
    return EpochResult(**{**row, "train": scores(row["train"]), "val": val})
