"""The pictures of a run folder and its `report.html`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.report import page
from tinytrain.report.plots import draw_confusion_matrix, draw_curves

FLOAT_BYTES = 4

COSTS = ("layer", "kind", "output", "parameters", "multiply-adds", "share", "kB moved")

GRIDS = (
    (
        "worst_mistakes.png",
        "The worst mistakes: the true class, and what the network took it for, with its probability",
        "wrongly classified images with their true and predicted classes",
    ),
    ("train_batch.png", "A training batch, as the network gets it", "augmented images with their classes"),
)
"""Pictures of images: file, heading, description."""


@dataclass(frozen=True)
class RunReport:
    """What there is to tell about a run.

    Attributes:
        name: of the run.
        summary: the contents of `summary.json`.
        epochs: rows of `metrics.csv`, with None where a cell is empty.
        class_names: by class index.
        confusion: counts of the best weights on the test set (or, without one, the validation set), None without both.
        per_class: a row a class: `class`, `count`, `precision`, `recall`, `f1`.
        layers: a row a layer: `name`, `kind`, `output`, `params`, `macs`.
        config_yaml: the config in force.
        versions: of the program and what it stands on.
        machine: `system`, `processor`, `cores` and the like.
    """

    name: str
    summary: dict[str, Any]
    epochs: Sequence[dict[str, Any]]
    class_names: Sequence[str]
    confusion: np.ndarray | None
    per_class: Sequence[dict[str, Any]]
    layers: Sequence[dict[str, Any]]
    config_yaml: str
    versions: dict[str, str]
    machine: dict[str, Any]


def write_report(run_dir: Path, report: RunReport) -> None:
    """Draw `curves.png` and `confusion_matrix.png` and write `report.html` into a run folder.

    A `train_batch.png` and a `worst_mistakes.png` that are there already become parts of the page.
    """
    draw_curves(report.epochs, run_dir / "curves.png")
    if report.confusion is not None:
        draw_confusion_matrix(report.confusion, report.class_names, run_dir / "confusion_matrix.png")
    text = page.page(f"Run {report.name}", _subtitle(report), _sections(run_dir, report))
    (run_dir / "report.html").write_text(text, encoding="utf-8")


def _sections(run_dir: Path, report: RunReport) -> list[tuple[str, str]]:
    sections = [("", page.figures(_headline(report.summary)))]
    sections.append(("Learning", page.picture(run_dir / "curves.png", "loss, accuracy and learning rate by epoch")))
    if report.confusion is not None:
        sections.append(
            ("Confusion matrix", page.picture(run_dir / "confusion_matrix.png", "true against predicted classes"))
        )
    if report.per_class:
        header = ("class", "images", "precision", "recall", "F1")
        rows = [
            (str(r["class"]), str(r["count"]), *(_percent(r[key]) for key in ("precision", "recall", "f1")))
            for r in report.per_class
        ]
        sections.append(("Classes", page.table(header, rows)))
    for name, heading, description in GRIDS:
        if (run_dir / name).exists():
            sections.append((heading, page.picture(run_dir / name, description)))
    sections.append(("Cost of one image, layer by layer", page.table(COSTS, _cost_rows(report.layers))))
    sections.append(("Config in force", page.preformatted(report.config_yaml)))
    environment = {"device": report.summary["device"], **report.machine, **report.versions}
    sections.append(("Environment", page.table(("", ""), [(name, str(value)) for name, value in environment.items()])))
    command = "finetune" if (run_dir / "finetune.json").exists() else "train"
    again = (
        f"tinytrain {command} {run_dir}/config.yaml\n\n"
        f"weights_sha256 {report.summary['weights_sha256']}\n"
        "The same config on this machine with these versions gives weights of this SHA-256."
    )
    sections.append(("How to repeat it", page.preformatted(again)))
    return sections


def _cost_rows(layers: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row a layer, and one of the sums; bytes are those of input, weights and output in float32."""
    params, macs = (sum(layer[key] for layer in layers) for key in ("params", "macs"))
    rows = [
        (
            layer["name"],
            layer["kind"],
            "×".join(map(str, layer["output"])),
            f"{layer['params']:,}",
            f"{layer['macs']:,}",
            f"{layer['macs'] / macs:.1%}" if layer["macs"] else "",
            f"{FLOAT_BYTES * (math.prod(layer['input']) + layer['params'] + math.prod(layer['output'])) / 1e3:,.1f}",
        )
        for layer in layers
    ]
    return [*rows, ("all", "", "", f"{params:,}", f"{macs:,}", "", "")]


def _headline(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the few numbers that matter most."""
    pairs = []
    for split in ("test", "val"):
        if summary[split] is not None:
            pairs.append((f"{split} top-1", _percent(summary[split]["top1"])))
    pairs.append(("parameters", f"{summary['params']:,}"))
    pairs.append(("multiply-adds an image", f"{summary['macs']:,}"))
    pairs.append(("training images a second", f"{summary['images_per_second']:,.0f}"))
    pairs.append(("training time", f"{summary['seconds']:.1f} s"))
    return pairs


def _subtitle(report: RunReport) -> str:
    s = report.summary
    return f"{s['epochs']} epochs on {s['device']}, best epoch {s['best_epoch']}, seed {s['seed']}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
