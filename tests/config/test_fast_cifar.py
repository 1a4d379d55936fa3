"""`configs/cifar10-fast.yaml` is the recipe that it names."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytrain.config import load_config
from tinytrain.config.build import build_experiment
from tinytrain.training import Experiment

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "cifar10-fast.yaml"
STEPS = 60
"""Of 20 images in batches of 4, twelve times."""


@pytest.fixture
def recipe(tmp_path: Path) -> Experiment:
    """Return the experiment with random images in the place of CIFAR-10's."""
    rng = np.random.default_rng(0)
    files: dict[str, Any] = {"batches.meta": {"label_names": list("abcdefghij"), "num_vis": 3072}}
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        pixels = rng.integers(0, 256, (4, 3072), np.uint8)
        files[name] = {"data": pixels, "labels": [(4 * i + k) % 10 for k in range(4)]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    overrides = [f"data.root={tmp_path}", "data.batch_size=4", "device=cpu", "train.whitening.images=20"]
    return build_experiment(load_config(CONFIG, overrides))


def test_filters_and_scales_stay_and_shifts_learn_faster(recipe: Experiment):
    names = {id(parameter): name for name, parameter in recipe.model.named_parameters()}
    shifts, others, bias = recipe.optimizer.param_groups
    assert [group["lr_scale"] for group in (shifts, others, bias)] == [64, 1, 1]
    assert {names[id(p)].rpartition("norm.")[2] for p in shifts["params"]} == {"bias"}
    assert len(shifts["params"]) == 6
    assert {names[id(p)] for p in bias["params"]} == {"whiten.bias"}
    assert {names[id(p)].rpartition(".")[2] for p in others["params"]} == {"weight"}
    assert len(others["params"]) == 7
    assert (others["weight_decay"], others["momentum"], others["nesterov"]) == (1.33e-3, 0.85, True)
    still = {names[id(p)] for p in recipe.model.parameters() if not p.requires_grad}
    assert still == {"whiten.weight", *(f"blocks.{i}.{k}.norm.weight" for i in range(3) for k in range(2))}


def test_the_rate_is_a_triangle(recipe: Experiment):
    rates = []
    for _ in range(STEPS - 1):
        rates.append(recipe.optimizer.param_groups[1]["lr"])
        recipe.schedule.step()
    rates.append(recipe.optimizer.param_groups[1]["lr"])
    peak = 0.23 * STEPS - 1
    expected = np.interp(range(STEPS), [0, peak, STEPS - 1], [0.3, 1.5, 0.105])
    assert rates == pytest.approx(expected, rel=1e-3)


def test_it_learns(recipe: Experiment):
    (images, labels) = next(iter(recipe.train))
    before = {name: value.clone() for name, value in recipe.model.state_dict().items()}
    recipe.loss(recipe.model(images), labels).backward()
    recipe.optimizer.step()
    changed = {name for name, p in recipe.model.named_parameters() if not (p == before[name]).all().item()}
    assert changed == {name for name, p in recipe.model.named_parameters() if p.requires_grad}
