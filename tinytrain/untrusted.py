"""What a file that nobody vouches for may stand for, and what reading a broken archive raises."""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from lzma import LZMAError

MAX_RATIO, FREE_BYTES = 16, 1 << 27  # in memory to in the file, beyond so many bytes; images hardly shrink

ARCHIVE_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, struct.error, EOFError, OSError, ValueError,
    OverflowError, RuntimeError, IndexError, KeyError,
)  # fmt: skip  # RuntimeError: it is encrypted, or packed in a way that is not known
"""What Python's readers of zip and tar archives raise for damaged ones."""


class Budget:
    """How many bytes a file may stand for, so that a small file cannot fill the memory.

    Args:
        size: of the file, in bytes.
        error: makes what is raised of the reason.
    """

    def __init__(self, size: int, error: Callable[[str], Exception]):
        self._limit = self._left = MAX_RATIO * size + FREE_BYTES
        self._error = error

    def spend(self, num_bytes: int) -> None:
        """Count bytes that are taken for what is in the file.

        Raises:
            Exception: `error` of the reason, where there are too many.
        """
        self._left -= num_bytes
        if self._left < 0:
            raise self._error(f"the file stands for more than {self._limit} bytes, far more than its size")
