"""A lock on a file that the system takes back when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType

from tinytrain.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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
            _take(self._descriptor)
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
    """Return whether a process holds the lock on a file; where there is no file, none does."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            _take(descriptor)
        except OSError as error:
            return error.errno in _TAKEN
        finally:
            os.close(descriptor)
    return False


def _take(descriptor: int) -> None:
    """Take the lock that ends with the descriptor, or raise OSError at once."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond the text, which others are to read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
