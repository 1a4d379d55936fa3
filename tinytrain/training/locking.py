"""A lock on a file that the system takes back when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from types import TracebackType

from tinytrain.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PATIENCE = 0.2
"""Seconds within which whoever only asks for the holder has let go of the lock again."""

_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


class FileLock:
    """Held by one process at a time from its making until it is left; the file stays.

    Args:
        path: of the file, which says who holds the lock; made if need be.

    Raises:
        StorageError: another process holds it.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path):
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take_soon(self._descriptor)
        except OSError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            if error.errno not in _TAKEN:
                raise
            raise StorageError(
                f"the run folder is in use by process {holder or 'unknown'}",
                place=path.parent.parent,
                remedy="Wait until it ends, or name another folder with --run-dir",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock on a file; where there is no file, none does.

    To find out takes the lock for a moment, together with others that ask; whoever takes it for good waits that long.
    """
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            _take(descriptor, shared=True)
        except OSError as error:
            return error.errno in _TAKEN
        finally:
            os.close(descriptor)
    return False


def _take_soon(descriptor: int) -> None:
    """Take the lock, or raise OSError if a process holds it longer than to ask for its holder."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            _take(descriptor)
            return
        except OSError as error:
            if error.errno not in _TAKEN or time.monotonic() > end:
                raise
        time.sleep(PATIENCE / 20)


def _take(descriptor: int, *, shared: bool = False) -> None:
    """Take the lock that ends with the descriptor, alone or beside others that share it; or raise OSError at once."""
    if fcntl is not None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    else:
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond the text, which others are to read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
