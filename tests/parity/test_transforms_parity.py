"""Image operations against torchvision's, over random sizes from 1 to 300.

Pillow images come out equal to the bit; tensors within 1 level of 255.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from PIL import Image

from tinytrain.tensor import wrap
from tinytrain.transforms import functional as ours_functional

from .oracle import torch

theirs_functional = pytest.importorskip("torchvision.transforms.functional")

SEEDS = range(24)
MODES = ("RGB", "L", "RGBA", "CMYK", "F", "I", "LA", "HSV")


def random_array(rng, channels=3, dtype=np.uint8, smallest=1):
    """Return (c, h, w): smooth waves with noise, so that an error of place shows as an error of value."""
    height, width = (int(v) for v in np.exp(rng.uniform(math.log(smallest), math.log(301), 2)))
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + c) + np.cos(y / 9 - c) for c in range(channels)]
    values = np.stack(waves) / 4 + 0.5 + rng.normal(0, 0.08, (channels, height, width))
    values = values.clip(0, 1)
    return (values * 255).round().astype(np.uint8) if dtype == np.uint8 else values.astype(dtype)


def smallest_side(name):
    """Return the shortest image side for which torchvision's operation is defined."""
    return {"perspective": 8, "gaussian_blur": 4, "resize edge": 8, "resize with max_size": 8}.get(name, 1)


def random_image(rng, mode, smallest):
    if mode in ("F", "I"):
        values = random_array(rng, 1, np.float32, smallest)[0]
        return Image.fromarray(values * 3) if mode == "F" else Image.fromarray((values * 70000).astype(np.int32))
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = random_array(rng, channels, smallest=smallest).transpose(1, 2, 0)
    return Image.frombytes(mode, pixels.shape[1::-1], np.ascontiguousarray(pixels).tobytes())


