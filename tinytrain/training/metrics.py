"""Loss, top-k accuracy and confusion matrix, gathered on the device until somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain.capturing import is_replaying
from tinytrain.device import Array, fetch, module_of, move
from tinytrain.device import device as Device
from tinytrain.kernels.scattering import scatter_add
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
        n, xp = logits.shape[0], module_of(logits.device)
        self.count += n
        if is_replaying():
            return
        x, y = logits.array, class_indices(targets).array.astype(np.int64, copy=False)
        rank = _ranks(x, y, xp)
        for i, k in enumerate(self.topk):
            self._hits[i] += (rank < k).sum()
        scatter_add(self._confusion, y * self.num_classes + x.argmax(axis=1), xp.ones_like(y))
        self._loss += loss.array.astype(np.float64) * n

    def state(self) -> dict[str, np.ndarray]:
        """Return what was gathered, as arrays on the CPU."""
        gathered = {"loss": self._loss, "hits": self._hits, "confusion": self._confusion}
        return {**{name: fetch(array).copy() for name, array in gathered.items()}, "count": np.array(self.count)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: it is of other classes.
        """
        for name, own in (("loss", self._loss), ("hits", self._hits), ("confusion", self._confusion)):
            if state[name].shape != own.shape:
                raise ValueError(f"the {name} so far has shape {state[name].shape}, expected {own.shape}")
            own[...] = move(state[name], self._device)
        self.count = int(state["count"])

    def clear(self) -> None:
        """Forget what was gathered; the memory stays, for a captured step goes on writing to it."""
        for array in (self._loss, self._hits, self._confusion):
            array.fill(0)
        self.count = 0

    def scores(self) -> Scores:
        """Fetch what was gathered; the loss of nothing is NaN."""
        found, count = self.state(), self.count
        hits = zip(self.topk, found["hits"], strict=True)
        return Scores(
            loss=float(found["loss"]) / count if count else float("nan"),
            topk={k: int(hit) / count if count else float("nan") for k, hit in hits},
            count=count,
            confusion=found["confusion"].reshape(self.num_classes, self.num_classes),
        )


def class_indices(targets: Tensor) -> Tensor:
    """Return (n,) class indices of targets that are such, or of (n, classes) probabilities the likeliest classes."""
    return targets if targets.ndim == 1 else targets.argmax(dim=1)


def _ranks(x: Array, y: Array, xp: Any) -> Array:
    """Return how many classes are likelier than the true one, from logits (n, classes) and classes (n,).

    Of equal ones the lower class counts as likelier, and what is no number counts as likelier than any.
    """
    own = xp.take_along_axis(x, y[:, None], 1)
    is_ahead = ~(x <= own) | ((x == own) & (xp.arange(x.shape[1]) < y[:, None]))
    return is_ahead.sum(axis=1)
