"""Pictures of many images with words under each: classes, what a model took them for, before and after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinytrain.device import CPU, move
from tinytrain.tensor import Tensor
from tinytrain.transforms import Compose, Normalize
from tinytrain.transforms.functional import to_pil_image

PAPER, CELL, INK, QUIET, RIGHT, WRONG = "#ffffff", "#f2f3f5", "#1a1a1a", "#5f6670", "#1a7f37", "#cf222e"
GAP = 10
TEXT_SIZE = 14
LINE_HEIGHT = 20


@dataclass(frozen=True)
class Tile:
    """One place of a grid.

    Args:
        images: one, or several to stand side by side (before and after).
        lines: what is written below: (text, colour) a line.
    """

    images: Sequence[Image.Image]
    lines: Sequence[tuple[str, str]] = ()


def labelled(image: Any, name: str, *, transform: Any = None) -> Tile:
    """Return a tile of an image with its class name; see `picture` for the images it takes."""
    return Tile([picture(image, transform)], [(name, INK)])


def compared(before: Any, after: Any, name: str, *, transform: Any = None) -> Tile:
    """Return a tile of an image as it was read and as a model gets it, side by side."""
    return Tile([picture(before), picture(after, transform)], [(name, INK)])


def judged(image: Any, truth: str, prediction: str, probability: float, *, transform: Any = None) -> Tile:
    """Return a tile of an image with its class and what a model took it for, in green or red.

    Args:
        image: see `picture`.
        truth: the name of its class.
        prediction: the name that the model gave.
        probability: of the prediction, 0 to 1.
        transform: that the image went through.
    """
    mark, colour = ("✓", RIGHT) if truth == prediction else ("✗", WRONG)
    return Tile([picture(image, transform)], [(truth, INK), (f"{mark} {prediction}, {probability:.0%}", colour)])


def picture(image: Any, transform: Any = None) -> Image.Image:
    """Return an image as something to look at.

    Args:
        image: a Pillow image, or a tensor (c, h, w).
        transform: that made the tensor; its normalisation is undone. Values that are not 0 to 1 (or 0 to 255
            for uint8) even so are stretched from their smallest to their largest.
    """
    if not isinstance(image, Tensor):
        if image.mode[0] not in "IF":
            return image.convert("RGB")
        values = np.asarray(image, np.float64)[None]
    else:
        values = move(image.array, CPU)
        if values.dtype == np.uint8:
            return to_pil_image(values.transpose(1, 2, 0)).convert("RGB")
        values = _unnormalized(values.astype(np.float64), transform)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if low < -1e-3 or high > 1 + 1e-3:
        values = (values - low) / max(high - low, 1e-12)
    pixels = (values.clip(0, 1) * 255).round().astype(np.uint8)
    return to_pil_image(pixels.transpose(1, 2, 0)).convert("RGB")


def draw_grid(tiles: Sequence[Tile], *, nrow: int = 8, cell: int = 128, title: str | None = None) -> Image.Image:
    """Draw tiles row by row.

    Small images are enlarged by whole factors, their pixels kept sharp; large ones are shrunk to fit.

    Args:
        tiles: at least one.
        nrow: tiles in a row.
        cell: side of the square that each image is fitted into, pixels.
        title: a line above them all.

    Raises:
        ValueError: no tiles, or a number below 1.
    """
    if not tiles or nrow < 1 or cell < 1:
        raise ValueError(f"a grid needs tiles, got {len(tiles)}, with nrow={nrow} and cell={cell} of at least 1")
    width = max(len(tile.images) for tile in tiles) * (cell + 2) - 2
    height = cell + max(len(tile.lines) for tile in tiles) * LINE_HEIGHT
    columns = min(nrow, len(tiles))
    rows = -(-len(tiles) // columns)
    head = 0 if title is None else LINE_HEIGHT + GAP
    size = GAP + columns * (width + GAP), head + GAP + rows * (height + GAP)
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), _font()
    if title is not None:
        pen.text((GAP, GAP), _shortened(title, font, size[0] - 2 * GAP), QUIET, font)
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        left, top = GAP + column * (width + GAP), head + GAP + row * (height + GAP)
        for i, image in enumerate(tile.images):
            corner = left + i * (cell + 2), top
            pen.rectangle((*corner, corner[0] + cell - 1, corner[1] + cell - 1), CELL)
            fitted = _fitted(image, cell)
            sheet.paste(fitted, (corner[0] + (cell - fitted.width) // 2, top + (cell - fitted.height) // 2))
        for i, (text, colour) in enumerate(tile.lines):
            place = left, top + cell + i * LINE_HEIGHT + 2
            pen.text(place, _shortened(text, font, width), colour, font)
    return sheet


def _unnormalized(values: np.ndarray, transform: Any) -> np.ndarray:
    """Return values (c, h, w) as they were before the last `Normalize` of a pipeline."""
    steps = [transform]
    while steps:
        step = steps.pop()
        if isinstance(step, Compose):
            steps += step.transforms
        elif isinstance(step, Normalize):
            mean, std = (np.asarray(each, np.float64).reshape(-1, 1, 1) for each in (step.mean, step.std))
            return values * std + mean
    return values


def _fitted(image: Image.Image, cell: int) -> Image.Image:
    """Return an image enlarged by a whole factor, or shrunk, so that its longer side fits a cell."""
    longer = max(image.size)
    if longer <= cell:
        factor = cell // longer
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    size = tuple(max(1, round(side * cell / longer)) for side in image.size)
    return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _font() -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib brings with it: it has more alphabets than Pillow's own."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), TEXT_SIZE)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return as much of a text's beginning and end as `width` pixels hold, an ellipsis for what is left out."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        shorter = f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"
        if font.getlength(shorter) <= width:
            return shorter
    return "…"
