"""A batch of images that lie in memory, on which the first steps of a pipeline are put off and then done together.

Crops, borders and mirror images only say where a pixel comes from; ToTensor and Normalize only what each of the 256
levels becomes. So they need not touch a pixel: they are noted, and one kernel reads every pixel once and writes what
all of them make of it. What each level becomes is computed by the steps themselves: the results are theirs to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tinytrain.device import Array, device_of, move
from tinytrain.kernels import kernel
from tinytrain.kernels.reference.images import MIRRORED, UPSIDE_DOWN


class LevelStep(Protocol):
    """A step that makes of each value, in each channel, what it makes of that value alone."""

    def on_batch(self, images: Array, stream: Any) -> Array:
        """Return what becomes of (n, c, h, w) values; the result may take their place."""


class Gathering:
    """Images picked out of a set, with what is noted to be done to them.

    The methods that note something return whether they could; if not, nothing is noted, and `array` is to be asked for.

    Args:
        images: uint8 (m, h, w, c) of the whole set, on any device.
        rows: (n,) which of them make the batch, on the host.

    Attributes:
        size: (h, w) of the results so far.
    """

    def __init__(self, images: Array, rows: np.ndarray):
        self._images = images
        self._places = np.zeros((len(rows), 4), np.int32)
        self._places[:, 0] = rows
        self.size: tuple[int, int] = images.shape[1:3]
        self._border: tuple[str, Any] | None = None
        self._is_cut = False
        self._levels: list[LevelStep] = []
        self._boxes: tuple[np.ndarray, Sequence[float]] | None = None

    @property
    def num_channels(self) -> int:
        """How many values a pixel has."""
        return int(self._images.shape[3])

    def pad(self, borders: Sequence[tuple[int, int, int, int]], fill: Any, mode: str) -> bool:
        """Note borders, one around the other: (left, top, right, bottom) pixels outside the image as it is so far."""
        borders = [sides for sides in borders if any(sides)]
        if self._boxes is not None or not borders:
            return self._boxes is None
        border = (mode, fill if mode == "constant" else None)
        if mode in ("constant", "edge"):
            fits = self._border in (None, border)
        else:  # a second mirror image would be of the first
            fits = self._border is None and len(borders) == 1 and max(borders[0]) < min(self.size)
        if not fits or self._is_cut or self._levels or min(map(min, borders)) < 0:
            return False
        self._border, turned = border, self._places[:, 3]
        for left, top, right, bottom in borders:
            self._places[:, 1] -= np.where(turned & UPSIDE_DOWN, bottom, top).astype(np.int32)
            self._places[:, 2] -= np.where(turned & MIRRORED, right, left).astype(np.int32)
            self.size = (self.size[0] + top + bottom, self.size[1] + left + right)
        return True

    def can_cut(self, size: tuple[int, int]) -> bool:
        """Return whether a window of this size could be noted that does not leave the image as it is so far."""
        return self._boxes is None and size[0] <= self.size[0] and size[1] <= self.size[1]

    def cut(self, top: Any, left: Any, size: tuple[int, int]) -> bool:
        """Note windows, which `can_cut`, at numbers or (n,) arrays of rows and columns."""
        (height, width), turned = self.size, self._places[:, 3]
        self._places[:, 1] += np.where(turned & UPSIDE_DOWN, height - top - size[0], top).astype(np.int32)
        self._places[:, 2] += np.where(turned & MIRRORED, width - left - size[1], left).astype(np.int32)
        self._is_cut = self._is_cut or size != self.size
        self.size = size
        return True

    def can_turn(self) -> bool:
        """Return whether mirror images can be noted."""
        return self._boxes is None

    def turn(self, chosen: np.ndarray, how: int) -> bool:
        """Note that the chosen (n,) images are turned, which can be: `MIRRORED` left and right, or `UPSIDE_DOWN`."""
        self._places[:, 3] ^= np.where(chosen, how, 0).astype(np.int32)
        return True

    def change_levels(self, step: LevelStep) -> bool:
        """Note a step on the levels."""
        if self._boxes is None:
            self._levels.append(step)
        return self._boxes is None

    def can_erase(self) -> bool:
        """Return whether boxes could be overwritten: the values are floats, and none are overwritten yet."""
        return self._boxes is None and self._table().dtype.kind == "f"

    def erase(self, boxes: np.ndarray, values: Sequence[float]) -> bool:
        """Note boxes (n, 4) of (top, left, height, width), and the value, or one a channel, that overwrites them."""
        self._boxes = boxes, values
        return True

    def array(self) -> Array:
        """Return the batch as all that is noted makes it: (n, c, h, w), channels last in memory."""
        images, table = self._images, self._table()
        boxes = erased = None
        if self._boxes is not None:
            boxes = self._boxes[0].astype(np.int32)
            erased = np.empty(self.num_channels, table.dtype)
            erased[:] = np.asarray(self._boxes[1], np.float32)  # as RandomErasing rounds it
        to = device_of(images)
        mode = "constant" if self._border is None else self._border[0]
        table = move(table, to)
        erased = None if erased is None else move(erased, to)
        return kernel("gather_images", table)(images, self._places, self.size, mode, table, boxes, erased)

    def _table(self) -> np.ndarray:
        """Return what the noted steps make of each level, and of the constant border, in each channel: (c, 257)."""
        c = self.num_channels
        levels = np.empty((1, c, 1, 257), np.uint8)
        levels[..., :256] = np.arange(256)
        fill: Any = 0 if self._border is None or self._border[1] is None else self._border[1]
        levels[..., 256] = fill if np.ndim(fill) == 0 else np.asarray(fill).reshape(-1, 1)
        for step in self._levels:
            levels = step.on_batch(levels, None)
        return np.ascontiguousarray(levels.reshape(c, 257))
