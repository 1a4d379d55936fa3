"""Random numbers that depend on (seed, epoch, sample index, draw number) and on nothing else.

A sequential generator gives a sample different numbers when another sample is drawn before it, so its batches
change with the number of loader workers. Here every number is a pure function of its address: the counter-based
generator Philox4x32-10 encrypts the counter (index, epoch, draw) under the key `seed`. The same function takes
Python integers (one sample) and NumPy arrays (a batch at once) and gives the same bits for both.

The loader sets the current stream around each sample; a transform asks `current_stream()` for it:

    if current_stream().uniform() < self.p: ...

Code that transforms a batch as one array is given the samples' streams side by side, a `BatchStream`.

Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), section 3.3.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from tinytrain.capturing import refuse

_MASK32 = 0xFFFFFFFF
BATCH_INDEX = 1 << 63  # batch-level streams live at this index and above, out of every sample's way
_PROCESS_EPOCH = _MASK32  # the epoch whose numbers only the process-wide stream uses
_LASTING_EPOCH = _MASK32 - 1  # the epoch whose numbers hold for all of them


def random_bits(seed: int, epoch: int, index: Any, draw: Any) -> Any:
    """Return the 64 random bits at an address.

    Args:
        seed: the key, its lower 64 bits count.
        epoch: from 0 to 2**32 - 1.
        index: of the sample, from 0 to 2**64 - 1: an int, or a uint64 array.
        draw: the number of the draw within the sample, from 0 to 2**32 - 1: an int, or a uint64 array that
            broadcasts with `index`.

    Returns:
        An int, or a uint64 array of the broadcast shape.
    """
    x0, x1, x2, x3 = index & 0xFFFFFFFF, index >> 32, epoch & 0xFFFFFFFF, draw
    for key0, key1 in _round_keys(seed):
        a, b = x0 * 0xD2511F53, x2 * 0xCD9E8D57
        x0, x1, x2, x3 = (b >> 32) ^ x1 ^ key0, b & 0xFFFFFFFF, (a >> 32) ^ x3 ^ key1, a & 0xFFFFFFFF
    return (x1 << 32) | x0


@functools.lru_cache(maxsize=8)
def _round_keys(seed: int) -> list[tuple[int, int]]:
    """Return the two 32-bit keys of each of the ten rounds: a Weyl sequence from the seed."""
    return [
        (((seed & _MASK32) + i * 0x9E3779B9) & _MASK32, ((seed >> 32) + i * 0xBB67AE85) & _MASK32) for i in range(10)
    ]


class SampleStream:
    """The random numbers of one sample in one epoch, in the order they are asked for.

    Args:
        seed: of the run.
        epoch: from 0.
        index: of the sample in its dataset.
    """

    def __init__(self, seed: int, epoch: int, index: int):
        self.seed, self.epoch, self.index = seed, epoch, int(index)
        self._draw = self._lasting_draw = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(seed={self.seed}, epoch={self.epoch}, index={self.index})"

    def bits(self) -> int:
        """Return the next 64 random bits as an int."""
        value = random_bits(self.seed, self.epoch, self.index, self._draw)
        self._draw += 1
        return value

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number from [low, high) with 53 random bits."""
        return low + (high - low) * _fraction(self.bits())

    def integers(self, low: int, high: int) -> int:
        """Return an integer from low to high - 1."""
        return low + int((high - low) * self.uniform())

    def lasting_uniform(self) -> float:
        """Return a number from [0, 1) that is the sample's own in every epoch."""
        bits = random_bits(self.seed, _LASTING_EPOCH, self.index, self._lasting_draw)
        self._lasting_draw += 1
        return _fraction(bits)

    def permutation(self, n: int) -> list[int]:
        """Return 0 .. n - 1 in random order (the order that sorts `n` draws)."""
        draws = [self.bits() for _ in range(n)]
        return sorted(range(n), key=draws.__getitem__)

    def generator(self) -> np.random.Generator:
        """Return a NumPy generator seeded by the next draw, for distributions that are not offered here."""
        return np.random.Generator(np.random.Philox(self.bits()))