def draw(rng, name, height, width, channels):
    """Return arguments for an operation, with interpolation by name."""
    pixel = int(rng.integers(0, 256))
    fill = [None, pixel, [int(v) for v in rng.integers(0, 256, channels)]][rng.integers(3)]
    near = str(rng.choice(["NEAREST", "BILINEAR"]))
    angle, factor = float(rng.uniform(-180, 180)), float(rng.uniform(0, 2))
    corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    half_w, half_h = width // 4, height // 4
    moved = [
        [int(rng.integers(0, half_w + 1)), int(rng.integers(0, half_h + 1))],
        [width - 1 - int(rng.integers(0, half_w + 1)), int(rng.integers(0, half_h + 1))],
        [width - 1 - int(rng.integers(0, half_w + 1)), height - 1 - int(rng.integers(0, half_h + 1))],
        [int(rng.integers(0, half_w + 1)), height - 1 - int(rng.integers(0, half_h + 1))],
    ]
    size = [int(v) for v in rng.integers(2, 301, 2)]  # PyTorch repeats one row where the new width is 1
    center = None if rng.uniform() < 0.5 else [int(rng.integers(0, width + 1)), int(rng.integers(0, height + 1))]
    return {
        "resize": {"size": size, "interpolation": str(rng.choice(["NEAREST", "BILINEAR", "BICUBIC"]))},
        "resize edge": {"size": max(size[0] // 4, 2)},
        "resize with max_size": {"size": size[0], "max_size": size[0] + 1 + size[1] // 3},
        "crop": {
            "top": int(rng.integers(-20, height)),
            "left": int(rng.integers(-20, width)),
            "height": int(rng.integers(21, height + 30)),
            "width": int(rng.integers(21, width + 30)),
        },
        "center_crop": {"output_size": size},
        "resized_crop": {
            "top": 0,
            "left": 0,
            "height": (height + 1) // 2,
            "width": (width + 1) // 2,
            "size": size,
            "interpolation": str(rng.choice(["BILINEAR", "BICUBIC"])),
        },
        "pad": {"padding": [int(v) for v in rng.integers(0, 30, 4)], "fill": pixel},
        "pad edge": {"padding": [int(v) for v in rng.integers(0, 9, 2)], "padding_mode": "edge"},
        "pad reflect": {"padding": min(height, width) - 1, "padding_mode": "reflect"},
        "pad symmetric": {"padding": min(height, width), "padding_mode": "symmetric"},
        "hflip": {},
        "vflip": {},
        "rotate": {"angle": angle, "interpolation": near, "fill": fill, "center": center},
        "rotate expanded": {"angle": angle, "interpolation": near, "fill": fill, "expand": True},
        "affine": {
            "angle": angle,
            "translate": [int(v) for v in rng.integers(-9, 10, 2)],
            "scale": 0.5 + factor / 2,
            "shear": [float(v) for v in rng.uniform(-30, 30, 2)],
            "interpolation": near,
            "fill": fill,
            "center": center,
        },
        "perspective": {"startpoints": corners, "endpoints": moved, "interpolation": near, "fill": fill},
        "adjust_brightness": {"brightness_factor": factor},
        "adjust_contrast": {"contrast_factor": factor},
        "adjust_saturation": {"saturation_factor": factor},
        "adjust_hue": {"hue_factor": factor / 2 - 0.5},
        "adjust_gamma": {"gamma": 0.3 + factor, "gain": 1.1},
        "adjust_sharpness": {"sharpness_factor": factor},
        "rgb_to_grayscale": {"num_output_channels": 3 if channels == 3 else 1},
        "gaussian_blur": {"kernel_size": [int(v) * 2 + 1 for v in rng.integers(0, 4, 2)], "sigma": 0.2 + factor},
        "invert": {},
        "posterize": {"bits": int(rng.integers(1, 9))},
        "solarize": {"threshold": pixel},
        "autocontrast": {},
        "equalize": {},
    }[name]


GEOMETRY = [
    "resize",
    "resize edge",
    "resize with max_size",
    "crop",
    "center_crop",
    "resized_crop",
    "pad",
    "pad edge",
    "pad reflect",
    "pad symmetric",
    "hflip",
    "vflip",
    "rotate",
    "rotate expanded",
    "affine",
    "perspective",
]
COLOUR = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_saturation",
    "adjust_hue",
    "adjust_gamma",
    "adjust_sharpness",
    "rgb_to_grayscale",
    "gaussian_blur",
    "invert",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
]


def both(name, arguments, ours, theirs):
    """Return what the operation makes of the same image here and there."""
    function = name.split()[0]
    results = []
    for functional, image in ((ours_functional, ours), (theirs_functional, theirs)):
        named = dict(arguments)
        if "interpolation" in named:
            named["interpolation"] = functional.InterpolationMode[named["interpolation"]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(getattr(functional, function)(image, **named))
    return results


@pytest.mark.parametrize("name", GEOMETRY + COLOUR)
def test_pillow_images_come_out_equal_to_the_bit(name):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        modes = MODES if name in GEOMETRY else ("RGB", "L")
        image = random_image(rng, modes[seed % len(modes)], smallest=smallest_side(name))
        arguments = draw(rng, name, image.height, image.width, len(image.getbands()))
        ours, theirs = both(name, arguments, image, image)
        assert ours.size == theirs.size
        if name == "gaussian_blur":  # computed on tensors there too
            assert np.abs(np.asarray(ours, np.int16) - np.asarray(theirs)).max() <= 1
        else:
            assert np.array_equal(np.asarray(ours), np.asarray(theirs)), (seed, image, arguments)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, "uint8") for name in GEOMETRY + COLOUR]
    + [(name, "float32") for name in GEOMETRY + COLOUR if name not in ("posterize", "equalize")],
)
def test_tensors_come_out_within_one_level_of_255(name, dtype):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        channels = (3, 1)[seed % 2]
        array = random_array(rng, channels, np.dtype(dtype), smallest_side(name))
        arguments = draw(rng, name, *array.shape[1:], channels)
        if seed % 3 == 0:
            array = np.stack([array, 1 - array if dtype == "float32" else 255 - array])
        if dtype == "float32":
            for key in arguments.keys() & {"fill", "threshold"}:
                if arguments[key] is not None:
                    arguments[key] = (np.asarray(arguments[key]) / 255).tolist()
        ours, theirs = both(name, arguments, wrap(array), torch.from_numpy(array))
        assert ours.array.dtype == theirs.numpy().dtype
        assert tuple(ours.shape) == tuple(theirs.shape), (seed, array.shape, arguments)
        level = 1 if dtype == "uint8" else 1 / 255
        off = np.abs(ours.array.astype(np.float64) - theirs.numpy()) > level + 1e-6
        assert off.sum() == 0, (seed, off.sum(), off.size, array.shape, arguments)
