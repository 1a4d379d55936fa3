"""What the images of a split are like: classes, sizes, colour modes, damage, statistics, and their fingerprints."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tinytrain.datasets import ArrayDataset
from tinytrain.datasets.image_reading import count_frames, open_image
from tinytrain.datasets.samples import labels_of, retransformed, sample_name, transform_of, untransformed
from tinytrain.device import CPU, move
from tinytrain.errors import DataError
from tinytrain.random_streams import BatchStream, sample_stream
from tinytrain.utils.data import Subset

MAX_SIZES_TRIED = 64
"""Images of so many different sizes are sent through the transforms."""

_CHUNK = 1024
_UNFIT = (ValueError, TypeError, RuntimeError)  # what transforms raise for images that they cannot take
_ALIKE = {"MPO": "JPEG"}  # the first picture of a multi-picture file is a JPEG


@dataclass
class Moments:
    """Sums over pixels, channel by channel, from which mean and standard deviation follow."""

    count: int = 0
    total: Any = 0.0
    total_of_squares: Any = 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in pixels (n, c, h, w)."""
        pixels = values.astype(np.float64)
        self.count += pixels.size // pixels.shape[1]
        self.total = self.total + pixels.sum(axis=(0, 2, 3))
        self.total_of_squares = self.total_of_squares + np.square(pixels).sum(axis=(0, 2, 3))

    @property
    def mean(self) -> list[float]:
        """Of each channel."""
        return (self.total / self.count).tolist()

    @property
    def std(self) -> list[float]:
        """Of each channel."""
        mean = self.total / self.count
        return np.sqrt(np.maximum(self.total_of_squares / self.count - mean * mean, 0)).tolist()


@dataclass
class SplitSurvey:
    """What a split holds.

    Attributes:
        names: of the samples, to find them by.
        labels: (n,) class indices.
        sizes: (width, height) -> how many images have it.
        modes: Pillow's colour mode of the files -> how many have it.
        damaged: (name, reason) of images that cannot be read.
        odd: (name, what is odd) of images that can be read and may not be what their owner thinks.
        shapes: (c, h, w) that come out of the transforms -> the first sample that gave it.
        unfit: (name, reason) of the first image that the transforms refuse.
        fingerprints: of the pixels by the sample's number; those that cannot be read have none.
        moments: of the pixels, None where they were not asked for or there are none.
    """

    names: list[str]
    labels: np.ndarray
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    odd: list[tuple[str, str]] = field(default_factory=list)
    shapes: dict[tuple[int, ...], str] = field(default_factory=dict)
    unfit: tuple[str, str] | None = None
    fingerprints: dict[int, bytes] = field(default_factory=dict)
    moments: Moments | None = None

    def per_class(self, num_classes: int) -> list[int]:
        """Return how many images each class has."""
        return np.bincount(self.labels, minlength=num_classes).tolist()


