"""What is recorded into a CUDA graph while a stream captures.

The emulated device works at the call, so streams need no order; while one captures, work is put on a list instead, and
what hardware cannot do then (host reads, waiting, cuBLAS) raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_recording: list[Callable[[], Any]] | None = None


def is_capturing() -> bool:
    """Return whether work is recorded now."""
    return _recording is not None


def run(work: Callable[[], Any]) -> None:
    """Do some work on the device's memory, or record it."""
    if _recording is None:
        work()
    else:
        _recording.append(work)


def forbid() -> None:
    """Raise where work is recorded: the caller waits for the device, or allocates as a library does.

    Raises:
        CUDARuntimeError: as CUDA's.
    """
    if _recording is not None:
        from cupy.cuda import runtime

        raise runtime.CUDARuntimeError(runtime._errorStreamCaptureUnsupported)


def begin() -> None:
    """Record from now on."""
    global _recording
    forbid()
    _recording = []


def end() -> list[Callable[[], Any]]:
    """Return what was recorded; from now on work is done again."""
    global _recording
    if _recording is None:
        raise RuntimeError("no stream captures")
    recorded, _recording = _recording, None
    return recorded
