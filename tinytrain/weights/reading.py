"""Reads a weights file of any known format: tensors by name, and what else is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.errors import WeightsError
from tinytrain.pickles import Global, PickleDamaged, PickleError, visible
from tinytrain.untrusted import Budget
from tinytrain.weights.archive import ZipEntries
from tinytrain.weights.npz_file import is_npz, read_npz
from tinytrain.weights.safetensors_file import is_safetensors, read_safetensors_bytes
from tinytrain.weights.torch_file import Unpickled, is_tar, read_legacy, read_tar, read_zip
from tinytrain.weights.torch_names import StoredTensor

MAX_ENTRIES = 200_000
MAX_DEPTH = 64
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass
class WeightsFile:
    """What a weights file holds.

    Attributes:
        path: of the file.
        format: for people.
        tensors: read-only arrays by name; names of nested dicts are joined by dots, as in `state_dict.fc.weight`.
        dtypes: PyTorch's name of each tensor's type as stored; of bfloat16 the array is float32.
        entries: whatever else is there, by name: numbers, text, lists of them.
        ignored: the names that its pickle mentions and that stand for nothing here (only with `tensors_only`).
    """

    path: Path
    format: str
    tensors: dict[str, np.ndarray]
    dtypes: dict[str, str]
    entries: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Return the view of the file as plain values that any terminal can print."""
        return {
            "path": str(self.path),
            "format": self.format,
            "bytes": self.path.stat().st_size,
            "num_elements": sum(array.size for array in self.tensors.values()),
            "tensors": [
                {"name": visible(name), "shape": list(array.shape), "dtype": self.dtypes[name]}
                for name, array in self.tensors.items()
            ],
            "entries": [
                {"name": visible(name), "type": type(value).__name__, "value": _shown(value)}
                for name, value in self.entries.items()
            ],
            "ignored": self.ignored,
            "notes": self._notes(),
        }

    def _notes(self) -> list[str]:
        converted = sum(dtype == "bfloat16" for dtype in self.dtypes.values())
        return [f"bfloat16 is read as float32 ({converted} of {len(self.dtypes)} tensors)"] if converted else []


def describe(path: str | os.PathLike[str], *, tensors_only: bool = False) -> dict[str, Any]:
    """Return what is in a weights file: format, tensors with shapes and types, other entries.

    Args:
        path, tensors_only: as of `read_weights`.
    """
    return read_weights(path, tensors_only=tensors_only).describe()


def read_weights(path: str | os.PathLike[str], *, tensors_only: bool = False) -> WeightsFile:
    """Read a `.safetensors`, `.npz` or PyTorch file, known by its content; nothing in it is executed.

    Sizes are checked before memory is used. Device tags are ignored.

    Args:
        path: of the file, or a run folder, whose `best.safetensors` is read.
        tensors_only: let a pickle mention names of classes beside the tensors. They stand for nothing, and a pickle
            that calls one is refused all the same.

    Raises:
        WeightsError: there is no such file, it is damaged, of another format, or asks for more than tensors and plain
            values.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "best.safetensors"
    if path.exists() and not path.is_file():
        raise WeightsError("this is not a file", place=path, remedy="Name a run folder or a weights file")
    mentioned: set[str] | None = set() if tensors_only else None
    try:
        found = _read(path, mentioned)
    except FileNotFoundError:
        raise WeightsError("there is no such file", place=path, remedy="Name a run folder or a weights file") from None
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}", place=path) from error
    except PickleError as error:
        raise WeightsError(str(error), place=path, remedy=_remedy(error)) from error
    except WeightsError as error:
        raise WeightsError(error.reason, place=path, remedy=error.remedy) from error
    found.ignored = sorted(mentioned or ())
    return found


def _read(path: Path, mentioned: set[str] | None) -> WeightsFile:
    with path.open("rb") as file:
        head = file.read(512)
    budget = Budget(path.stat().st_size, WeightsError)
    if head[:4] in _ZIP_MAGIC:
        with ZipEntries(path, budget) as entries:
            if not is_npz(entries):
                return _flattened(path, read_zip(entries, mentioned, budget), budget)
            arrays = read_npz(entries)
        return WeightsFile(path, "NumPy (.npz)", arrays, {name: each.dtype.name for name, each in arrays.items()})
    if is_safetensors(head):
        content = read_safetensors_bytes(path.read_bytes())
        return WeightsFile(path, "safetensors", content.arrays, content.dtypes, dict(content.metadata))
    if is_tar(head):
        return _flattened(path, read_tar(path.read_bytes(), mentioned, budget), budget)
    try:
        return _flattened(path, read_legacy(path.read_bytes(), mentioned, budget), budget)
    except PickleDamaged as error:
        if head[:1] == b"\x80":
            raise
        raise WeightsError("neither .safetensors, .npz nor a file of PyTorch's") from error


def _flattened(path: Path, unpickled: Unpickled, budget: Budget) -> WeightsFile:
    """Put the tensors and values of nested containers under dotted names."""
    found = WeightsFile(path, unpickled.format, {}, {})
    read: dict[tuple[str, str], np.ndarray] = {}
    for count, (name, value) in enumerate(_leaves(unpickled.value, "", 0)):
        if count >= MAX_ENTRIES:
            raise WeightsError(f"there are more than {MAX_ENTRIES} entries")
        if name in found.tensors or name in found.entries:
            raise WeightsError(f"two entries are called {visible(name)!r}")
        if isinstance(value, StoredTensor):
            found.tensors[name] = value.array(visible(name), unpickled.order, budget, read)
            found.dtypes[name] = value.element.name
        elif isinstance(value, np.ndarray):
            found.tensors[name], found.dtypes[name] = value, value.dtype.name
        else:
            found.entries[name] = value
    return found


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield what is no container, or a list of plain values, with its dotted name."""
    if depth > MAX_DEPTH:
        raise WeightsError(f"containers are nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, (list, tuple)) and any(_is_branch(item) for item in value):
        items = enumerate(value)
    else:
        yield name, value
        return
    if not items and name:
        yield name, value
    for key, item in items:
        text = key.decode("latin-1") if isinstance(key, bytes) else str(key)
        yield from _leaves(item, f"{name}.{text}" if name else text, depth + 1)


def _is_branch(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple, StoredTensor, np.ndarray))


def _shown(value: Any) -> str:
    """Return a short text for a value, whatever it is."""
    if isinstance(value, Global):
        return value.name
    if isinstance(value, (list, tuple, dict)):
        return f"{len(value)} values" if len(value) > 8 else f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (bytes, bytearray)):
        return visible(repr(bytes(value[:64])))
    return visible(value if isinstance(value, str) else repr(value))


def _remedy(error: PickleError) -> str | None:
    if isinstance(error, PickleDamaged):
        return "Get the file again"
    return "Ask its author for the tensors alone (a state_dict, best as .safetensors)"
