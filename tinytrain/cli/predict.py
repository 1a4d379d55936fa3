"""`tinytrain predict`: what a trained model takes images for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytrain.cli.output import (
    JsonOption,
    MappingOption,
    SourceArgument,
    SourceConfigOption,
    check_output,
    check_picture,
    print_json,
    print_table,
    save_picture,
)

if TYPE_CHECKING:
    from tinytrain.config.prediction import Classifier


def predict(
    source: SourceArgument,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Image files, or folders of them.")],
    config: SourceConfigOption = None,
    mapping: MappingOption = None,
    topk: Annotated[int, typer.Option(min=1, help="How many of the likeliest classes to name.")] = 5,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a table, a line for each of the classes named.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the images with the likeliest class of each.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Name what is on images, with probabilities."""
    if csv is not None:
        check_output(csv)
    if output is not None:
        check_picture(output)
    from tinytrain.config import load_config
    from tinytrain.config.mapping import read_mapping
    from tinytrain.config.prediction import load_classifier
    from tinytrain.datasets.folder import images_at

    classifier = load_classifier(
        source,
        config=None if config is None else load_config(config),
        mapping=None if mapping is None else read_mapping(mapping),
    )
    found = classifier.predict([file for path in paths for file in images_at(path)], topk)
    if csv is not None:
        _write_csv(found, csv)
    if output is not None:
        _draw(classifier, found, output)
    if json:
        print_json(found)
        return
    print_table([(each["path"], ", ".join(_guess(guess) for guess in each["top"])) for each in found])


def _write_csv(found: list[dict[str, Any]], file: Path) -> None:
    from tinytrain.report.tables import rows_csv
    from tinytrain.training import RunFolder

    rows = [
        {"path": each["path"], "rank": rank, **guess}
        for each in found
        for rank, guess in enumerate(each["top"], start=1)
    ]
    RunFolder(file.parent).write_text(file.name, rows_csv(rows))


def _draw(classifier: Classifier, found: list[dict[str, Any]], output: Path) -> None:
    """Draw each image as it is read, with its file's name and its likeliest class."""
    from tinytrain.report.grids import INK, QUIET, Tile, draw_grid, picture

    tiles = []
    for each in found:
        best, path = each["top"][0], Path(each["path"])
        words = [(f"{best['class']} {best['probability']:.0%}", INK), (path.name, QUIET)]
        tiles.append(Tile([picture(classifier.open(path))], words))
    save_picture(draw_grid(tiles, nrow=6, cell=144), output)


def _guess(guess: dict[str, object]) -> str:
    return f"{guess['class']} {100 * float(str(guess['probability'])):.1f} %"
