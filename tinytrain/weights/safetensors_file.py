"""The `.safetensors` format: a header of JSON, then the tensors' bytes without a gap.

Source: the format's description in huggingface/safetensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain.errors import WeightsError
from tinytrain.pickles import visible
from tinytrain.weights.elements import ELEMENTS, check_shape

MAX_HEADER = 100_000_000
_TYPES = {
    "BOOL": "bool", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "I8": "int8", "I16": "int16",
    "I32": "int32", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip


@dataclass
class SafeTensors:
    """What a file holds.

    Args:
        arrays: by name, read-only, in the order of the header.
        dtypes: as stored, by name.
        metadata: text by name.
    """

    arrays: dict[str, np.ndarray]
    dtypes: dict[str, str]
    metadata: dict[str, str]


def is_safetensors(head: bytes) -> bool:
    """Return whether a file that begins so is of this format."""
    return head[8:9] == b"{"


def read_safetensors_bytes(data: bytes) -> SafeTensors:
    """Return what the bytes of a file hold; bfloat16 becomes float32.

    Raises:
        WeightsError: the header or a tensor does not fit the file, a name comes twice, or a type is not known.
    """
    header_size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header_size > min(MAX_HEADER, len(data) - 8):
        raise WeightsError(
            f"the header is said to have {header_size} bytes, the file has {len(data)}", remedy="Get the file again"
        )
    header = _parse(data[8 : 8 + header_size])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise WeightsError("the metadata are not text by name")
    content = memoryview(data)[8 + header_size :]
    arrays, dtypes, places = {}, {}, []
    for name, entry in header.items():
        shown = visible(name)
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise WeightsError(f"{shown!r} is not described by dtype, shape and data_offsets")
        kind = entry["dtype"] if isinstance(entry["dtype"], str) else type(entry["dtype"]).__name__
        if kind not in _TYPES:
            raise WeightsError(f"{shown!r} has the type {visible(kind)!r}, which is not read")
        element = ELEMENTS[_TYPES[kind]]
        begin, end = _offsets(entry["data_offsets"], len(content), shown)
        shape: Any = entry["shape"] if isinstance(entry["shape"], list) else [None]
        if check_shape(shape, shown) * element.size != end - begin:
            raise WeightsError(f"{shown!r} has {end - begin} bytes, its shape {shape} of {element.name} needs others")
        arrays[name] = element.values(content[begin:end]).reshape(shape)
        dtypes[name] = element.name
        places.append((begin, end))
    reached = 0
    for begin, end in sorted(places):
        if begin != reached:
            raise WeightsError(f"the tensors overlap or leave a gap at byte {min(begin, reached)} of the data")
        reached = end
    if reached != len(content):
        raise WeightsError(f"{len(content) - reached} bytes of the data belong to no tensor")
    return SafeTensors(arrays, dtypes, metadata)


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"the header is no JSON: {visible(str(error))}", remedy="Get the file again") from error
    if not isinstance(header, dict):
        raise WeightsError("the header is no JSON object")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _offsets(value: Any, size: int, name: str) -> tuple[int, int]:
    match value:
        case [int(begin), int(end)] if 0 <= begin <= end <= size:
            return begin, end
        case [int(begin), int(end)]:
            raise WeightsError(f"{name!r} lies at {visible(str([begin, end]))}, outside of the {size} bytes of data")
    raise WeightsError(f"{name!r} has no two offsets into the data")
