"""A rehearsal tells the learning rates of the run to come, and counts time as workers spend it."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.optim import SGD, Adam
from tinytrain.optim.schedules import SCHEDULES, Schedule
from tinytrain.training import Events, Experiment, RunFolder, train
from tinytrain.training.rehearsal import Rehearsal, estimate_memory, learning_rates, rehearse, waits_for_plateau
from tinytrain.utils.data import DataLoader, TensorDataset


def experiment(schedule: str = "cosine", optimizer_class: type = SGD, **arguments: object) -> Experiment:
    tt.manual_seed(1)
    data = TensorDataset(tt.randn(10, 1, 2, 2), tt.arange(10) % 2)
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(12, 2))
    optimizer = optimizer_class(model.parameters(), lr=0.1)
    return Experiment(
        name="toy",
        seed=1,
        device=tt.device("cpu"),
        model=model,
        train=DataLoader(data, 4, shuffle=True, seed=1),
        val=None,
        test=None,
        class_names=["a", "b"],
        input_shape=(1, 2, 2),
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        schedule=Schedule(SCHEDULES[schedule](optimizer, 5, 3, **arguments), warmup_steps=2),
        epochs=5,
        bundle={"model": {"layers": []}, "eval_transforms": ["ToTensor"]},
    )


class Rates(Events):
    """Remembers the learning rate of every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def batch(self, epoch: int, step: int, images: int, loss: float | None, lr: float) -> None:
        self.rates.append(lr)


def test_the_learning_rates_are_those_of_the_training(tmp_path):
    events = Rates()
    train(experiment(), RunFolder(tmp_path), events=events)
    foreseen = learning_rates(experiment())
    assert [rate for _, rate in foreseen] == events.rates
    assert [epoch for epoch, _ in foreseen] == pytest.approx([step / 3 for step in range(15)])


def test_few_points_keep_the_first_and_the_last_step():
    points = learning_rates(experiment(), points=4)
    assert [epoch for epoch, _ in points] == pytest.approx([0, 4 / 3, 3, 14 / 3])


def test_only_a_plateau_is_waited_for():
    assert waits_for_plateau(experiment("plateau"))
    assert not waits_for_plateau(experiment("cosine"))


@pytest.mark.parametrize(("workers", "seconds"), [(0, 10 * 5.0), (1, 10 * 4.0), (2, 10 * 2.0), (8, 10 * 1.0)])
def test_workers_load_while_the_network_learns(workers: int, seconds: float):
    assert Rehearsal(load_seconds=4.0, step_seconds=1.0).epoch_seconds(10, workers) == seconds


def test_memory_is_counted_by_hand():
    e = experiment(optimizer_class=Adam)
    pace = rehearse(e, seconds=0)
    assert pace.load_seconds > 0
    assert pace.step_seconds > 0
    params = (1 * 3 + 3) + (12 * 2 + 2)
    memory = estimate_memory(e)
    assert memory["weights"] == memory["gradients"] == 4 * params
    assert memory["optimizer"] >= 2 * 4 * params  # two moments a parameter, and the count of steps
    assert memory["activations"] == 4 * 4 * (1 * 2 * 2 + 3 * 2 * 2 + 12 + 2)  # a batch of 4: input, each layer's output
    assert memory["total"] == sum(memory.values()) - memory["total"]
