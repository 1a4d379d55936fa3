"""The layer clock gives the time of a step to the layer that takes it, and leaves the model as it was."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

import tinytrain as tt
from tests.training.test_loop import experiment
from tinytrain import nn
from tinytrain.inspection import LayerClock, Profile, profile_of
from tinytrain.inspection.clock import Segment
from tinytrain.models import cnn, googlenet
from tinytrain.nn import functional as F
from tinytrain.optim import SGD
from tinytrain.training import profile_training
from tinytrain.training.experiment import Experiment
from tinytrain.utils.data import DataLoader, TensorDataset

PAUSE = 0.05  # seconds


class Slow(nn.Module):
    """Hands on what it gets, and takes its time for it."""

    def __init__(self, *, forward: bool = False, backward: bool = False):
        super().__init__()
        self.is_slow_forward, self.is_slow_backward = forward, backward

    def forward(self, input: tt.Tensor) -> tt.Tensor:
        middle = input * 1
        if self.is_slow_forward:
            time.sleep(PAUSE)
        if self.is_slow_backward and middle.requires_grad:
            middle.register_hook(lambda g: time.sleep(PAUSE))
        return middle * 1


class Residual(nn.Module):
    """Adds what it gets to what its branch makes of it, slowly."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, input: tt.Tensor) -> tt.Tensor:
        found = self.branch(input)
        time.sleep(PAUSE)
        return F.relu(found + input)


def learning(model: nn.Module, *, image: tuple[int, int, int] = (1, 4, 4), **options: Any) -> Experiment:
    """Return an experiment that trains `model` on 48 random images of three classes, 8 a batch."""
    data = TensorDataset(tt.randn(48, *image), tt.arange(48) % 3)
    loader = DataLoader(data, 8, shuffle=True, seed=1)
    optimizer = SGD(model.parameters(), lr=0.01)
    return replace(experiment(), model=model, optimizer=optimizer, train=loader, input_shape=image, **options)


def times(profile: Profile) -> dict[str, tuple[float, float]]:
    return {each.layer: (each.forward_ms, each.backward_ms) for each in profile.layers}


def network(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), *layers, nn.Flatten(), nn.Linear(32, 3))


@pytest.mark.parametrize(("phase", "column"), [("forward", 0), ("backward", 1)])
def test_time_is_the_layers_that_takes_it(phase: str, column: int):
    model = network(nn.BatchNorm2d(2), nn.ReLU(), Slow(**{phase: True}), nn.BatchNorm2d(2), nn.ReLU())
    found = times(profile_training(learning(model), steps=3, warmup=1))
    slow = found.pop("3")
    assert slow[column] >= 1e3 * PAUSE
    assert slow[1 - column] < 1e3 * PAUSE / 2
    assert all(max(each) < 1e3 * PAUSE / 2 for each in found.values())


def test_what_lies_between_layers_is_the_enclosing_modules():
    block = Residual(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)))
    found = times(profile_training(learning(network(block)), steps=3, warmup=1))
    assert found["1"][0] >= 1e3 * PAUSE
    assert found["1.branch.0"][0] < 1e3 * PAUSE / 2
    assert found["1.branch.1"][1] > 0


def test_every_layer_has_a_row_in_the_networks_order():
    profile = profile_training(learning(cnn(num_classes=3, in_channels=1, conv="separable")), steps=2, warmup=1)
    model = cnn(num_classes=3, in_channels=1, conv="separable")
    leaves = [name for name, module in model.named_modules() if not list(module.children())]
    rows = {each.layer: each for each in profile.layers}
    assert [name for name in rows if name in leaves] == leaves
    parts = list(rows)[-4:] if "(between layers)" in rows else list(rows)[-3:]
    assert parts[:3] == ["(batches)", "(optimizer)", "(loss)"]
    assert sum(each.share for each in profile.layers) == pytest.approx(1)
    assert rows["features.0.0"].type == "Conv2d"
    assert rows["features.0.0"].macs == 9 * 32 * 4 * 4


