"""PyTorch's files: the zip format, and the two older ones, a row of pickles and a tar archive.

Source: `torch.serialization`, whose comments describe the formats.
"""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tinytrain.errors import WeightsError
from tinytrain.pickles import PickleDamaged, expect, read_values, visible
from tinytrain.untrusted import Budget
from tinytrain.weights.archive import ZipEntries
from tinytrain.weights.torch_names import Records, StoredTensor

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TAR_MEMBERS = ("sys_info", "pickle", "storages", "tensors")


@dataclass
class Unpickled:
    """What a file of PyTorch's holds.

    Args:
        format: for people.
        value: containers with `StoredTensor` where tensors are.
        order: of the bytes, `<` or `>`.
    """

    format: str
    value: Any
    order: str = "<"


def read_zip(entries: ZipEntries, mentioned: set[str] | None, budget: Budget) -> Unpickled:
    """Read a file of the zip format, which PyTorch writes since 1.6.

    Args:
        entries: of the archive.
        mentioned: as of `read_values`.
        budget: what the file may stand for.
    """
    roots = [name.removesuffix("data.pkl") for name in entries.names if name.rpartition("/")[2] == "data.pkl"]
    if len(roots) != 1:
        raise WeightsError("a zip archive, but neither PyTorch's (no data.pkl) nor NumPy's (no .npy)")
    root = roots[0]
    if f"{root}constants.pkl" in entries.names:
        raise WeightsError("a TorchScript program, which is code", remedy="Save the model's state_dict instead")
    records = Records()
    stream = io.BytesIO(entries.read(f"{root}data.pkl"))
    value = read_values(stream, records.names, budget.spend, persistent=records.persistent, mentioned=mentioned)
    for key, storage in records.storages.items():
        if storage.root is None:
            storage.raw = memoryview(_zip_storage(entries, f"{root}data/{key}", storage.num_bytes))
    is_big = f"{root}byteorder" in entries.names and entries.read(f"{root}byteorder") == b"big"
    return Unpickled("PyTorch (zip)", value, ">" if is_big else "<")


@contextmanager
def _told_as_damage() -> Iterator[None]:
    """Tell as damage what does not have the form that the format asks for."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise PickleDamaged(f"the file is damaged: {visible(str(error))}") from error


@_told_as_damage()
def read_legacy(data: bytes, mentioned: set[str] | None, budget: Budget) -> Unpickled:
    """Read a file of the format before 1.6: pickles in a row, then the storages.

    Args:
        data: the file's bytes.
        mentioned: as of `read_values`.
        budget: what the file may stand for.
    """
    stream = io.BytesIO(data)
    records = Records()

    def read() -> Any:
        return read_values(stream, records.names, budget.spend, persistent=records.persistent, mentioned=mentioned)

    magic = read()
    if magic != _MAGIC:
        raise WeightsError("a pickle, but none of PyTorch's")
    if read() != _PROTOCOL:
        raise WeightsError("a version of PyTorch's format that is not known")
    order = _order(read())
    value = read()
    for key in expect(list, read()):
        _read_storage(stream, data, records, str(key), order)
    if stream.tell() != len(data):
        raise WeightsError(f"{len(data) - stream.tell()} bytes follow the last storage")
    return Unpickled("PyTorch (before 1.6)", value, order)


@_told_as_damage()
def read_tar(data: bytes, mentioned: set[str] | None, budget: Budget) -> Unpickled:
    """Read a file of the oldest format: a tar archive of pickles, storages and tensors.

    Args:
        data: the file's bytes.
        mentioned: as of `read_values`.
        budget: what the file may stand for.
    """
    members = _tar_members(data)
    records = Records()

    def read(stream: io.BytesIO) -> Any:
        return read_values(stream, records.names, budget.spend, persistent=records.persistent, mentioned=mentioned)

    order = _order(read(io.BytesIO(members["sys_info"]))) if "sys_info" in members else "<"
    stream = io.BytesIO(members["storages"])
    for _ in range(expect(int, read(stream))):
        key, _location, storage_type = read(stream)
        (count,) = struct.unpack(f"{order}q", _exactly(stream, 8))
        records.storage(str(key), storage_type.name, count)
        _read_storage(stream, members["storages"], records, str(key), order, has_count=False)
    if stream.tell() < len(members["storages"]):  # some writers leave the parts out
        for key, root, begin, count in read(stream):
            records.part(records.storages[str(root)], key, begin, count)
    if "tensors" in members:
        _read_tensors(io.BytesIO(members["tensors"]), records, read, order)
    value = read(io.BytesIO(members["pickle"]))
    return Unpickled("PyTorch (oldest, tar)", value, order)


def is_tar(head: bytes) -> bool:
    """Return whether a file that begins so is a tar archive of PyTorch's."""
    return head[257:262] == b"ustar" or head.partition(b"\0")[0] in {name.encode() for name in _TAR_MEMBERS}


