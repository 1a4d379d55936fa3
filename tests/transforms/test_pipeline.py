"""Pipelines from a config: what is built, and what is refused with place and remedy."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tinytrain import transforms as T
from tinytrain.errors import ConfigError
from tinytrain.transforms import TRANSFORMS, build_pipeline

NORMALIZE = {"Normalize": {"mean": [0.3], "std": [0.37]}}


def test_names_and_arguments_become_a_pipeline():
    pipeline = build_pipeline([{"RandomCrop": {"size": 8, "padding": 1}}, "ToTensor", NORMALIZE])
    assert repr(pipeline) == repr(T.Compose([T.RandomCrop(8, padding=1), T.ToTensor(), T.Normalize([0.3], [0.37])]))


def test_steps_may_hold_steps():
    pipeline = build_pipeline(
        [{"RandomApply": {"transforms": [{"GaussianBlur": {"kernel_size": 3}}], "p": 1.0}}, "ToTensor"]
    )
    assert isinstance(pipeline.transforms[0].transforms[0], T.GaussianBlur)
    assert pipeline(Image.new("RGB", (5, 5))).shape == (3, 5, 5)


def test_a_transform_of_ones_own_is_taken_as_it_is():
    assert build_pipeline([np.asarray, "ToTensor"]).transforms[0] is np.asarray


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (["ToTenso"], r"^transforms\.0: there is no transform called 'ToTenso' \(did you mean 'ToTensor'\?\)"),
        (
            [{"RandomCrop": {"size": 8, "paddin": 1}}],
            r"RandomCrop has no argument 'paddin' \(did you mean 'padding'\?\)",
        ),
        ([{"RandomCrop": {"pad": 1}}], r"Arguments of RandomCrop: size, padding, pad_if_needed, fill, padding_mode"),
        ([{"RandomCrop": {}}], r"^transforms\.0: RandomCrop needs size"),
        ([{"RandomCrop": 8}], r"RandomCrop: arguments are `name: value`, got 8"),
        ([{"Pad": {"padding": 1, "padding_mode": "mirror"}}], r"Pad: Padding mode should be either constant"),
        ([{"a": 1, "b": 2}], r"a step is a name, or one name with its arguments"),
        (
            ["ToTensor", "ToTensor"],
            r"^transforms\.1: ToTensor takes a Pillow image but gets a tensor\. One conversion is enough$",
        ),
        (["ToTensor", "ToPILImage", "ToTensor", "PILToTensor"], r"^transforms\.3: .*\. One conversion is enough$"),
        ([{"RandomChoice": {"transforms": []}}, "ToTensor"], r"^transforms\.0: RandomChoice: `transforms` is empty"),
        (
            [{"RandomChoice": {"transforms": [{"Pad": {"padding": 1}}], "p": [0]}}, "ToTensor"],
            r"^transforms\.0: RandomChoice: `p` must hold weights of at least 0, and one above it; got \[0\]$",
        ),
        ([NORMALIZE, "ToTensor"], r"Normalize takes a tensor but gets a Pillow image. Put ToTensor before Normalize"),
        (["RandomErasing"], r"RandomErasing takes a tensor but gets a Pillow image"),
        ([{"CenterCrop": {"size": 8}}], r"ends with a Pillow image, a model takes a tensor. Add ToTensor"),
        (["ToTensor", {"FiveCrop": {"size": 8}}], r"ends with several images"),
        ([{"FiveCrop": {"size": 8}}, "ToTensor"], r"ToTensor takes a Pillow image but gets several images"),
        (
            [{"RandomApply": {"transforms": ["ToTensor"]}}],
            r"RandomApply would give a tensor at some times and a Pillow",
        ),
        ([{"RandomChoice": {"transforms": ["ToTensor"]}}], r"RandomChoice would give a tensor at some times"),
        ([{"RandomApply": {"transforms": "ToTensor"}}], r"`transforms` is a list of steps, got 'ToTensor'"),
        (
            [{"RandomOrder": {"transforms": ["Resiz"]}}],
            r"^transforms\.0\.RandomOrder\.transforms\.0: there is no transform called 'Resiz'",
        ),
        (["ToTensor", {"MixUp": {"num_classes": 3}}], r"MixUp mixes whole batches; it is no step of a pipeline"),
    ],
)
def test_mistakes_are_told_with_place_and_remedy(entries, text):
    with pytest.raises(ConfigError, match=text):
        build_pipeline(entries)


def test_the_place_that_is_given_comes_first():
    with pytest.raises(ConfigError, match=r"^conf.yaml:7: transforms.train.1: there is no transform"):
        build_pipeline(["ToTensor", "Nothing"], place=lambda path, reason: f"conf.yaml:7: transforms.train.{path[0]}")


def test_every_transform_of_the_table_says_what_it_takes_and_gives():
    for kind in TRANSFORMS.values():
        assert kind.takes in ("pil", "tensor", "image")
        assert kind.gives in ("pil", "tensor", "images", "same")
