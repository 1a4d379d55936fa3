"""What is chosen by name takes the arguments of its own signature, and refuses the others by place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from tinytrain.config.components import check_arguments, find_builder
from tinytrain.errors import ConfigError
from tinytrain.registry import Registry

ORIGINS = {(): "x.yaml:1", ("thing",): "x.yaml:5", ("thing", "rate"): "x.yaml:6"}


class Thing:
    def __init__(
        self,
        params: list[float],
        rate: float,
        *,
        size: int | tuple[int, int] = 3,
        betas: tuple[float, float] = (0.9, 0.99),
        names: list[str] | None = None,
        mode: Literal["same", "valid"] = "same",
        activation: Callable[[Any], Any] | str = "relu",
        make: Any = object,
    ):
        pass


def check(**arguments: object) -> dict[str, object]:
    return check_arguments(Thing, arguments, ("thing",), ORIGINS, owner="thing 'it'", supplied={"params"})


def test_arguments_in_force_are_the_given_and_the_default_ones():
    assert check(rate=1) == {
        "rate": 1.0,
        "size": 3,
        "betas": (0.9, 0.99),
        "names": None,
        "mode": "same",
        "activation": "relu",
    }


def test_lists_become_tuples_and_whole_numbers_floats_where_the_signature_says_so():
    arguments = check(rate=1, size=[3, 5], betas=[0, 1])
    assert arguments["size"] == (3, 5)
    assert isinstance(arguments["rate"], float)
    assert all(isinstance(beta, float) for beta in arguments["betas"])


def test_what_yaml_cannot_write_is_left_to_the_builder():
    assert check(rate=1, activation="gelu", make=5)["activation"] == "gelu"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": "fast"}, "x.yaml:6: thing.rate: expected a number, found 'fast'"),
        ({"rate": True}, "x.yaml:6: thing.rate: expected a number, found true"),
        ({"rate": float("nan")}, "x.yaml:6: thing.rate: expected a number, found .nan"),
        ({"rate": 1, "size": 2.5}, "x.yaml:5: thing.size: expected a whole number or a list of 2, found 2.5"),
        ({"rate": 1, "betas": [1]}, "x.yaml:5: thing.betas: expected a list of 2, found [1]"),
        ({"rate": 1, "names": [5]}, "x.yaml:5: thing.names: expected a list (text each) or null, found [5]"),
        (
            {"rate": 1, "mode": "valdi"},
            "x.yaml:5: thing.mode: expected 'same' or 'valid', found 'valdi' (did you mean 'valid'?)",
        ),
        (
            {"rate": 1, "seize": 3},
            "x.yaml:5: thing.seize: unknown key for thing 'it' (did you mean 'size'?). "
            "Known here: rate, size, betas, names, mode, activation, make",
        ),
        ({"rate": 1, "params": []}, "x.yaml:5: thing.params: the program sets this itself. Leave it out"),
        ({}, "x.yaml:5: thing: thing 'it' needs the key 'rate'"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        check(**arguments)
    assert str(caught.value).startswith(message)


def test_an_unknown_name_is_told_with_the_closest_and_all():
    things: Registry[type[Thing]] = Registry("thing")
    things.register("hammer")(Thing)
    things.register("saw")(Thing)
    with pytest.raises(ConfigError) as caught:
        find_builder(things, "hamer", ("thing",), ORIGINS)
    assert str(caught.value) == (
        "x.yaml:5: thing: there is no thing called 'hamer' (did you mean 'hammer'?). Known: hammer, saw"
    )
