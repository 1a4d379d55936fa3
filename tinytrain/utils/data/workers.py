"""The main process's side of the workers: hands out tasks, puts batches in order, notices what goes wrong.

Every worker has its own pipe, so that one that dies holds no lock the others need. A task names the slot, a segment
of shared memory, that its batch goes into; the batch is copied out as soon as it is announced, so a worker owns as
many slots as it has tasks. Messages on the pipes are small: neither side can block the other.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import signal
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from tinytrain.errors import WorkerError
from tinytrain.utils.data.dataset import IterableDataset
from tinytrain.utils.data.fetch import Fetched, Fetcher, Task
from tinytrain.utils.data.transport import Inbox
from tinytrain.utils.data.worker import STARTING, WHOLE_BATCH, WorkerInfo, work

_GRACE = 0.5  # seconds that a worker has to leave by itself
_REMEDY = "Where memory ran out, fewer workers need less; num_workers=0 (data.workers in a config) loads without any"


class WorkerTraceback(Exception):
    """The traceback of a worker process, as the cause of the exception that was raised there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass
class _Worker:
    """A worker process as the main process sees it.

    Args:
        process: the process.
        connection: our end of its pipe.
        status: shared int64 pair (ordinal of the task in hand, position of the sample in hand).
        inboxes: one a slot.
        pending: ordinal -> (task, slot) of the tasks it has not answered.
        has_more: False when its share of an iterable dataset has ended.
    """

    process: Any
    connection: Connection
    status: Any
    inboxes: list[Inbox]
    pending: dict[int, tuple[Task, int]] = field(default_factory=dict)
    has_more: bool = True

    def free_slot(self) -> int | None:
        taken = {slot for _, slot in self.pending.values()}
        return next((slot for slot in range(len(self.inboxes)) if slot not in taken), None)

    def send(self, ordinal: int | None, task: Task | None, slot: int | None) -> None:
        """Hand it a task; None for each begins a new pass. Where it died, the wait for its answer tells how."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((ordinal, task, slot))

    def doing(self) -> str:
        """Return what the worker has in hand, for messages."""
        ordinal, position = self.status
        if ordinal == STARTING:
            return "it was starting (a script that uses workers starts under `if __name__ == '__main__':`)"
        if ordinal not in self.pending:
            return "it was between batches"
        task = self.pending[ordinal][0]
        if position == WHOLE_BATCH:
            return f"it was making batch {task.number}"
        key = f" (index {task.key[position]!r})" if isinstance(task.key, list) else f" (index {task.key!r})"
        return f"it was loading sample {position}{key} of batch {task.number}"


class WorkerPool(Iterator[Fetched]):
    """Worker processes that make the batches of one pass after another.

    Args:
        fetcher: makes a batch; copied to every worker.
        num_workers: how many.
        prefetch: tasks that each worker has ahead.
        timeout: seconds to wait for a batch; 0: for ever.
        context: starts the processes.
        init: called in every worker with its number.
        base_seed: worker i's global generators start from `base_seed + i`.
        in_order: hand out batches in the order of the tasks.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        num_workers: int,
        prefetch: int,
        timeout: float,
        context: Any,
        init: Callable[[int], None] | None,
        base_seed: int,
        in_order: bool,
    ):
        self._timeout = timeout
        self._in_order = in_order
        self._takes_turns = isinstance(fetcher.dataset, IterableDataset)
        self._limit = num_workers * prefetch
        self._workers: list[_Worker] = []
        self._close = weakref.finalize(self, _close, self._workers)
        prefix = f"tt-{os.getpid()}-{secrets.token_hex(3)}"  # macOS allows 30 characters in all
        for number in range(num_workers):
            names = [f"{prefix}-{number}-{slot}" for slot in range(prefetch)]
            status = context.RawArray("q", (STARTING, WHOLE_BATCH))
            ours, theirs = context.Pipe()
            info = WorkerInfo(number, num_workers, base_seed + number, fetcher.dataset)
            process = context.Process(
                target=work,
                args=(info, fetcher, init, theirs, status, names),
                name=f"loader worker {number}",
                daemon=True,
            )
            try:
                process.start()
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise TypeError(
                    f"DataLoader: dataset and functions cannot be sent to a worker process: {error}; give them names "
                    "at the top of a module, or use num_workers=0"
                ) from error
            self._workers.append(_Worker(process, ours, status, [Inbox(name) for name in names]))
            theirs.close()
        self._next_ordinal = 0

    @property
    def is_closed(self) -> bool:
        """Whether the workers are gone."""
        return not self._close.alive

    def start(self, tasks: Iterator[Task]) -> None:
        """Begin a pass; what the workers still have of the one before is waited for and thrown away."""
        deadline = self._deadline()
        while any(worker.pending for worker in self._workers):
            self._receive(deadline)
        for worker in self._workers if self._next_ordinal else ():
            worker.has_more = True
            worker.send(None, None, None)
        self._tasks = tasks
        self._undelivered: deque[int] = deque()
        self._answers: dict[int, tuple[str, Any]] = {}
        self._turn = 0
        self._fill()

    def __next__(self) -> Fetched:
        deadline = self._deadline()
        while self._undelivered:
            ordinal = self._ready()
            if ordinal is None:
                self._receive(deadline)
                continue
            self._undelivered.remove(ordinal)
            kind, payload = self._answers.pop(ordinal)
            if kind == "end":
                payload.has_more = False
                continue
            self._fill()
            if kind == "failure":
                raise payload.error from WorkerTraceback(payload.trace)
            return payload
        raise StopIteration

    def _ready(self) -> int | None:
        """The ordinal of the answer to hand out next, if it is there."""
        if self._in_order:
            first = self._undelivered[0]
            return first if first in self._answers else None
        return next(iter(self._answers), None)

    def _fill(self) -> None:
        """Hand out tasks until every worker has its share ahead."""
        while not self.is_closed and len(self._undelivered) < self._limit:
            worker = self._next_worker()
            slot = None if worker is None else worker.free_slot()
            if worker is None or slot is None:
                return
            task = next(self._tasks, None)
            if task is None:
                return
            ordinal, self._next_ordinal = self._next_ordinal, self._next_ordinal + 1
            worker.pending[ordinal] = task, slot
            self._undelivered.append(ordinal)
            self._turn = self._workers.index(worker) + 1
            worker.send(ordinal, task, slot)

    def _next_worker(self) -> _Worker | None:
        """The one with the least to do; for iterable datasets each in turn, so that the order is always the same."""
        in_turn = self._workers[self._turn :] + self._workers[: self._turn]
        active = [worker for worker in in_turn if worker.has_more]
        if self._takes_turns:
            return next(iter(active), None)
        return min(active, key=lambda worker: len(worker.pending))

    def _receive(self, deadline: float | None) -> None:
        """Take in the answers that are there; wait for one.

        Raises:
            WorkerError: a worker died, or none answered in time.
        """
        rest = None if deadline is None else max(deadline - time.monotonic(), 0)
        awaited: dict[Any, _Worker] = {}
        for worker in self._workers:
            awaited[worker.connection] = awaited[worker.process.sentinel] = worker
        ready = wait(list(awaited), rest)
        if not ready:
            self._fail(f"DataLoader timed out after {self._timeout} seconds", self._slowest())
        for source in ready:
            worker = awaited[source]
            if source is worker.connection:
                self._take(worker)
        for source in ready:
            worker = awaited[source]
            if source is not worker.connection and not worker.connection.poll():
                self._fail(_obituary(worker), worker)

    def _take(self, worker: _Worker) -> None:
        try:
            ordinal, kind, payload = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._fail(_obituary(worker), worker)
        _, slot = worker.pending[ordinal]
        if kind == "batch":
            payload = worker.inboxes[slot].get(*payload)
        elif kind == "end":
            payload = worker
        del worker.pending[ordinal]
        self._answers[ordinal] = kind, payload

    def _slowest(self) -> _Worker:
        """The worker that has the oldest task."""
        return min((worker for worker in self._workers if worker.pending), key=lambda worker: min(worker.pending))

    def _deadline(self) -> float | None:
        return time.monotonic() + self._timeout if self._timeout else None

    def _fail(self, what: str, worker: _Worker) -> None:
        reason = f"{what}; {worker.doing()}"
        self._close()
        raise WorkerError(reason, remedy=_REMEDY)


def _obituary(worker: _Worker) -> str:
    """Return how a worker died."""
    worker.process.join(_GRACE)
    code = worker.process.exitcode
    text = f"DataLoader worker (pid {worker.process.pid}) exited unexpectedly"
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        text = f"DataLoader worker (pid {worker.process.pid}) is killed by signal: {name}"
        if name == "SIGBUS":
            text += " (shared memory is full; see `df /dev/shm`)"
    elif code is not None:
        text += f" with exit code {code}"
    return text


def _close(workers: list[_Worker]) -> None:
    """End the processes and remove their segments."""
    for worker in workers:
        worker.connection.close()
    deadline = time.monotonic() + _GRACE
    for worker in workers:
        worker.process.join(max(deadline - time.monotonic(), 0))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        for inbox in worker.inboxes:
            inbox.unlink()
