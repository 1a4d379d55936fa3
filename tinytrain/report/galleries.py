"""Which images a grid shows, and their tiles: of a data set's split, or of files and folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tinytrain.datasets import read_image
from tinytrain.datasets.folder import images_at
from tinytrain.datasets.samples import transform_of, untransformed
from tinytrain.errors import DataError
from tinytrain.random_streams import sample_stream
from tinytrain.report.grids import CELL, INK, WRONG, Tile, compared, labelled


@dataclass
class Gallery:
    """Tiles to draw.

    Attributes:
        title: what they are.
        tiles: one an image; that of a damaged image says so.
        damaged: the errors of the images that cannot be read.
    """

    title: str
    tiles: list[Tile] = field(default_factory=list)
    damaged: list[DataError] = field(default_factory=list)

    def add(self, name: str, make: Callable[[], Tile]) -> None:
        """Take in the tile that `make` returns, or one that tells of the damage that it raises."""
        try:
            self.tiles.append(make())
        except DataError as error:
            self.damaged.append(error)
            blank = Image.new("RGB", (1, 1), CELL)
            self.tiles.append(Tile([blank], [(name, INK), ("cannot be read", WRONG)]))


def split_gallery(
    dataset: Any, class_names: Sequence[str], *, title: str, count: int, seed: int = 0, augmented: bool = False
) -> Gallery:
    """Return images of a split, spread evenly over it, with their classes.

    Args:
        dataset: the split, with its transforms.
        class_names: by class index.
        title: what the split is called.
        count: at most so many images.
        seed: of the run.
        augmented: show each image as it is read and as the network gets it in the first epoch, side by side.
    """
    chosen = evenly(len(dataset), count)
    how = ", each as read and as the network gets it" if augmented else ""
    gallery = Gallery(f"{title}: {len(chosen)} of {len(dataset):,} images{how}")
    plain, transform = untransformed(dataset), transform_of(dataset)

    def tile(position: int) -> Tile:
        image, label = plain[position]
        if not augmented:
            return labelled(image, class_names[label])
        with sample_stream(seed, 0, position):
            return compared(image, dataset[position][0], class_names[label], transform=transform)

    for position in chosen:
        gallery.add(f"number {position}", lambda position=position: tile(position))  # type: ignore[misc]
    return gallery


def files_gallery(paths: Iterable[Path], *, count: int) -> Gallery:
    """Return image files, spread evenly over all that are named, with the names of their folders or their own.

    Args:
        paths: image files, and folders whose images are taken with those of the folders in them.
        count: at most so many images.

    Raises:
        DataError: there is no such file or folder, a folder has no image, or none of the images can be read.
    """
    found = [entry for path in paths for entry in _images_at(path)]
    chosen = [found[i] for i in evenly(len(found), count)]
    gallery = Gallery(f"{len(chosen)} of {len(found):,} images")
    for path, name in chosen:
        gallery.add(path.name, lambda path=path, name=name: labelled(read_image(path), name))  # type: ignore[misc]
    if len(gallery.damaged) == len(chosen):
        raise gallery.damaged[0]
    return gallery


def evenly(total: int, count: int) -> list[int]:
    """Return at most `count` of the numbers from 0 to total - 1, with even steps between them."""
    count = min(total, count)
    return [i * total // count for i in range(count)]


def _images_at(path: Path) -> list[tuple[Path, str]]:
    """Return the images at a path, each with the words for it."""
    return [(file, file.name if file.parent in (path, path.parent) else file.parent.name) for file in images_at(path)]
