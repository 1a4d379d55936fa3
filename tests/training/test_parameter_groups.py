"""Parameters come in groups by name, depth and shape."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.errors import ConfigError
from tinytrain.training.parameter_groups import RateScale, block_numbers, parameter_groups


def network() -> nn.Sequential:
    tt.manual_seed(1)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()), nn.Flatten(), nn.Linear(16, 3)
    )


def test_groups_scale_the_rate_by_the_longest_prefix():
    model = network()
    groups = parameter_groups(model, 0.5, scales=[RateScale(0.1, "0"), RateScale(0.2, "0.1")])
    assert [(group["lr"], len(group["params"])) for group in groups] == [
        (0.5, 2),
        (pytest.approx(0.1), 2),
        (pytest.approx(0.05), 1),
    ]
    assert groups[2]["params"][0] is model[0][0].weight


def test_a_suffix_ends_where_a_name_begins_and_may_go_with_a_prefix():
    model = network()
    groups = parameter_groups(model, 1.0, scales=[RateScale(3.0, suffix="bias"), RateScale(5.0, "2", "bias")])
    assert [(group["lr"], [id(p) for p in group["params"]]) for group in groups] == [
        (5.0, [id(model[2].bias)]),
        (3.0, [id(model[0][1].bias)]),
        (1.0, [id(model[0][0].weight), id(model[0][1].weight), id(model[2].weight)]),
    ]
    assert not RateScale(1.0, suffix="ias").fits("2.bias")


def test_parameters_with_a_rate_of_zero_do_not_learn():
    model = network()
    (group,) = parameter_groups(model, 1.0, scales=[RateScale(0.0, "0.0"), RateScale(0.0, suffix="bias")])
    assert [id(p) for p in group["params"]] == [id(model[0][1].weight), id(model[2].weight)]
    assert [p.requires_grad for p in model.parameters()] == [False, True, False, True, False]


def test_a_suffix_that_fits_nothing_is_refused():
    with pytest.raises(ConfigError) as caught:
        parameter_groups(network(), 1.0, scales=[RateScale(2.0, "0", "scale")])
    assert str(caught.value) == (
        "no parameter's name begins with '0' and ends with 'scale'. The last ones: 0.1.bias, 2.weight, 2.bias"
    )


def test_no_decay_is_for_everything_of_one_dimension():
    model = network()
    decaying, other = parameter_groups(model, 0.5, decay_norm_and_bias=False)
    assert [id(p) for p in decaying["params"]] == [id(model[0][0].weight), id(model[2].weight)]
    assert "weight_decay" not in decaying
    assert other["weight_decay"] == 0.0
    assert [id(p) for p in other["params"]] == [id(model[0][1].weight), id(model[0][1].bias), id(model[2].bias)]


def test_layer_decay_counts_blocks_from_the_output():
    model = tt.models.MODELS["cnn"](widths=[4, 8], strides=[1, 1])
    assert set(block_numbers(model).items()) == {
        *((f"features.0.{name}", 0) for name in ("0.weight", "1.weight", "1.bias")),
        *((f"features.1.{name}", 1) for name in ("0.weight", "1.weight", "1.bias")),
        ("classifier.weight", 2),
        ("classifier.bias", 2),
    }
    groups = parameter_groups(model, 1.0, layer_decay=0.5)
    assert [group["lr_scale"] for group in groups] == [1.0, 0.5, 0.25]


def test_a_normalisation_by_itself_belongs_to_the_block_before_it():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1, self.fc = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2)

    assert block_numbers(Net()) == {
        "conv1.weight": 0,
        "conv1.bias": 0,
        "bn1.weight": 0,
        "bn1.bias": 0,
        "fc.weight": 1,
        "fc.bias": 1,
    }
