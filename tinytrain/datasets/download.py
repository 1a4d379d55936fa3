"""Getting public files when the user asks for it: checked by hash, from one mirror after the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytrain.datasets.archive import extract_member
from tinytrain.errors import DataError


@dataclass(frozen=True)
class Resource:
    """A public file.

    Args:
        name: it is stored under.
        md5: of its bytes.
        urls: where it is, the best first.
        member: the file wanted out of it, where it is an archive.
    """

    name: str
    md5: str
    urls: Sequence[str]
    member: str | None = None


def fetch(resource: Resource, folder: Path) -> Path:
    """Get a file unless it is there already, and return its path.

    A file appears under its name only when it is complete and its hash is right.

    Args:
        resource: what to get.
        folder: where to put it; made if need be.

    Raises:
        DataError: no mirror gave the file with the right hash.
    """
    import pooch
    import requests

    failures = []
    for url in resource.urls:
        try:
            path = pooch.retrieve(
                url,
                known_hash=f"md5:{resource.md5}",
                fname=resource.name,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=ProgressBar(resource.name), timeout=30),
            )
            break
        except (requests.RequestException, ValueError) as error:  # ValueError: the hash is another
            failures.append(f"{url}: {error}")
    else:
        raise DataError(
            f"{resource.name} could not be downloaded ({'; '.join(failures)})",
            place=folder,
            remedy="Try again later, or put the file there yourself",
        )
    return Path(path) if resource.member is None else extract_member(Path(path), resource.member, folder)


class ProgressBar:
    """A progress bar on a terminal, as pooch expects one."""

    def __init__(self, name: str):
        self._name = name
        self._bar: Any = None
        self._task: Any = None
        self.total = 0

    def reset(self) -> None:
        """Begin again at nothing."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            self.close()
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task(self._name, total=self.total)
            self._bar.start()

    def update(self, num_bytes: int) -> None:
        """Count bytes that have arrived."""
        if self._bar is None:
            self.reset()
        if self._bar is not None:
            self._bar.update(self._task, advance=num_bytes)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
