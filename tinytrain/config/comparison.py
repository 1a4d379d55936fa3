"""Runs side by side: how good, how large, how fast, and whether the difference is more than chance."""

from __future__ import annotations

import csv
import itertools
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.config.evaluation import Evaluation, open_evaluation
from tinytrain.config.load import load_config
from tinytrain.config.origins import KeyPath, dotted
from tinytrain.config.prediction import load_classifier
from tinytrain.config.runs import read_document
from tinytrain.config.schema import plain_values
from tinytrain.datasets.samples import identity_of
from tinytrain.device import device as Device
from tinytrain.device import require
from tinytrain.errors import DataError, StorageError, UsageError
from tinytrain.inspection import count_macs, count_parameters, layer_costs
from tinytrain.inspection.timing import measure_inference
from tinytrain.nn import Module
from tinytrain.ops.random import randn
from tinytrain.training.significance import Difference, paired_difference, wilson_interval

FLOAT_BYTES = 4

NOT_COMPARED = ("name", "seed")
"""Keys that do not make two experiments different ones."""


@dataclass
class Entry:
    """What is known of one run.

    Attributes:
        name: of its folder.
        path: of its folder.
        config: every value in force by its dotted path.
        epochs: the rows of `metrics.csv`.
        top1: accuracy on the images judged; of the run's summary where they are not there.
        interval: its 95 % confidence interval, None where the images are not there.
        count: of the images judged.
        params: parameters.
        macs: multiply-adds of an image.
        memory: bytes of the weights and the two largest neighbouring activations, for one image; an estimate.
        disk: bytes of the weights file.
        latency: seconds for a batch of one image, measured; None where not.
        images_per_second: in batches, measured; None where not.
        train_seconds: of the run.
        right: (n,) whether each image was classified right.
        labels: (n,) what the images are.
        images: which images they are, as a digest, and the names of their classes.
    """

    name: str
    path: Path
    config: dict[str, Any]
    epochs: list[dict[str, Any]]
    params: int
    macs: int
    memory: int
    disk: int
    train_seconds: float | None
    top1: float | None = None
    interval: tuple[float, float] | None = None
    count: int = 0
    latency: float | None = None
    images_per_second: float | None = None
    right: np.ndarray | None = None
    labels: np.ndarray | None = None
    images: tuple[str, list[str]] | None = None


