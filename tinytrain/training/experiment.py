"""What a training consists of, built and ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tinytrain import nn
from tinytrain.device import device as Device
from tinytrain.optim import Optimizer
from tinytrain.optim.grad_scaler import GradScaler
from tinytrain.optim.schedules import Schedule
from tinytrain.tensor import Tensor
from tinytrain.training.ema import WeightAverage
from tinytrain.training.freezing import Freezing
from tinytrain.training.precision import Precision
from tinytrain.training.selection import EarlyStopping, Metric
from tinytrain.utils.data import DataLoader


@dataclass
class Experiment:
    """A model, its data and how it learns.

    Attributes:
        name: what the run folder is called.
        seed: what everything random depends on.
        device: where the model lies and batches are moved to.
        model: the network.
        train: batches to learn from; a new order each epoch.
        val: batches to choose the best epoch by, None where there are none.
        test: batches to judge the result by, None where there are none.
        class_names: by class index.
        input_shape: (c, h, w) of one image as the network gets it.
        loss: from logits and targets to a scalar.
        optimizer: changes the model's parameters.
        schedule: changes the optimizer's learning rates.
        epochs: passes over the training data.
        clip_grad_norm: the largest norm of all gradients together, None for any.
        clip_grad_value: the largest absolute value of a gradient element, None for any.
        precision: of what the network computes while it learns.
        scaler: scales the loss, where the precision needs that.
        accumulate_steps: batches whose gradients make one step of the optimizer.
        best_metric: what the best epoch is chosen by, on the validation set.
        early_stopping: when to end before `epochs`, None for never.
        average: of the weights, judged and saved instead of the weights themselves, None for none.
        freezing: the parts that do not learn, None for none.
        log_every: batches between two reports.
        checkpoint_steps: batches between two checkpoints within an epoch, None for any number; an epoch ends with one.
        checkpoint_minutes: minutes after which there is one within an epoch, None for never.
        cuda_graph: whether steps are captured as CUDA graphs where that can be.
        config_yaml: the config in force, with the origin of every value, for the run folder.
        bundle: what a weights file says of itself: model config, evaluation transforms.
    """

    name: str
    seed: int
    device: Device
    model: nn.Module
    train: DataLoader
    val: DataLoader | None
    test: DataLoader | None
    class_names: list[str]
    input_shape: tuple[int, int, int]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Optimizer
    schedule: Schedule
    epochs: int
    clip_grad_norm: float | None = None
    clip_grad_value: float | None = None
    precision: Precision = "fp32"
    scaler: GradScaler = field(default_factory=lambda: GradScaler(enabled=False))
    accumulate_steps: int = 1
    best_metric: Metric = "top1"
    early_stopping: EarlyStopping | None = None
    average: WeightAverage | None = None
    freezing: Freezing | None = None
    log_every: int = 50
    checkpoint_steps: int | None = None
    checkpoint_minutes: float | None = None
    cuda_graph: bool = True
    config_yaml: str = ""
    bundle: dict[str, Any] = field(default_factory=dict)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimizer in an epoch, one for every `accumulate_steps` batches."""
        return -(-len(self.train) // self.accumulate_steps)