def test_the_clock_leaves_no_hook_behind():
    e = learning(network())
    profile_training(e, steps=1, warmup=1)
    modules = list(e.model.modules())
    assert not any(hooks for module in modules for hooks in module._hooks.values())
    assert not any(hooks for each in e.model.parameters() for hooks in (each._hooks or {}).values())


def test_passes_count_the_gradients_that_are_wanted():
    model = network(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    model[2].requires_grad_(False)
    with LayerClock(model, tt.device("cpu")) as clock:
        model(tt.ones(1, 1, 4, 4))
    assert [clock.passes[str(i)] for i in range(3)] == [2, 3, 2]


def test_the_update_begins_when_all_gradients_are_there():
    e = learning(network())
    update = e.optimizer.step

    def slow_step() -> None:
        time.sleep(PAUSE)
        update()

    e.optimizer.step = slow_step
    found = times(profile_training(e, steps=3, warmup=1))
    assert found["(optimizer)"][0] >= 1e3 * PAUSE
    assert max(found["0"]) < 1e3 * PAUSE / 2


def test_several_batches_make_one_step():
    profile = profile_training(learning(network(), accumulate_steps=2), steps=2, warmup=1)
    assert profile.images == 16
    assert [sum(each.name == "(loss)" for each in step) for step in profile.steps] == [4, 4]  # twice there and back


def test_networks_with_several_heads_are_timed():
    model = googlenet(num_classes=3, init_weights=False)
    found = times(profile_training(learning(model, image=(3, 32, 32)), steps=1, warmup=1))
    for layer in ("aux1.fc2", "aux2.fc2", "fc", "inception4a.branch1.conv"):
        assert min(found[layer]) > 0


def by_hand() -> Profile:
    """Return a profile of three steps of 4 images that take 1, 2 and 6 times as long."""

    def step(scale: float) -> list[Segment]:
        borders = [("conv", "forward", 1.0), ("", "forward", 0.001), ("conv", "backward", 3.0), ("(x)", "update", 1.0)]
        segments, now = [], 0.0
        for name, phase, seconds in borders:
            segments.append(Segment(name, phase, now, now + scale * seconds))
            now += scale * seconds
        return segments

    types = {"": "Net", "conv": "Conv2d", "unused": "Linear"}
    return profile_of([step(1), step(2), step(6)], types, {"conv": 10**9}, {"conv": 3}, images=4.0, unwatched=0.25)


def test_figures_are_medians_of_the_steps():
    profile = by_hand()
    conv, x, between = profile.layers
    assert (conv.layer, conv.type, x.layer, between.layer) == ("conv", "Conv2d", "(x)", "(between layers)")
    assert (conv.forward_ms, conv.backward_ms) == pytest.approx((2000, 6000))
    assert conv.share == pytest.approx(8 / 10.002)
    assert conv.gflops == pytest.approx(2 * 3 * 4 / 8)  # 10⁹ multiply-adds an image, three times, in 8 seconds
    assert (x.gflops, x.forward_ms, between.forward_ms) == (None, pytest.approx(2000), pytest.approx(2))
    assert (profile.step_ms, profile.unwatched_ms) == pytest.approx((10002, 250))


def test_the_table_is_aligned_text():
    head, conv, *_ = by_hand().rows()
    assert head == ("layer", "type", "forward ms", "backward ms", "share", "multiply-adds", "GFLOP/s")
    assert conv == ("conv", "Conv2d", "2000.000", "6000.000", "80.0%", "1,000,000,000", "3.0")


def test_the_trace_holds_layers_inside_their_phases():
    trace = json.loads(json.dumps(by_hand().to_trace()))
    events = trace["traceEvents"][:6]
    assert [(e["name"], e["cat"], round(e["ts"]), round(e["dur"])) for e in events] == [
        ("forward", "phase", 0, 1_001_000),
        ("conv", "forward", 0, 1_000_000),
        ("(network)", "forward", 1_000_000, 1000),
        ("backward", "phase", 1_001_000, 3_000_000),
        ("conv", "backward", 1_001_000, 3_000_000),
        ("update", "phase", 4_001_000, 1_000_000),
    ]
    assert all(event["ph"] == "X" and event["pid"] == event["tid"] == 1 for event in events)
    assert trace["otherData"]["layers"][0]["layer"] == "conv"
