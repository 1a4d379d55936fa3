"""Zip archives of weights: every size is known and bounded before a byte is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import TracebackType

from tinytrain.errors import WeightsError
from tinytrain.pickles import visible
from tinytrain.untrusted import ARCHIVE_DAMAGE, Budget


class ZipEntries:
    """The entries of a zip archive, by name.

    Args:
        path: of the archive.
        budget: what its file may stand for.

    Raises:
        WeightsError: it is damaged, has two entries of one name, or one that is packed otherwise than by deflate.
    """

    def __init__(self, path: Path, budget: Budget):
        self._budget = budget
        try:
            self._file = zipfile.ZipFile(path)
        except ARCHIVE_DAMAGE as error:
            raise _damaged(error) from error
        try:
            self.names = _by_name(self._file.infolist())
        except WeightsError:
            self._file.close()
            raise

    def __enter__(self) -> ZipEntries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def size(self, name: str) -> int:
        """Return the unpacked size that the archive announces, in bytes."""
        return self.names[name].file_size

    def read(self, name: str) -> bytes:
        """Return an entry's bytes, whose checksum is right.

        Raises:
            WeightsError: it is damaged, or not as long as announced.
        """
        self._budget.spend(self.size(name))
        try:
            with self._file.open(self.names[name]) as entry:
                content = entry.read(self.size(name) + 1)
        except ARCHIVE_DAMAGE as error:
            raise _damaged(error) from error
        if len(content) != self.size(name):
            raise WeightsError(f"{visible(name)!r} has not the {self.size(name)} bytes announced")
        return content


def _by_name(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename in found:
            raise WeightsError(f"two entries are called {visible(info.filename)!r}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError(f"{visible(info.filename)!r} is packed in a way that is not read")
        found[info.filename] = info
    return found


def _damaged(error: Exception) -> WeightsError:
    return WeightsError(f"the zip archive is damaged: {visible(str(error))}", remedy="Get the file again")
