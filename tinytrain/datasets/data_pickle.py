"""Data sets that come as pickles: plain values and NumPy's arrays, nothing executed."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

from tinytrain.errors import DataError
from tinytrain.pickles import NUMPY_NAMES, PickleDamaged, PickleError, read_values
from tinytrain.untrusted import Budget


def read_pickle(data: bytes, place: Path) -> Any:
    """Return the value that a pickle stands for: numbers, text, bytes, lists, tuples, dicts, NumPy arrays.

    Strings of Python 2 come as text of Latin-1 characters.

    Args:
        data: the pickle.
        place: its file, for messages.

    Raises:
        DataError: the pickle is damaged, asks for anything else, or stands for far more than its size.
    """
    budget = Budget(len(data), functools.partial(DataError, place=place))
    try:
        return read_values(io.BytesIO(data), NUMPY_NAMES, budget.spend)
    except PickleError as error:
        remedy = "Get the file again" if isinstance(error, PickleDamaged) else None
        raise DataError(str(error), place=place, remedy=remedy) from error
