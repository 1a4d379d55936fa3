"""Numbers that cannot be meant are refused with the key that holds them, before anything is built."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tinytrain.config import config_from_values
from tinytrain.config.components import is_plain
from tinytrain.config.tables import TABLES
from tinytrain.errors import ConfigError

ABOVE_0 = "expected a number above 0, found"
AT_LEAST_0 = "expected a number of at least 0, found"
AT_LEAST_1 = "expected a whole number of at least 1, found"
SHARE = "expected a number of at least 0 and of at most 1, found"


def refusal(**sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_from_values({"data": {"dataset": "digits"}, "model": {"name": "cnn"}, **sections})
    return str(caught.value)


@pytest.mark.parametrize(
    ("schedule", "key", "value", "reason"),
    [
        ({"name": "step"}, "step_size", 0, ABOVE_0),
        ({"name": "step"}, "step_size", -1, ABOVE_0),
        ({"name": "step", "step_size": 1}, "gamma", -0.1, ABOVE_0),
        ({"name": "multistep"}, "milestones", [1, -1], "expected a list (a number above 0 each), found"),
        ({"name": "multistep", "milestones": [1]}, "gamma", 0, ABOVE_0),
        ({"name": "exponential"}, "gamma", -0.5, ABOVE_0),
        ({"name": "cosine"}, "eta_min", -1, AT_LEAST_0),
        ({"name": "warm_restarts"}, "T_0", 0, ABOVE_0),
        ({"name": "warm_restarts", "T_0": 1}, "T_mult", 0, AT_LEAST_1),
        ({"name": "warm_restarts", "T_0": 1}, "eta_min", -1, AT_LEAST_0),
        ({"name": "one_cycle"}, "max_lr", -1, ABOVE_0),
        ({"name": "one_cycle", "max_lr": 1}, "pct_start", 1.5, SHARE),
        ({"name": "one_cycle", "max_lr": 1}, "div_factor", 0, ABOVE_0),
        ({"name": "one_cycle", "max_lr": 1}, "final_div_factor", 0, ABOVE_0),
        ({"name": "one_cycle", "max_lr": 1}, "max_momentum", 1, "expected a number of at least 0 and below 1, found"),
        ({"name": "one_cycle", "max_lr": 1}, "anneal_strategy", "cosine", "expected 'cos' or 'linear', found"),
        ({"name": "linear"}, "start_factor", 0, "expected a number above 0 and of at most 1, found"),
        ({"name": "linear"}, "end_factor", -1, SHARE),
        ({"name": "polynomial"}, "power", -1, AT_LEAST_0),
        ({"name": "plateau"}, "factor", 1, "expected a number above 0 and below 1, found"),
        ({"name": "plateau"}, "patience", -1, "expected a whole number of at least 0, found"),
        ({"name": "plateau"}, "threshold_mode", "share", "expected 'rel' or 'abs', found"),
        ({"name": "plateau"}, "min_lr", -1, AT_LEAST_0),
    ],
)
def test_a_schedule_keeps_to_the_ranges_of_its_numbers(schedule: dict[str, Any], key: str, value: Any, reason: str):
    told = refusal(train={"schedule": {**schedule, key: value}})
    assert told.startswith(f"train.schedule.{key}: {reason} ")


@pytest.mark.parametrize(
    ("name", "key", "value", "reason"),
    [
        ("cnn", "widths", [8, 0, 8], "expected a list (a whole number of at least 1 each), found"),
        ("cnn", "dropout", 2, SHARE),
        ("cifar_fast", "score_scale", 0, ABOVE_0),
        ("mobilenet_v1", "width_mult", 0, ABOVE_0),
        ("mobilenet_v2", "width_mult", -1, ABOVE_0),
        ("mobilenet_v2", "round_nearest", 0, AT_LEAST_1),
        ("mobilenet_v3_small", "width_mult", -1, ABOVE_0),
        ("densenet121", "growth_rate", 0, AT_LEAST_1),
        ("densenet121", "drop_rate", -1, SHARE),
        ("efficientnet_b0", "stochastic_depth_prob", 2, SHARE),
        ("convnext_tiny", "stochastic_depth_prob", -1, SHARE),
        ("googlenet", "dropout_aux", 2, SHARE),
        ("resnet18", "width_per_group", 0, AT_LEAST_1),
        ("lenet5", "padding", -1, "expected a whole number of at least 0, found"),
    ],
)
def test_a_model_keeps_to_the_ranges_of_its_numbers(name: str, key: str, value: Any, reason: str):
    assert refusal(model={"name": name, key: value}).startswith(f"model.{key}: {reason} ")


@pytest.mark.parametrize(("name", "key"), [("resnet18", "norm_layer"), ("mobilenet_v2", "block")])
def test_a_function_cannot_come_from_a_config(name: str, key: str):
    assert refusal(model={"name": name, key: "foo"}) == (
        f"model.{key}: this is a function, which Python can give and a config cannot. Leave it out"
    )


@pytest.mark.parametrize(("section", "kind"), [("model", "models"), ("schedule", "schedules")])
def test_defaults_lie_in_their_ranges(section: str, kind: str):
    required = {"step_size": 1, "milestones": [1], "gamma": 0.5, "T_0": 1, "max_lr": 1}
    table = TABLES[kind]
    for name, builder in table.registry.items():
        parameters = inspect.signature(builder).parameters
        values = {
            key: required[key] if p.default is p.empty else p.default
            for key, p in parameters.items()
            if key not in table.supplied and (p.default is p.empty or is_plain(p.default))
        }
        chosen = {"name": name, **values}
        sections = {"model": chosen} if kind == "models" else {"model": {"name": "cnn"}, "train": {section: chosen}}
        config_from_values({"data": {"dataset": "digits"}, **sections})
