"""Test vectors: what goes into a network and what comes out, for a port to another program to prove itself by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Golden:
    """One image on its way through a network.

    Attributes:
        image: as it is read from a file.
        input: (1, c, h, w) float32, what the exported network gets.
        logits: (1, classes) float32, what it must give, up to rounding.
    """

    image: Image.Image
    input: np.ndarray
    logits: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return `input` and `logits` by name."""
        return {"input": self.input, "logits": self.logits}

    def to_bytes(self, metadata: Mapping[str, str]) -> bytes:
        """Return `input` and `logits` as the bytes of a safetensors file."""
        from safetensors.numpy import save

        return save(self.arrays(), dict(metadata))


def pattern(height: int, width: int, mode: str) -> Image.Image:
    """Return an image of colour ramps and a disc, where there is no photo to show: always the same pixels.

    Args:
        height: pixels.
        width: pixels.
        mode: `RGB` or `L`.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y, x = y / max(height - 1, 1), x / max(width - 1, 1)
    disc = ((y - 0.5) ** 2 + (x - 0.5) ** 2 < 0.09).astype(np.float64)
    pixels = np.stack([x, y, 0.8 * disc + 0.1], axis=-1)
    return Image.fromarray((pixels * 255).round().astype(np.uint8)).convert(mode)
