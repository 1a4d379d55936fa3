"""`tinytrain evaluate`: how good a trained model is on a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tinytrain.cli.output import (
    JsonOption,
    MappingOption,
    SourceArgument,
    SourceConfigOption,
    print_json,
    print_table,
)
from tinytrain.errors import UsageError

if TYPE_CHECKING:
    from tinytrain.config.evaluation import Evaluation, Judgement


def evaluate(
    source: SourceArgument,
    config: SourceConfigOption = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the data, instead of the run's; or one folder a class."),
    ] = None,
    mapping: MappingOption = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Which part of the data.")] = "test",
    topk: Annotated[int, typer.Option(min=1, help="Count a hit among this many best guesses, too.")] = 5,
    tta: Annotated[
        Literal["flip", "five_crop", "ten_crop"] | None,
        typer.Option(help="Judge each image by the mean over several views of it."),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Fit a temperature on the validation images and keep it in the weights."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write confusion matrix (CSV, PNG), classes and worst mistakes here."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure a trained model's accuracy, loss and calibration."""
    for other, given in (("--config", config), ("--tta", tta), ("--mapping", mapping)):
        if calibrate and given is not None:
            raise UsageError(f"--calibrate is for the weights of a run as they are, not with {other}")

    from tinytrain.config import load_config
    from tinytrain.config.evaluation import calibrate as fit
    from tinytrain.config.evaluation import open_evaluation, report_of
    from tinytrain.config.mapping import read_mapping

    data_root = None if data is None else str(data)
    if calibrate:
        fit(source, data_root=data_root)
    found = open_evaluation(
        source,
        config=None if config is None else load_config(config),
        data_root=data_root,
        mapping=None if mapping is None else read_mapping(mapping),
        split=split,
        augmentation=tta,
    )
    judged = found.judge((1, 5, topk))
    report = report_of(found, judged)
    if output is not None:
        _write(found, judged, output)
    if json:
        print_json(report)
        return
    typer.echo(
        f"{split}: top-1 {report['top1']:.4f}, top-{topk} {report[f'top{topk}']:.4f}, "
        f"loss {report['loss']:.4f}, calibration error {_calibration(found, judged)}, {report['count']} images"
    )
    heads = ("class", "count", "precision", "recall", "f1")
    rows = [[_cell(row[head]) for head in heads] for row in report["per_class"]]
    print_table([heads, *rows], indent=2)
    if output is not None:
        typer.echo(f"pictures and tables in {output}")


def _write(found: Evaluation, judged: Judgement, folder: Path) -> None:
    """Write tables and pictures into a folder, which is made."""
    from tinytrain.cli.pictures import NUM_MISTAKES, draw_mistakes
    from tinytrain.datasets.samples import transform_of
    from tinytrain.report.plots import draw_confusion_matrix, draw_reliability
    from tinytrain.report.tables import confusion_csv, rows_csv
    from tinytrain.training import RunFolder
    from tinytrain.training.calibration import confidences

    folder.mkdir(parents=True, exist_ok=True)
    place, names, scores = RunFolder(folder), found.class_names, judged.scores
    assert scores.confusion is not None  # it was counted just now
    place.write_text("confusion_matrix.csv", confusion_csv(scores.confusion, names))
    place.write_text("classes.csv", rows_csv(scores.per_class(names)))
    with place.replacing("confusion_matrix.png") as path:
        draw_confusion_matrix(scores.confusion, names, path)
    with place.replacing("calibration.png") as path:
        draw_reliability({t: confidences(judged.logits, judged.labels, t) for t in {1.0, found.temperature}}, path)
    draw_mistakes(found.mistakes(NUM_MISTAKES), transform_of(found.dataset), names, place)


def _calibration(found: Evaluation, judged: Judgement) -> str:
    """Return the calibration error and, where a temperature is kept, that with it."""
    from tinytrain.training.calibration import calibration_error

    plain = f"{calibration_error(judged.logits, judged.labels):.4f}"
    if found.temperature == 1:
        return plain
    scaled = calibration_error(judged.logits, judged.labels, found.temperature)
    return f"{plain} ({scaled:.4f} with temperature {found.temperature:.3f})"


def _cell(value: str | int | float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
