"""NumPy's `.npz`: a zip archive of arrays, each with a header of text, which is matched and never evaluated."""

from __future__ import annotations

import re

import numpy as np

from tinytrain.errors import WeightsError
from tinytrain.pickles import visible
from tinytrain.weights.archive import ZipEntries
from tinytrain.weights.elements import check_shape

_MAGIC = b"\x93NUMPY"
_TYPE = re.compile(r"'descr'\s*:\s*'([^']*)'")
_ORDER = re.compile(r"'fortran_order'\s*:\s*(True|False)")
_LENGTH = r"[0-9]{1,20}L?\s*"  # Python 2 wrote an L; more digits are beyond 64 bits
_SHAPE = re.compile(rf"'shape'\s*:\s*\(\s*((?:{_LENGTH}(?:,\s*{_LENGTH})*,?)?)\s*\)")


def is_npz(entries: ZipEntries) -> bool:
    """Return whether a zip archive is of this format."""
    return any(name.endswith(".npy") for name in entries.names)


def read_npz(entries: ZipEntries) -> dict[str, np.ndarray]:
    """Return the arrays of a zip archive by name, read-only.

    Raises:
        WeightsError: the file is damaged, or holds something else than numbers.
    """
    if not all(name.endswith(".npy") for name in entries.names):
        raise WeightsError("a zip archive with arrays and other things, which .npz files have not")
    return {name.removesuffix(".npy"): _array(memoryview(entries.read(name)), visible(name)) for name in entries.names}


def _array(content: memoryview, name: str) -> np.ndarray:
    """Return the array that an `.npy` file holds (format of NumPy's enhancement proposal 1)."""
    width = {1: 2, 2: 4, 3: 4}.get(content[6] if len(content) > 9 else 0)
    if width is None or content[:6] != _MAGIC:
        raise WeightsError(f"{name!r} is no array of NumPy's", remedy="Get the file again")
    begin = 8 + width
    end = begin + int.from_bytes(content[8:begin], "little")
    header = bytes(content[begin:end]).decode("latin-1")
    dtype, order, lengths = _TYPE.search(header), _ORDER.search(header), _SHAPE.search(header)
    if dtype is None or order is None or lengths is None or len(header) != end - begin:
        raise WeightsError(f"{name!r} has a header that is not understood: {visible(header)!r}")
    if not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", dtype[1]):
        raise WeightsError(f"{name!r} holds {visible(dtype[1])!r}, not plain numbers")
    shape = tuple(int(length) for length in re.findall("[0-9]+", lengths[1]))
    kind = np.dtype(dtype[1])
    if check_shape(shape, name) * kind.itemsize != len(content) - end:
        raise WeightsError(f"{name!r} has {len(content) - end} bytes, its shape {shape} needs another number")
    values = np.frombuffer(content[end:], kind)
    native = values.view("u1") != 0 if kind.kind == "b" else values.astype(kind.newbyteorder("="), copy=False)
    return native.reshape(shape, order="F" if order[1] == "True" else "C")
