"""Streams and events; all work is done at the call, so streams differ in name only."""

from __future__ import annotations

import itertools
import time
from typing import Any

from cupy import _capture
from cupy.cuda import graph, runtime

_numbers = itertools.count(0x1000)


class Event:
    """A moment in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False):
        self._seconds: float | None = None
        self._disable_timing = disable_timing

    @property
    def done(self) -> bool:
        return True

    def record(self, stream: Any = None) -> None:
        if not _capture.is_capturing():
            self._seconds = time.perf_counter()

    def synchronize(self) -> None:
        _capture.forbid()


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Return the milliseconds between two events."""
    if start_event._seconds is None or end_event._seconds is None or start_event._disable_timing:
        raise runtime.CUDARuntimeError(runtime._errorInvalidValue)
    return (end_event._seconds - start_event._seconds) * 1e3


class _BaseStream:
    def __init__(self, ptr: int, device_id: int):
        self.ptr = ptr
        self.device_id = device_id
        self._before: list[Any] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BaseStream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return hash(self.ptr)

    def __enter__(self) -> Any:
        self._before.append(_current[0])
        _current[0] = self
        return self

    def __exit__(self, *args: Any) -> None:
        _current[0] = self._before.pop()

    def use(self) -> Any:
        _current[0] = self
        return self

    @property
    def done(self) -> bool:
        return True

    @property
    def is_non_blocking(self) -> bool:
        return False

    @property
    def priority(self) -> int:
        return 0

    def synchronize(self) -> None:
        runtime.streamSynchronize(self.ptr)

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        pass

    def launch_host_func(self, callback: Any, arg: Any) -> None:
        _capture.run(lambda: callback(arg))

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr in (0, 1):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        _capture.begin()

    def end_capture(self) -> graph.Graph:
        return graph.Graph._of(_capture.end())

    def is_capturing(self) -> bool:
        return _capture.is_capturing()


class Stream(_BaseStream):
    """A queue of work."""

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None):
        super().__init__(0 if null else next(_numbers), 0)


class ExternalStream(_BaseStream):
    """A stream that something else made."""

    def __init__(self, ptr: int, device_id: int = -1):
        super().__init__(ptr, 0)


Stream.null = Stream(null=True)
_current = [Stream.null]


def get_current_stream(device_id: int = -1) -> Any:
    """Return the stream that work is put on."""
    return _current[0]
