"""The order in which samples are asked for, with PyTorch's names, arguments and random draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from tinytrain.generator import Generator, default_generator
from tinytrain.tensor import Tensor

T = TypeVar("T", covariant=True)


class Sampler(Generic[T]):
    """An iterable of keys, or of lists of keys: subclasses define `__iter__`, and `__len__` where there is one."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... to the length of `data_source`."""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order, every one once or with replacement.

    Args:
        data_source: what has the length.
        replacement: whether an index may come twice before all have come.
        num_samples: how many to draw, by default the length.
        generator: draws the order; by default each pass seeds a new one from the global generator.

    Raises:
        TypeError: `replacement` is no bool.
        ValueError: `num_samples` is not positive.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ):
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        _check_count(self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices one pass draws."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, count = len(self.data_source), self.num_samples
        generator = self.generator or Generator().manual_seed(draw_seed(default_generator))
        if self.replacement:
            for start in range(0, count, 32):  # PyTorch draws 32 at a time, and so many words are used
                size = min(32, count - start)
                yield from generator.integers((size,), np.int64, 0, n).tolist()
            return
        for _ in range(count // n):
            yield from generator.permutation(n).tolist()
        yield from generator.permutation(n)[: count % n].tolist()  # drawn even for none, as in PyTorch

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order.

    Args:
        indices: what to choose from.
        generator: draws the order; by default the global one.
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in (self.generator or default_generator).permutation(len(self.indices)).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with probabilities in proportion to weights.

    Args:
        weights: one for each index, at least 0.
        num_samples: how many to draw.
        replacement: whether an index may come twice.
        generator: draws; by default the global one.

    Raises:
        ValueError: `num_samples` is not positive, `replacement` no bool, or the weights are not one-dimensional.
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ):
        _check_count(num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        values = np.asarray(weights.array if isinstance(weights, Tensor) else weights, dtype=np.float64)
        if values.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {tuple(values.shape)}")
        self.weights = values
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or default_generator
        yield from generator.multinomial(self.weights[None], self.num_samples, self.replacement)[0].tolist()

    def __len__(self) -> int:
        return self.num_samples


class ClassBalancedSampler(Sampler[int]):
    """As many indices of every class, whatever their numbers in the set; not in PyTorch.

    A class's indices come in random order, each once before any comes again.

    Args:
        labels: the class of each index.
        samples_per_class: how many of each class a pass takes; by default the size of the largest class.
        generator: draws the order; by default each pass seeds a new one from the global generator.
    """

    def __init__(self, labels: Any, samples_per_class: int | None = None, generator: Generator | None = None):
        values = np.asarray(labels.array if isinstance(labels, Tensor) else labels, dtype=np.int64)
        self.members = [np.flatnonzero(values == label) for label in np.unique(values)]
        largest = max((len(members) for members in self.members), default=0)
        self.samples_per_class = largest if samples_per_class is None else samples_per_class
        _check_count(self.samples_per_class)
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or Generator().manual_seed(draw_seed(default_generator))
        drawn = []
        for members in self.members:
            passes = math.ceil(self.samples_per_class / len(members))
            order = np.concatenate([members[generator.permutation(len(members))] for _ in range(passes)])
            drawn.append(order[: self.samples_per_class])
        everything = np.concatenate(drawn)
        yield from everything[generator.permutation(len(everything))].tolist()

    def __len__(self) -> int:
        return len(self.members) * self.samples_per_class


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` keys from another sampler.

    Args:
        sampler: any iterable of keys.
        batch_size: keys a list.
        drop_last: leave out the last list where it is shorter.

    Raises:
        ValueError: `batch_size` is not positive, or `drop_last` no bool.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        keys = iter(self.sampler)
        while batch := list(itertools.islice(keys, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]  # a sampler without length has no number of batches
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


class DistributedSampler(Sampler[int]):
    """The share of one of several processes that train together.

    Args:
        dataset: what has the length.
        num_replicas: number of processes.
        rank: of this process, from 0.
        shuffle: whether the order is random: by `seed` plus the epoch, the same in every process.
        seed: the same in every process.
        drop_last: shorten the set, rather than repeat samples, to a multiple of `num_replicas`.

    Raises:
        ValueError: `rank` is not from 0 to `num_replicas` - 1.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int = 1,
        rank: int = 0,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        count = len(dataset)
        self.num_samples = count // num_replicas if drop_last else -(-count // num_replicas)
        self.total_size = self.num_samples * num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next pass gives."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = np.arange(len(self.dataset))
        if self.shuffle:
            order = Generator().manual_seed(self.seed + self.epoch).permutation(len(self.dataset))
        return iter(np.resize(order, self.total_size)[self.rank :: self.num_replicas].tolist())

    def __len__(self) -> int:
        return self.num_samples


def draw_seed(generator: Generator) -> int:
    """Draw a seed the way PyTorch's loader does: one int64 from 0 to 2**63 - 1."""
    return int(generator.integers((), np.int64))


def _check_count(num_samples: Any) -> None:
    if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
        raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
