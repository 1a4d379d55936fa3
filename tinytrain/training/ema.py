"""The moving average of a network's weights, which is often better than the last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.capturing import before_launch, is_replaying, lasting
from tinytrain.device import Array
from tinytrain.recording import touch
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor


class WeightAverage:
    """`a ← d a + (1 - d) w` after every step, with `d = min(decay, (1 + t) / (10 + t))` in step t from 0.

    The smaller d of the beginning lets the average forget the first weights soon. Running statistics are averaged
    likewise; whole numbers are taken as they are.

    Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016), section 8; the beginning
    as in TensorFlow's `ExponentialMovingAverage`.

    Args:
        model: whose weights are averaged, from those that it has now.
        decay: d once the beginning is over, between 0 and 1.

    Attributes:
        num_updates: how many steps it has seen.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay = model, decay
        self.num_updates = 0
        self._average = _copy(model.state_dict())
        self._shares: Array | None = None  # d and 1 - d in the memory of a GPU

    @no_grad
    def update(self) -> None:
        """Take in the weights of the model as they are now."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        if next(iter(self._average.values())).is_cuda:
            self._update_on_gpu(decay)
            return
        for name, value in self.model.state_dict().items():
            average = self._average[name]
            if value.is_floating_point():
                average.mul_(decay).add_(value * (1 - decay))
            else:
                average.copy_(value)

    def _update_on_gpu(self, decay: float) -> None:
        """Take the weights in without new memory and with d in the GPU's, so that the step can be captured."""
        if self._shares is None:
            self._shares = lasting((2,), np.float32)
        shares = self._shares

        def set_shares() -> None:
            for i, share in enumerate((decay, 1 - decay)):
                shares[i : i + 1].fill(share)

        before_launch(set_shares)
        if is_replaying():
            return
        for name, value in self.model.state_dict().items():
            average = self._average[name].strided_array()
            if value.is_floating_point():
                average *= shares[0]
                average += value.array * shares[1]
            else:
                average[...] = value.array
            touch(self._average[name])

    @property
    def arrays(self) -> list[Any]:
        """The memory of the averaged weights."""
        return [value.array for value in self._average.values()]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged weights for a while."""
        own = _copy(self.model.state_dict())
        self.model.load_state_dict(self._average)
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights by name."""
        return dict(self._average)

    def load_state_dict(self, average: Mapping[str, Tensor], num_updates: int) -> None:
        """Go on from averaged weights that have seen `num_updates` steps."""
        with no_grad():
            for name, own in self._average.items():
                own.copy_(average[name])
        self.num_updates = num_updates


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}
