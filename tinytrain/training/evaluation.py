"""Scores of a model over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tinytrain import nn
from tinytrain.device import device as Device
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor
from tinytrain.threads import one_blas_thread
from tinytrain.training.metrics import Meter, Scores
from tinytrain.utils.data.placement import prefetched


@no_grad
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    num_classes: int,
    device: Device,
    topk: Sequence[int] = (1, 5),
    watch: Callable[[Tensor, Tensor], None] | None = None,
) -> Scores:
    """Return the scores of a model in evaluation mode; its mode is put back.

    Args:
        model: gives logits (n, classes).
        batches: images and class indices.
        loss: from logits and targets to the mean loss.
        num_classes: how many classes there are.
        device: where the model lies; batches are moved there while it still works on those before.
        topk: which k to count.
        watch: is given the logits and targets of every batch.
    """
    was_training = model.training
    model.eval()
    meter = Meter(num_classes, topk, device)
    with one_blas_thread():
        for images, targets in prefetched(batches, device):
            logits = model(images)
            meter.update(logits, targets, loss(logits, targets))
            if watch is not None:
                watch(logits, targets)
    model.train(was_training)
    return meter.scores()
