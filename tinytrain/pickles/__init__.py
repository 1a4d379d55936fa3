"""Pickles read as data: nothing that a file names is imported or called."""

from tinytrain.pickles.arrays import NUMPY_NAMES
from tinytrain.pickles.machine import (
    Global,
    PickleDamaged,
    PickleError,
    Unbuilt,
    expect,
    plain_key,
    read_values,
    visible,
)

__all__ = [
    "NUMPY_NAMES",
    "Global",
    "PickleDamaged",
    "PickleError",
    "Unbuilt",
    "expect",
    "plain_key",
    "read_values",
    "visible",
]
