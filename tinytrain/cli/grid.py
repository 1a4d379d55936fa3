"""`tinytrain grid`: images of a config's data, of a run's, or of files, as one picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tinytrain.cli.output import JsonOption, check_picture, print_json, save_picture
from tinytrain.errors import DataError, UsageError

if TYPE_CHECKING:
    from tinytrain.report.galleries import Gallery


def grid(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG|RUN|PATH...", help="A config (KEY=VALUE may follow), a run folder, or images and folders."
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The picture to write.")],
    split: Annotated[
        Literal["train", "val", "test"] | None, typer.Option(help="Which part of the data.  [default: train]")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="At most so many images.")] = 64,
    nrow: Annotated[int, typer.Option(min=1, help="Images in a row.")] = 8,
    augmented: Annotated[
        bool, typer.Option("--augmented", help="Show each image before and after its transforms.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Draw images with their classes, as they are or as the network gets them."""
    check_picture(output)
    first = Path(sources[0])
    written = first / "config.yaml"
    if first.suffix in (".yaml", ".yml") or written.is_file():
        config = written if written.is_file() else first
        gallery = _of_config(config, sources[1:], split or "train", count, augmented)
    else:
        if augmented or split is not None:
            raise UsageError(
                f"--{'augmented' if augmented else 'split'} needs a config or a run, found {sources[0]!r}",
                remedy="Leave it out, or name the config",
            )
        from tinytrain.report.galleries import files_gallery

        gallery = files_gallery([Path(source) for source in sources], count=count)

    from tinytrain.report.grids import draw_grid

    sheet = draw_grid(gallery.tiles, nrow=nrow, title=gallery.title)
    save_picture(sheet, output)
    for error in gallery.damaged:
        print(f"warning: {error}", file=sys.stderr)
    if json:
        damaged = [{"path": error.place, "reason": error.reason} for error in gallery.damaged]
        size = {"width": sheet.width, "height": sheet.height}
        print_json({"output": str(output), "images": len(gallery.tiles), **size, "damaged": damaged})
        return
    typer.echo(f"{output}: {gallery.title}")


def _of_config(config: Path, overrides: list[str], split: str, count: int, augmented: bool) -> Gallery:
    """Return images of a split of a config's data."""
    from tinytrain.config import load_config
    from tinytrain.config.build import load_data
    from tinytrain.report.galleries import split_gallery

    loaded = load_config(config, overrides)
    splits = load_data(loaded)
    dataset = getattr(splits, split)
    if dataset is None:
        raise DataError(f"there is no {split} split", place=loaded.data.root or loaded.data.dataset)
    return split_gallery(
        dataset,
        splits.classes,
        title=f"{loaded.data.dataset}, {split}",
        count=count,
        seed=loaded.seed,
        augmented=augmented,
    )
