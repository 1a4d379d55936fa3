"""Work on a GPU that is recorded once as a CUDA graph and launched again and again.

Recording runs the Python code of the work, and does nothing of what it asks of the GPU. So what the host does on the
way (counting steps, drawing seeds) happens once for the recording, while every launch needs it anew. The rules by which
code that is recorded plays along:

- A number that changes from step to step lies in `lasting` memory; the host gives it its value `before_launch`. Tables
  that the host makes are `constant`.
- Who counts or computes such numbers is called again before every further launch, `is_replaying`; it does the host's
  part of its work then, and asks nothing of the GPU but new numbers.
- What is drawn or counted within the recorded work itself says how to go on with `at_every_launch`.
- Work that cannot be recorded says so with `refuse`. CuPy raises by itself where the host reads a value, copies one to
  the GPU, or calls cuBLAS or cuRAND.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinytrain.device import Array, cupy, watched_reads

T = TypeVar("T")

_HERE = Path(__file__).parent


class CaptureError(RuntimeError):
    """Some work cannot be recorded; the message says why."""


class Graph:
    """Recorded work, and the memory that it uses.

    Args:
        graph: what can be launched.
        keeps: what must stay as long as that.
        advances: what the host does for every launch but the first.
    """

    def __init__(self, graph: Any, keeps: Any, advances: list[Callable[[], None]]):
        self._graph, self._keeps, self._advances = graph, keeps, advances

    def advance(self) -> None:
        """Do the host's part of what was recorded within the work, for a launch that is not the first."""
        for advance in self._advances:
            advance()

    def launch(self) -> None:
        """Start the work on the current stream."""
        self._graph.launch()


class _Recording:
    def __init__(self, pool: Any) -> None:
        self.keeps: list[Any] = [pool]
        self.first: list[Callable[[], None]] = []
        self.every: list[Callable[[], None]] = []


_recording: _Recording | None = None
_is_replaying = False


def is_capturing() -> bool:
    """Return whether work is being recorded."""
    return _recording is not None


def is_replaying() -> bool:
    """Return whether only the host's part of some work is wanted, since a launch does the rest."""
    return _is_replaying


def before_launch(action: Callable[[], None]) -> None:
    """Give numbers in the memory of a GPU their values: now, or where work is recorded, before its first launch."""
    if _recording is None:
        action()
    else:
        _recording.first.append(action)


def at_every_launch(action: Callable[[], None]) -> None:
    """Do something before every launch of the work that is being recorded, but for the first."""
    assert _recording is not None
    _recording.every.append(action)


def lasting(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return uninitialised memory of a GPU for what the host gives to recorded work.

    Memory that recorded work allocates is used for one thing after the other within each launch, so what lies there
    before may be overwritten before it is read.
    """
    xp = cupy()
    if _recording is None:
        return xp.empty(shape, dtype)
    with xp.cuda.using_allocator(xp.get_default_memory_pool().malloc):
        memory = xp.empty(shape, dtype)
    _recording.keeps.append(memory)
    return memory


def constant(values: np.ndarray) -> Array:
    """Return a lasting array with some values of the host, which stay as they are."""
    memory = lasting(values.shape, values.dtype)
    before_launch(lambda: memory.set(values))
    return memory


def beside(array: Array, values: np.ndarray) -> Array:
    """Return values of the host where an array lies; recorded work finds them there at every launch."""
    if isinstance(array, np.ndarray):
        return values
    return constant(values) if is_capturing() else cupy().asarray(values)


def refuse(reason: str) -> None:
    """Raise a CaptureError where work is recorded; else do nothing."""
    if _recording is not None:
        raise CaptureError(reason)


@contextmanager
def replaying() -> Iterator[None]:
    """Let code do the host's part of its work alone."""
    global _is_replaying
    _is_replaying = True
    try:
        yield
    finally:
        _is_replaying = False


def capture(work: Callable[[], T]) -> tuple[Graph, T]:
    """Record what some work asks of the GPU, without doing it.

    What it allocates comes from a pool of its own, which nobody else uses as long as the graph is there.

    Args:
        work: the host's part of it is done.

    Returns:
        The graph, whose numbers are ready for the first launch, and what `work` returned.

    Raises:
        CaptureError: it cannot be recorded. The GPU has done nothing; the host's part of the work was begun.
    """
    xp = cupy()
    stream = xp.cuda.Stream(non_blocking=True)
    pool = xp.cuda.MemoryPool(_allocate)
    gc.collect()
    xp.get_default_memory_pool().free_all_blocks()  # what the same work used when it was not recorded
    with stream, xp.cuda.using_allocator(pool.malloc), _recorded(pool) as recording, watched_reads(_refuse_read):
        stream.begin_capture()
        try:
            result = work()
        except BaseException as error:
            _abandon(stream)
            if isinstance(error, (RuntimeError, MemoryError)):
                raise CaptureError(f"{_first_line(error)} (in {_place_of(error)})") from error
            raise
        try:
            graph = stream.end_capture()
        except RuntimeError as error:
            raise CaptureError(_first_line(error)) from error
    for action in recording.first:
        action()
    return Graph(graph, recording.keeps, recording.every), result


@contextmanager
def _recorded(pool: Any) -> Iterator[_Recording]:
    global _recording
    assert _recording is None
    _recording = _Recording(pool)
    try:
        yield _recording
    finally:
        _recording = None


def _abandon(stream: Any) -> None:
    """End a recording that is not wanted."""
    try:
        stream.end_capture()
    except cupy().cuda.runtime.CUDARuntimeError:
        pass  # it says once more that the recording is worth nothing


def _allocate(size: int) -> Any:
    """Return memory from CUDA itself.

    A pool that finds none would give its free blocks back and try again. Recorded work may use them.
    """
    xp = cupy()
    try:
        return xp.cuda.MemoryPointer(xp.cuda.Memory(size), 0)
    except xp.cuda.runtime.CUDARuntimeError as error:
        raise CaptureError(f"there is no memory for it beside what is in use ({_first_line(error)})") from error


def _refuse_read(array: Array) -> None:
    raise CaptureError(f"the host reads an array of the shape {list(array.shape)}")


def _place_of(error: BaseException) -> str:
    """Return the innermost line of this package that an error went through, and that asked for what cannot be."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if _HERE in Path(each.filename).parents]
    asking = [each for each in frames if Path(each.filename) not in (_HERE / "capturing.py", _HERE / "device.py")]
    last = (asking or frames)[-1]
    return f"{Path(last.filename).relative_to(_HERE.parent)}:{last.lineno}"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
