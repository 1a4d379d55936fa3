"""Mixing the images of training batches as they are collated: mixup, CutMix, or either at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytrain.tensor import Tensor
from tinytrain.transforms import CutMix, MixUp, RandomChoice
from tinytrain.utils.data import default_collate


class MixingCollate:
    """A loader's collate function: `default_collate`, then one of the mixes.

    What it draws comes from the random stream of the batch, so it depends on seed, epoch and the batch's number alone.

    Args:
        num_classes: length of the mixed labels.
        mixup_alpha: both parameters of mixup's beta distribution; None: no mixup.
        cutmix_alpha: those of CutMix; None: no CutMix. With both, each batch gets either with equal chance.

    Raises:
        ValueError: neither is given.
    """

    def __init__(self, num_classes: int, *, mixup_alpha: float | None = None, cutmix_alpha: float | None = None):
        mixes: list[Any] = []
        if mixup_alpha is not None:
            mixes.append(MixUp(alpha=mixup_alpha, num_classes=num_classes))
        if cutmix_alpha is not None:
            mixes.append(CutMix(alpha=cutmix_alpha, num_classes=num_classes))
        if not mixes:
            raise ValueError("MixingCollate: give `mixup_alpha`, `cutmix_alpha` or both")
        self.mix = mixes[0] if len(mixes) == 1 else RandomChoice(mixes)

    def __call__(self, samples: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Return images (n, c, h, w) and labels (n, num_classes), each row a distribution."""
        return self.after_collation(default_collate(list(samples)))

    def after_collation(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Mix a batch that is collated already; the loader gives one where the data set makes whole batches."""
        images, labels = batch
        return self.mix(images, labels)
