"""Errors that a user can cause and mend; the command line prints them as one line each.

Python-API mistakes (a wrong shape, a wrong dtype) raise the built-in types that PyTorch raises. The classes
here are for files, configs, devices and disks: they carry the place, the reason and the remedy separately.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches


class TinytrainError(Exception):
    """A mistake outside the program, told as `place: reason. remedy`.

    Args:
        reason: what was expected and what was found, without a full stop.
        place: where: a file, `file:line`, or `file:line: key`.
        remedy: what to do about it, one sentence.
    """

    exit_code = 2

    def __init__(self, reason: str, *, place: str | os.PathLike[str] | None = None, remedy: str | None = None):
        self.reason = reason
        self.place = None if place is None else os.fspath(place)
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        text = self.reason if self.place is None else f"{self.place}: {self.reason}"
        return text if self.remedy is None else f"{text}. {self.remedy}"


class UsageError(TinytrainError):
    """The command line asks for something that does not exist or does not go together."""


class ConfigError(TinytrainError):
    """A config file, or an override, is not valid."""


class DeviceError(TinytrainError, RuntimeError):
    """The device asked for is not there. Also a RuntimeError, as in PyTorch."""


class DataError(TinytrainError):
    """A dataset is missing, incomplete or damaged."""

    exit_code = 3


class WorkerError(DataError, RuntimeError):
    """A process that loads data died, or did not answer in time. Also a RuntimeError, as in PyTorch."""


class WeightsError(TinytrainError):
    """A weights file is missing, damaged, refused, or does not fit the model."""

    exit_code = 3


class DisagreementError(TinytrainError):
    """Two computations that must agree do not: what a check found, where it was asked for."""

    exit_code = 3


class StorageError(TinytrainError):
    """Something cannot be written or read: a full disk, a read-only folder, a run folder in use."""

    exit_code = 4


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to stop.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What shells report for a program that a signal ended: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest known name, or an empty string."""
    matches = get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
