"""Weights files made by hand, so that each can be wrong in one way."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Named:
    """Pickles as a global of any name, which need not exist."""

    def __init__(self, name: str):
        self.module, _, self.name = name.rpartition(".")


class Call:
    """Pickles as the call of a global."""

    def __init__(self, name: str, *arguments: Any):
        self.name, self.arguments = Named(name), arguments


class Storage:
    """Pickles as the persistent id of a storage."""

    def __init__(self, kind: str, key: str, count: Any, location: str = "cpu", view: Any = ()):
        self.saved = ("storage", Named(f"torch.{kind}"), key, location, count, *view)


def tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> Call:
    """A tensor as PyTorch pickles it."""
    hooks = Call("collections.OrderedDict")
    return Call("torch._utils._rebuild_tensor_v2", storage, offset, shape, stride, False, hooks)


def pickled(value: Any) -> bytes:
    """Return a pickle of plain values and the classes above."""
    return b"\x80\x02" + _code(value) + b"."


def _code(value: Any) -> bytes:
    if isinstance(value, Named):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return _code(value.name) + _code(value.arguments) + b"R"
    if isinstance(value, Storage):
        return _code(value.saved) + b"Q"
    if isinstance(value, dict):
        return b"}(" + b"".join(_code(key) + _code(each) for key, each in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_code, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_code, value)) + b"t"
    return pickle.dumps(value, 2)[2:-1].replace(b"q\x00", b"")


def zip_file(path: Path, value: Any, storages: dict[str, bytes], *, compression: int = 0, **entries: bytes) -> Path:
    """Write a file of PyTorch's zip format."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", value if isinstance(value, bytes) else pickled(value))
        for key, content in storages.items():
            file.writestr(f"archive/data/{key}", content)
        for name, content in entries.items():
            file.writestr(f"archive/{name}", content)
    return path


def legacy_file(path: Path, value: Any, storages: dict[str, tuple[int, bytes]], *, little: bool = True) -> Path:
    """Write a file of PyTorch's format before 1.6; storages are (count, bytes)."""
    content = pickle.dumps(MAGIC, 2) + pickle.dumps(PROTOCOL, 2) + pickled({"little_endian": little})
    content += value if isinstance(value, bytes) else pickled(value)
    content += pickled(list(storages))
    for count, raw in storages.values():
        content += struct.pack("<q" if little else ">q", count) + raw
    path.write_bytes(content)
    return path


def tar_file(path: Path, members: dict[str, bytes]) -> Path:
    """Write a tar archive."""
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def safetensors_file(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    """Write a `.safetensors` file; `length` is what it says of its header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path
