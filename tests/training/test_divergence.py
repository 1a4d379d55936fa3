"""A loss that is no longer a number stops the run before it does harm, and its origin is named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.errors import Interrupted
from tinytrain.training import DivergenceError, Experiment, loop
from tinytrain.training.checkpoint_file import read_checkpoint
from tinytrain.utils.data import TensorDataset

from .toys import Listener, StopAt, experiment, run


@pytest.fixture(autouse=True)
def _no_warnings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Root(nn.Module):
    """The square root, which is no number below 0."""

    def forward(self, input: tt.Tensor) -> tt.Tensor:
        return input.sqrt()


def poisoned(value: float = -1.0, row: int = 20, **options: Any) -> Experiment:
    """Return an experiment whose network takes roots, and with an image of one negative value."""
    tt.manual_seed(1)
    model = nn.Sequential(Root(), nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(16, 3))
    e = experiment(model, **options)
    dataset = e.train.dataset
    assert isinstance(dataset, TensorDataset)
    images = dataset.tensors[0]
    images.abs_()
    images[row, 0, 0, 0] = value
    return e


def step_of(e: Experiment, row: int = 20) -> int:
    """Return the step of the first epoch, from 1, whose batch has an image."""
    return 1 + next(number for number in range(6) if row in e.train.keys_of_batch(0, number))


def test_step_layer_and_samples_are_named(tmp_path: Path):
    e = poisoned()
    step = step_of(e)
    keys = e.train.keys_of_batch(0, step - 1)
    saved = tmp_path / "checkpoint" / f"00000{2 if step > 1 else 1}.safetensors"
    with pytest.raises(DivergenceError) as caught:
        run(e, tmp_path)
    assert str(caught.value) == (
        f"the loss is nan at epoch 1, step {step}: it arises in layer 0 (Root), in the batch of "
        f"{', '.join(f'number {key}' for key in keys)}. Lower train.optimizer.lr, warm up longer, or set "
        f"train.clip_grad_norm. {saved} has the weights from before"
    )


@pytest.mark.parametrize(("accumulate_steps", "good"), [(1, 3), (2, 2)])
def test_the_last_good_state_is_kept(device: str, tmp_path: Path, accumulate_steps: int, good: int):
    row = poisoned().train.keys_of_batch(0, 3)[0]
    with pytest.raises(DivergenceError, match="at epoch 1, step 4: it arises in layer 0"):
        run(poisoned(row=row, accumulate_steps=accumulate_steps, device=device), tmp_path)
    arrays, document = read_checkpoint(sorted((tmp_path / "checkpoint").glob("*.safetensors"))[-1])
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert document["progress"]["batches"] == good
    with pytest.raises(Interrupted):
        run(
            poisoned(row=row, accumulate_steps=accumulate_steps, device=device),
            tmp_path / "stopped",
            events=StopAt(1, good),
        )
    expected, _ = read_checkpoint(sorted((tmp_path / "stopped" / "checkpoint").glob("*.safetensors"))[-1])
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)


def test_images_that_are_no_numbers_are_told_as_such(tmp_path: Path):
    with pytest.raises(DivergenceError, match="it arises in the images themselves, in the batch of number"):
        run(poisoned(float("inf")), tmp_path)


def test_many_samples_are_named_in_part(tmp_path: Path):
    with pytest.raises(DivergenceError, match=r"in the batch of (number \d+, ){7}number \d+ and 15 more\. Lower"):
        run(poisoned(batch_size=23), tmp_path)


class Spoiled(nn.Module):
    """Finite in the forward pass, with a gradient of 0 times infinity: the root of nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(tt.zeros(1))

    def forward(self, input: tt.Tensor) -> tt.Tensor:
        return input + (self.scale * 0).sqrt()


def test_a_gradient_that_spoils_the_weights_is_traced_to_the_step_before(tmp_path: Path):
    tt.manual_seed(1)
    e = experiment(nn.Sequential(nn.Flatten(), Spoiled(), nn.Linear(16, 3)))
    with pytest.raises(
        DivergenceError,
        match=r"step 2: 1\.scale is not finite since the step before learning from number \d+, .*"
        r"000001\.safetensors has the weights from before",
    ):
        run(e, tmp_path)
    arrays, _ = read_checkpoint(tmp_path / "checkpoint" / "000001.safetensors")
    assert np.isfinite(arrays["model/1.scale"]).all()


def test_spoiled_weights_are_never_saved(tmp_path: Path):
    tt.manual_seed(1)
    e = experiment(nn.Sequential(nn.Flatten(), Spoiled(), nn.Linear(16, 3)), checkpoint_steps=1)
    with pytest.raises(DivergenceError, match=r"1\.scale is not finite after epoch 1, step 1\. Lower"):
        run(e, tmp_path)


@pytest.mark.parametrize("is_careful", [True, False])
def test_weights_that_are_no_numbers_from_the_beginning_are_told_as_such(tmp_path: Path, monkeypatch: Any, is_careful):
    begin = loop._Training.begin

    def begin_so(training: Any, resume: bool, force: bool) -> None:
        training.is_careful = is_careful  # as on a CPU or on a GPU
        begin(training, resume, force)

    monkeypatch.setattr(loop._Training, "begin", begin_so)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    nn.init.constant_(model[1].bias, float("nan"))
    with pytest.raises(DivergenceError) as caught:
        run(experiment(model), tmp_path)
    assert str(caught.value) == "1.bias is not finite before the first step. Begin with other weights"
    assert not list(tmp_path.rglob("*.safetensors"))


def test_where_losses_are_looked_at_now_and_then_the_steps_are_repeated(tmp_path: Path, monkeypatch: Any):
    """As on a GPU, where waiting for every loss would cost more than it brings."""
    begin = loop._Training.begin

    def begin_carelessly(training: Any, resume: bool, force: bool) -> None:
        if not resume:
            training.is_careful = False
        begin(training, resume, force)

    monkeypatch.setattr(loop._Training, "begin", begin_carelessly)
    listener = Listener()
    e = poisoned()
    with pytest.raises(DivergenceError, match=f"step {step_of(e)}: it arises in layer 0 .Root., in the batch of"):
        run(e, tmp_path, events=listener)
    assert listener.messages == [
        "the loss is no longer a number; repeating the steps since the last checkpoint to find where"
    ]


def test_a_validation_loss_that_is_no_number_stops_the_run(tmp_path: Path):
    e = poisoned(1.0)
    assert e.val is not None
    e.val.dataset.tensors = (e.val.dataset.tensors[0].clone(), e.val.dataset.tensors[1])
    other = TensorDataset(e.val.dataset.tensors[0] * 0 - 1, e.val.dataset.tensors[1])
    e.val = type(e.val)(other, 16)
    with pytest.raises(DivergenceError, match=r"the validation loss is nan after epoch 1\. Lower"):
        run(e, tmp_path)
