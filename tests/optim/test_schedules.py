"""Schedules in epochs give the rates that their formulas say, with and without a warm-up."""

from __future__ import annotations

import json
import math

import pytest

import tinytrain as tt
from tinytrain.optim import SGD, lr_scheduler
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


def restarts(**options) -> tuple[SGD, lr_scheduler.CosineAnnealingWarmRestarts]:
    optimizer = SGD([tt.zeros(1, requires_grad=True)], lr=1.0)
    return optimizer, lr_scheduler.CosineAnnealingWarmRestarts(optimizer, **options)


@pytest.mark.parametrize(
    ("epoch", "length", "share"), [(0.5, 2, 0.25), (1, 2, 0.5), (2, 4, 0), (3.5, 4, 0.375), (6, 8, 0), (12, 8, 0.75)]
)
def test_warm_restarts_go_to_a_place_between_two_steps(epoch, length, share):
    optimizer, schedule = restarts(T_0=2, T_mult=2)
    schedule.step(epoch)
    assert optimizer.param_groups[0]["lr"] == pytest.approx((1 + math.cos(math.pi * share)) / 2)
    assert (schedule.T_i, schedule.T_cur) == (length, length * share)
    assert schedule.last_epoch == math.floor(epoch)


def test_warm_restarts_go_on_from_a_place_between_two_steps():
    _, schedule = restarts(T_0=2, T_mult=2)
    schedule.step(1.5)
    schedule.step()
    assert (schedule.last_epoch, schedule.T_cur, schedule.T_i) == (2, 0.5, 4)
    _, other = restarts(T_0=2, T_mult=2)
    other.load_state_dict(schedule.state_dict())
    assert other.state_dict() == schedule.state_dict()
    with pytest.raises(ValueError, match="Expected non-negative epoch, but got -1"):
        schedule.step(-1)


def test_warm_restarts_are_taken_up_from_a_state_without_a_place():
    _, schedule = restarts(T_0=2, T_mult=2)
    for _ in range(5):
        schedule.step()
    old = {key: value for key, value in schedule.state_dict().items() if key not in ("T_cur", "T_i")}
    _, other = restarts(T_0=2, T_mult=2)
    other.load_state_dict(old)
    assert (other.T_cur, other.T_i) == (3, 4)


def test_a_schedule_goes_to_the_step_that_is_named():
    optimizer = SGD([tt.zeros(1, requires_grad=True)], lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    schedule.step(5)
    assert (schedule.last_epoch, optimizer.param_groups[0]["lr"]) == (5, 0.25)
    schedule.step()
    assert schedule.get_last_lr() == [0.125]
