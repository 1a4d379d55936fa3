"""The GPU's kernel for images gives the bits of the reference, in every element type."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.gpu import dtype_of, elements
from tests.kernels.test_gathered_images import FAR, SHAPES
from tinytrain.kernels.cuda import images as kernels
from tinytrain.kernels.fused.images import BORDERS
from tinytrain.kernels.reference import images as reference

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

RNG = np.random.default_rng(0)


@elements
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("has_boxes", [False, True])
@pytest.mark.parametrize(
    ("m", "h", "w", "c", "n", "size"), [*SHAPES, (5, 4, 4, 3, 0, (4, 4)), (5, 32, 32, 3, 70, (32, 32))]
)
def test_windows_are_those_of_the_reference(m, h, w, c, n, size, has_boxes, border, element, gpu):
    dtype = dtype_of(element)
    images = RNG.integers(0, 256, (m, h, w, c), np.uint8)
    corners = RNG.integers(-FAR, FAR, (2, n))
    places = np.stack([RNG.integers(0, m, n), *corners, RNG.integers(0, 4, n)], axis=1).astype(np.int32)
    table = RNG.standard_normal((c, 257)).astype(dtype)
    boxes = RNG.integers(0, 6, (n, 4)).astype(np.int32) if has_boxes else None
    erased = RNG.standard_normal(c).astype(dtype) if has_boxes else None
    there = [None if each is None else gpu.asarray(each) for each in (images, table, erased)]
    found = kernels.gather_images(there[0], places, size, BORDERS.index(border), there[1], boxes, there[2])
    expected = reference.gather_images(images, places, size, border, table, boxes, erased)
    assert found.dtype == dtype
    assert found.transpose(0, 2, 3, 1).flags.c_contiguous
    assert gpu.asnumpy(found).tobytes() == expected.tobytes()


def test_an_image_that_is_not_there_is_refused(gpu):
    images, table = gpu.zeros((2, 3, 3, 1), np.uint8), gpu.zeros((1, 257), np.float32)
    places = np.array([[-1, 0, 0, 0]], np.int32)
    with pytest.raises(IndexError, match="images are numbered from 0 to 1"):
        kernels.gather_images(images, places, (3, 3), 0, table, None, None)
