"""Checkpoints as files: numbered, with a checksum over every bit, the last two kept.

`checkpoint/<number>.safetensors` is a safetensors file whose metadata hold one JSON document, `state`, and `sha256`:
the SHA-256 of the whole file with that digest's own 64 digits as zeros. The format has no checksum of its own, and one
over the tensors alone would let a changed learning rate pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.errors import StorageError, WeightsError
from tinytrain.training.run_folder import RunFolder
from tinytrain.weights.safetensors_file import read_safetensors_bytes

FOLDER = "checkpoint"
KEPT = 2
"""So many are kept: should the newest be damaged, there is the one before."""

_NO_DIGEST = "0" * 64
_BEFORE_DIGEST = b'"sha256":"'  # cannot occur within a JSON text, where quotes are escaped


def write_checkpoint(folder: RunFolder, arrays: dict[str, np.ndarray], document: dict[str, Any]) -> Path:
    """Write the next checkpoint of a run and remove those before the last two.

    Args:
        folder: of the run.
        arrays: by name.
        document: the rest, in JSON's terms.

    Returns:
        Its path.

    Raises:
        StorageError: it cannot be written; those before stay.
    """
    from safetensors.numpy import save

    number = 1 + max(map(_number, _files(folder)), default=0)
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    data = bytearray(save(contiguous, {"sha256": _NO_DIGEST, "state": json.dumps(document)}))
    begin = _find_digest(data)
    data[begin : begin + 64] = hashlib.sha256(data).hexdigest().encode()
    name = f"{FOLDER}/{number:06}.safetensors"
    with folder.replacing(name) as path:
        path.write_bytes(data)
    try:
        for file in _files(folder)[:-KEPT]:
            file.unlink()
    except OSError as error:
        raise StorageError(f"cannot be removed: {error.strerror}", place=error.filename) from error
    return folder.path / name


def has_checkpoint(folder: RunFolder) -> bool:
    """Return whether a run has a checkpoint, damaged or not."""
    return bool(_files(folder))


def read_newest(folder: RunFolder, warn: Callable[[str], None]) -> tuple[Path, dict[str, np.ndarray], dict[str, Any]]:
    """Return the path, the arrays and the document of the newest checkpoint that is whole.

    A damaged one is put aside, as `<name>.damaged`.

    Args:
        folder: of the run.
        warn: told of each damaged one.

    Raises:
        StorageError: the run has no checkpoint, or one cannot be read.
        WeightsError: all of them are damaged.
    """
    files = _files(folder)
    if not files:
        raise StorageError(
            "the run has no checkpoint to go on from",
            place=folder.path / FOLDER,
            remedy="Leave out --resume to begin a new run",
        )
    damage: WeightsError | None = None
    for path in reversed(files):
        try:
            return path, *read_checkpoint(path)
        except WeightsError as error:
            damage = error
            aside = path.with_name(f"{path.name}.damaged")
            path.rename(aside)
            warn(f"warning: {error}. It is kept as {aside.name}; going on from the checkpoint before it")
    assert damage is not None
    raise WeightsError(
        f"no checkpoint is whole; {damage.reason}", place=damage.place, remedy="Begin a new run without --resume"
    )


def read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the document in a checkpoint.

    Raises:
        StorageError: it cannot be read.
        WeightsError: a bit of it is another than was written.
    """
    try:
        data = bytearray(path.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", place=path) from error
    begin = _find_digest(data)
    digest = bytes(data[begin : begin + 64])
    data[begin : begin + 64] = _NO_DIGEST.encode()
    if begin < 0 or digest != hashlib.sha256(data).hexdigest().encode():
        raise WeightsError("the checkpoint is damaged: its checksum does not match its contents", place=path)
    try:
        content = read_safetensors_bytes(bytes(data))
        return content.arrays, json.loads(content.metadata["state"])
    except WeightsError as error:
        raise WeightsError(f"the checkpoint is damaged: {error.reason}", place=path) from error
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsError(f"the checkpoint is damaged: no state in it: {error}", place=path) from error


def _files(folder: RunFolder) -> list[Path]:
    """Return the checkpoints of a run, the oldest first."""
    return sorted((each for each in (folder.path / FOLDER).glob("*.safetensors") if each.stem.isdecimal()), key=_number)


def _number(path: Path) -> int:
    return int(path.stem)


def _find_digest(data: bytearray) -> int:
    """Return where the 64 digits of the checksum begin, below 0 where there is no such place."""
    at = data.find(_BEFORE_DIGEST)
    return at + len(_BEFORE_DIGEST) if at >= 0 else -1
