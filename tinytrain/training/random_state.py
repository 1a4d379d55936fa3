"""The state of all random numbers that a training draws: the CPU's generator, and the GPU's where it learns there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinytrain.device import CPU, device, move
from tinytrain.generator import generator_of
from tinytrain.tensor import wrap

_NAMES = {"cpu": "random", "cuda": "random_cuda"}


def random_state(where: device) -> dict[str, np.ndarray]:
    """Return the states of the default generators that a training on a device draws from, by the name of each."""
    return {_NAMES[each.type]: move(generator_of(each).get_state().array, CPU) for each in _drawn_from(where)}


def set_random_state(where: device, states: Mapping[str, np.ndarray]) -> None:
    """Set what `random_state` returned; a generator whose state was not saved goes on as it is."""
    for each in _drawn_from(where):
        if _NAMES[each.type] in states:
            generator_of(each).set_state(wrap(states[_NAMES[each.type]]))


def _drawn_from(where: device) -> tuple[device, ...]:
    """Return the devices whose generators a training on a device draws from."""
    return (CPU,) if where.type == "cpu" else (CPU, where)