@dataclass
class Comparison:
    """Runs and what sets them apart.

    Attributes:
        entries: the runs, in their order.
        split: of the images they were judged by.
        device: where they were measured.
        batch: images in a batch for `images_per_second`.
        differing: config keys with more than one value, and the value of each run.
        differences: of each pair of runs judged by the same images.
        groups: names of runs that differ in their seed only, with the mean and the standard deviation of top-1.
        notes: what is worth knowing.
    """

    entries: list[Entry]
    split: str
    device: str
    batch: int
    differing: dict[str, list[Any]] = field(default_factory=dict)
    differences: dict[tuple[str, str], Difference] = field(default_factory=dict)
    groups: list[tuple[list[str], float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return everything as `compare --json` prints it."""
        hidden = {"right", "labels", "images", "config", "epochs", "path"}
        return {
            "split": self.split,
            "device": self.device,
            "batch": self.batch,
            "runs": [
                {"path": str(e.path), **{k: v for k, v in vars(e).items() if k not in hidden}} for e in self.entries
            ],
            "differing": self.differing,
            "differences": [
                {"first": first, "second": second, **vars(found)} for (first, second), found in self.differences.items()
            ],
            "seeds": [{"runs": names, "mean": mean, "std": std} for names, mean, std in self.groups],
            "notes": self.notes,
        }


def compare_runs(
    paths: Sequence[Path],
    *,
    split: str = "test",
    data_root: str | None = None,
    device: str = "auto",
    batch: int = 64,
    measure: bool = True,
) -> Comparison:
    """Return runs side by side.

    Args:
        paths: of the run folders, at least two.
        split: of the images to judge by.
        data_root: folder of the data instead of the runs' own.
        device: where to judge and measure.
        batch: images in a batch that is measured.
        measure: whether to measure speed.

    Raises:
        UsageError: a folder is no finished run, or is named twice.
        WeightsError: a run's weights are damaged.
    """
    where = require(device)
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a run is named twice", remedy="Name each once")
    found = Comparison([], split, str(where), batch)
    models: list[Module] = []
    for path, name in zip(paths, _names(paths), strict=True):
        entry, model = _read(path, name)
        found.entries.append(entry)
        models.append(model)
        try:
            _judge(entry, open_evaluation(path, split=split, data_root=data_root, device=device))
        except DataError as error:
            found.notes.append(f"{name}: not judged again, its accuracy is that of its summary: {error}")
    if measure:
        _measure(found, models, where, batch)
    _tell_apart(found)
    return found


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the folders' names, or as much of their paths as tells them apart."""
    for parts in range(1, 20):
        names = ["/".join(path.resolve().parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _read(path: Path, name: str) -> tuple[Entry, Module]:
    missing = [each for each in ("config.yaml", "summary.json", "metrics.csv") if not (path / each).is_file()]
    if missing:
        raise UsageError(
            f"this is no finished run: it has no {missing[0]}",
            place=path,
            remedy="Go on with it by tinytrain train CONFIG --resume" if "config.yaml" not in missing else None,
        )
    summary = read_document(path / "summary.json")
    epochs = _epochs(path / "metrics.csv")
    classifier = load_classifier(path, device="cpu")
    model, shape = classifier.model, classifier.input_shape
    layers = layer_costs(model, shape)
    weights = sum(tensor.array.nbytes for tensor in model.state_dict().values())
    scores = summary.get("test") or summary.get("val") or {}
    entry = Entry(
        name=name,
        path=path,
        config=flatten(plain_values(load_config(path / "config.yaml"))),
        epochs=epochs,
        params=count_parameters(model),
        macs=count_macs(model, shape),
        memory=weights + FLOAT_BYTES * max(math.prod(each.input) + math.prod(each.output) for each in layers),
        disk=(path / "best.safetensors").stat().st_size,
        train_seconds=summary.get("seconds"),
        top1=scores.get("top1"),
    )
    return entry, model


def _epochs(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a `metrics.csv`, None where a cell is empty."""
    epochs = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in (reader := csv.DictReader(file)):
                if None in row or None in row.values():
                    raise ValueError(f"line {reader.line_num} has another number of cells than the header")
                epochs.append({key: float(value) if value else None for key, value in row.items()})
        return epochs
    except (ValueError, csv.Error) as error:
        raise StorageError(f"the file is damaged: {error}", place=path) from error


def _judge(entry: Entry, evaluation: Evaluation) -> None:
    judged = evaluation.judge()
    entry.right = judged.logits.argmax(axis=1) == judged.labels
    entry.labels, entry.count = judged.labels, len(judged.labels)
    entry.images = identity_of(evaluation.dataset), evaluation.class_names
    entry.top1 = float(entry.right.mean())
    entry.interval = wilson_interval(int(entry.right.sum()), entry.count)


def _measure(found: Comparison, models: Sequence[Module], device: Device, batch: int) -> None:
    shapes = [load_classifier(entry.path, device="cpu").input_shape for entry in found.entries]
    placed = [model.to(device).eval() for model in models]
    for entry, seconds in zip(found.entries, _timed(placed, shapes, device, 1), strict=True):
        entry.latency = seconds
    for entry, seconds in zip(found.entries, _timed(placed, shapes, device, batch), strict=True):
        entry.images_per_second = batch / seconds


def _timed(models: Sequence[Module], shapes: Sequence[tuple[int, ...]], device: Device, batch: int) -> list[float]:
    return measure_inference(models, [randn(batch, *shape, device=device) for shape in shapes], device=device)


def _tell_apart(found: Comparison) -> None:
    """Find keys that differ, pairs that differ, and runs that differ in their seed only."""
    entries = found.entries
    keys = dict.fromkeys(key for entry in entries for key in entry.config)
    for key in keys:
        values = [entry.config.get(key) for entry in entries]
        if key != "name" and any(value != values[0] for value in values):
            found.differing[key] = values
    for a, b in itertools.combinations(entries, 2):
        if a.right is None or b.right is None or a.labels is None or b.labels is None:
            continue
        if a.images == b.images and np.array_equal(a.labels, b.labels):  # who skips damaged images has fewer labels
            found.differences[a.name, b.name] = paired_difference(a.right, b.right)
        else:
            remedy = (
                "Name one folder for both with --data DIR"
                if found.split == "test"
                else "The seed may choose them; use --split test"
            )
            found.notes.append(f"{a.name} and {b.name} were judged by different images: no paired test. {remedy}")
    alike: dict[str, list[Entry]] = {}
    for entry in entries:
        rest = {key: value for key, value in entry.config.items() if key not in NOT_COMPARED}
        alike.setdefault(json.dumps(rest, sort_keys=True), []).append(entry)
    for group in alike.values():
        scores = [entry.top1 for entry in group if entry.top1 is not None]
        if len(scores) > 1:
            names = [entry.name for entry in group]
            found.groups.append((names, statistics.mean(scores), statistics.stdev(scores)))


def flatten(values: dict[str, Any], path: KeyPath = ()) -> dict[str, Any]:
    """Return each value that is no section, by its dotted path."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, (*path, key))
        else:
            flat[dotted((*path, key))] = list(value) if isinstance(value, tuple) else value
    return flat
