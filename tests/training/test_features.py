"""What a training can do beyond steps on batches, each by its definition and to the bit after a stop."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.errors import ConfigError, Interrupted
from tinytrain.optim import SGD
from tinytrain.training import Events, Experiment
from tinytrain.training.ema import WeightAverage
from tinytrain.training.freezing import Freezing
from tinytrain.training.mixing import MixingCollate
from tinytrain.training.parameter_groups import RateScale, parameter_groups
from tinytrain.training.selection import EarlyStopping
from tinytrain.training.step import learn
from tinytrain.utils.data import DataLoader, TensorDataset
from tinytrain.weights import load_bundle

from .toys import StopAt, experiment, network, run


def averaged() -> Experiment:
    e = experiment()
    return dataclasses.replace(e, average=WeightAverage(e.model, 0.9))


def frozen() -> Experiment:
    e = experiment()
    return dataclasses.replace(e, freezing=Freezing(e.model, ["0"], until_epoch=2))


def grouped() -> Experiment:
    model = network()
    groups = parameter_groups(model, 0.1, scales=[RateScale(0.1, "0")], decay_norm_and_bias=False)
    return experiment(model, optimizer=SGD(groups, lr=0.1, momentum=0.9, weight_decay=1e-3))


FEATURES = {
    "average": averaged,
    "freezing": frozen,
    "groups": grouped,
    "accumulation": lambda: experiment(accumulate_steps=4),
    "stopping": lambda: experiment(epochs=30, early_stopping=EarlyStopping(2, "top1")),
    "mixing": lambda: experiment(collate_fn=MixingCollate(3, mixup_alpha=0.4, cutmix_alpha=1.0)),
}


@pytest.mark.parametrize("stop", [(1, 1), (1, 4), (2, 3), (2, 6), (3, 2)])
@pytest.mark.parametrize("feature", FEATURES)
def test_a_training_goes_on_to_the_bit_where_it_was_stopped(feature: str, stop: tuple[int, int], tmp_path: Path):
    whole = run(FEATURES[feature](), tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(FEATURES[feature](), tmp_path / "parts", events=StopAt(*stop))
    tt.manual_seed(999)  # whatever a new process begins with
    resumed = run(FEATURES[feature](), tmp_path / "parts", resume=True)
    assert resumed.summary["weights_sha256"] == whole.summary["weights_sha256"]
    assert resumed.summary["val"] == whole.summary["val"]
    for split in ("train", "val"):
        assert [getattr(each, split).loss for each in resumed.epochs] == [
            getattr(each, split).loss for each in whole.epochs
        ]
    assert [each.lr for each in resumed.epochs] == [each.lr for each in whole.epochs]


def test_the_average_follows_its_formula():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.15)
    expected = first = model.weight.item()
    for t, weight in enumerate([first + 1.0, first - 2.0, first + 4.0]):
        with tt.no_grad():
            model.weight.fill_(weight)
        average.update()
        decay = min(0.15, (1 + t) / (10 + t))  # 0.1, then 0.15 twice
        expected = decay * expected + (1 - decay) * weight
    assert average.state_dict()["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_weights_that_do_not_change_are_their_own_average_to_the_bit():
    model = network()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    average = WeightAverage(model, 0.999)
    for _ in range(3000):
        average.update()
    assert all(np.array_equal(value.numpy(), before[name]) for name, value in average.state_dict().items())


def test_the_model_has_the_average_for_a_while_and_its_own_weights_again():
    model = network()
    average = WeightAverage(model, 0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with tt.no_grad():
        for parameter in model.parameters():
            parameter += 1.0
    with average.applied():
        assert all((value == before[name]).all().item() for name, value in model.state_dict().items())
    assert (model[2].weight == before["2.weight"] + 1.0).all().item()


def test_the_best_weights_are_the_averaged_ones(tmp_path: Path):
    e = averaged()
    result = run(e, tmp_path)
    best, last = (load_bundle(tmp_path / f"{name}.safetensors").weights for name in ("best", "last"))
    assert not np.array_equal(best["2.weight"], last["2.weight"])
    if result.summary["best_epoch"] == 3:
        assert np.array_equal(best["2.weight"], e.average.state_dict()["2.weight"].numpy())


def linear_model() -> nn.Module:
    tt.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def test_accumulated_batches_count_as_one_and_a_shorter_last_group_by_its_images(tmp_path: Path):
    # 46 images: batches of 8 in threes are steps of 24 and 22 images, the last batch having 6.
    small = run(experiment(linear_model(), accumulate_steps=3), tmp_path / "small")
    large = run(experiment(linear_model(), batch_size=24), tmp_path / "large")
    for a, b in zip(small.epochs, large.epochs, strict=True):
        assert a.train.loss == pytest.approx(b.train.loss, rel=1e-5)
        assert a.val.loss == pytest.approx(b.val.loss, rel=1e-5)


def test_a_run_that_ends_early_says_so_and_has_fewer_epochs(tmp_path: Path):
    messages: list[str] = []

    class Listener(Events):
        def message(self, text: str) -> None:
            messages.append(text)

    result = run(FEATURES["stopping"](), tmp_path, events=Listener())
    assert result.summary["epochs"] == len(result.epochs) == result.summary["best_epoch"] + 2 < 30
    assert messages == [f"stopped after epoch {len(result.epochs)}: the validation top1 got no better"]


def test_frozen_parts_keep_their_weights_and_statistics_until_they_thaw(tmp_path: Path):
    e = frozen()
    first = {name: value.clone() for name, value in e.model.state_dict().items()}
    e.epochs = 2
    run(e, tmp_path / "frozen")
    changed = {name for name, value in e.model.state_dict().items() if not (value == first[name]).all().item()}
    assert changed == {"2.weight", "2.bias"}
    thawed = frozen()
    run(thawed, tmp_path / "thawed")
    assert not (thawed.model[0][0].weight == first["0.0.weight"]).all().item()
    assert not (thawed.model[0][1].running_mean == first["0.1.running_mean"]).all().item()


def test_what_learns_at_no_rate_does_not_begin_when_the_others_thaw():
    model = network()
    conv, norm = model[0][0], model[0][1]
    parameter_groups(model, 0.1, scales=[RateScale(0, "0", "weight"), RateScale(1, "0.0", "weight")])
    freezing = Freezing(model, ["0"], until_epoch=1)
    for epoch, learns in ((0, False), (1, True)):
        freezing.apply(epoch)
        assert [conv.weight.requires_grad, norm.bias.requires_grad, norm.weight.requires_grad] == [
            learns,
            learns,
            False,
        ]


def test_a_prefix_ends_where_a_name_ends():
    model = nn.Sequential(*[nn.Linear(1, 1) for _ in range(11)])
    Freezing(model, ["1"]).apply(0)
    assert [i for i, layer in enumerate(model) if not layer.weight.requires_grad] == [1]


def test_freezing_everything_is_refused():
    with pytest.raises(ConfigError, match=r"every parameter is frozen, nothing is left to learn\. Leave the head out"):
        Freezing(network(), ["0", "2"])


def test_a_prefix_that_fits_nothing_is_refused_with_the_closest():
    model = tt.models.MODELS["cnn"]()
    with pytest.raises(ConfigError) as caught:
        Freezing(model, ["feature"])
    assert str(caught.value) == (
        "no parameter's name begins with 'feature' (did you mean 'features'?). "
        "Parts of this network: features, pool, dropout, classifier"
    )


def test_mixed_batches_depend_on_seed_epoch_and_batch_alone():
    def batches(workers: int, epoch: int) -> list[np.ndarray]:
        data = TensorDataset(tt.arange(12).reshape(12, 1, 1, 1).float(), tt.arange(12) % 3)
        mixing = MixingCollate(3, mixup_alpha=0.5)
        loader = DataLoader(data, 4, seed=3, num_workers=workers, collate_fn=mixing)
        loader.set_epoch(epoch)
        return [labels.numpy() for _, labels in loader]

    here, there, later = batches(0, 0), batches(2, 0), batches(0, 1)
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))
    assert not np.array_equal(here[0], later[0])
    assert all(np.allclose(rows.sum(axis=1), 1) for rows in here)
    assert not np.array_equal(here[0].max(axis=1), here[1].max(axis=1))


class TwoHeads(nn.Module):
    """Returns a second set of logits in training, as GoogLeNet."""

    def __init__(self) -> None:
        super().__init__()
        tt.manual_seed(2)
        self.main, self.side = nn.Linear(16, 3), nn.Linear(16, 3)

    def forward(self, input: tt.Tensor) -> Any:
        x = input.flatten(1)
        return (self.main(x), self.side(x)) if self.training else self.main(x)


def test_auxiliary_heads_learn_with_three_tenths_of_the_weight(tmp_path: Path):
    e = experiment(TwoHeads(), batch_size=46)
    ((images, targets),) = e.train
    main, side = e.model(images)
    expected = e.loss(main, targets).item() + 0.3 * e.loss(side, targets).item()
    (learned,) = learn(e, [(images, targets)])
    assert learned.loss.item() == pytest.approx(expected, rel=1e-6)
    assert e.model.side.weight.grad is not None
    assert run(e, tmp_path).val.count == 46
