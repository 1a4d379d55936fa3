"""A list of layers needs only the sizes that do not follow from the layers before."""

from __future__ import annotations

from typing import Any

import pytest

from tinytrain import nn
from tinytrain.config import config_from_values
from tinytrain.config.build import build_experiment
from tinytrain.errors import ConfigError


def build(*layers: Any) -> nn.Module:
    """Return the network for the digits: one channel, 8x8 pixels, ten classes."""
    values = {"data": {"dataset": "digits"}, "model": {"layers": list(layers)}}
    origins = {("model", "layers", i): f"x.yaml:{5 + i}" for i in range(len(layers))}
    return build_experiment(config_from_values(values, {("model",): "x.yaml:4", **origins})).model


def test_sizes_that_are_left_out_follow_from_the_layers_before():
    model = build(
        {"Conv2d": {"out_channels": 4, "kernel_size": 3}},
        "BatchNorm2d",
        {"GroupNorm": {"num_groups": 2}},
        "ReLU",
        {"Conv2d": {"out_channels": 6, "kernel_size": 3, "stride": 2}},
        "Flatten",
        {"Linear": {"out_features": 20}},
        "ReLU",
        "Linear",
        {"LogSoftmax": {"dim": 1}},
    )
    assert (model[0].in_channels, model[1].num_features, model[2].num_channels, model[4].in_channels) == (1, 4, 4, 4)
    # 8 pixels become 6, then (6 - 3) // 2 + 1 = 2.
    assert (model[6].in_features, model[8].in_features, model[8].out_features) == (6 * 2 * 2, 20, 10)
    assert all(module.training for module in model.modules())
    assert model[1].num_batches_tracked.item() == 0


def test_sizes_that_are_written_are_kept():
    model = build({"Conv2d": {"in_channels": 1, "out_channels": 2, "kernel_size": 8}}, "Flatten", "Linear")
    assert (model[0].in_channels, model[2].in_features) == (1, 2)


def test_an_inner_linear_layer_needs_its_size():
    with pytest.raises(ConfigError, match=r"^x\.yaml:6: model\.layers\.1\.Linear: .* needs the key 'out_features'"):
        build("Flatten", "Linear", "Linear")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["Flatten", {"Linear": {"in_features": 60}}], r"^x\.yaml:6: model\.layers\.1: .*64.*60"),
        ([{"Conv2d": {"out_channels": 2, "kernel_size": 9}}], r"^x\.yaml:5: model\.layers\.0: .*must not be larger"),
        (
            ["Flatten", {"Linear": {"out_features": 12}}],
            r"^x\.yaml:4: model\.layers: the network gives \(12,\) for an image; 10 classes need \(10,\)\. End with",
        ),
        (
            [{"MaxPool2d": {"kernel_size": 2, "return_indices": True}}, "Flatten", "Linear"],
            r"^x\.yaml:5: model\.layers\.0: MaxPool2d with these arguments gives more than one tensor, and ",
        ),
        ([{"Conv2d": {"out_channels": 10, "kernel_size": 3}}], r"gives \(10, 6, 6\) for an image"),
    ],
)
def test_layers_that_do_not_fit_are_refused_by_place(layers: list[Any], message: str):
    with pytest.raises(ConfigError, match=message):
        build(*layers)
