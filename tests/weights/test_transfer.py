"""Weights of one task in the network of another."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.errors import WeightsError
from tinytrain.weights.transfer import transfer_weights

HEAD = {"2.weight", "2.bias"}


def network(channels: int, classes: int) -> nn.Sequential:
    tt.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.Linear(16, classes))


def file_of(channels: int, classes: int) -> dict[str, np.ndarray]:
    """Return what a file of the network holds, with weights of its own."""
    shapes = {name: tensor.shape for name, tensor in network(channels, classes).state_dict().items()}
    rng = np.random.default_rng(1)
    return {f"module.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_head_for_classes_that_the_file_does_not_name_begins_anew_even_where_it_would_fit():
    for classes in (3, 5):
        model, file = network(3, 3), file_of(3, classes)
        first = model[2].weight.clone()
        matching = transfer_weights(model, file, head=HEAD, classes=["a", "b", "c"])
        assert (model[2].weight == first).all().item()
        assert np.array_equal(model[0].weight.detach().numpy(), file["module.0.weight"])
        reasons = {row.reason for row in matching.of("skipped")}
        assert reasons == {f"the head of {classes} classes that the file does not name; the data has 3"}


def test_a_head_is_taken_by_the_names_of_its_classes():
    model, file = network(3, 3), file_of(3, 4)
    first = model[2].bias.clone()
    matching = transfer_weights(
        model, file, head=HEAD, classes=["rose", "oak", "daisy"], source_classes=["ash", "daisy", "elm", "rose"]
    )
    bias = model[2].bias.detach().numpy()
    assert bias[0] == file["module.2.bias"][3]
    assert bias[1] == first[1].item()
    assert bias[2] == file["module.2.bias"][1]
    assert np.array_equal(model[2].weight.detach().numpy()[2], file["module.2.weight"][1])
    reason = next(row.reason for row in matching.rows if row.name == "2.bias")
    assert reason == "2 of 3 classes, by name: daisy, rose"


def test_a_head_without_common_classes_begins_anew():
    matching = transfer_weights(
        network(3, 3), file_of(3, 4), head=HEAD, classes=["a", "b", "c"], source_classes=["d", "e", "f", "g"]
    )
    assert {row.reason for row in matching.of("skipped")} == {
        "the head of 4 classes, none of them among the 3 of the data"
    }


def test_a_head_is_kept_by_position_on_demand():
    model, file = network(3, 3), file_of(3, 3)
    matching = transfer_weights(model, file, head=HEAD, classes=["a", "b", "c"], keep_head=True)
    assert np.array_equal(model[2].weight.detach().numpy(), file["module.2.weight"])
    assert not matching.of("skipped")


def test_grey_images_are_seen_as_colour_images_of_equal_channels_were():
    model, file = network(1, 3), file_of(3, 3)
    matching = transfer_weights(model, file, head=HEAD, classes=["a", "b", "c"], keep_head=True)
    grey = tt.randn(2, 1, 4, 4)
    colour = network(3, 3)
    colour.load_state_dict({name.removeprefix("module."): tt.from_numpy(array) for name, array in file.items()})
    expected = colour(grey.expand(2, 3, 4, 4)).detach().numpy()
    assert model(grey).detach().numpy() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert matching.rows[0].reason == "3 input channels become 1: their sum"


def test_colour_images_of_equal_channels_are_seen_as_grey_images_were():
    model, file = network(3, 3), file_of(1, 3)
    matching = transfer_weights(model, file, head=HEAD, classes=["a", "b", "c"])
    assert np.allclose(model[0].weight.detach().numpy().sum(axis=1, keepdims=True), file["module.0.weight"])
    assert matching.rows[0].reason == "1 input channel becomes 3: a third each"


def test_weights_of_another_network_are_refused_and_nothing_changes():
    model = network(3, 3)
    first = model[0].weight.clone()
    with pytest.raises(WeightsError, match="no tensor of the file fits the model Sequential"):
        transfer_weights(model, {"stem.weight": np.zeros(3)}, head=HEAD, classes=["a", "b", "c"])
    assert (model[0].weight == first).all().item()
