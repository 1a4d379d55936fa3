"""One step of the optimizer: gradients of one batch, or of several as if they were one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from tinytrain.capturing import is_replaying
from tinytrain.nn.utils import clip_grad_norm_, clip_grad_value_
from tinytrain.tensor import Tensor
from tinytrain.training.experiment import Experiment
from tinytrain.training.metrics import Meter
from tinytrain.training.precision import computing_in

T = TypeVar("T")

AUXILIARY_WEIGHT = 0.3
"""Share of an auxiliary head's loss (Szegedy et al., "Going Deeper with Convolutions", 2015, section 5)."""


@dataclass(frozen=True)
class Learned:
    """A batch that was learned, with what the network made of it.

    Attributes:
        logits: (n, classes).
        targets: (n,) class indices, or (n, classes) probabilities.
        loss: the mean of the batch, a scalar.
    """

    logits: Tensor
    targets: Tensor
    loss: Tensor


def learn(
    e: Experiment, batches: Sequence[tuple[Tensor, Tensor]], *, judge: Callable[[int, Tensor], None] | None = None
) -> list[Learned]:
    """Take one step with the mean gradient of all images of some batches.

    Each batch's mean loss counts by its share of the images, so a smaller last batch does not count for more.

    Args:
        e: whose model changes.
        batches: images and targets, one at least.
        judge: told of each batch's position and loss before anything is learned from it; may raise.
    """
    learned = find_gradients(e, batches, judge=judge)
    update(e)
    return learned


def learn_and_score(
    e: Experiment,
    batches: Sequence[tuple[Tensor, Tensor]],
    meter: Meter,
    *,
    judge: Callable[[int, Tensor], None] | None = None,
) -> list[Learned]:
    """Take one step as `learn`, and count what the network made of the batches."""
    learned = learn(e, batches, judge=judge)
    score(learned, meter)
    return learned


def score(learned: Iterable[Learned], meter: Meter) -> None:
    """Count what the network made of some batches."""
    for batch in learned:
        meter.update(batch.logits, batch.targets, batch.loss)


def find_gradients(
    e: Experiment, batches: Sequence[tuple[Tensor, Tensor]], *, judge: Callable[[int, Tensor], None] | None = None
) -> list[Learned]:
    """Leave the mean gradient of all images in the parameters; arguments and result as of `learn`."""
    e.optimizer.zero_grad()
    num_images = sum(len(images) for images, _ in batches)
    learned = []
    for position, (images, targets) in enumerate(batches):
        images, targets = images.to(e.device), targets.to(e.device)
        with computing_in(e.precision, e.device):
            logits, loss = judged(e, e.model(images), targets)
            if judge is not None:
                judge(position, loss)
            share = len(images) / num_images
            e.scaler.scale(loss if share == 1 else loss * share).backward()
        learned.append(Learned(logits.detach(), targets, loss.detach()))
    return learned


def update(e: Experiment) -> None:
    """Change the weights by the gradients at hand, clipped before, and their average with them."""
    if is_replaying():
        e.optimizer.step()  # what goes before and after it is recorded
    else:
        if e.clip_grad_norm is not None or e.clip_grad_value is not None:
            e.scaler.unscale_(e.optimizer)
        if e.clip_grad_norm is not None:
            clip_grad_norm_(e.model.parameters(), e.clip_grad_norm)
        if e.clip_grad_value is not None:
            clip_grad_value_(e.model.parameters(), e.clip_grad_value)
        e.scaler.step(e.optimizer)
        e.scaler.update()
    if e.average is not None:
        e.average.update()


def judged(e: Experiment, outputs: Tensor | tuple[Tensor, ...], targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits among a network's outputs, and the loss of all of them."""
    logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = e.loss(logits, targets)
    for output in auxiliary:
        loss = loss + AUXILIARY_WEIGHT * e.loss(output, targets)
    return logits, loss


def groups_of(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items in order; the last may be shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
