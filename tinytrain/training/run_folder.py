"""The folder of a run: where it is made, who writes in it, and how files get into it whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinytrain.errors import StorageError, UsageError
from tinytrain.training.events import EpochResult
from tinytrain.training.locking import FileLock, is_held

METRICS = ("epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "seconds", "images_per_second")
"""The columns of `metrics.csv`."""

FINETUNED = "finetune.json"
"""The file that says where the first weights are from; `finetune` begins a folder with it, `train` does not."""

LOCK = Path("checkpoint/lock")
_TEMPORARY = re.compile(r"\..+\.\w+\.tmp(\.\w+)?")  # as `replacing` names them; savers want the suffix at the end


class RunFolder:
    """A run's files by name.

    Args:
        path: the folder, which exists.
    """

    def __init__(self, path: Path):
        self.path = path
        self._is_locked = False

    @classmethod
    def create(cls, name: str, path: Path | None = None, root: Path = Path("runs")) -> RunFolder:
        """Make a new folder: `path` itself, or `root/name`, `root/name-2`, ...

        Raises:
            UsageError: `path` exists and holds something.
            StorageError: it cannot be made.
        """
        try:
            if path is not None:
                if path.exists() and not is_unused(path):
                    raise UsageError(
                        "the run folder exists already",
                        place=path,
                        remedy="Name another one with --run-dir, or go on with this run with --resume",
                    )
                path.mkdir(parents=True, exist_ok=True)
                return cls(path)
            root.mkdir(parents=True, exist_ok=True)
            for number in range(1, 1_000_000):
                path = root / (name if number == 1 else f"{name}-{number}")
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    return cls(path)
        except OSError as error:
            raise StorageError(f"the run folder cannot be made: {error.strerror}", place=path or root) from error
        raise StorageError(f"a million runs are called {name!r}", place=root, remedy="Choose another name")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder for a while, and remove what a killed one left half written.

        The lock ends with the process, however it ends. Whoever holds it may take it again.

        Raises:
            StorageError: another process has it, or the folder cannot be written.
        """
        if self._is_locked:
            yield
            return
        file = self.path / LOCK
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(file)
        except OSError as error:
            raise StorageError(f"cannot be written: {error.strerror}", place=self.path) from error
        with lock:
            self._is_locked = True
            try:
                self._remove_remains()
                yield
            finally:
                self._is_locked = False

    def is_in_use(self) -> bool:
        """Return whether another process is writing in the folder."""
        return not self._is_locked and is_held(self.path / LOCK)

    def _remove_remains(self) -> None:
        """Remove the temporary files of a process that was killed while it wrote."""
        for folder in (self.path, self.path / LOCK.parent):
            for file in folder.glob(".*"):
                if _TEMPORARY.fullmatch(file.name):
                    file.unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file whole; what no UTF-8 can say, as in some names of files, becomes an escape of JSON's."""
        with self.replacing(name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")

    def write_json(self, name: str, document: Any) -> None:
        """Write a JSON document whole."""
        self.write_text(name, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_metrics(self, epochs: list[EpochResult]) -> None:
        """Write `metrics.csv`, a row an epoch."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(METRICS)
        for each in epochs:
            val = ("", "") if each.val is None else (f"{each.val.loss:.6g}", f"{each.val.top1:.6g}")
            writer.writerow(
                [
                    each.epoch,
                    f"{each.lr:.6g}",
                    f"{each.train.loss:.6g}",
                    f"{each.train.top1:.6g}",
                    *val,
                    f"{each.seconds:.3f}",
                    f"{each.images_per_second:.1f}",
                ]
            )
        self.write_text("metrics.csv", text.getvalue())

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Yield a temporary path that takes the place of `name` once everything is on the disk.

        If anything fails the temporary file is removed and the old one stays.

        Raises:
            StorageError: it cannot be written.
        """
        target = self.path / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary_name = tempfile.mkstemp(
                dir=target.parent, prefix=f".{target.name}.", suffix=f".tmp{target.suffix}"
            )
            os.close(handle)
        except OSError as error:
            raise StorageError(f"cannot be written: {error.strerror}", place=target) from error
        temporary = Path(temporary_name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise StorageError(f"cannot be written: {error.strerror or error}", place=target) from error
        finally:
            temporary.unlink(missing_ok=True)


def is_unused(path: Path) -> bool:
    """Return whether a folder is empty, or holds no more than a process leaves that is killed before the config."""
    if not path.is_dir():
        return False
    remains = [path / FINETUNED, path / LOCK, path / LOCK.parent]
    return all(found in remains or _TEMPORARY.fullmatch(found.name) for found in path.rglob("*"))


def _sync_folder(folder: Path) -> None:
    """Put a folder's list of names on the disk, where the system can do that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
