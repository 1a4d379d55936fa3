"""First filters whiten the patches of the training images, before anything is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.config import config_from_values
from tinytrain.config.build import build_experiment
from tinytrain.config.load import load_config
from tinytrain.errors import ConfigError
from tinytrain.training.whitening import whiten

RNG = np.random.default_rng(0)


def images(count: int = 60, channels: int = 2) -> tt.Tensor:
    """Return images whose neighbouring pixels and channels are alike."""
    noise = RNG.standard_normal((count, channels, 12, 11)).cumsum(axis=2).cumsum(axis=3) / 5
    return tt.from_numpy((noise + noise[:, ::-1]).astype(np.float32))


def patches_of(x: np.ndarray, kernel: tuple[int, int]) -> np.ndarray:
    """Return the patches of images one by one, as rows."""
    kh, kw = kernel
    spots = [(i, j) for i in range(x.shape[2] - kh + 1) for j in range(x.shape[3] - kw + 1)]
    return np.concatenate([x[:, :, i : i + kh, j : j + kw].reshape(len(x), -1) for i, j in spots]).astype(np.float64)


@pytest.mark.parametrize("kernel", [(2, 2), (1, 3)])
def test_the_outputs_of_a_whitened_layer_are_uncorrelated_and_have_variance_one(kernel: tuple[int, int]):
    x = images() + tt.randn(60, 2, 12, 11) * 0.3
    size = 2 * kernel[0] * kernel[1]
    model = nn.Sequential(nn.Conv2d(2, 2 * size, kernel), nn.ReLU())
    whiten(model, "0", [x[:25], x[25:]], eps=0)
    outputs = model[0](x).detach().numpy().transpose(0, 2, 3, 1).reshape(-1, 2 * size).astype(np.float64)
    moments = outputs.T @ outputs / len(outputs)
    assert np.allclose(moments[:size, :size], np.eye(size), atol=1e-3)
    assert np.array_equal(outputs[:, size:], -outputs[:, :size])
    filters = model[0].weight.detach().numpy()[:size].reshape(size, -1)
    assert (np.take_along_axis(filters, np.abs(filters).argmax(axis=1)[:, None], axis=1) > 0).all()
    seen = (patches_of(x.numpy(), kernel) @ (filters / np.linalg.norm(filters, axis=1)[:, None]).T).var(axis=0)
    assert (np.diff(seen) < 0).all()  # what varies most comes first


def test_eps_keeps_directions_that_hardly_vary_small():
    x = images(channels=1).numpy()
    x = tt.from_numpy(np.concatenate([x, x], axis=1))  # two channels that are the same
    model = nn.Sequential(nn.Conv2d(2, 16, 2))
    whiten(model, "0", [x], eps=1e-2)
    assert np.abs(model[0].weight.detach().numpy()).max() < 1 / np.sqrt(1e-2)


def config_of(layer: str = "whiten", **sections: Any) -> Any:
    return config_from_values(
        {
            "device": "cpu",
            "data": {"dataset": "digits", **sections.pop("data", {})},
            "model": {"name": "cifar_fast", "widths": [4, 4]},
            "train": {"whitening": {"layer": layer, "images": 300}},
            **sections,
        },
    )


def test_a_config_whitens_by_images_spread_over_the_training_set_whatever_loads_them():
    e = build_experiment(config_of())
    weight = e.model.whiten.weight.detach().numpy()
    count = len(e.train.dataset)
    pixels = np.concatenate([e.train.dataset[i * count // 300][0].numpy()[None] for i in range(300)])
    patches = patches_of(pixels, (2, 2))
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    expected = (vectors / np.sqrt(values + 5e-4)).T[::-1]
    found = weight.reshape(8, 4)[:4]
    assert np.allclose(np.abs(found), np.abs(expected), rtol=1e-4, atol=1e-4)
    again = build_experiment(config_of(data={"resident": True, "batch_size": 7, "workers": 2})).model.whiten.weight
    assert np.allclose(again.detach().numpy(), weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "whitn",
            "the network has no layer 'whitn' (did you mean 'whiten'?). Parts of this network: whiten, act, ",
        ),
        ("head", "'head' must be a Conv2d without groups and dilation; got Linear("),
        (
            "blocks.0.0.conv",
            "'blocks.0.0.conv' must have a filter and its negative for each of the 72 values of a patch, so 144 "
            "outputs; got 4",
        ),
    ],
)
def test_a_layer_that_cannot_be_whitened_is_refused_by_place(layer: str, message: str, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "data: {dataset: digits}\nmodel: {name: cifar_fast, widths: [4, 4]}\n"
        f"train:\n  epochs: 1\n  whitening: {{layer: {layer}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        build_experiment(load_config(path, ["device=cpu"]))
    assert str(caught.value).startswith(f"{path}:5: train.whitening: {message}")


def test_images_that_are_smaller_than_a_filter_are_refused():
    with pytest.raises(ConfigError, match="images of 3 by 3 pixels are smaller than the filters of '0'"):
        whiten(nn.Sequential(nn.Conv2d(1, 32, 4)), "0", [tt.zeros(1, 1, 3, 3)])
