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
    """`a ← a + (1 - d) (w - a)` after every step, with `d = min(decay, (1 + t) / (10 + t))` in step t from 0.

    So weights that do not change are their own average, to the bit. The smaller d of the beginning lets the average
    forget the first weights soon. Running statistics are averaged
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
        self._share: Array | None = None  # 1 - d in the memory of a GPU

    @no_grad
    def update(self) -> None:
        """Take in the weights of the model as they are now."""
        share = 1 - min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        if next(iter(self._average.values())).is_cuda:
            self._update_on_gpu(share)
            return
        for name, value in self.model.state_dict().items():
            average = self._average[name]
            if value.is_floating_point():
                average.add_((value - average) * share)
            else:
                average.copy_(value)

    def _update_on_gpu(self, share: float) -> None:
        """Take the weights in with 1 - d in the GPU's memory, so that the step can be captured."""
        if self._share is None:
            self._share = lasting((1,), np.float32)
        held = self._share
        before_launch(lambda: held.fill(share))
        if is_replaying():
            return
        for name, value in self.model.state_dict().items():
            average = self._average[name].strided_array()
            if value.is_floating_point():
                average += (value.array - average) * held
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
