"""What a model gets most wrong, to be looked at."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tinytrain import nn
from tinytrain.device import CPU, move
from tinytrain.device import device as Device
from tinytrain.ops.softmax import softmax
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor, wrap


@dataclass(frozen=True)
class Mistake:
    """An image that a model took for something else.

    Attributes:
        image: (c, h, w) as the network gets it, on the CPU.
        target: index of its class.
        prediction: index of the class that the model found likeliest.
        probability: of that class, 0 to 1.
        target_probability: of the image's own class, 0 to 1; the loss is minus its logarithm.
    """

    image: Tensor
    target: int
    prediction: int
    probability: float
    target_probability: float


@no_grad
def worst_mistakes(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, count: int, device: Device
) -> list[Mistake]:
    """Return the wrongly classified images with the highest cross-entropy, the worst first.

    Args:
        model: gives logits (n, classes); it runs in evaluation mode, its mode is put back.
        batches: images and class indices.
        count: at most so many; fewer where there are fewer mistakes.
        device: where the model lies; batches are moved there.
    """
    was_training = model.training
    model.eval()
    worst: list[Mistake] = []
    for images, targets in batches:
        probabilities = move(softmax(model(images.to(device, non_blocking=True)), dim=1).array, CPU)
        labels, pixels = move(targets.array, CPU), move(images.array, CPU)
        found = [
            Mistake(
                image=wrap(np.array(pixels[i])),
                target=int(labels[i]),
                prediction=int(probabilities[i].argmax()),
                probability=float(probabilities[i].max()),
                target_probability=float(probabilities[i, labels[i]]),
            )
            for i in np.flatnonzero(probabilities.argmax(axis=1) != labels)
        ]
        worst = heapq.nsmallest(count, [*worst, *found], key=lambda mistake: mistake.target_probability)
    model.train(was_training)
    return worst
