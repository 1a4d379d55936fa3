"""The IDX format: a magic number, the sizes, then the values in big-endian order; plain, gzip or xz.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import lzma
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from tinytrain.errors import DataError
from tinytrain.untrusted import FREE_BYTES, MAX_RATIO

MAX_BYTES = 1 << 32  # of values in one file; the largest public set (EMNIST byclass) has 0.64e9

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 1 << 24
_MAX_DIMENSIONS = 64  # NumPy's own limit
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an array from an IDX file.

    Args:
        path: the file; whether it is compressed is told by its first bytes, not by its name.

    Returns:
        An array in the machine's byte order, with the shape and type that the header gives.

    Raises:
        DataError: the magic number, the sizes, the number of bytes or the compression is wrong.
    """
    path = Path(path)
    try:
        with _open(path) as stream:
            dtype, shape = _read_header(stream, path)
            size = math.prod(shape) * dtype.itemsize
            extent = math.prod(max(length, 1) for length in shape) * dtype.itemsize  # NumPy bounds it beside a 0, too
            limit = MAX_BYTES
            if isinstance(stream, (gzip.GzipFile, lzma.LZMAFile)):
                limit = min(limit, MAX_RATIO * path.stat().st_size + FREE_BYTES)
            if extent > limit:
                raise DataError(f"the header announces {extent} bytes; the limit is {limit}", place=path)
            values = _read_exactly(stream, size, path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"cannot be read: {error}", place=path, remedy="Get the file again") from error
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def read_images(path: str | os.PathLike[str]) -> np.ndarray:
    """Read grey images from an IDX file: (n, h, w) uint8.

    Raises:
        DataError: as in `read_idx`, or the file holds something else.
    """
    images = read_idx(path)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise DataError(f"images must be uint8 of 3 dimensions; these are {_describe(images)}", place=path)
    return images


def read_labels(path: str | os.PathLike[str], num_classes: int | None = None) -> np.ndarray:
    """Read class labels from an IDX file: (n,) int64.

    Args:
        path: the file.
        num_classes: labels must be below this; None: any.

    Raises:
        DataError: as in `read_idx`, or the file holds something else, or a label is too large.
    """
    labels = read_idx(path)
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataError(f"labels must be uint8 of 1 dimension; these are {_describe(labels)}", place=path)
    check_labels(labels, num_classes, path)
    return labels.astype(np.int64)


def check_labels(labels: np.ndarray, num_classes: int | None, path: str | os.PathLike[str]) -> None:
    """Raise DataError, naming the first one, where a label is not from 0 to `num_classes` - 1."""
    if num_classes is None:
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise DataError(f"label {labels[wrong[0]]} of image {wrong[0]} is not from 0 to {num_classes - 1}", place=path)


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        start = stream.read(len(_XZ))
    if start.startswith(_GZIP):
        return cast(IO[bytes], gzip.open(path))
    if start.startswith(_XZ):
        return cast(IO[bytes], lzma.open(path))
    return path.open("rb")


def _read_header(stream: IO[bytes], path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 0 < magic[3] <= _MAX_DIMENSIONS:
        raise DataError(f"not an IDX file: it begins with {magic.hex(' ') or 'nothing'}", place=path)
    num_dims = magic[3]
    sizes = stream.read(4 * num_dims)
    if len(sizes) < 4 * num_dims:
        raise DataError(f"the header ends before the sizes of its {num_dims} dimensions", place=path)
    return np.dtype(_TYPES[magic[2]]), struct.unpack(f">{num_dims}I", sizes)


def _read_exactly(stream: IO[bytes], size: int, path: Path) -> bytearray:
    """Read `size` bytes and the end of the file; memory grows with what is there, not with what was announced."""
    values = bytearray()
    while len(values) < size:
        chunk = stream.read(min(_CHUNK, size - len(values)))
        if not chunk:
            raise DataError(
                f"the header announces {size} bytes of values, the file ends after {len(values)}",
                place=path,
                remedy="Get the file again",
            )
        values += chunk
    if stream.read(1):
        raise DataError(f"there is more after the {size} bytes of values that the header announces", place=path)
    return values


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"
