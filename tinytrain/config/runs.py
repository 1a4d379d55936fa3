"""Runs that exist already: which one to go on with, and what their weights are for."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.config.load import load_config
from tinytrain.config.origins import KeyPath, dotted
from tinytrain.config.schema import Config, plain_values
from tinytrain.errors import DataError, StorageError, UsageError, WeightsError
from tinytrain.nn import Module
from tinytrain.training import RunFolder
from tinytrain.weights import load_weights

FINETUNED = "finetune.json"
"""The file in a run's folder that says where its first weights are from; `finetune` writes it, `train` does not."""

MAY_DIFFER = {
    "device",
    "data.root",
    "data.download",
    "data.workers",
    "data.cache",
    "train.log_every",
    "finetune.download",
}
"""Keys that do not change what is computed, so that a run can go on with others."""


def find_run(
    config: Config, path: Path | None = None, root: Path = Path("runs"), *, finetuned: bool = False
) -> RunFolder:
    """Return the run folder that training is to go on in: `path`, or the latest of the config's name.

    Args:
        config: of the training.
        path: of the folder.
        root: where runs lie.
        finetuned: whether it is `finetune` that goes on.

    Raises:
        UsageError: there is none, or it is of another config or another command.
    """
    if path is None:
        pattern = re.compile(re.escape(config.name) + r"(?:-(\d+))?")
        names = [(match, each) for each in root.glob("*") if (match := pattern.fullmatch(each.name))]
        if not names:
            raise UsageError(
                f"there is no run called {config.name!r} to go on with",
                place=root,
                remedy="Leave out --resume, or name a run with --run-dir",
            )
        path = max(names, key=lambda pair: int(pair[0][1] or 1))[1]
    written = path / "config.yaml"
    if not written.is_file():
        raise UsageError("this is no run folder: it has no config.yaml", place=path)
    if (path / FINETUNED).is_file() is not finetuned:
        command = "train" if finetuned else "finetune"
        raise UsageError(
            f"the run was begun by `tinytrain {command}`", place=path, remedy=f"Go on with it by {command} --resume"
        )
    there, here = (dict(_flat(plain_values(each))) for each in (load_config(written), config))
    for key in sorted(there.keys() | here.keys()):
        if key not in MAY_DIFFER and there.get(key) != here.get(key):
            raise UsageError(
                f"the run has {key}={there.get(key)!r}, this config {here.get(key)!r}",
                place=path,
                remedy="A run goes on with the config it began with; leave out --resume to begin a new one",
            )
    return RunFolder(path)


def read_document(path: Path) -> Any:
    """Return what a JSON file of ours holds.

    Raises:
        StorageError: it holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StorageError(f"the file is damaged: {error}", place=path) from error


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


def _flat(values: dict[str, Any], path: KeyPath = ()) -> Iterator[tuple[str, Any]]:
    """Yield each value that is no section, by its dotted path."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*path, key))
        else:
            yield dotted((*path, key)), list(value) if isinstance(value, tuple) else value
