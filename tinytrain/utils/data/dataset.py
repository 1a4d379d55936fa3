"""Datasets over tensors and over other datasets, with PyTorch's names and semantics.

A dataset may offer `load_batch(indices, streams)`, which makes a whole collated batch in array code; the loader
prefers it. It returns None where it cannot, and must equal the collated samples to the bit.

A dataset of large samples may offer `put_off()`: a lighter dataset and a function, such that the function makes of a
collated batch of the one what a batch of the other is, to the bit; or None. Workers then load the lighter samples, and
the process that takes the batches in calls the function.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from tinytrain.generator import Generator, default_generator
from tinytrain.tensor import Tensor, wrap

T = TypeVar("T", covariant=True)
PutOff: TypeAlias = "tuple[Dataset, Callable[[Any], Any]]"


class Dataset(Generic[T]):
    """A map from keys to samples: subclasses define `__getitem__`, and `__len__` where there is a length."""

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T], Iterable[T]):
    """A stream of samples: subclasses define `__iter__`.

    Every worker process iterates over its own copy; `get_worker_info` tells the copy which part is its.
    """

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Dataset) -> ChainDataset:  # type: ignore[override]  # streams chain, as in PyTorch
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors side by side, indexed along their first dimension.

    Args:
        *tensors: tensors of the same first size.

    Raises:
        AssertionError: the first sizes differ.
    """

    def __init__(self, *tensors: Tensor):
        if any(tensors[0].size(0) != tensor.size(0) for tensor in tensors):
            sizes = ", ".join(str(tensor.size(0)) for tensor in tensors)
            raise AssertionError(f"Size mismatch between tensors: their first sizes are {sizes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)

    def load_batch(self, indices: Sequence[int], streams: Any) -> list[Tensor] | None:
        """Return the rows of every tensor, or None where gradients have to flow back to one."""
        if any(tensor.requires_grad for tensor in self.tensors):
            return None
        rows = np.asarray(indices, dtype=np.int64)
        return [wrap(tensor.array[rows]) for tensor in self.tensors]


class StackDataset(Dataset):
    """Datasets side by side: sample i is the tuple, or the dict, of their samples i.

    Args:
        *args: datasets of the same length, for tuples.
        **kwargs: datasets of the same length, for dicts.

    Raises:
        ValueError: both kinds or none are given, or the lengths differ.
    """

    datasets: Any

    def __init__(self, *args: Any, **kwargs: Any):
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or ``dict``- (via ``kwargs``) like input/output, "
                "but both types are given."
            )
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets = args or kwargs
        lengths = [len(dataset) for dataset in args or kwargs.values()]
        if len(set(lengths)) > 1:
            raise ValueError(f"Size mismatch between datasets: their lengths are {', '.join(map(str, lengths))}")
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {key: dataset[index] for key, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T]):
    """Datasets one after the other.

    Args:
        datasets: at least one, each with a length.

    Raises:
        AssertionError: there is none, or one is an IterableDataset.
    """

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> T:
        if idx < 0:
            if -idx > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            idx += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, idx)
        if which == len(self.datasets):
            raise IndexError(f"index {idx} is out of range for a ConcatDataset of length {len(self)}")
        return self.datasets[which][idx - (self.cumulative_sizes[which - 1] if which else 0)]


class ChainDataset(IterableDataset[T]):
    """Streams one after the other.

    Args:
        datasets: IterableDatasets.
    """

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = datasets

    def __iter__(self) -> Iterator[T]:
        for dataset in self.datasets:
            yield from _stream(dataset)

    def __len__(self) -> int:
        return sum(len(_stream(dataset)) for dataset in self.datasets)


class Subset(Dataset[T]):
    """Some samples of a dataset.

    Args:
        dataset: the whole set.
        indices: of the samples in it.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, idx: Any) -> T:
        if isinstance(idx, list):
            return self.dataset[[self.indices[i] for i in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: list[int]) -> list[T]:
        """Return several samples; asks the dataset for all at once where it can do that."""
        inner = [self.indices[i] for i in indices]
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.dataset.__getitems__(inner)
        return [self.dataset[i] for i in inner]

    def __len__(self) -> int:
        return len(self.indices)

    def load_batch(self, indices: Sequence[int], streams: Any) -> Any:
        """Return the dataset's own batch, or None where it makes none."""
        load = batch_loader(self.dataset)
        return None if load is None else load([self.indices[i] for i in indices], streams)

    def put_off(self) -> PutOff | None:
        """Return what the dataset puts off, for these samples."""
        parts = put_off(self.dataset)
        return None if parts is None else (Subset(parts[0], self.indices), parts[1])


def batch_loader(dataset: Any) -> Callable[[Sequence[int], Any], Any] | None:
    """Return the dataset's `load_batch` where it speaks for its samples, else None."""
    return dataset.load_batch if _speaks_for_samples(dataset, "load_batch") else None


def put_off(dataset: Any) -> PutOff | None:
    """Return the dataset's `put_off()` where it has one that speaks for its samples, else None."""
    return dataset.put_off() if _speaks_for_samples(dataset, "put_off") else None


def _speaks_for_samples(dataset: Any, method: str) -> bool:
    """Whether a method is there and means the samples that the dataset gives.

    A subclass that overrides `__getitem__` alone means its own samples, not those of the inherited method.
    """
    for base in type(dataset).__mro__:
        if method in vars(base):
            return True
        if "__getitem__" in vars(base) or "__getitems__" in vars(base):
            return False
    return False


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset[Any]]:
    """Split a dataset at random into subsets without overlap.

    Args:
        dataset: anything with a length and indices.
        lengths: of the subsets, with the dataset's length as their sum; or fractions with sum 1: each is rounded
            down, and what is left is handed out one by one from the first subset on.
        generator: draws the order; by default the global one.

    Returns:
        One Subset for each length.

    Raises:
        ValueError: the lengths do not add up, or a fraction is not between 0 and 1.
    """
    total = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        lengths = _lengths_of_fractions(total, lengths)
    if sum(lengths) != total:
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset! "
            f"(lengths: {list(lengths)}, dataset: {total})"
        )
    counts = [int(length) for length in lengths]
    order = (generator or default_generator).permutation(total).tolist()
    ends = itertools.accumulate(counts)
    return [Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)]


def _lengths_of_fractions(total: int, fractions: Sequence[float]) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1: {fraction}")
    counts = [math.floor(total * fraction) for fraction in fractions]
    for i in range(total - sum(counts)):
        counts[i % len(counts)] += 1
    for i, count in enumerate(counts):
        if count == 0:
            warnings.warn(f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=3)
    return counts


def _stream(dataset: Any) -> Any:
    if not isinstance(dataset, IterableDataset):
        raise AssertionError("ChainDataset only supports IterableDataset")
    return dataset
