"""`list` prints what a config can name."""

from __future__ import annotations

import json

import pytest

from tinytrain.cli.listing import KINDS
from tinytrain.cli.main import run
from tinytrain.config.tables import TABLES

EXPECTED = {
    "models": "cnn",
    "layers": "Conv2d",
    "datasets": "digits",
    "transforms": "RandomCrop",
    "optimizers": "sgd",
    "schedules": "cosine",
    "losses": "cross_entropy",
}


def listed(kind: str, capsys) -> list[dict]:
    assert run(["list", kind, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_table_can_be_listed():
    assert set(KINDS) == TABLES.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_says_what_it_is(kind: str, capsys):
    entries = listed(kind, capsys)
    assert [entry["name"] for entry in entries] == sorted(TABLES[kind].registry)
    assert EXPECTED[kind] in TABLES[kind].registry
    assert [entry["name"] for entry in entries if not entry["summary"]] == []


def test_arguments_come_with_their_defaults(capsys):
    (sgd,) = [entry for entry in listed("optimizers", capsys) if entry["name"] == "sgd"]
    assert {"name": "momentum", "required": False, "default": 0} in sgd["arguments"]
    assert "params" not in [argument["name"] for argument in sgd["arguments"]]
    (crop,) = [entry for entry in listed("transforms", capsys) if entry["name"] == "RandomCrop"]
    assert crop["arguments"][0] == {"name": "size", "required": True, "default": None}


def test_people_get_a_line_with_the_arguments_and_one_with_the_summary(capsys):
    assert run(["list", "schedules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("step(step_size, gamma=0.1)")
    assert lines[at + 1] == "    The rate times gamma every `step_size` epochs."
