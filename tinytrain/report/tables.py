"""Tables as CSV, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of the same keys as CSV with a head; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def confusion_csv(confusion: np.ndarray, class_names: Sequence[str]) -> str:
    """Return a confusion matrix as CSV: a row a true class, a column a predicted one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true / predicted", *class_names])
    writer.writerows([name, *map(int, row)] for name, row in zip(class_names, confusion, strict=True))
    return text.getvalue()
