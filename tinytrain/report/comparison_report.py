"""Pictures and a page of several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytrain.report import page
from tinytrain.report.plots import SERIES, empty_figure

COSTS = (
    ("params", "parameters", 1.0),
    ("macs", "multiply-adds an image", 1.0),
    ("latency", "ms an image, one at a time", 1e3),
)
"""What accuracy is drawn against: attribute, label, factor."""


@dataclass(frozen=True)
class ComparisonReport:
    """What there is to tell about runs.

    Attributes:
        runs: a row a run: `name`, `top1`, `interval` (or None), `params`, `macs`, `latency` (or None), `epochs`.
        header: of the table.
        table: a row a run.
        tests: header and rows of the pairwise tests, None where there are none.
        differing: header and rows of the config keys that differ.
        seeds: lines about runs that differ in their seed only.
        notes: lines that are worth knowing.
        subtitle: where and how the runs were judged.
        command: how to make the page again.
    """

    runs: Sequence[dict[str, Any]]
    header: Sequence[str]
    table: Sequence[Sequence[str]]
    tests: tuple[Sequence[str], Sequence[Sequence[str]]] | None
    differing: tuple[Sequence[str], Sequence[Sequence[str]]]
    seeds: Sequence[str]
    notes: Sequence[str]
    subtitle: str
    command: str


def write_comparison(folder: Path, report: ComparisonReport) -> None:
    """Draw `curves.png` and `accuracy_cost.png` and write `comparison.html` into a folder."""
    draw_all_curves(report.runs, folder / "curves.png")
    draw_accuracy_cost(report.runs, folder / "accuracy_cost.png")
    sections = [("", page.table(report.header, report.table))]
    if report.tests is not None:
        explained = "McNemar's exact test on the same images; the p-value says how likely chance alone divides them so."
        sections.append(("Is the difference more than chance?", page.table(*report.tests) + page.quiet(explained)))
    if report.seeds:
        sections.append(("Seeds", page.lines(report.seeds)))
    sections += [
        ("Accuracy against cost", page.picture(folder / "accuracy_cost.png", "accuracy of each run against its costs")),
        ("Learning", page.picture(folder / "curves.png", "validation accuracy and loss of each run by epoch")),
        ("What differs in the configs", page.table(*report.differing)),
    ]
    if report.notes:
        sections.append(("Notes", page.lines(report.notes)))
    sections.append(("How to repeat it", page.preformatted(report.command)))
    names = " · ".join(run["name"] for run in report.runs)
    (folder / "comparison.html").write_text(page.page(names, report.subtitle, sections), encoding="utf-8")


def draw_all_curves(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the validation accuracy and the losses of runs over each other.

    Args:
        runs: as of `ComparisonReport`.
        path: of the PNG.
    """
    figure = empty_figure(10.5, 4.0)
    accuracy, loss = figure.subplots(1, 2)
    for run, colour in zip(runs, SERIES * len(runs), strict=False):
        epochs = [row["epoch"] for row in run["epochs"]]
        for axis, key, scale in ((accuracy, "top1", 100), (loss, "loss", 1)):
            for split, style in (("train", ":"), ("val", "-")):
                values = [row[f"{split}_{key}"] for row in run["epochs"]]
                if all(value is not None for value in values):
                    label = run["name"] if split == "val" or run["epochs"][0]["val_loss"] is None else None
                    axis.plot(epochs, [scale * v for v in values], style, color=colour, label=label, marker=".", ms=4)
    for axis, title in ((accuracy, "top-1 accuracy (%)"), (loss, "loss")):
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*accuracy.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
    accuracy.text(0.98, 0.03, "solid: validation, dotted: training", transform=accuracy.transAxes, ha="right", size=8)
    figure.savefig(path, format="png")


def draw_accuracy_cost(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the accuracy of runs, with its confidence interval, against what they cost.

    Args:
        runs: as of `ComparisonReport`.
        path: of the PNG.
    """
    costs = [cost for cost in COSTS if all(run[cost[0]] is not None for run in runs)]
    figure = empty_figure(3.5 * len(costs), 3.8)
    axes = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axis, (key, label, factor) in zip(axes, costs, strict=True):
        for run, colour in zip(runs, SERIES * len(runs), strict=False):
            if run["top1"] is None:
                continue
            top1 = 100 * run["top1"]
            bars = (
                None
                if run["interval"] is None
                else [[top1 - 100 * run["interval"][0]], [100 * run["interval"][1] - top1]]
            )
            axis.errorbar([factor * run[key]], [top1], yerr=bars, fmt="o", color=colour, capsize=3, label=run["name"])
        axis.set(xlabel=label, xscale="log")
        axis.margins(x=0.25)
        places = _apart(sorted(factor * run[key] for run in runs))
        axis.set_xticks(places, [short(value) for value in places])
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("top-1 accuracy (%), 95 % interval")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
    figure.savefig(path, format="png")


def short(value: float) -> str:
    """Return a number in three digits: `13.3k`, `1.81G`, `0.51`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _apart(values: Sequence[float]) -> list[float]:
    """Return those of ascending values whose labels on a logarithmic axis do not cover each other."""
    span = max(values[-1] / values[0], 1.0) ** 0.12
    kept: list[float] = []
    for value in values:
        if not kept or value > kept[-1] * span:
            kept.append(value)
    return kept
