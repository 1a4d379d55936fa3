"""Seeded random numbers; on the CPU the very numbers that PyTorch draws from the same seed.

`Generator` has torch.Generator's methods. Its other methods return raw arrays and are what the random ops
call. The conversions from bits to numbers follow PyTorch's on the CPU: the order and the number of words each
draw takes are part of what people see, for `manual_seed(0)` and then `rand(3)` shall print the same three
numbers.

Equal to PyTorch to the bit: uniform, integer, permutation, Bernoulli and multinomial draws, and normal draws
of fewer than 16 numbers. Equal to one or two units in the last place: longer normal draws in float32 (PyTorch
evaluates log, sin and cos by its own polynomials), and exponential draws. Different: PyTorch on an Intel CPU
takes Bernoulli (hence dropout) and exponential draws from a generator inside Intel's MKL; here they come from
the Mersenne twister, as in PyTorch on every other CPU. On a GPU the numbers are others than PyTorch's.
"""

from __future__ import annotations

import contextlib
import math
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytrain.bits import MersenneTwister, SplitMix
from tinytrain.device import CPU, Array, choose, device, module_of, move, number_of, require
from tinytrain.dtypes import FLOATS, is_low
from tinytrain.random_streams import seed_process_stream
from tinytrain.tensor import Tensor, share

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "generator_of",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]

_DEFAULT_SEED = 67280421310721  # of a generator nobody has seeded; torch's
_WIDE_RANGE = 1 << 28  # integer ranges from here on take 64-bit words
_LONG_PERMUTATION = (1 << 32) // 20  # permutations from here on take 64-bit words
_DIGITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}  # bits of a significand


