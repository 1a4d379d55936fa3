"""From keys to a batch: one sample after the other, each under its random stream, or the whole batch at once."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytrain.errors import DataError
from tinytrain.random_streams import BATCH_INDEX, BatchStream, sample_stream
from tinytrain.utils.data.collate import default_collate
from tinytrain.utils.data.dataset import IterableDataset, Subset, batch_loader

END = object()
"""What a fetcher returns when an iterable dataset has no more samples."""


@dataclass(frozen=True)
class Task:
    """One batch to make.

    Args:
        number: of the batch in its epoch, from 0.
        key: what the dataset is asked for: a list of indices, or one index where the loader makes no batches; for
            an iterable dataset the number of samples, or None for one sample.
        seed, epoch: of the random streams.
    """

    number: int
    key: Any
    seed: int
    epoch: int


@dataclass
class Fetched:
    """A batch, or END, or None where every sample was skipped.

    Args:
        data: what the collate function returned.
        skipped: (key, reason) of the samples left out because they are damaged.
    """

    data: Any
    skipped: list[tuple[Any, str]] = field(default_factory=list)


@dataclass
class Fetcher:
    """Makes batches of a dataset.

    Args:
        dataset: map-style or iterable.
        collate_fn: from a list of samples to a batch, or from one sample to itself. One that changes what
            `default_collate` makes may say how, as a method `after_collation(batch)`: it then gets whole batches, too.
        batched: whether a task is a list of samples.
        drop_last: for iterable datasets: leave out a shorter last batch.
        skip_damaged: leave out samples that raise DataError instead of raising it.
        min_batch: leave out the rest of a batch, too, that has fewer samples then.
        progress: called with a sample's position in its batch before it is loaded.
        share: (w, k) where this is number w of k copies that go through an iterable dataset side by side.
    """

    dataset: Any
    collate_fn: Callable[[Any], Any]
    batched: bool
    drop_last: bool
    skip_damaged: bool
    min_batch: int = 1
    progress: Callable[[int], None] | None = None
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin an iterable dataset anew with the next task."""
        self._iterator: Iterator[Any] | None = None
        self._num_taken = 0

    def __call__(self, task: Task) -> Fetched:
        """Make the batch of a task."""
        if isinstance(self.dataset, IterableDataset):
            return self._from_stream(task)
        if not self.batched:
            return self._collated(task, *self._load_all(task, [task.key]))
        whole = self._load_whole(task)
        if whole is not None:
            return whole
        if _gives_many(self.dataset):
            with sample_stream(task.seed, task.epoch, BATCH_INDEX + task.number):
                return self._collated(task, self.dataset.__getitems__(task.key), [])
        return self._collated(task, *self._load_all(task, task.key))

    def _load_whole(self, task: Task) -> Fetched | None:
        """Return a batch that the dataset makes in one go, None where it makes none or is not asked."""
        after_collation = getattr(self.collate_fn, "after_collation", None)
        load_batch = batch_loader(self.dataset)
        if load_batch is None or (self.collate_fn is not default_collate and after_collation is None):
            return None
        whole = load_batch(task.key, BatchStream(task.seed, task.epoch, _stream_indices(task.key)))
        if whole is None or after_collation is None:
            return None if whole is None else Fetched(whole)
        with sample_stream(task.seed, task.epoch, BATCH_INDEX + task.number):
            return Fetched(after_collation(whole))

    def _tell(self, position: int) -> None:
        if self.progress is not None:
            self.progress(position)

    def _load_all(self, task: Task, keys: list[Any]) -> tuple[list[Any], list[tuple[Any, str]]]:
        samples, skipped = [], []
        for position, key in enumerate(keys):
            self._tell(position)
            try:
                with sample_stream(task.seed, task.epoch, stream_index(key)):
                    samples.append(self.dataset[key])
            except DataError as error:
                if not self.skip_damaged:
                    raise
                skipped.append((key, str(error)))
        if skipped and len(samples) < self.min_batch:
            damaged = {key for key, _ in skipped}
            rest = [key for key in keys if key not in damaged]
            skipped += [(key, f"number {key}, what is left of its batch is too small to learn from") for key in rest]
            samples = []
        return samples, skipped

    def _from_stream(self, task: Task) -> Fetched:
        """Take samples from the iterable; the n-th of share w of k has random stream n k + w."""
        position_in_round, num_shares = self.share
        if self._iterator is None:
            self._iterator = iter(self.dataset)
        samples = []
        for position in range(task.key if self.batched else 1):
            self._tell(position)
            with sample_stream(task.seed, task.epoch, self._num_taken * num_shares + position_in_round):
                taken = list(itertools.islice(self._iterator, 1))
            if not taken:
                break
            self._num_taken += 1
            samples += taken
        if not samples or (self.batched and self.drop_last and len(samples) < task.key):
            return Fetched(END)
        return self._collated(task, samples, [])

    def _collated(self, task: Task, samples: list[Any], skipped: list[tuple[Any, str]]) -> Fetched:
        if not samples:
            return Fetched(None, skipped)
        with sample_stream(task.seed, task.epoch, BATCH_INDEX + task.number):
            return Fetched(self.collate_fn(samples if self.batched else samples[0]), skipped)


def stream_index(key: Any) -> int:
    """Return the index of a key's random stream: integers are their own, others are hashed to 63 bits."""
    try:
        return int(key) % BATCH_INDEX
    except (TypeError, ValueError):
        digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % BATCH_INDEX


def _stream_indices(keys: list[Any]) -> np.ndarray:
    """Return `stream_index` of every key: (n,) uint64."""
    if all(type(key) is int for key in keys):
        return np.array(keys, np.int64).astype(np.uint64) % np.uint64(BATCH_INDEX)
    return np.array([stream_index(key) for key in keys], np.uint64)


def _gives_many(dataset: Any) -> bool:
    """Whether the dataset itself, not only a Subset of it, defines PyTorch's `__getitems__`."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return callable(getattr(dataset, "__getitems__", None))
