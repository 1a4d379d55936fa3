"""An error in a section is placed at the key that it comes from, where that can be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinytrain.config import load_config
from tinytrain.config.build import build_experiment
from tinytrain.errors import ConfigError

TEXT = """\
data: {dataset: digits}
transforms:
  train:
    - RandomCrop: {size: 8, padding: 1}
    - ToTensor
  eval: [ToTensor]
model:
  name: cnn
  conv: standard
  widths: [4, 4, 4]
train:
  optimizer:
    name: sgd
    lr: 0.1
    momentum: 0.9
"""


def refusal(folder: Path, *overrides: str, text: str = TEXT) -> str:
    path = folder / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        build_experiment(load_config(path, overrides))
    return str(caught.value).replace(str(path), "x.yaml")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.optimizer.lr=-1", "override: train.optimizer.lr: SGD: `lr` must be at least 0"),
        ("model.conv=seperable", "override: model.conv: model cnn: `conv` must be one of standard, separable"),
        ("model.activation=rleu", "override: model.activation: model cnn: `activation` must be one of relu"),
        ("train.loss.label_smoothing=2", "override: train.loss.label_smoothing: label_smoothing must be between"),
    ],
)
def test_a_key_that_the_reason_names_is_the_place(tmp_path, override: str, told: str):
    assert refusal(tmp_path, override).startswith(told)


def test_a_key_of_the_file_that_the_reason_names_is_the_place_whatever_was_overridden(tmp_path):
    told = refusal(tmp_path, "train.optimizer.momentum=0.8", text=TEXT.replace("lr: 0.1", "lr: -1"))
    assert told.startswith("x.yaml:14: train.optimizer.lr: SGD: `lr` must be at least 0")


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        (["model.widths.1=4000000000000"], "override: model.widths.1"),
        (["model.widths=[4, 4000000000000, 4]"], "override: model.widths"),
        (["model.conv=separable", "model.widths.1=4000000000000"], "override: model"),
        (["transforms.train.0.RandomCrop.size=100"], "override: transforms.train.0.RandomCrop.size"),
        (["transforms.train.0={RandomCrop: {size: 100}}"], "override: transforms.train.0"),
    ],
)
def test_what_was_overridden_is_the_place_of_a_reason_that_names_no_key(tmp_path, overrides: list[str], place: str):
    assert refusal(tmp_path, *overrides).startswith(f"{place}: ")


def test_the_section_is_the_place_where_nothing_else_is_known(tmp_path):
    told = refusal(tmp_path, text=TEXT.replace("4, 4, 4", "4, 4000000000000, 4"))
    assert told.startswith("x.yaml:7: model: too large for the memory")


def test_images_of_two_shapes_are_blamed_on_the_transforms_that_were_overridden(tmp_path):
    told = refusal(tmp_path, "transforms.train=[{Grayscale: {num_output_channels: 3}}, ToTensor]")
    assert told.startswith("override: transforms.train: the images of `eval` are 1x8x8 and those of `train` 3x8x8")