def _zip_storage(entries: ZipEntries, name: str, num_bytes: int) -> bytes:
    if name not in entries.names:
        raise WeightsError(f"the storage {visible(name)!r} is missing")
    size = entries.size(name)
    if size != num_bytes:
        raise WeightsError(f"the storage {visible(name)!r} has {size} bytes, its tensors speak of {num_bytes}")
    return entries.read(name)


def _read_storage(
    stream: io.BytesIO, data: bytes, records: Records, key: str, order: str, *, has_count: bool = True
) -> None:
    """Give a storage its bytes, and leave the stream behind them."""
    if key not in records.storages or records.storages[key].raw is not None:
        raise WeightsError(f"the storage {visible(key)!r} is there, but nothing speaks of it, or it is there twice")
    storage = records.storages[key]
    if has_count:
        (count,) = struct.unpack(f"{order}q", _exactly(stream, 8))
        size = storage.element.size if storage.element else 1
        if count * size != storage.num_bytes:
            raise WeightsError(
                f"the storage {visible(key)!r} has {count} elements, its tensors speak of another number"
            )
    begin = stream.tell()
    if storage.num_bytes > len(data) - begin:
        raise WeightsError(f"the file ends within the storage {visible(key)!r}", remedy="Get the file again")
    storage.raw = memoryview(data)[begin : begin + storage.num_bytes]
    stream.seek(begin + storage.num_bytes)


def _read_tensors(stream: io.BytesIO, records: Records, read: Any, order: str) -> None:
    for _ in range(expect(int, read(stream))):
        key, storage_key, _kind = read(stream)
        ndim, _ = struct.unpack(f"{order}ii", _exactly(stream, 8))
        if not 0 <= ndim <= 64:
            raise WeightsError(f"a tensor has {ndim} dimensions")
        numbers = struct.unpack(f"{order}{2 * ndim + 1}q", _exactly(stream, 8 * (2 * ndim + 1)))
        storage = records.storages[str(storage_key)]
        if storage.element is None:
            raise WeightsError(f"the storage {storage.key!r} has no type")
        records.tensors[int(key)] = StoredTensor(
            storage, storage.element, numbers[-1], numbers[:ndim], numbers[ndim:-1]
        )


def _tar_members(data: bytes) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for info in tar:
                name = info.name.removeprefix("./")
                if name not in _TAR_MEMBERS or name in members or info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    raise WeightsError(f"a tar archive with {visible(name)!r}, which is none of PyTorch's")
                if info.offset_data + info.size > len(data):
                    raise WeightsError(f"the file ends within {visible(name)!r}", remedy="Get the file again")
                members[name] = data[info.offset_data : info.offset_data + info.size]
    except (tarfile.TarError, ValueError, OverflowError, EOFError, OSError) as error:
        raise WeightsError(f"the tar archive is damaged: {visible(str(error))}") from error
    if not {"pickle", "storages"} <= members.keys():
        raise WeightsError("a tar archive, but none of PyTorch's: no pickle and storages")
    return members


def _exactly(stream: io.BytesIO, count: int) -> bytes:
    found = stream.read(count)
    if len(found) != count:
        raise WeightsError("the file ends too early", remedy="Get the file again")
    return found


def _order(system: Any) -> str:
    """Return the byte order that a file says its writer had."""
    return ">" if isinstance(system, dict) and system.get("little_endian") is False else "<"
