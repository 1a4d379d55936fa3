"""Finding a public weights file on this machine, and getting it when that is asked for."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from tinytrain.cache import cache_folder
from tinytrain.datasets.download import ProgressBar
from tinytrain.errors import StorageError, WeightsError

_CHUNK = 1 << 20  # bytes


def search_folders() -> list[Path]:
    """Return where public weights may lie, in the order in which they are looked for.

    Our own folder under `TINYTRAIN_HOME` or the platform's cache; then PyTorch's: `TORCH_HOME`, `TORCH_MODEL_ZOO`, and
    its default under `XDG_CACHE_HOME` or `~/.cache`.
    """
    folders = [cache_folder("weights")]
    if home := os.environ.get("TORCH_HOME"):
        folders.append(Path(home).expanduser() / "hub" / "checkpoints")
    if zoo := os.environ.get("TORCH_MODEL_ZOO"):
        folders.append(Path(zoo).expanduser())
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return [*folders, Path(cache).expanduser() / "torch" / "hub" / "checkpoints"]


def retrieve(url: str, sha256: str, *, download: bool, progress: bool = True) -> Path:
    """Return the path of a public file, which is got from the network where it is on no disk and that is allowed.

    A download goes on where an earlier one stopped. The file has its name only when it is whole and its hash right.

    Args:
        url: of the file.
        sha256: what the hexadecimal digits of its hash begin with.
        download: whether the network may be used.
        progress: whether a bar is shown, on a terminal.

    Raises:
        WeightsError: it is nowhere, or what there is has another hash.
        StorageError: it cannot be written.
    """
    name = url.rpartition("/")[2]
    folders = search_folders()
    for folder in folders:
        if (folder / name).is_file():
            _check(folder / name, sha256, "Delete it to get it anew")
            return folder / name
    target = folders[0] / name
    if not download:
        raise WeightsError(
            f"{name} is not on this machine (looked in {', '.join(map(str, folders))})",
            remedy=f"Allow the download, or put {url} into {target.parent}",
        )
    part = target.with_name(f"{name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part, progress)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        remedy = f"Try again, which goes on where this stopped, or put {url} into {target.parent}"
        raise WeightsError(f"{name} could not be downloaded: {error}", remedy=remedy) from error
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", place=part) from error
    try:
        _check(part, sha256, "Try again later")
    except WeightsError:
        part.unlink()
        raise
    part.replace(target)
    return target


def _download(url: str, part: Path, progress: bool) -> None:
    """Append to `part` what it lacks of a file."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing lies beyond: it is whole
            return
        raise
    bar = ProgressBar(part.name.removesuffix(".part")) if progress else None
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        have = file.tell()
        whole = have + int(response.headers.get("Content-Length") or 0)
        if bar is not None:
            bar.total = whole
            bar.update(have)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            have += len(chunk)
            if bar is not None:
                bar.update(len(chunk))
    if bar is not None:
        bar.close()
    if have < whole:
        raise http.client.IncompleteRead(b"", whole - have)


def _check(path: Path, sha256: str, remedy: str) -> None:
    """Refuse a file whose hash is another.

    Raises:
        WeightsError: it is.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if not digest.hexdigest().startswith(sha256):
        raise WeightsError(
            f"the file is damaged: its SHA-256 begins with {digest.hexdigest()[: len(sha256)]}, not {sha256}",
            place=path,
            remedy=remedy,
        )
