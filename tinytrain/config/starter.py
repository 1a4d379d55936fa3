"""A config to begin with, for data that was looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinytrain.config.network import PUBLIC_IMAGES
from tinytrain.config.origins import flow
from tinytrain.datasets import ImageFolder
from tinytrain.datasets.image_reading import read_image
from tinytrain.errors import DataError, did_you_mean

MAX_LOOKED_AT = 200
"""So many images are opened to learn their sizes and colours."""

BUNDLED = {"digits": (8, 1, 10), **PUBLIC_IMAGES}


@dataclass(frozen=True)
class Look:
    """What data look like.

    Attributes:
        dataset: its name in a config.
        root: folder of the data, None for one that needs none.
        num_classes: how many.
        num_train: training images, None where they were not counted.
        side: the median of the shorter sides, pixels.
        channels: 1 where all images that were looked at are grey.
        mean: of each channel, of values from 0 to 1.
        std: likewise.
        splits: that are there.
        words: a line on what was seen.
    """

    dataset: str
    root: str | None
    num_classes: int
    num_train: int | None
    side: int
    channels: int
    mean: list[float]
    std: list[float]
    splits: list[str]
    words: str


def look_at(source: str) -> Look:
    """Look at a folder of images, or at what is known of a public data set.

    Args:
        source: a folder with `train/` (and `val/`, `test/`), in which every class has a folder; or a data set's name.

    Raises:
        DataError: it is neither.
    """
    folder = Path(source).expanduser()
    if source in BUNDLED and not folder.is_dir():
        side, channels, num_classes = BUNDLED[source]
        moments = ([0.5] * channels, [0.25] * channels)
        words = f"{source}: {num_classes} classes, {side}x{side} pixels, {'grey' if channels == 1 else 'colour'}"
        return Look(source, None, num_classes, None, side, channels, *moments, ["train", "test"], words)
    if not folder.is_dir():
        raise DataError(
            f"this is no folder and no data set whose images are known{did_you_mean(source, BUNDLED)}",
            place=source,
            remedy=f"Name a folder, or one of {', '.join(sorted(BUNDLED))}; others are in `tinytrain list datasets`",
        )
    if not (folder / "train").is_dir():
        inside = sorted(each.name for each in folder.iterdir() if each.is_dir())
        raise DataError(
            f"there is no folder train in it{f', but {inside[0]}' if inside else ''}",
            place=folder,
            remedy="Image folders hold train/ (and val/, test/), with a folder for every class in each",
        )
    return _look_at_folder(folder)


def _span(numbers: Sequence[int] | np.ndarray) -> str:
    """Return the least and the greatest of some numbers, as `5 to 9`; one alone where they are equal."""
    least, greatest = min(numbers), max(numbers)
    return f"{least:,}" if least == greatest else f"{least:,} to {greatest:,}"


def _look_at_folder(folder: Path) -> Look:
    train = ImageFolder(folder / "train")
    counts = np.bincount(train.targets, minlength=len(train.classes))
    chosen = range(0, len(train.samples), max(1, len(train.samples) // MAX_LOOKED_AT))
    sides, sums, squares, grey, pixels = [], np.zeros(3), np.zeros(3), True, 0
    for i in chosen:
        image = read_image(train.samples[i][0])
        sides.append(min(image.size))
        image.thumbnail((128, 128))
        values = np.asarray(image, np.float64) / 255
        grey = grey and bool((np.abs(values - values[..., :1]) < 0.02).all())
        sums += values.sum(axis=(0, 1))
        squares += (values**2).sum(axis=(0, 1))
        pixels += values.shape[0] * values.shape[1]
    mean = sums / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 1e-4))
    channels = 1 if grey else 3
    splits = [name for name in ("train", "val", "test") if (folder / name).is_dir()]
    words = (
        f"{len(train.samples):,} training images of {len(train.classes)} classes ({_span(counts)} each), "
        f"shorter sides of {_span(sides)} pixels, {'grey' if grey else 'colour'}; "
        f"splits: {', '.join(splits)}"
    )
    return Look(
        "image_folder",
        str(folder),
        len(train.classes),
        len(train.samples),
        int(np.median(sides)),
        channels,
        [round(float(value), 3) for value in mean[:channels]],
        [round(float(value), 3) for value in std[:channels]],
        splits,
        words,
    )


def starter(look: Look, name: str | None = None) -> str:
    """Return a commented config for data that were looked at.

    Args:
        look: what they look like.
        name: of the runs; None: after the data.
    """
    is_folder = look.root is not None
    own = Path(look.root).name if look.root else look.dataset
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", own).strip("-.") or "run"
    size = look.side if not is_folder else _size(look.side)
    batch = 32 if (look.num_train or 50_000) < 20_000 else 64
    epochs = 30 if (look.num_train or 50_000) < 5_000 else 10
    normalize = f"{{Normalize: {{mean: {flow(look.mean)}, std: {flow(look.std)}}}}}"
    grey = ["Grayscale"] if is_folder and look.channels == 1 else []
    if is_folder:
        train = [*grey, f"{{RandomResizedCrop: {{size: {size}, scale: [0.5, 1.0]}}}}", "RandomHorizontalFlip"]
        larger = f"{{Resize: {{size: {round(size * 8 / 7)}}}}}"
        evaluation = [*grey, larger, f"{{CenterCrop: {{size: {size}}}}}"]
    else:
        train = [f"{{RandomCrop: {{size: {size}, padding: {max(1, size // 8)}}}}}"]
        evaluation = []
    validation = (
        "# The folder has validation images of its own: val_fraction is unused."
        if "val" in look.splits
        else "# A part of the training images is kept for validation, as many of each class."
    )
    lines = [
        f"# {look.words}.",
        "# Every key: docs/config.md, or `tinytrain config-schema` for editors. What would run: `tinytrain check`.",
        f"name: {flow(name)} # results go to runs/{name}",
        "seed: 0 # decides everything random",
        "device: auto # a GPU if there is one",
        "",
        "data:",
        f"  dataset: {look.dataset}",
        *([f"  root: {flow(look.root)}"] if is_folder else []),
        *(["  download: true # where it is not in the user's cache yet"] if look.dataset in PUBLIC_IMAGES else []),
        f"  {validation}",
        "  val_fraction: 0.1",
        f"  batch_size: {batch}",
        "  workers: 0 # processes that load images; more help with large photos",
        "",
        "transforms:",
        "  # Random changes that leave the class as it is. A flip changes digits, letters and signs: remove it there.",
        "  train:",
        *(f"    - {_item(each)}" for each in [*train, "ToTensor", normalize]),
        "  eval: # of validation and test images; `predict` and `export` take it over",
        *(f"    - {_item(each)}" for each in [*evaluation, "ToTensor", normalize]),
        "",
        *_model(size),
        "",
        "train:",
        f"  epochs: {epochs}",
        "  optimizer: {name: adamw, lr: 0.003, weight_decay: 0.02} # the first thing to try others of: lr",
        "  schedule: {name: cosine, warmup_epochs: 1}",
        "  loss: {name: cross_entropy, label_smoothing: 0.1}",
    ]
    return "\n".join(lines) + "\n"


def _size(side: int) -> int:
    """Return the size to bring photos to: a multiple of 32, from 32 to 160 pixels, not above what they have."""
    return max(32, min(160, side // 32 * 32))


def _model(size: int) -> list[str]:
    """Return a network that fits images of a size: the last feature map has about 4 to 8 pixels a side."""
    widths, strides = [32, 64, 128], [1, 2, 2]
    rest = size / 4
    if size > 16:
        widths, strides, rest = [32, 64, 128, 128, 256], [1, 2, 1, 2, 1], size / 4
    while rest > 10:
        widths, strides, rest = [*widths, min(2 * widths[-1], 256)], [*strides, 2], rest / 2
    if size >= 96:
        strides[0] = 2
    return [
        "model:",
        "  name: cnn # or another of `tinytrain list models`; finetune.weights: pretrained begins with public weights",
        "  conv: separable # standard | separable: the same network with either convolution",
        f"  widths: {flow(widths)}",
        f"  strides: {flow(strides)}",
    ]


def _item(text: str) -> str:
    """Return a list's entry without the outer braces, as people write it."""
    return text[1:-1] if text.startswith("{") else text
