"""`tinytrain predict`: what a trained model takes images for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinytrain.cli.output import (
    JsonOption,
    MappingOption,
    SourceArgument,
    SourceConfigOption,
    print_json,
    print_table,
)


def predict(
    source: SourceArgument,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Image files, or folders of them.")],
    config: SourceConfigOption = None,
    mapping: MappingOption = None,
    topk: Annotated[int, typer.Option(min=1, help="How many of the likeliest classes to name.")] = 5,
    json: JsonOption = False,
) -> None:
    """Name what is on images, with probabilities."""
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
    if json:
        print_json(found)
        return
    print_table([(each["path"], ", ".join(_guess(guess) for guess in each["top"])) for each in found])


def _guess(guess: dict[str, object]) -> str:
    return f"{guess['class']} {100 * float(str(guess['probability'])):.1f} %"