class BatchStream:
    """The streams of many samples side by side: each method draws once for every sample.

    Row i gives, draw for draw, what `SampleStream(seed, epoch, indices[i])` gives.

    Args:
        seed: of the run.
        epoch: from 0.
        indices: (n,) indices of the samples in their dataset.
    """

    def __init__(self, seed: int, epoch: int, indices: Any):
        self.seed, self.epoch = seed, epoch
        self.indices = np.asarray(indices, dtype=np.uint64)
        self._rows = np.arange(len(self.indices))
        self._draws, self._lasting_draw = np.zeros(len(self.indices), dtype=np.int64), 0
        self._ahead = _NumbersAhead(seed, epoch, self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self, selection: np.ndarray) -> BatchStream:
        """Return the streams of some rows; what they draw moves on these rows alone.

        Args:
            selection: a boolean mask (n,) or integer rows without repetition.
        """
        part = BatchStream.__new__(BatchStream)
        part.seed, part.epoch, part.indices = self.seed, self.epoch, self.indices[selection]
        part._rows = self._rows[selection]
        part._draws, part._lasting_draw, part._ahead = self._draws, self._lasting_draw, self._ahead
        return part

    def bits(self) -> np.ndarray:
        """Return the next 64 random bits of every sample: (n,) uint64."""
        draws = self._draws[self._rows]
        self._draws[self._rows] = draws + 1
        return self._ahead.at(self._rows, draws)

    def uniform(self, low: Any = 0.0, high: Any = 1.0) -> np.ndarray:
        """Return (n,) float64 numbers from [low, high); the bounds are numbers or (n,) arrays."""
        return low + (high - low) * _fraction(self.bits())

    def integers(self, low: Any, high: Any) -> np.ndarray:
        """Return (n,) int64 numbers from low to high - 1; the bounds are integers or (n,) arrays."""
        return low + ((high - low) * self.uniform()).astype(np.int64)

    def lasting_uniform(self) -> np.ndarray:
        """Return (n,) float64 numbers from [0, 1), each its sample's own in every epoch."""
        bits = random_bits(self.seed, _LASTING_EPOCH, self.indices, np.uint64(self._lasting_draw))
        self._lasting_draw += 1
        return _fraction(bits)

    def generators(self) -> list[np.random.Generator]:
        """Return one NumPy generator for every sample, seeded by its next draw."""
        return [np.random.Generator(np.random.Philox(int(bits))) for bits in self.bits()]


class _NumbersAhead:
    """The first draws of every sample of a batch, made some at a time: one call's overhead is most of its cost."""

    STEP = 4

    def __init__(self, seed: int, epoch: int, indices: np.ndarray):
        self._address = seed, epoch, indices[:, None]
        self._bits = np.empty((len(indices), 0), dtype=np.uint64)

    def at(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Return the bits of some samples, each at its own draw number."""
        while len(draws) and draws.max() >= self._bits.shape[1]:
            start = self._bits.shape[1]
            more = random_bits(*self._address, np.arange(start, start + self.STEP, dtype=np.uint64))
            self._bits = np.concatenate([self._bits, more], axis=1)
        return self._bits[rows, draws]


class _ProcessStream(SampleStream):
    """The stream outside any loader: sequential, seeded by `manual_seed`, else by the system."""

    def __init__(self, seed: int):
        super().__init__(seed, _PROCESS_EPOCH, 0)

    def bits(self) -> int:
        refuse("random numbers are drawn on the host")
        self.index, draw = divmod(self._draw, 1 << 32)
        self._draw += 1
        return random_bits(self.seed, self.epoch, self.index, draw)

    def lasting_uniform(self) -> float:
        return self.uniform()  # there are no epochs here


_process_stream = _ProcessStream(int.from_bytes(os.urandom(8), "little"))
_current: ContextVar[SampleStream | None] = ContextVar("current_stream", default=None)


def seed_process_stream(seed: int) -> None:
    """Restart the stream that is current outside any loader; `manual_seed` calls this."""
    global _process_stream
    _process_stream = _ProcessStream(seed)


def current_stream() -> SampleStream:
    """Return the stream of the sample being loaded, or the process-wide one outside any loader."""
    return _current.get() or _process_stream


@contextmanager
def sample_stream(seed: int, epoch: int, index: int) -> Iterator[SampleStream]:
    """Make one sample's stream the current one in this context."""
    stream = SampleStream(seed, epoch, index)
    token = _current.set(stream)
    try:
        yield stream
    finally:
        _current.reset(token)


def _fraction(bits: Any) -> Any:
    """Return the number from [0, 1) that the upper 53 of 64 random bits make."""
    return (bits >> 11) * 2.0**-53
