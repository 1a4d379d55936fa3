"""A loss that is no longer a number: where in the network it arose, and from which batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.datasets.samples import sample_name
from tinytrain.device import array_module, fetch, number_of
from tinytrain.dtypes import FLOATS
from tinytrain.errors import TinytrainError
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor, wrap
from tinytrain.training.experiment import Experiment
from tinytrain.training.precision import computing_in
from tinytrain.training.random_state import random_state, set_random_state

MAX_NAMES = 8
"""So many samples of a batch are named."""

REMEDY = "Lower train.optimizer.lr, warm up longer, or set train.clip_grad_norm"

Numbered = tuple[int, tuple[Tensor, Tensor]]
"""A batch and its number in the epoch, from 0."""


class DivergenceError(TinytrainError):
    """The loss is no longer a number."""


class Suspicion(Exception):
    """Some step since the last checkpoint went wrong; which one is to be found out."""


class NotFinite(Exception):
    """A batch whose loss is infinite or no number; nothing was learned from it.

    Args:
        position: of the batch among those of its step, from 0.
        loss: its value.
    """

    def __init__(self, position: int, loss: float):
        super().__init__(position, loss)
        self.position, self.loss = position, loss


@dataclass(frozen=True)
class Moment:
    """What a forward pass changes, as it was before: the buffers of the network and the random state."""

    buffers: list[Any]
    random: dict[str, np.ndarray]

    @classmethod
    def of(cls, e: Experiment) -> Moment:
        """Remember the state as it is now."""
        return cls([buffer.array.copy() for buffer in e.model.buffers()], random_state(e.device))

    def restore(self, e: Experiment) -> None:
        """Make the state what it was."""
        with no_grad():
            for buffer, before in zip(e.model.buffers(), self.buffers, strict=True):
                buffer.copy_(wrap(before))
        set_random_state(e.device, self.random)


def require_finite(position: int, loss: Tensor) -> None:
    """Raise NotFinite for a loss that is infinite or no number."""
    value = loss.item()
    if not math.isfinite(value):
        raise NotFinite(position, value)


def first_not_finite(e: Experiment) -> str | None:
    """Return the name of the network's first parameter that is not finite throughout, None where all are."""
    named = [(name, p.array) for name, p in e.model.named_parameters() if p.is_floating_point()]
    if e.device.type == "cpu":
        return next((name for name, array in named if not np.isfinite(array).all()), None)
    if not named:
        return None
    xp = array_module(named[0][1])
    are_finite = fetch(xp.stack([xp.isfinite(array).all() for _, array in named]))  # one wait for all of them
    return next((name for (name, _), is_finite in zip(named, are_finite, strict=True) if not is_finite), None)


def explain(e: Experiment, epoch: int, batches: Sequence[Numbered], before: Sequence[int], wrong: NotFinite) -> str:
    """Return in words where and from what a loss that is not finite arose.

    Args:
        e: in the state before the step; the network's buffers change.
        epoch: from 0.
        batches: of the step.
        before: numbers of the batches of the step before.
        wrong: what was found.
    """
    number, (images, _) = batches[wrong.position]
    text = f"the loss is {wrong.loss} at epoch {epoch + 1}, step {number + 1}"
    weight = first_not_finite(e)
    if weight is not None:
        told = f" learning from {names_of(e, epoch, before)}" if before else ""
        return f"{text}: {weight} is not finite since the step before{told}"
    with no_grad(), computing_in(e.precision, e.device):
        for _, (earlier, _) in batches[: wrong.position]:  # for the random numbers that they draw
            e.model(earlier.to(e.device))
    return f"{text}: it arises in {find_layer(e, images)}, in the batch of {names_of(e, epoch, [number])}"


@no_grad
def find_layer(e: Experiment, images: Tensor) -> str:
    """Return in words where the first value that is not finite arises when a batch goes through the network.

    Args:
        e: whose network is in training mode and in the state before the batch; its buffers change.
        images: of the batch.
    """
    images = images.to(e.device)
    if not _is_finite(images):
        return "the images themselves"
    found: list[str] = []
    with _watched(e.model, found), computing_in(e.precision, e.device):
        e.model(images)
    return found[0] if found else f"the loss ({type(e.loss).__name__})"


def names_of(e: Experiment, epoch: int, numbers: Sequence[int]) -> str:
    """Return in words which samples some training batches have, all from 0."""
    keys = [key for number in numbers for key in e.train.keys_of_batch(epoch, number)]
    names = ", ".join(sample_name(e.train.dataset, key) for key in keys[:MAX_NAMES])
    more = len(keys) - MAX_NAMES
    return f"{names} and {more} more" if more > 0 else names


@contextmanager
def _watched(model: nn.Module, found: list[str]) -> Iterator[None]:
    """Note the layers whose output is not finite, in the order in which they compute it."""

    def watch(name: str, layer: nn.Module) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensors = output if isinstance(output, tuple) else (output,)
            if not all(_is_finite(tensor) for tensor in tensors):
                found.append(f"layer {name} ({type(layer).__name__})" if name else type(layer).__name__)

        return layer.register_forward_hook(hook)

    handles = [watch(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_finite(tensor: Tensor) -> bool:
    array = tensor.array
    return array.dtype.kind not in FLOATS or number_of(array_module(array).isfinite(array).all())
