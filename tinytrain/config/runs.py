"""Runs that exist already: what their weights are for."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.config.schema import Config
from tinytrain.errors import ConfigError, DataError, StorageError, WeightsError
from tinytrain.nn import Module
from tinytrain.weights import load_weights


def read_document(path: Path) -> Any:
    """Return what a JSON file of ours holds.

    Raises:
        StorageError: it holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StorageError(f"the file is damaged: {error}", place=path) from error


@contextmanager
def blamed_on_weights() -> Iterator[None]:
    """Tell what is wrong with a config that came with weights as a fault of their file."""
    try:
        yield
    except ConfigError as error:
        raise WeightsError(error.reason, place=error.place, remedy=error.remedy) from error


def temperature_in(extra: Mapping[str, Any], source: str | os.PathLike[str]) -> float:
    """Return the temperature that a weights file keeps, 1 where it keeps none.

    Raises:
        WeightsError: it is no number above 0.
    """
    temperature = extra.get("temperature", 1.0)
    if type(temperature) not in (int, float) or not 0 < temperature < math.inf:
        raise WeightsError(f"the metadata is damaged: the temperature is {temperature!r}", place=source)
    return float(temperature)


def require_same_classes(config: Config, classes: Sequence[str], class_names: Sequence[str] | None) -> None:
    """Check that the data has the classes that the weights know; weights from elsewhere may not say (None).

    Raises:
        DataError: it has others, or in another order.
    """
    if class_names is not None and list(classes) != list(class_names):
        raise DataError(
            f"the data has the classes {', '.join(classes)}, the weights {', '.join(class_names)}",
            place=config.data.root or config.data.dataset,
            remedy="Evaluate on data with the same classes in the same order",
        )


def load_every_tensor(
    model: Module,
    weights: Mapping[str, np.ndarray],
    mapping: Mapping[str, str | None] | None,
    source: str | os.PathLike[str],
) -> None:
    """Load weights into a network, all of whose tensors they must give."""
    try:
        matching = load_weights(model, weights, mapping=mapping)
    except WeightsError as error:
        raise WeightsError(error.reason, place=source, remedy=error.remedy) from error
    if matching.missing:
        skipped = {row.name: row.reason for row in matching.of("skipped") if row.name is not None}
        reasons = [f"{name}: {skipped.get(name, 'not in the file')}" for name in matching.missing[:3]]
        more = f" and {len(matching.missing) - 3} more" if len(matching.missing) > 3 else ""
        raise WeightsError(
            f"the weights do not fit the network: {'; '.join(reasons)}{more}",
            place=source,
            remedy="`tinytrain doctor FILE` shows the file's names and shapes; --mapping renames them",
        )
    if matching.others:
        raise WeightsError(
            f"the weights are there more than once: under {', '.join(map(repr, [matching.prefix, *matching.others]))}",
            place=source,
            remedy=f"Leave the others out with --mapping, as by {matching.others[0]!r}: null",
        )
