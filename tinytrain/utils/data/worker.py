"""What a loader's worker process does: take a task, make the batch, announce it."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from tinytrain.generator import manual_seed
from tinytrain.memory import keep_freed_memory
from tinytrain.utils.data.fetch import END, Fetched, Fetcher, Task
from tinytrain.utils.data.transport import Outbox

STARTING, IDLE = -2, -1  # in the place of a task's ordinal
WHOLE_BATCH = -1  # in the place of a sample's position


@dataclass
class WorkerInfo:
    """What `get_worker_info` tells in a worker.

    Args:
        id: the worker's number, from 0.
        num_workers: of the loader.
        seed: of this worker's global generators.
        dataset: this worker's copy.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


@dataclass
class Failure:
    """An exception on its way to the main process, with the worker's traceback as text."""

    error: BaseException
    trace: str


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Return what this worker process should know about itself; None in the main process."""
    return _info


def work(
    info: WorkerInfo,
    fetcher: Fetcher,
    init: Callable[[int], None] | None,
    connection: Connection,
    status: Any,
    segment_names: list[str],
) -> None:
    """Serve tasks until the connection ends.

    Args:
        info: of this worker.
        fetcher: makes the batches.
        init: the user's function, called once with the worker's number.
        connection: brings (ordinal, task, slot), or (None, None, None) for a new pass; takes
            (ordinal, "batch" | "end" | "failure", payload).
        status: shared int64 pair: the ordinal of the task in hand and the position of the sample in hand.
        segment_names: of the outboxes, one a slot.
    """
    global _info
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides
    keep_freed_memory()
    outboxes = [Outbox(name) for name in segment_names]
    unlinking = threading.Lock()
    threading.Thread(target=_follow_parent, args=(outboxes, unlinking), daemon=True).start()
    _info = info
    manual_seed(info.seed)
    random.seed(info.seed)
    np.random.seed(info.seed % (1 << 32))

    def progress(position: int) -> None:
        status[1] = position

    fetcher.progress, fetcher.share = progress, (info.id, info.num_workers)
    status[0] = IDLE
    start_up: Failure | None = None
    try:
        if init is not None:
            init(info.id)
    except Exception as error:
        start_up = _failure(error)
    with contextlib.suppress(EOFError, ConnectionError):  # the main process wants no more
        while True:
            ordinal, task, slot = connection.recv()
            if task is None:
                fetcher.restart()
                continue
            status[0], status[1] = ordinal, WHOLE_BATCH
            kind, payload = ("failure", start_up) if start_up else _serve(fetcher, task, outboxes[slot])
            status[0] = IDLE
            connection.send((ordinal, kind, payload))
    _unlink_all(outboxes, unlinking)


def _serve(fetcher: Fetcher, task: Task, outbox: Outbox) -> tuple[str, Any]:
    try:
        fetched: Fetched = fetcher(task)
        return ("end", None) if fetched.data is END else ("batch", outbox.put(fetched))
    except Exception as error:  # it is raised again in the main process
        return "failure", _failure(error)


def _failure(error: Exception) -> Failure:
    trace = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return Failure(error, trace)


def _unlink_all(outboxes: list[Outbox], unlinking: threading.Lock) -> None:
    """Remove the segments; the lock is for the two threads that may want to at once."""
    with unlinking:
        for outbox in outboxes:
            outbox.unlink()


def _follow_parent(outboxes: list[Outbox], unlinking: threading.Lock) -> None:
    """Leave, and leave nothing behind, when the main process is gone, whatever a sample is waiting for."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    _unlink_all(outboxes, unlinking)
    os._exit(1)