class Generator:
    """A stream of random numbers with a seed and a state that can be saved.

    Args:
        device: where the numbers are made: `"cpu"`, `"cuda"` or `"cuda:N"`.
    """

    def __init__(self, device: device | str | int = "cpu"):
        self._device = require(device)
        self.manual_seed(_DEFAULT_SEED)

    @property
    def device(self) -> device:
        """Where the numbers are made."""
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew.

        Args:
            seed: from -2^63 to 2^64 - 1; a negative seed s stands for 2^64 + s.

        Returns:
            The generator itself.

        Raises:
            ValueError: the seed does not fit 64 bits.
        """
        seed = int(seed)
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError(f"Overflow when unpacking long long: `seed` (={seed}) must lie in [-2^63, 2^64)")
        xp, seed = module_of(self._device), seed % (1 << 64)
        self._source: MersenneTwister | SplitMix = MersenneTwister(seed) if xp is np else SplitMix(seed, xp)
        self._spare: float | None = None  # the second number of a pair of normal ones, not handed out yet
        return self

    def seed(self) -> int:
        """Start the stream anew from a seed that the operating system draws, and return that seed."""
        seed = secrets.randbits(53)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """Return the seed the stream was started from."""
        return self._source.seed

    def get_state(self) -> Tensor:
        """Return seed and position as a uint8 tensor; on the CPU laid out as PyTorch's, 5056 bytes."""
        return share(self._source.state(self._spare))

    def set_state(self, state: Tensor) -> None:
        """Go on from where `get_state` was called.

        Raises:
            TypeError: the state is not a uint8 tensor.
            RuntimeError: the state has the wrong size for this device.
        """
        if not isinstance(state, Tensor) or state.array.dtype != np.uint8:
            found = state.dtype if isinstance(state, Tensor) else type(state).__name__
            raise TypeError(f"RNG state must be a torch.ByteTensor; got {found}")
        content = move(state.array, CPU)
        if isinstance(self._source, MersenneTwister):
            self._source, self._spare = MersenneTwister.from_state(content)
        else:
            self._source, self._spare = SplitMix.from_state(content, self._source.xp)

    def uniform(self, shape: tuple[int, ...], dtype: Any, low: float = 0.0, high: float = 1.0) -> Array:
        """Draw from the uniform distribution over [low, high).

        Args:
            shape: of the array returned.
            dtype: a floating NumPy dtype; 16 bits are drawn as float32 and rounded.
            low: the smallest value possible.
            high: the bound that is not reached.

        Returns:
            An array of `shape` and `dtype`: `low + (high - low) w / 2^d`, w the d lower bits of a word, d the
            dtype's significand.
        """
        dtype = np.dtype(dtype)
        work = _work_dtype(dtype)
        low, high = work.type(low), work.type(high)
        numbers = self._unit(math.prod(shape), work)
        if (low, high) != (0, 1):
            numbers = numbers.astype(np.float64)  # here the product of two float32 is exact, as in a fused multiply-add
            numbers *= float(high - low)
            numbers += float(low)
        numbers = numbers.astype(dtype, copy=False)
        return choose(numbers == dtype.type(high), dtype.type(low), numbers, dtype).reshape(shape)

    def normal(self, shape: tuple[int, ...], dtype: Any, mean: float = 0.0, std: float = 1.0) -> Array:
        """Draw from the normal distribution by the Box-Muller transform.

        Sixteen numbers and more are drawn in blocks of 16: eight uniforms make radii, the next eight angles.
        When the count is no multiple of 16, the last 16 numbers are drawn again. Fewer numbers come in pairs,
        in float64; the half of a pair that is left over is kept for the next short draw.

        Args:
            shape: of the array returned.
            dtype: a floating NumPy dtype.
            mean: of the distribution.
            std: its standard deviation, at least 0.

        Returns:
            An array of `shape` and `dtype`.
        """
        dtype = np.dtype(dtype)
        count = math.prod(shape)
        if count < 16:
            numbers = self._paired_normals(count) * std + mean
        else:
            work = _work_dtype(dtype)
            whole = count // 16 * 16
            units = self._unit(whole if is_low(dtype) else count, work)  # as PyTorch spends its words
            numbers = _box_muller(units[:whole], self._source.xp)
            if count % 16:
                last = _box_muller(self._unit(16, work), self._source.xp)
                numbers = self._source.xp.concatenate((numbers[: count - 16], last))
            numbers = numbers * work.type(std) + work.type(mean)
        return numbers.astype(dtype).reshape(shape)

    def integers(self, shape: tuple[int, ...], dtype: Any, low: int | None = None, high: int | None = None) -> Array:
        """Draw integers from [low, high), or over all that `dtype` holds without gaps from 0 up.

        Args:
            shape: of the array returned.
            dtype: any real NumPy dtype.
            low: the smallest value possible; None with `high` None: the whole range of the dtype.
            high: the bound that is not reached.

        Returns:
            An array of `shape` and `dtype`. Values are remainders of words, as PyTorch's: for ranges below
            2^28 the bias is under 7 %.
        """
        dtype, count = np.dtype(dtype), math.prod(shape)
        if low is None or high is None:
            low, span = 0, _full_span(dtype)
            wide = dtype.itemsize == 8
        else:
            span = high - low
            wide = span >= _WIDE_RANGE
        words = self._source.words64(count) if wide else self._source.words32(count)
        numbers = (words % np.uint64(span)).astype(np.int64) + low
        return numbers.astype(dtype).reshape(shape)

    def permutation(self, count: int) -> Array:
        """Draw an order of the integers 0 to count - 1: by Fisher-Yates on the CPU, by sorting words on a GPU.

        Returns:
            An int64 array (count,).
        """
        if self._source.xp is not np:
            return self._source.words64(count).argsort().astype(np.int64)
        draws = max(count - 1, 0)
        words = self._source.words32(draws) if count < _LONG_PERMUTATION else self._source.words64(draws)
        steps = words % np.arange(count, 1, -1, dtype=np.uint64)
        return _shuffled(steps.astype(np.int64) + np.arange(draws), count)

    def bernoulli(self, shape: tuple[int, ...], probability: Any) -> Array:
        """Draw True with the probability given.

        Args:
            shape: of the array returned.
            probability: a number (compared with float64 uniforms) or an array broadcast to `shape` (compared
                with uniforms of its dtype), in [0, 1].

        Returns:
            A bool array of `shape`.
        """
        work = _work_dtype(probability.dtype) if hasattr(probability, "dtype") else np.dtype(np.float64)
        return self._unit(math.prod(shape), work).reshape(shape) < probability

    def exponential(self, shape: tuple[int, ...], dtype: Any, rate: float = 1.0) -> Array:
        """Draw from the exponential distribution with density rate exp(-rate x) by inversion, in float64.

        Returns:
            An array of `shape` and `dtype`, mean 1 / rate.
        """
        unit = self._unit(math.prod(shape), np.dtype(np.float64))
        return (-1.0 / rate * self._source.xp.log1p(-unit)).astype(dtype).reshape(shape)

    def multinomial(self, weights: Array, count: int, replacement: bool) -> Array:
        """Draw indices with probabilities in proportion to weights.

        Without replacement an index's weight is divided by an exponential draw and the largest quotients win
        (Efraimidis and Spirakis, 2006); with it, uniforms are looked up in the cumulative weights.

        Args:
            weights: floating array (rows, n), at least 0, each row with a sum above 0.
            count: indices per row.
            replacement: whether an index may come twice.

        Returns:
            An int64 array (rows, count).
        """
        xp = self._source.xp
        if not replacement or count == 1:
            quotients = weights / self.exponential(weights.shape, weights.dtype)
            return xp.argsort(-quotients, axis=1)[:, :count]
        cumulative = xp.cumsum(weights, axis=1, dtype=weights.dtype)
        cumulative = cumulative / cumulative[:, -1:]
        units = self._unit(weights.shape[0] * count, np.dtype(np.float64)).reshape(-1, count)
        drawn = [xp.searchsorted(row, unit) for row, unit in zip(cumulative, units, strict=True)]
        return xp.stack(drawn).astype(np.int64)

    def _unit(self, count: int, dtype: np.dtype) -> Array:
        """Uniform numbers over [0, 1): the lower bits of words, as many as the significand holds."""
        digits = _DIGITS[dtype.name]
        words = self._source.words64(count) if digits > 32 else self._source.words32(count)
        words &= np.uint64((1 << digits) - 1)
        unit = words.astype(dtype)
        unit *= dtype.type(2.0**-digits)
        return unit

    def _paired_normals(self, count: int) -> Array:
        xp = self._source.xp
        kept = [] if self._spare is None or count == 0 else [self._spare]
        pairs = (count - len(kept) + 1) // 2
        angle, unit = self._unit(2 * pairs, np.dtype(np.float64)).reshape(pairs, 2).T
        radius, angle = xp.sqrt(-2.0 * xp.log1p(-unit)), 2.0 * math.pi * angle
        fresh = xp.stack((radius * xp.cos(angle), radius * xp.sin(angle)), axis=1).ravel()
        numbers = xp.concatenate((xp.asarray(kept, dtype=np.float64), fresh))
        if count:
            self._spare = number_of(numbers[count]) if len(numbers) > count else None
        return numbers[:count]