def survey_split(
    dataset: Any,
    *,
    seed: int = 0,
    measured_through: Callable[[Any], Any] | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> SplitSurvey:
    """Look at every image of a split.

    Args:
        dataset: the split with its transforms.
        seed: of the run, for transforms that draw.
        measured_through: from an image to the tensor (c, h, w) whose mean and deviation are wanted; None: unwanted.
        watch: told how many images of how many were looked at.
    """
    survey = SplitSurvey([sample_name(dataset, i) for i in range(len(dataset))], labels_of(dataset))
    if measured_through is not None:
        survey.moments = Moments()
    look = _look_at_array if isinstance(_base(dataset), ArrayDataset) else _look_at_files
    if len(dataset):
        look(dataset, survey, seed, measured_through, watch)
    if survey.moments is not None and survey.moments.count == 0:
        survey.moments = None
    return survey


def _look_at_array(
    dataset: Any, survey: SplitSurvey, seed: int, through: Any, watch: Callable[[int, int], None]
) -> None:
    """Fill in a survey of images that lie in memory: they have one size and one mode, and cannot be damaged."""
    plain = untransformed(dataset)
    image = plain[0][0]
    survey.sizes[image.size] = survey.modes[image.mode] = len(plain)
    _try_transforms(dataset, 0, image, survey, seed)
    for start in range(0, len(plain), _CHUNK):
        positions = range(start, min(start + _CHUNK, len(plain)))
        for position in positions:
            survey.fingerprints[position] = _fingerprint(plain[position][0])
        _measure(survey, lambda positions=positions: _batch(dataset, list(positions), through))  # type: ignore[misc]
        watch(positions.stop, len(plain))


def _look_at_files(
    dataset: Any, survey: SplitSurvey, seed: int, through: Any, watch: Callable[[int, int], None]
) -> None:
    plain = untransformed(dataset)
    for position, path in enumerate(_paths(dataset)):
        watch(position, len(plain))
        try:
            image = plain[position][0]
        except DataError as error:
            survey.damaged.append((survey.names[position], error.reason))
            continue
        mode, oddity = _look_at_header(path)
        survey.modes[mode] += 1
        if oddity is not None:
            survey.odd.append((survey.names[position], oddity))
        if image.size not in survey.sizes and len(survey.sizes) < MAX_SIZES_TRIED:
            _try_transforms(dataset, position, image, survey, seed)
        survey.sizes[image.size] += 1
        survey.fingerprints[position] = _fingerprint(image)
        _measure(survey, lambda image=image: move(through(image).array, CPU)[None])  # type: ignore[misc]


def _look_at_header(path: str) -> tuple[str, str | None]:
    """Return the colour mode of a readable file, and what is odd about it."""
    with open_image(path) as image:
        frames = count_frames(image)
        found = _ALIKE.get(str(image.format), str(image.format))
    suffix = path[path.rfind(".") :].lower()
    named = Image.registered_extensions().get(suffix)
    if named is not None and named != found:
        return image.mode, f"the name ends in {suffix}, the file is {found}"
    if frames is None:
        return image.mode, "is damaged after its first frame, which is the one that is read"
    if frames > 1 and image.format != "MPO":
        return image.mode, f"has {frames} frames, of which only the first is read"
    return image.mode, None


def _try_transforms(dataset: Any, position: int, image: Any, survey: SplitSurvey, seed: int) -> None:
    """Note what shape an image comes out of the transforms in, or that they refuse it."""
    name = survey.names[position]
    try:
        with sample_stream(seed, 0, position):
            result = transform_of(dataset)(image)
        survey.shapes.setdefault(tuple(result.shape), name)
    except _UNFIT as error:
        survey.unfit = survey.unfit or (f"{name} ({image.width}x{image.height})", str(error))


def _measure(survey: SplitSurvey, values: Callable[[], np.ndarray]) -> None:
    """Take pixels (n, c, h, w) into the moments; images that do not get through leave none to be told."""
    if survey.moments is not None:
        try:
            survey.moments.add(values())
        except _UNFIT:
            survey.moments = None


def _batch(dataset: Any, positions: list[int], through: Any) -> np.ndarray:
    """Return images after `through`: (n, c, h, w), in array code where it has that form."""
    measured = retransformed(dataset, through)
    whole = measured.load_batch(positions, BatchStream(0, 0, positions))
    if whole is not None:
        return move(whole[0].array, CPU)
    return np.stack([move(measured[position][0].array, CPU) for position in positions])


def _fingerprint(image: Image.Image) -> bytes:
    """Return 16 bytes that two images share only if they have the same pixels."""
    digest = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


def _base(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def _paths(dataset: Any) -> Iterator[str]:
    if isinstance(dataset, Subset):
        paths = list(_paths(dataset.dataset))
        yield from (paths[i] for i in dataset.indices)
    else:
        yield from (path for path, _ in dataset.samples)
