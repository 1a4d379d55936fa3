"""What a sweep tries follows from its command line alone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tinytrain.config import load_config
from tinytrain.errors import ConfigError, UsageError
from tinytrain.sweep.plan import Range, overrides_of, read_axis, read_plan

CONFIG = Path(__file__).resolve().parents[2] / "configs/digits.yaml"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("model.conv=standard,separable", ["standard", "separable"]),
        ("train.optimizer.lr=0.1,1e-2", [0.1, 0.01]),
        ("model.widths=[16, 32],[32, 64]", [[16, 32], [32, 64]]),
        (
            "train.optimizer={name: sgd, lr: 0.1},{name: adam, lr: 0.001}",
            [{"name": "sgd", "lr": 0.1}, {"name": "adam", "lr": 0.001}],
        ),
        ("train.ema_decay=null,0.99", [None, 0.99]),
        ("train.epochs=5", [5]),
        ("train.optimizer.lr=1e-3..0.1:log", Range(0.001, 0.1, log=True)),
        ("model.dropout=0..0.5", Range(0, 0.5)),
        ("data.batch_size=16..128:log", Range(16, 128, log=True)),
    ],
)
def test_values_and_ranges_are_read(change, expected):
    assert read_axis(change)[1] == expected


def plan(*changes, **options):
    """Return a plan on the digits."""
    return read_plan(load_config(CONFIG), changes, **options)


def test_a_grid_has_every_combination_with_every_seed_once():
    found = plan("model.conv=standard,separable", "train.optimizer.lr=0.1,0.03", "train.epochs=2", num_seeds=2)
    points = found.points()
    assert [(p["model.conv"], p["train.optimizer.lr"], p["seed"]) for p in points] == [
        (conv, lr, seed) for conv in ("standard", "separable") for lr in (0.1, 0.03) for seed in (0, 1)
    ]
    assert overrides_of(found, points[1]) == [
        "train.epochs=2",
        "model.conv=standard",
        "train.optimizer.lr=0.1",
        "seed=1",
    ]


def test_chance_stays_within_its_ranges_and_repeats_itself():
    changes = (
        "train.optimizer.lr=0.001..1:log",
        "data.batch_size=16..64",
        "model.dropout=0..0.5",
        "model.norm=batch,none",
    )
    points = plan(*changes, trials=400).points()
    assert points == plan(*changes, trials=400).points()
    assert points != plan(*changes, "seed=5", trials=400).points()
    rates = [p["train.optimizer.lr"] for p in points]
    assert 0.001 <= min(rates) < 0.002
    assert 0.5 < max(rates) <= 1
    below = sum(rate < math.sqrt(0.001) for rate in rates)
    assert 160 < below < 240  # half of all factors
    sizes = {p["data.batch_size"] for p in points}
    assert sizes <= set(range(16, 65))
    assert {16, 64} <= sizes
    assert {p["model.norm"] for p in points} == {"batch", "none"}
    assert all(p["seed"] == 0 for p in points)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (["train.epochs=3"], {}, "there is nothing to try. Give a key several values"),
        (["seed=0,1"], {}, "seed: seeds are repetitions of every other value. Use --seeds N"),
        (["train.optimizer.lr=0.1..1"], {}, "a random search goes on until it is told to stop. Say how many"),
        (["train.optimizer.lr=0.1..1"], {"search": "grid"}, "train.optimizer.lr: a range has no end of values"),
        (["train.optimizer.lr=1..0.1"], {"trials": 2}, "train.optimizer.lr: the range 1..0.1 is empty"),
        (["train.optimizer.lr=0..1:log"], {"trials": 2}, "a range of factors must be above 0; 0..1:log begins at 0"),
        (["model.conv=standard,separable"], {"trials": 3}, "a grid has as many trials as combinations"),
        (["model.norm=batch,none"], {"search": "tpe", "trials": 3, "num_seeds": 2}, "tpe chooses each point by"),
        (["model.norm=batch,none", "model.norm=batch"], {}, "model.norm is given twice. Keep one of the two"),
        (["model.norm="], {}, "model.norm: there is no value. As in train.optimizer.lr=0.1,0.03"),
        (["model.norm"], {}, "expected KEY=VALUE, found 'model.norm'"),
        (["model.dropout=0..1e999"], {"trials": 2}, "model.dropout: the range 0..1e999 has no finite width"),
        (["model.dropout=-1e308..1e308"], {"trials": 2}, "the range -1e308..1e308 has no finite width"),
        (["model.dropout=0..0.5"], {"trials": 10**7}, "these are 10,000,000 trials; 100,000 are the most. Lower --tr"),
        (
            ["model.dropout=0..0.5"],
            {"trials": 10**5, "num_seeds": 2},
            "these are 200,000 trials; 100,000 are the most. Lower --trials, or lower --seeds",
        ),
        (
            ["model.norm=batch,none"],
            {"num_seeds": 10**11},
            "these are 200,000,000,000 trials; 100,000 are the most. Give fewer values, or lower --seeds",
        ),
    ],
)
def test_what_is_no_plan_is_refused(changes, options, message):
    with pytest.raises(UsageError) as caught:
        plan(*changes, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ("abc", "override: seed: expected a whole number, found 'abc'"),
        ("-1", "override: seed: expected a number of at least 0, found -1"),
        (str(2**63 - 1), f"override: seed: {2**63} does not fit in 64 bits"),
    ],
)
def test_a_seed_is_checked_as_in_any_config(seed, message):
    with pytest.raises(ConfigError) as caught:
        plan("model.norm=batch,none", f"seed={seed}", num_seeds=2)
    assert str(caught.value).startswith(message)


def test_a_search_by_chance_counts_its_trials_and_not_the_combinations():
    values = [",".join(str(1 + i) for i in range(count)) for count in (400, 399)]
    found = plan(f"train.epochs={values[0]}", f"data.batch_size={values[1]}", search="random", trials=3)
    assert len(found.points()) == 3
