"""A resize and what follows it, done in one pass, gives the bits of the steps done one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tinytrain import transforms
from tinytrain.kernels.native.extension import native
from tinytrain.random_streams import sample_stream
from tinytrain.transforms import fused
from tinytrain.transforms.functional import windows
from tinytrain.transforms.functional.geometry import InterpolationMode

FILTERS = [InterpolationMode[name] for name in ("BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")]
needs_kernels = pytest.mark.skipif(native() is None, reason="the native kernels are not built, or not wanted")


def random_image(rng, height, width, mode="RGB"):
    shape = (height, width) if mode == "L" else (height, width, 3)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


def by_pillow(img, box, size, window, interpolation, mirrored):
    top, left, height, width = box
    img = img.crop((left, top, left + width, top + height)).resize(size[::-1], interpolation.pil)
    top, left, height, width = window
    img = img.crop((left, top, left + width, top + height))
    pixels = np.asarray(img.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else img)
    return pixels.reshape(*pixels.shape[:2], -1)


def random_case(rng):
    def part(height, width):
        h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
        return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w

    img = random_image(rng, *rng.integers(1, 90, 2), mode=str(rng.choice(["L", "RGB"])))
    box = part(img.height, img.width)
    new = [int(each) for each in rng.integers(1, 120, 2)]
    size = (box[2] if rng.random() < 0.2 else new[0], box[3] if rng.random() < 0.2 else new[1])
    return img, box, size, part(*size), FILTERS[rng.integers(len(FILTERS))], bool(rng.integers(2))


@needs_kernels
def test_windows_of_resized_images_equal_pillows_to_the_bit():
    rng = np.random.default_rng(0)
    extension = native()
    try:
        for number in range(900):
            extension.use(extension.instruction_sets()[number % len(extension.instruction_sets())])
            *case, mirrored = random_case(rng)
            found = windows.resize_window(*case, mirrored=mirrored)
            np.testing.assert_array_equal(found, by_pillow(*case, mirrored), err_msg=str(case[1:]), strict=True)
    finally:
        extension.use(extension.instruction_sets()[0])


@needs_kernels
def test_images_in_several_pieces_of_memory_are_cut_first():
    img = random_image(np.random.default_rng(0), 2600, 2000)
    with pytest.raises(ValueError, match="contiguous"):
        img.__arrow_c_array__()
    box, size = (1000, 500, 900, 700), (50, 60)
    arguments = (img, box, size, (0, 0, *size), InterpolationMode.BILINEAR)
    np.testing.assert_array_equal(windows.resize_window(*arguments), by_pillow(*arguments, False))
    whole = (0, 0, 2600, 2000)
    assert windows.resize_window(img, whole, size, (0, 0, *size), InterpolationMode.BILINEAR) is None


def test_what_is_not_computed_here_is_left_to_pillow():
    img = random_image(np.random.default_rng(0), 9, 9)
    whole, size = (0, 0, 9, 9), (4, 4)
    window = (0, 0, 4, 4)
    for other in (img.convert("RGBA"), img.convert("CMYK"), np.asarray(img)):
        assert windows.resize_window(other, whole, size, window, InterpolationMode.BILINEAR) is None
    assert windows.resize_window(img, whole, size, window, InterpolationMode.NEAREST) is None
    assert windows.resize_window(img, whole, size, (-1, 0, 6, 4), InterpolationMode.BILINEAR) is None


@needs_kernels
def test_a_pillow_that_resizes_in_a_third_order_is_left_to_itself(monkeypatch):
    monkeypatch.setattr(windows, "_agrees", lambda *arguments: False)
    windows._order_of_passes.cache_clear()
    try:
        img = random_image(np.random.default_rng(0), 9, 9)
        assert windows.resize_window(img, (0, 0, 9, 9), (4, 4), (0, 0, 4, 4), InterpolationMode.BILINEAR) is None
    finally:
        windows._order_of_passes.cache_clear()


T = transforms
PIPELINES = [
    [T.RandomResizedCrop(24), T.RandomHorizontalFlip()],
    [T.RandomResizedCrop((20, 31), scale=(0.9, 1.0), interpolation="bicubic")],
    [T.Resize(40), T.CenterCrop(32)],
    [T.Resize((30, 17)), T.RandomHorizontalFlip(), T.RandomHorizontalFlip(0.9)],
    [T.Resize(20, max_size=28, interpolation="nearest"), T.CenterCrop((40, 9)), T.RandomHorizontalFlip()],
    [T.ColorJitter(0.5), T.RandomResizedCrop(24), T.RandomHorizontalFlip()],
]


@pytest.mark.parametrize("steps", PIPELINES, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("is_native", [True, False])
def test_one_pass_gives_the_pixels_and_draws_of_the_steps(steps, mode, is_native, monkeypatch):
    if not is_native:
        monkeypatch.setattr(windows, "native", lambda: None)
        windows._order_of_passes.cache_clear()
    rng = np.random.default_rng(0)
    at_once = T.Compose(fused.to_pixels(steps))
    one_by_one = T.Compose([*steps, fused.Pixels()])
    assert len(at_once.transforms) < len(one_by_one.transforms)
    for index in range(12):
        img = random_image(rng, *rng.integers(30, 80, 2)).convert(mode)
        with sample_stream(1, 2, index) as stream:
            found, after = at_once(img), stream.uniform()
        with sample_stream(1, 2, index) as stream:
            expected, expected_after = one_by_one(img), stream.uniform()
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), strict=True)
        assert after == expected_after
    windows._order_of_passes.cache_clear()


def test_pipelines_of_another_end_stay_as_they_are():
    class MyCrop(T.RandomResizedCrop):
        pass

    for steps in (
        [],
        [T.RandomCrop(8)],
        [MyCrop(8)],
        [T.Resize(9), T.Pad(1)],
        [T.CenterCrop(8), T.RandomHorizontalFlip()],
    ):
        assert fused.to_pixels(steps)[:-1] == steps
