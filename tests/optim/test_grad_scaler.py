"""Losses are scaled, overflowing steps change nothing, and the scale moves by its rule."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import optim
from tinytrain.amp import GradScaler
from tinytrain.optim import grad_scaler


def one_step(scaler: GradScaler, weight: tt.Tensor, rule: optim.Optimizer, slope: float = 1.0) -> None:
    rule.zero_grad()
    scaler.scale((weight * slope).sum()).backward()
    scaler.step(rule)
    scaler.update()


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam, optim.NAdam, optim.RMSprop, optim.Lion])
def test_a_scaled_step_is_the_step_without_a_scale(rule):
    values = []
    for enabled in (False, True):
        weight = tt.tensor([1.0, -2.0, 3.0], requires_grad=True)
        optimizer, scaler = rule([weight], lr=0.1), GradScaler("cpu", enabled=enabled)
        for step in range(5):
            one_step(scaler, weight, optimizer, slope=step + 0.5)
        values.append(weight.detach().numpy())
    assert np.array_equal(*values)  # a power of two changes no digit


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam, optim.NAdam])
@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("first", [True, False])
def test_a_step_that_overflows_changes_nothing_but_the_scale(rule, bad, first):
    weight, other = tt.tensor([1.0, -2.0], requires_grad=True), tt.tensor([[5.0]], requires_grad=True)
    optimizer, scaler = rule([weight, other], lr=0.1), GradScaler("cpu", init_scale=8.0)
    if not first:
        one_step(scaler, weight, optimizer)
    before = weight.tolist(), other.tolist(), repr(optimizer.state_dict())
    scaler.scale(weight.sum() + other.sum()).backward()
    weight.grad[1] = bad
    scaler.step(optimizer)
    scaler.update()
    assert (weight.tolist(), other.tolist(), repr(optimizer.state_dict())) == before
    assert scaler.get_scale() == 4.0
    assert scaler.skipped_steps() == 1


def test_the_scale_grows_after_so_many_steps_without_overflow():
    weight = tt.ones(2, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.1)
    scaler = GradScaler("cpu", init_scale=4.0, growth_factor=3.0, backoff_factor=0.25, growth_interval=3)
    seen = []
    for slope in (1.0, 1.0, math.inf, 1.0, 1.0, 1.0, 1.0):
        one_step(scaler, weight, optimizer, slope)
        seen.append((scaler.get_scale(), scaler.state_dict()["_growth_tracker"]))
    assert seen == [(4.0, 1), (4.0, 2), (1.0, 0), (1.0, 1), (1.0, 2), (3.0, 0), (3.0, 1)]
    assert scaler.skipped_steps() == 1


def test_the_scale_stays_where_it_would_become_infinite():
    weight = tt.ones(1, requires_grad=True)
    scaler = GradScaler("cpu", init_scale=2.0**127, growth_interval=1)
    one_step(scaler, weight, optim.SGD([weight], lr=0.1))
    assert scaler.get_scale() == 2.0**127


def test_gradients_can_be_clipped_between():
    weight = tt.tensor([3.0, 4.0], requires_grad=True)
    optimizer, scaler = optim.SGD([weight], lr=1.0), GradScaler("cpu")
    scaler.scale((weight * weight).sum() / 2).backward()
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [3.0, 4.0]
    tt.nn.utils.clip_grad_norm_([weight], 1.0)
    scaler.step(optimizer)
    scaler.update()
    np.testing.assert_allclose(weight.detach().numpy(), [2.4, 3.2], rtol=1e-5)


def test_gradients_that_lie_apart_in_memory_are_unscaled_too():
    weight = tt.ones(4, requires_grad=True)
    scaler, optimizer = GradScaler("cpu", init_scale=4.0), optim.SGD([weight], lr=1.0)
    scaler.scale(weight.sum()).backward()
    weight.grad = tt.full((8,), 4.0)[::2]
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [1.0] * 4


def test_state_goes_on_and_has_pytorchs_keys():
    weight = tt.ones(2, requires_grad=True)
    optimizer, scaler = optim.SGD([weight], lr=0.1), GradScaler("cpu", init_scale=16.0, growth_interval=5)
    for slope in (math.inf, 1.0, 1.0):
        one_step(scaler, weight, optimizer, slope)
    state = scaler.state_dict()
    assert state == {
        "scale": 8.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 5,
        "_growth_tracker": 2,
        "skipped_steps": 1,
    }
    fresh, used = GradScaler("cpu"), GradScaler("cpu")
    one_step(used, weight, optimizer)
    for other in (fresh, used):
        other.load_state_dict(state)
        assert other.state_dict() == state
    assert GradScaler("cpu", enabled=False).state_dict() == {}
    with pytest.raises(RuntimeError, match="The source state dict is empty"):
        fresh.load_state_dict({})


def test_several_losses_are_scaled_in_their_list():
    scaler = GradScaler("cpu", init_scale=4.0)
    first, second = scaler.scale([tt.ones(()), tt.full((), 2.0)])
    assert (first.item(), second.item()) == (4.0, 8.0)
    with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
        scaler.scale(3.0)


def test_what_comes_out_of_order_is_refused():
    weight = tt.ones(2, requires_grad=True)
    optimizer, scaler = optim.SGD([weight], lr=0.1), GradScaler("cpu")
    with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
        scaler.step(optimizer)
    scaler.scale(weight.sum()).backward()
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_.. has already been called on this optimizer"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(optimizer, closure=lambda: None)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step.. has already been called since the last update"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_.. is being called after step"):
        scaler.unscale_(optimizer)
    scaler.update(2.0)
    assert scaler.get_scale() == 2.0


def test_float16_parameters_are_refused():
    weight = tt.ones(2, dtype=tt.float16, requires_grad=True)
    scaler = GradScaler("cpu", init_scale=2.0)
    scaler.scale(weight.sum()).backward()
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        scaler.unscale_(optim.SGD([weight], lr=0.1))


@pytest.mark.parametrize("options", [{"growth_factor": 1.0}, {"backoff_factor": 1.0}])
def test_factors_out_of_range_are_refused(options):
    with pytest.raises(AssertionError, match=r"factor must be . 1.0; got 1.0"):
        GradScaler("cpu", **options)


def test_without_a_gpu_its_scaler_says_so_and_is_off(monkeypatch):
    monkeypatch.setattr(grad_scaler, "cuda_is_available", lambda: False)
    with pytest.warns(UserWarning, match="CUDA is not available. Disabling"):
        scaler = tt.GradScaler()
    assert not scaler.is_enabled()
    assert scaler.get_scale() == 1.0
