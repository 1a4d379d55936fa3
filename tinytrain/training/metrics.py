"""Loss, top-k accuracy and confusion matrix, gathered on the device until somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain.device import device as Device
from tinytrain.device import module_of, move
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor


@dataclass(frozen=True)
class Scores:
    """How well a classifier did on a set.

    Attributes:
        loss: mean loss over the samples.
        topk: fraction of samples whose class is among the k likeliest, by k.
        count: how many samples there were.
        confusion: (classes, classes) counts; a row is a true class, a column a predicted one. None once it is
            forgotten.
        kept_recall: the macro recall where the confusion is forgotten.
    """

    loss: float
    topk: dict[int, float]
    count: int
    confusion: np.ndarray | None
    kept_recall: float | None = None

    @property
    def top1(self) -> float:
        """The fraction of samples classified right."""
        return self.topk[1]

    @property
    def macro_recall(self) -> float:
        """The mean over the classes of the fraction classified right; classes without samples do not count."""
        if self.confusion is None:
            assert self.kept_recall is not None
            return self.kept_recall
        actual = self.confusion.sum(axis=1)
        return float((self.confusion.diagonal()[actual > 0] / actual[actual > 0]).mean())

    def per_class(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """Return precision, recall, F1 and count of each class; a ratio without samples is None."""
        assert self.confusion is not None, "the scores of earlier epochs keep no table of the classes"
        right = self.confusion.diagonal()
        table = []
        for i, name in enumerate(class_names):
            predicted, actual = int(self.confusion[:, i].sum()), int(self.confusion[i].sum())
            both = predicted + actual
            table.append(
                {
                    "class": name,
                    "count": actual,
                    "precision": int(right[i]) / predicted if predicted else None,
                    "recall": int(right[i]) / actual if actual else None,
                    "f1": 2 * int(right[i]) / both if both else None,
                }
            )
        return table

    def summary(self) -> dict[str, float]:
        """Return `top1`, `top5` (or whichever k were asked for) and `loss`."""
        return {**{f"top{k}": value for k, value in self.topk.items()}, "loss": self.loss}


class Meter:
    """Gathers scores batch by batch without waiting for the device.

    Args:
        num_classes: columns of the logits.
        topk: which k to count; 1 always is.
        device: where logits and targets lie.
    """

    def __init__(self, num_classes: int, topk: Sequence[int] = (1, 5), device: Device | str = "cpu"):
        self.num_classes = num_classes
        self.topk = sorted({1, *topk})
        self._device = Device(device)
        xp = module_of(self._device)
        self._loss = xp.zeros((), np.float64)
        self._hits = xp.zeros(len(self.topk), np.int64)
        self._confusion = xp.zeros(num_classes * num_classes, np.int64)
        self.count = 0

    @no_grad
    def update(self, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Take in one batch.

        Args:
            logits: (n, classes).
            targets: (n,) class indices, or (n, classes) probabilities, of which the highest is the class.
            loss: the mean loss of the batch.
        """
        n, targets = logits.shape[0], class_indices(targets)
        order = logits.argsort(dim=1, descending=True, stable=True).array[:, : self.topk[-1]]
        right = order == targets.array[:, None]
        for i, k in enumerate(self.topk):
            self._hits[i] += right[:, :k].sum()
        pairs = targets.array * self.num_classes + order[:, 0]
        xp = module_of(logits.device)
        self._confusion += xp.bincount(pairs, minlength=self._confusion.size)
        self._loss += loss.array.astype(np.float64) * n
        self.count += n

    def state(self) -> dict[str, np.ndarray]:
        """Return what was gathered, as arrays on the CPU."""
        gathered = {"loss": self._loss, "hits": self._hits, "confusion": self._confusion}
        return {**{name: move(array, Device("cpu")) for name, array in gathered.items()}, "count": np.array(self.count)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: it is of other classes.
        """
        for name, own in (("loss", self._loss), ("hits", self._hits), ("confusion", self._confusion)):
            if state[name].shape != own.shape:
                raise ValueError(f"the {name} so far has shape {state[name].shape}, expected {own.shape}")
            own[...] = module_of(self._device).asarray(state[name])
        self.count = int(state["count"])

    def scores(self) -> Scores:
        """Fetch what was gathered; the loss of nothing is NaN."""
        cpu = Device("cpu")
        count = self.count
        hits, confusion = move(self._hits, cpu), move(self._confusion, cpu)
        return Scores(
            loss=float(self._loss) / count if count else float("nan"),
            topk={k: int(hit) / count if count else float("nan") for k, hit in zip(self.topk, hits, strict=True)},
            count=count,
            confusion=confusion.reshape(self.num_classes, self.num_classes),
        )


def class_indices(targets: Tensor) -> Tensor:
    """Return (n,) class indices of targets that are such, or of (n, classes) probabilities the likeliest classes."""
    return targets if targets.ndim == 1 else targets.argmax(dim=1)
