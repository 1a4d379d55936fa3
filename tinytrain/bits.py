"""Sources of random bits: a seed and a position in, unsigned words out, on the host and on a GPU.

Both sources have one interface (`words32`, `words64`, `state`, and the array module `xp` their words live
in), so that `generator.py` turns words into numbers once for every device.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytrain.capturing import at_every_launch, before_launch, is_capturing, lasting, refuse

_WORDS = 624  # length of the Mersenne twister's state, in 32-bit words

# PyTorch's layout of a CPU generator's state (5056 bytes), so that states can be handed from one to the
# other. `left` counts the words until the next refill plus one; `next` is the position in `words`.
_TORCH_STATE = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "words", "spare", "has_spare"],
        "formats": ["<u8", "<i4", "<i4", "<u8", ("<u8", _WORDS), "<f8", "<i4"],
        "offsets": [0, 8, 12, 16, 24, 5024, 5040],
        "itemsize": 5056,
    }
)
_ON_THE_HOST = "random numbers are drawn on the host"
_COUNTER_STATE = np.dtype([("seed", "<u8"), ("position", "<u8"), ("spare", "<f8"), ("has_spare", "<i8")])


class MersenneTwister:
    """The 32-bit Mersenne twister MT19937, seeded as PyTorch's CPU generator is.

    Source: Matsumoto and Nishimura, "Mersenne Twister" (ACM TOMACS 8, 1998), with the 2002 initialisation.
        NumPy's
    bit generator is the same recurrence; only the seeding differs and is done here.

    Args:
        seed: any integer of 64 bits; the lower 32 seed the words.
    """

    xp = np

    def __init__(self, seed: int):
        self.seed = seed
        words = np.empty(_WORDS, np.uint32)
        word = seed & 0xFFFFFFFF
        for i in range(_WORDS):
            words[i] = word
            word = (1812433253 * (word ^ (word >> 30)) + i + 1) & 0xFFFFFFFF
        self._twister = np.random.MT19937()
        self._set(words, _WORDS)

    def words32(self, count: int) -> np.ndarray:
        """Return the next `count` words of 32 bits, as uint64."""
        refuse(_ON_THE_HOST)
        return self._twister.random_raw(count)

    def words64(self, count: int) -> np.ndarray:
        """Return the next `count` words of 64 bits, each from two of 32, the upper half first."""
        refuse(_ON_THE_HOST)
        halves = self._twister.random_raw(2 * count).reshape(count, 2)
        words = halves[:, 0] << np.uint64(32)
        words |= halves[:, 1]
        return words

    def state(self, spare: float | None) -> np.ndarray:
        """Return the seed, the position and a spare normal number as 5056 bytes, laid out as PyTorch's."""
        inner: Any = self._twister.state["state"]
        position = int(inner["pos"])
        record = np.zeros((), _TORCH_STATE)
        record["seed"], record["seeded"], record["words"] = self.seed, 1, inner["key"]
        record["left"], record["next"] = _WORDS + 1 - position, position % _WORDS
        record["spare"], record["has_spare"] = spare or 0.0, spare is not None
        return np.frombuffer(record.tobytes(), np.uint8).copy()

    @classmethod
    def from_state(cls, state: np.ndarray) -> tuple[MersenneTwister, float | None]:
        """Return the source that `state` was taken from, and the spare normal number."""
        record = _read_state(state, _TORCH_STATE)
        source = cls(int(record["seed"]))
        source._set(record["words"].astype(np.uint32), _WORDS + 1 - int(record["left"]))
        return source, float(record["spare"]) if record["has_spare"] else None

    def _set(self, words: np.ndarray, position: int) -> None:
        self._twister.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": position}}


class SplitMix:
    """A counter-based source for a GPU: word number i is a hash of seed and i, so that all can be made at
    once.

    Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014), its
        `mix64`.

    Args:
        seed: any integer of 64 bits.
        xp: the array module the words are made with.
        position: number of words already drawn.
    """

    def __init__(self, seed: int, xp: Any, position: int = 0):
        self.seed, self.xp, self.position = seed, xp, position

    def words32(self, count: int) -> Any:
        """Return the next `count` words of 32 bits, as uint64."""
        return self.words64(count) >> self.xp.uint64(32)

    def words64(self, count: int) -> Any:
        """Return the next `count` words of 64 bits."""
        xp = self.xp
        start = _mix64(np.array([self.seed & 0xFFFFFFFFFFFFFFFF], np.uint64), np)[0]
        index = xp.arange(1, count + 1, dtype=xp.uint64) + self._advance(count)
        return _mix64(index * xp.uint64(0x9E3779B97F4A7C15) + xp.uint64(start), xp)

    def _advance(self, count: int) -> Any:
        """Go on by `count` words, and return where they begin: (1,), brought up to date for every launch of a graph."""
        number = lasting((1,), np.uint64) if is_capturing() else self.xp.empty(1, np.uint64)
        position = self.position

        def go_on() -> None:
            number.fill(self.position)
            self.position += count

        before_launch(lambda: number.fill(position))
        self.position += count
        if is_capturing():
            at_every_launch(go_on)
        return number

    def state(self, spare: float | None) -> np.ndarray:
        """Return the seed, the position and a spare normal number as 32 bytes."""
        record = np.zeros((), _COUNTER_STATE)
        record["seed"], record["position"] = self.seed & 0xFFFFFFFFFFFFFFFF, self.position
        record["spare"], record["has_spare"] = spare or 0.0, spare is not None
        return np.frombuffer(record.tobytes(), np.uint8).copy()

    @classmethod
    def from_state(cls, state: np.ndarray, xp: Any) -> tuple[SplitMix, float | None]:
        """Return the source that `state` was taken from, and the spare normal number."""
        record = _read_state(state, _COUNTER_STATE)
        source = cls(int(record["seed"]), xp, int(record["position"]))
        return source, float(record["spare"]) if record["has_spare"] else None


def _mix64(z: Any, xp: Any) -> Any:
    z = (z ^ (z >> xp.uint64(30))) * xp.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> xp.uint64(27))) * xp.uint64(0x94D049BB133111EB)
    return z ^ (z >> xp.uint64(31))


def _read_state(state: np.ndarray, layout: np.dtype) -> np.ndarray:
    if state.size != layout.itemsize:
        raise RuntimeError(f"RNG state has the wrong size: expected {layout.itemsize} bytes, got {state.size}")
    return np.frombuffer(state.tobytes(), layout)[0]
