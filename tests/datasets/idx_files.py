"""IDX files for tests, written independently of the reader."""

from __future__ import annotations

import struct

import numpy as np


def encoded(array: np.ndarray) -> bytes:
    """Return the content of an IDX file that holds `array`."""
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    code = codes[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()
