"""Schedules in epochs give the rates that their formulas say, with and without a warm-up."""

from __future__ import annotations

import json
import math

import pytest

import tinytrain as tt
from tinytrain.optim import SGD
from tinytrain.optim.schedules import SCHEDULES, Schedule

EPOCHS, STEPS = 4, 5
EXAMPLES = {
    "step": {"step_size": 1},
    "multistep": {"milestones": [1, 3]},
    "exponential": {"gamma": 0.5},
    "warm_restarts": {"T_0": 2},
    "one_cycle": {"max_lr": 1.0},
    "plateau": {"patience": 0},
}


def build(name: str, *, warmup_steps: int = 0) -> tuple[SGD, Schedule]:
    optimizer = SGD([tt.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    scheduler = SCHEDULES[name](optimizer, EPOCHS, STEPS, **EXAMPLES.get(name, {}))
    return optimizer, Schedule(scheduler, warmup_steps=warmup_steps)


def rates(name: str, *, warmup_steps: int = 0) -> list[float]:
    """Return the rate in force at every step of a run whose validation loss never falls."""
    optimizer, schedule = build(name, warmup_steps=warmup_steps)
    result = []
    for _ in range(EPOCHS):
        for _ in range(STEPS):
            result.append(optimizer.param_groups[0]["lr"])
            schedule.step()
        schedule.end_epoch(1.0)
    return result


FORMULAS = {
    "constant": lambda s: 1.0,
    "step": lambda s: 0.1 ** (s // 5),
    "multistep": lambda s: 1.0 if s < 5 else 0.1 if s < 15 else 0.01,
    "exponential": lambda s: 0.5 ** (s / 5),
    "cosine": lambda s: (1 + math.cos(math.pi * s / 20)) / 2,
    "warm_restarts": lambda s: (1 + math.cos(math.pi * (s % 10) / 10)) / 2,
    "linear": lambda s: 1 - s / 20,
    "polynomial": lambda s: 1 - s / 20,
    # The first epoch is the best so far; every later one is no better.
    "plateau": lambda s: 0.1 ** max(0, s // 5 - 1),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_rate_follows_the_formula(name: str):
    assert rates(name) == pytest.approx([FORMULAS[name](s) for s in range(20)], rel=1e-9)


def test_one_cycle_rises_and_falls_over_the_run():
    result = rates("one_cycle")
    assert result[0] == pytest.approx(1 / 25)
    assert max(result) == result[5] == pytest.approx(1.0)
    assert result[-1] == pytest.approx(1 / 25e4)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_warm_up_rises_linearly_to_any_schedule(name: str):
    plain, warm = rates(name), rates(name, warmup_steps=3)
    assert warm[:3] == pytest.approx([plain[0] * 1 / 4, plain[1] * 2 / 4, plain[2] * 3 / 4], rel=1e-9)
    assert warm[3:] == pytest.approx(plain[3:], rel=1e-9)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("stop", [2, 7])
def test_a_schedule_taken_up_again_goes_on_as_before(name: str, stop: int):
    optimizer, schedule = build(name, warmup_steps=4)
    other_optimizer, other = build(name, warmup_steps=4)
    for _ in range(stop):
        schedule.step()
    other_optimizer.load_state_dict(optimizer.state_dict())
    other.load_state_dict(json.loads(json.dumps(schedule.state_dict())))  # as a checkpoint keeps it
    for _ in range(10):
        assert other_optimizer.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
        schedule.step()
        other.step()
