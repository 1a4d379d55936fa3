"""Files out of archives that nobody vouches for: no paths that lead elsewhere, no links, no bombs."""

from __future__ import annotations

import functools
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from tinytrain.errors import DataError, StorageError
from tinytrain.untrusted import ARCHIVE_DAMAGE, FREE_BYTES, MAX_RATIO

MAX_BYTES = 1 << 36  # unpacked, all members together
MAX_MEMBERS = 1_000_000

_COPY = 1 << 20


@dataclass(frozen=True)
class Member:
    """A regular file in an archive.

    Args:
        name: its path, with slashes, as the archive gives it.
        size: unpacked, in bytes.
        open: returns a stream of its bytes.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def read_members(archive: Path, names: Collection[str], max_size: int) -> dict[str, bytes]:
    """Read files from a tar or zip archive into memory, by the last part of their paths.

    Args:
        archive: a `.zip`, or a `.tar` with any compression that Python knows.
        names: of the files wanted; those that are not there are left out of the result.
        max_size: of one file, in bytes.

    Raises:
        DataError: the archive is damaged or unsafe, or a file is too large.
    """
    found: dict[str, bytes] = {}
    with _members(archive) as members:
        for member in members:
            name = PurePosixPath(member.name).name
            if name in names and name not in found:
                if member.size > max_size:
                    raise DataError(
                        f"{member.name} has {member.size} bytes; at most {max_size} are expected", place=archive
                    )
                with member.open() as stream:
                    found[name] = stream.read(max_size + 1)
            if len(found) == len(names):
                break
    return found


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip archive into a folder, which appears only when everything is there.

    Args:
        archive: as in `read_members`.
        folder: must not exist.

    Raises:
        DataError: the archive is damaged or unsafe; nothing is left behind.
    """
    if folder.exists():
        raise DataError("exists already; it would be overwritten", place=folder)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        with _members(archive) as members:
            for member in members:
                _write(member, partial.joinpath(*_safe_parts(member.name, archive)), archive)
        partial.mkdir(parents=True, exist_ok=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def extract_member(archive: Path, name: str, folder: Path) -> Path:
    """Unpack one file of a tar or zip archive into a folder, without its path, and return where it is.

    Raises:
        DataError: the archive is damaged or unsafe, or has no such file.
    """
    target = folder / PurePosixPath(name).name
    with _members(archive) as members:
        for member in members:
            if member.name == name:
                partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
                try:
                    _write(member, partial, archive)
                    partial.replace(target)
                finally:
                    partial.unlink(missing_ok=True)
                return target
    raise DataError(f"there is no {name} in it", place=archive)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """Open an archive for one pass over its files; turn what goes wrong into DataError."""
    try:
        if _begins_like_a_zip(archive):
            with zipfile.ZipFile(archive) as file:
                yield _checked(_in_zip(file), archive)
        else:
            with tarfile.open(archive) as tar:
                yield _checked(_in_tar(tar, archive), archive)
    except ARCHIVE_DAMAGE as error:
        raise DataError(f"cannot be read as an archive: {error}", place=archive, remedy="Get it again") from error


def _begins_like_a_zip(archive: Path) -> bool:
    """Look at the beginning: `zipfile.is_zipfile` also takes a tar whose last file is a zip."""
    with archive.open("rb") as stream:
        return stream.read(2) == b"PK"


def _in_zip(file: zipfile.ZipFile) -> Iterator[Member]:
    for info in file.infolist():
        kind = info.external_attr >> 28  # the file type of the Unix mode; 0 where the archive was made elsewhere
        if info.is_dir():
            continue
        if kind not in (0, 0o10):
            raise DataError(f"{info.filename} is a link or a device", place=file.filename)
        yield Member(info.filename, info.file_size, functools.partial(file.open, info))


def _in_tar(tar: tarfile.TarFile, archive: Path) -> Iterator[Member]:
    for info in tar:
        if info.isdir():
            continue
        if not info.isreg():
            raise DataError(f"{info.name} is a link or a device", place=archive)
        stream = functools.partial(tar.extractfile, info)
        yield Member(info.name, info.size, cast(Callable[[], IO[bytes]], stream))


def _checked(members: Iterator[Member], archive: Path) -> Iterator[Member]:
    """Pass members on while their names stay inside and their sizes within bounds."""
    total = 0
    limit = min(MAX_BYTES, MAX_RATIO * archive.stat().st_size + FREE_BYTES)
    for count, member in enumerate(members, 1):
        _safe_parts(member.name, archive)
        total += member.size
        if total > limit or count > MAX_MEMBERS:
            raise DataError(
                f"unpacks to more than {limit} bytes or {MAX_MEMBERS} files, which no data set needs", place=archive
            )
        yield member


def _safe_parts(name: str, archive: Path) -> tuple[str, ...]:
    """Return the parts of a member's path, which must lead downwards on every system."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or any(part == ".." or "\\" in part or ":" in part for part in parts):
        raise DataError(f"the path {name!r} in it leads elsewhere", place=archive)
    return parts


def _write(member: Member, path: Path, archive: Path) -> None:
    rest = member.size
    with _storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open("xb")
    with member.open() as source, target:
        while chunk := source.read(_COPY):
            rest -= len(chunk)
            if rest < 0:
                raise DataError(f"{member.name} unpacks to more than the {member.size} bytes announced", place=archive)
            with _storing(path):
                target.write(chunk)


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    """Tell what goes wrong in writing apart from what goes wrong in reading the archive."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot be written: {error}", place=path) from error
