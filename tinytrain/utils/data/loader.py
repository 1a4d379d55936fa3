"""PyTorch's DataLoader: batches of a dataset, loaded here or by worker processes."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from multiprocessing.context import BaseContext
from typing import Any

from tinytrain.device import cuda_is_available
from tinytrain.errors import DataError
from tinytrain.generator import Generator, default_generator
from tinytrain.random_streams import BATCH_INDEX, random_bits
from tinytrain.utils.data.collate import default_collate, default_convert
from tinytrain.utils.data.dataset import IterableDataset, put_off
from tinytrain.utils.data.fetch import END, Fetched, Fetcher, Task
from tinytrain.utils.data.placement import pinned
from tinytrain.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed
from tinytrain.utils.data.workers import WorkerPool

_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class DataLoader:
    """An iterable over the batches of a dataset.

    Transforms draw their random numbers from `tinytrain.random_streams`: they depend on the seed, the epoch and the
    sample's index alone, so batches are the same to the bit for any number of workers. Without `seed`, everything is
    drawn from the generator in PyTorch's order, and the order of samples under `manual_seed` is PyTorch's.

    Args:
        dataset: map-style, or an IterableDataset.
        batch_size: samples a batch; None: the dataset's samples are handed on one by one.
        shuffle: whether every epoch has a new random order.
        sampler: gives the indices instead.
        batch_sampler: gives the lists of indices instead.
        num_workers: processes that load batches ahead; 0: this process loads them.
        collate_fn: from a list of samples to a batch, by default `default_collate`.
        pin_memory: hand out tensors in pinned memory, from which a GPU reads by itself; without a GPU it only warns.
        drop_last: leave out a shorter last batch.
        timeout: seconds to wait for a batch from the workers; 0: for ever.
        worker_init_fn: called in every worker with its number before it loads anything.
        multiprocessing_context: how workers start; by default `forkserver`, else `spawn`: neither copies threads.
        generator: draws the order and the seeds, by default the global one.
        prefetch_factor: batches that each worker loads ahead, by default 2.
        persistent_workers: keep the workers from epoch to epoch.
        in_order: hand out batches in the sampler's order rather than as they come.
        seed: makes order and random streams functions of (seed, epoch, sample index); not in PyTorch.
        skip_damaged: leave out samples that raise DataError and list them in `skipped`; not in PyTorch. A pass that
            nothing is left of raises DataError.
        min_batch: where samples were left out, leave out the rest of a batch that has fewer, too; not in PyTorch.

    Attributes:
        skipped: (index, reason) of the samples left out so far.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        in_order: bool = True,
        seed: int | None = None,
        skip_damaged: bool = False,
        min_batch: int = 1,
    ):
        _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers)
        _check_sampling_options(dataset, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if pin_memory and not cuda_is_available():
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't "
                "be used.",
                stacklevel=2,
            )
        self.generator = Generator() if seed is not None and generator is None else generator
        self.dataset = dataset
        if sampler is None and not isinstance(dataset, IterableDataset):
            sampler = RandomSampler(dataset, generator=self.generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        elif batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = _context(multiprocessing_context, num_workers)
        self.in_order = in_order
        self.seed = seed
        self.skip_damaged, self.min_batch = skip_damaged, min_batch
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)
        self.skipped: list[tuple[Any, str]] = []
        self._next_epoch = self._first_batch = 0
        self._kept: _LoaderIterator | None = None
        self._is_built = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and hasattr(self, "_is_built"):
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose the epoch, from 0, of the next pass, and where it begins; both matter where the loader has a `seed`.

        Args:
            epoch: from 0.
            first_batch: number, from 0, of the batch that the pass begins with; those before are not loaded, and those
                after are what they are in a whole pass.

        Raises:
            ValueError: an iterable dataset has no batch that could be begun with but the first.
        """
        if first_batch and isinstance(self.dataset, IterableDataset):
            raise ValueError(f"set_epoch: an IterableDataset cannot begin with batch {first_batch}")
        self._next_epoch, self._first_batch = epoch, first_batch

    def keys_of_batch(self, epoch: int, number: int) -> list[Any]:
        """Return the keys of the samples in a batch of an epoch, both counted from 0; needs a `seed`."""
        self._seed_order(epoch)
        key = next(islice(self._new_keys(), number, None))
        return key if isinstance(key, list) else [key]

    def __iter__(self) -> _LoaderIterator:
        epoch, first_batch = self._next_epoch, self._first_batch
        self._next_epoch, self._first_batch = epoch + 1, 0
        if self.seed is not None:
            self._seed_order(epoch)
        if not (self.persistent_workers and self.num_workers):
            return _LoaderIterator(self, epoch, first_batch)
        if self._kept is None or self._kept.is_broken:
            self._kept = _LoaderIterator(self, epoch, first_batch)
        else:
            self._kept.restart(self, epoch, first_batch)
        return self._kept

    def __len__(self) -> int:
        if self._keys is not None:
            return len(self._keys)  # type: ignore[arg-type]  # a sampler without length raises TypeError
        count = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    @property
    def _batched(self) -> bool:
        return self.batch_sampler is not None or self.batch_size is not None

    @property
    def _keys(self) -> Iterable[Any] | None:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _new_keys(self) -> Iterator[Any]:
        """Return what each batch of a pass asks the dataset for; an iterable one only for a number of samples."""
        return repeat(self.batch_size) if self._keys is None else iter(self._keys)

    def _seed_order(self, epoch: int) -> None:
        """Make the order of the next pass a function of (seed, epoch)."""
        assert self.generator is not None
        assert self.seed is not None
        self.generator.manual_seed(random_bits(self.seed, epoch, BATCH_INDEX - 1, 0))


class _LoaderIterator(Iterator[Any]):
    """One pass over a loader; with persistent workers, one pass after the other.

    It does not hold the loader, which holds it: dropping either ends the workers at once.

    Attributes:
        position: number of the batch that comes next, from 0; batches of which every sample was left out count.
    """

    def __init__(self, loader: DataLoader, epoch: int, first_batch: int):
        self._sampler = loader._keys
        self._skipped = loader.skipped
        self._begin(first_batch)
        self._pins = loader.pin_memory and cuda_is_available()
        keys = loader._new_keys()
        if loader.seed is None:
            self._base_seed = draw_seed(loader.generator or default_generator)
        else:
            self._base_seed = loader.seed
        self._passes = 0
        dataset, self._finish = loader.dataset, None
        if loader._batched and loader.collate_fn is default_collate:
            dataset, self._finish = put_off(dataset) or (dataset, None)
        fetcher = Fetcher(
            dataset, loader.collate_fn, loader._batched, loader.drop_last, loader.skip_damaged, loader.min_batch
        )
        tasks = _tasks(keys, first_batch, *self._streams(loader, epoch))
        self._source: _Here | WorkerPool
        if loader.num_workers == 0:
            self._source = _Here(fetcher, tasks)
            return
        self._source = WorkerPool(
            fetcher,
            num_workers=loader.num_workers,
            prefetch=max(loader.prefetch_factor or 0, 1),
            timeout=loader.timeout,
            context=loader.multiprocessing_context,
            init=loader.worker_init_fn,
            base_seed=self._base_seed,
            in_order=loader.in_order,
        )
        self._source.start(tasks)

    @property
    def is_broken(self) -> bool:
        """Whether the workers are gone."""
        return isinstance(self._source, WorkerPool) and self._source.is_closed

    def restart(self, loader: DataLoader, epoch: int, first_batch: int) -> None:
        """Begin the next pass with the same workers; the base seed stays, as in PyTorch."""
        assert isinstance(self._source, WorkerPool)
        self._passes += 1
        self._begin(first_batch)
        self._source.start(_tasks(loader._new_keys(), first_batch, *self._streams(loader, epoch)))

    def _begin(self, first_batch: int) -> None:
        """Note where a pass begins, and that it has handed out nothing yet."""
        self.position = first_batch
        self._only_skipped: list[tuple[Any, str]] | None = None if first_batch else []

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]  # without a length it raises TypeError

    def __next__(self) -> Any:
        while True:
            try:
                fetched = next(self._source)
            except StopIteration:
                if self._only_skipped:
                    raise DataError(
                        f"no batch is left, for every one has damaged samples, as {self._only_skipped[0][1]}",
                        remedy="Mend or remove them, or make batches larger",
                    ) from None
                raise
            self.position += 1
            self._skipped += fetched.skipped
            if fetched.data is not None:
                self._only_skipped = None
                batch = fetched.data if self._finish is None else self._finish(fetched.data)
                return pinned(batch) if self._pins else batch
            if self._only_skipped is not None:
                self._only_skipped += fetched.skipped

    def _streams(self, loader: DataLoader, epoch: int) -> tuple[int, int]:
        """Return the seed and the epoch of the random streams of a pass."""
        return (self._base_seed, self._passes) if loader.seed is None else (loader.seed, epoch)


class _Here(Iterator[Fetched]):
    """Loads batches in this process."""

    def __init__(self, fetcher: Fetcher, tasks: Iterator[Task]):
        self._fetcher = fetcher
        self._tasks = tasks

    def __next__(self) -> Fetched:
        fetched = self._fetcher(next(self._tasks))
        if fetched.data is END:
            raise StopIteration
        return fetched


def _tasks(keys: Iterator[Any], first_batch: int, seed: int, epoch: int) -> Iterator[Task]:
    for number, key in enumerate(islice(keys, first_batch, None), first_batch):
        yield Task(number, key, seed, epoch)


def _check_worker_options(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
            f" Got {num_workers}"
        )
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative; got {timeout}")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. let num_workers > 0 to enable "
            "multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError(f"prefetch_factor option should be non-negative; got {prefetch_factor}")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_sampling_options(
    dataset: Any, batch_size: int | None, shuffle: bool | None, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if isinstance(dataset, IterableDataset):
        given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
                )
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
    if batch_sampler is None and batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")


def _context(wanted: str | BaseContext | None, num_workers: int) -> BaseContext | None:
    """Return the way workers are started, checked."""
    if num_workers == 0:
        if wanted is not None:
            raise ValueError(
                "multiprocessing_context can only be used with multi-process loading (num_workers > 0), "
                f"but got num_workers={num_workers}"
            )
        return None
    methods = multiprocessing.get_all_start_methods()
    if wanted is None:
        wanted = "forkserver" if "forkserver" in methods else "spawn"
        context = multiprocessing.get_context(wanted)
        context.set_forkserver_preload([WorkerPool.__module__])  # imported once, not in every worker
        return context
    if isinstance(wanted, str):
        if wanted not in methods:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                f"multiprocessing_context={wanted!r}"
            )
        return multiprocessing.get_context(wanted)
    if not isinstance(wanted, BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start "
            f"method, but got multiprocessing_context={wanted}"
        )
    return wanted