def _shuffled(swaps: np.ndarray, count: int) -> np.ndarray:
    """Return what 0 ... count - 1 become when place i changes with place swaps[i] >= i, one i after the other.

    Step i leaves for good, in place i, what place j = swaps[i] held; j then holds what place i held. So what a place
    holds was put there by the last earlier step that named it, and comes from that step's own place: a chain of
    places that is followed in array code, for all of them at once, twice as far each time.

    Args:
        swaps: (max(count - 1, 0),) places.
        count: of the places.
    """
    steps = np.arange(len(swaps))
    by_place = np.argsort(swaps * max(count, 1) + steps)  # by place, then by step
    same = np.flatnonzero(swaps[by_place[1:]] == swaps[by_place[:-1]])
    earlier = np.full(len(swaps), -1)  # the last step before each that named the same place
    earlier[by_place[1:][same]] = by_place[:-1][same]
    last = np.full(count, -1)  # the last step before step p that named place p
    last[swaps] = steps
    itself = np.flatnonzero(last[:-1] == steps) if count else steps
    last[itself] = earlier[itself]
    origin = np.where(last < 0, np.arange(count), last)
    while not np.array_equal(further := origin[origin], origin):
        origin = further
    return np.concatenate((np.where(earlier < 0, swaps, origin[earlier]), origin[-1:]))


def _work_dtype(dtype: np.dtype) -> np.dtype:
    """float64 for float64, float32 for the shorter types."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def _full_span(dtype: np.dtype) -> int:
    """Count of the integers from 0 up that a dtype represents without gaps."""
    if dtype.kind in FLOATS:
        return (1 << _DIGITS[dtype.name]) + 1
    return 2 if dtype.kind == "b" else int(np.iinfo(dtype).max) + 1


def _box_muller(unit: Array, xp: Any) -> Array:
    """Turn uniform numbers, in blocks of 16, into normal ones."""
    unit = unit.reshape(-1, 2, 8)
    radius = xp.sqrt(-2 * xp.log(1 - unit[:, 0]))
    angle = unit.dtype.type(2 * math.pi) * unit[:, 1]
    return xp.stack((radius * xp.cos(angle), radius * xp.sin(angle)), axis=1).ravel()


default_generator = Generator()
_cuda_generators: dict[int, Generator] = {}


def generator_of(where: device, generator: Generator | None = None) -> Generator:
    """Return the generator to draw from for a result on a device.

    Args:
        where: the device of the result.
        generator: what the caller named; None: the default generator of the device.

    Raises:
        RuntimeError: the generator is one of another kind of device.
    """
    if generator is not None:
        if generator.device.type != where.type:
            raise RuntimeError(
                f"Expected a '{where.type}' device type for generator but found '{generator.device.type}'"
            )
        return generator
    if where.type == "cpu":
        return default_generator
    index = require(where).index or 0
    if index not in _cuda_generators:
        _cuda_generators[index] = Generator(device("cuda", index)).manual_seed(default_generator.initial_seed())
    return _cuda_generators[index]


def stream_of(where: device) -> object:
    """Return what numbers for results on a device are drawn from: another object after a new seed or a new state."""
    return generator_of(where)._source


def manual_seed(seed: int) -> Generator:
    """Start the default generators of all devices, and the random streams, anew from `seed`; return the CPU's."""
    seed_process_stream(int(seed))
    for each in _cuda_generators.values():
        each.manual_seed(seed)
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default generators anew from a seed that the operating system draws, and return that seed."""
    drawn = default_generator.seed()
    manual_seed(drawn)
    return drawn


def initial_seed() -> int:
    """Return the seed that the CPU's default generator was started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Return the state of the CPU's default generator as a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Set the state of the CPU's default generator; see `Generator.set_state`."""
    default_generator.set_state(state)


@contextlib.contextmanager
def fork_rng(enabled: bool = True) -> Iterator[None]:
    """Put the default generators' states back at the end of a block.

    Args:
        enabled: False: do nothing.
    """
    generators = [default_generator, *_cuda_generators.values()] if enabled else []
    states = [each.get_state() for each in generators]
    try:
        yield
    finally:
        for each, state in zip(generators, states, strict=True):
            each.set_state(state)
