"""A loss is built from its section, and refused where the training could not make anything of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytrain.config import config_from_values
from tinytrain.config.build import build_experiment
from tinytrain.config.losses import build_loss, with_class_weights
from tinytrain.errors import ConfigError
from tinytrain.training import Experiment

LINEAR = ["Flatten", "Linear"]


def built(loss: dict[str, Any], layers: list[Any] = LINEAR, **train: Any) -> Experiment:
    """Return a training on the ten classes of the digits."""
    values = {"data": {"dataset": "digits"}, "model": {"layers": layers}, "train": {"loss": loss, **train}}
    return build_experiment(config_from_values(values))


def refusal(loss: dict[str, Any], **train: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        built(loss, **train)
    return str(caught.value)


def test_class_weights_become_a_tensor():
    loss = build_loss("cross_entropy", {"weight": [1.0, 2.0]})
    assert loss.weight.tolist() == [1.0, 2.0]


def test_balanced_class_weights_make_every_class_count_the_same():
    labels = np.array([0, 0, 0, 1, 2, 2])
    weight = with_class_weights({"weight": "balanced"}, labels, 3)["weight"]
    assert weight == pytest.approx([6 / 9, 6 / 3, 6 / 6])
    assert [w * n for w, n in zip(weight, (3, 1, 2), strict=True)] == pytest.approx([2, 2, 2])


@pytest.mark.parametrize("weight", ["even", [1.0], {"a": 1}, ["1"] * 10])
def test_class_weights_that_are_no_number_a_class_are_refused(weight: Any):
    assert refusal({"name": "cross_entropy", "weight": weight}).startswith(
        "train.loss: `weight` must be balanced or a list of 10 numbers, one a class"
    )


def test_a_list_of_weights_that_is_too_short_is_told_with_its_length():
    assert refusal({"name": "cross_entropy", "weight": [1] * 9}).endswith("one a class; got a list of 9")


def test_class_weights_may_be_whole_numbers():
    experiment = built({"name": "cross_entropy", "weight": [2, *[1] * 9]})
    assert experiment.loss.weight.tolist() == [2.0, *[1.0] * 9]
    assert experiment.loss.weight.dtype.name == "float32"


@pytest.mark.parametrize("weight", [[-2, *[1] * 9], [0] * 10, [float("nan"), *[1] * 9], [1e39, *[1] * 9]])
def test_class_weights_that_weigh_nothing_are_refused(weight: list[float]):
    told = refusal({"name": "cross_entropy", "weight": weight})
    assert told.startswith("train.loss: `weight` must hold finite numbers of at least 0, and one above it; got [")


@pytest.mark.parametrize("share", [-1, 2])
def test_label_smoothing_is_a_share(share: float):
    told = refusal({"name": "cross_entropy", "label_smoothing": share})
    assert told.startswith("train.loss: label_smoothing must be between 0.0 and 1.0")


def test_a_class_index_to_ignore_is_a_whole_number():
    told = refusal({"name": "cross_entropy", "ignore_index": "cat"})
    assert told == "train.loss: `ignore_index` must be a whole number; got 'cat'"


@pytest.mark.parametrize("mix", ["mixup_alpha", "cutmix_alpha"])
@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        ({"name": "nll_loss"}, "nll_loss takes class indices. Use cross_entropy"),
        ({"name": "cross_entropy", "ignore_index": 3}, "`ignore_index` names a class index. Leave out `ignore_index`"),
    ],
)
def test_a_loss_of_class_indices_does_not_go_with_mixed_targets(mix: str, loss: dict[str, Any], reason: str):
    told = refusal(loss, **{mix: 0.3})
    assert told.startswith(f"train.loss: mixup and CutMix make targets of probabilities, and {reason}")


def test_the_likelihood_of_logits_is_refused():
    told = refusal({"name": "nll_loss"})
    assert told.startswith("train.loss: nll_loss takes log-probabilities, and the network's outputs are none: their")
    assert told.endswith("Use cross_entropy, which takes logits, or end the layers with {LogSoftmax: {dim: 1}}")


def test_probabilities_are_no_log_probabilities():
    with pytest.raises(ConfigError, match="nll_loss takes log-probabilities"):
        built({"name": "nll_loss"}, [*LINEAR, {"Softmax": {"dim": 1}}])


def test_the_likelihood_of_log_probabilities_is_learned_from():
    built({"name": "nll_loss"}, [*LINEAR, {"LogSoftmax": {"dim": 1}}])
