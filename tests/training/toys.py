"""A training small enough to be run many times, and ways to end it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import tinytrain as tt
from tinytrain import nn
from tinytrain.errors import Interrupted
from tinytrain.optim import SGD
from tinytrain.optim.schedules import SCHEDULES, Schedule
from tinytrain.training import Events, Experiment, RunFolder, RunResult, train
from tinytrain.utils.data import DataLoader, TensorDataset


def network() -> nn.Sequential:
    tt.manual_seed(1)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()), nn.Flatten(), nn.Linear(16, 3)
    )


def experiment(
    model: nn.Module | None = None,
    *,
    batch_size: int = 8,
    collate_fn: Any = None,
    epochs: int = 3,
    schedule: str = "constant",
    device: str = "cpu",
    **options: Any,
) -> Experiment:
    """Three classes of 4x4 images; `options` are those of the experiment."""
    generator = tt.Generator().manual_seed(5)
    targets = tt.arange(46) % 3
    images = 0.3 * tt.randn(46, 1, 4, 4, generator=generator)
    images[tt.arange(46), 0, targets, targets] += 2.0
    data = TensorDataset(images, targets)
    model = (model or network()).to(device)
    optimizer = options.pop("optimizer", None) or SGD(model.parameters(), lr=0.1, momentum=0.9)
    held_out = DataLoader(data, 16)
    return Experiment(
        name="toy",
        seed=1,
        device=next(model.parameters()).device,
        model=model,
        train=DataLoader(data, batch_size, shuffle=True, seed=1, collate_fn=collate_fn),
        val=held_out,
        test=None,
        class_names=["a", "b", "c"],
        input_shape=(1, 4, 4),
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        schedule=Schedule(SCHEDULES[schedule](optimizer, epochs, 6), warmup_steps=2),
        epochs=epochs,
        config_yaml="name: toy\n",
        bundle={"model": {"layers": []}, "eval_transforms": ["ToTensor"]},
        **options,
    )


def run(e: Experiment, path: Path, **options: Any) -> RunResult:
    path.mkdir(exist_ok=True)
    return train(e, RunFolder(path), **options)


class StopAt(Events):
    """Asks a training to stop after a step of an epoch, both from 1, or after the first step that comes later."""

    def __init__(self, epoch: int, step: int):
        self.place = epoch, step

    def pause(self, epoch: int, step: int) -> None:
        if (epoch, step) >= self.place:
            raise Interrupted(signal.SIGTERM)


class Listener(Events):
    """Remembers what a training says and the losses and rates of its steps."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.rates: list[float] = []

    def batch(self, epoch: int, step: int, images: int, loss: float | None, lr: float) -> None:
        self.rates.append(lr)

    def message(self, text: str) -> None:
        self.messages.append(text)
