"""`tinytrain evaluate`: how good a trained model is on a split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tinytrain.cli.output import (
    JsonOption,
    MappingOption,
    SourceArgument,
    SourceConfigOption,
    print_json,
    print_table,
)


def evaluate(
    source: SourceArgument,
    config: SourceConfigOption = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the data, instead of the run's.")] = None,
    mapping: MappingOption = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Which part of the data.")] = "test",
    topk: Annotated[int, typer.Option(min=1, help="Count a hit among this many best guesses, too.")] = 5,
    tta: Annotated[
        Literal["flip", "five_crop", "ten_crop"] | None,
        typer.Option(help="Judge each image by the mean over several views of it."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure a trained model's accuracy and loss."""
    from tinytrain.config import load_config
    from tinytrain.config.mapping import read_mapping
    from tinytrain.config.runs import evaluate_weights

    report = evaluate_weights(
        source,
        config=None if config is None else load_config(config),
        data_root=None if data is None else str(data),
        mapping=None if mapping is None else read_mapping(mapping),
        split=split,
        topk=topk,
        augmentation=tta,
    )
    if json:
        print_json(report)
        return
    typer.echo(
        f"{split}: top-1 {report['top1']:.4f}, top-{topk} {report[f'top{topk}']:.4f}, "
        f"loss {report['loss']:.4f}, {report['count']} images"
    )
    heads = ("class", "count", "precision", "recall", "f1")
    rows = [[_cell(row[head]) for head in heads] for row in report["per_class"]]
    print_table([heads, *rows], indent=2)


def _cell(value: str | int | float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
