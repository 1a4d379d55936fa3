"""What the options and the special parts of models do."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import models, nn
from tinytrain.cli.listing import describe
from tinytrain.models import MODELS
from tinytrain.models.blocks import SqueezeExcitation, StochasticDepth, make_divisible


def images(*shape: int) -> tt.Tensor:
    return tt.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))


def test_googlenet_gives_the_logits_of_all_heads_in_training_only():
    model = models.googlenet(num_classes=5, init_weights=False)
    outputs = model(images(2, 3, 32, 32))
    assert outputs._fields == ("logits", "aux_logits2", "aux_logits1")
    assert isinstance(model.eval()(images(2, 3, 32, 32)), tt.Tensor)
    assert isinstance(
        models.googlenet(num_classes=5, aux_logits=False, init_weights=False)(images(2, 3, 32, 32)), tt.Tensor
    )


def test_googlenet_turns_imagenets_normalisation_into_its_own():
    plain, turning = (
        models.googlenet(num_classes=5, init_weights=False, transform_input=turn).eval() for turn in (False, True)
    )
    turning.load_state_dict(plain.state_dict())
    pixels = np.random.default_rng(1).random((1, 3, 32, 32))
    mean, std = (np.reshape(v, (3, 1, 1)) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    own, imagenets = (tt.from_numpy(x.astype(np.float32)) for x in ((pixels - 0.5) / 0.5, (pixels - mean) / std))
    np.testing.assert_allclose(turning(imagenets).tolist(), plain(own).tolist(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.googlenet(transform_input=True, in_channels=1), "needs images of 3 channels"),
        (lambda: models.lenet5(activation="tahn"), "`activation` must be one of tanh, relu; got 'tahn'"),
        (lambda: models.mobilenet_v1(activation="leaky"), "`activation` must be one of relu, leaky_relu; got 'leaky'"),
        (lambda: models.SqueezeNet("1_2"), "`version` must be one of 1_0, 1_1; got '1_2'"),
        (lambda: models.CifarResNet(21), "`depth` must be 6n \\+ 2"),
        (lambda: models.resnet50(replace_stride_with_dilation=[True]), "must have 3 entries"),
        (lambda: models.mobilenet_v2(inverted_residual_setting=[[1, 2, 3]]), "list of 4-element lists"),
        (lambda: models.ShuffleNetV2([4, 8], [24, 48, 96, 192, 1024]), "3 entries"),
    ],
)
def test_options_that_describe_no_network_are_refused(build, message: str):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_builder_shows_the_options_of_its_network_without_those_that_make_the_variant():
    assert list(inspect.signature(models.resnext50_32x4d).parameters) == [
        "weights",
        "progress",
        "num_classes",
        "zero_init_residual",
        "replace_stride_with_dilation",
        "norm_layer",
        "in_channels",
    ]
    with pytest.raises(TypeError, match="groups"):
        models.resnext50_32x4d(groups=2)


def test_zero_init_residual_makes_every_block_its_shortcut():
    model = models.resnet18(num_classes=2, zero_init_residual=True)
    block = model.layer1[0].eval()
    x = images(1, 64, 4, 4)
    assert block(x).tolist() == x.relu().tolist()


def test_a_cifar_shortcut_takes_every_second_pixel_and_adds_channels_of_zeros():
    block = models.cifar_resnet20().layer2[0].eval()
    block.bn2.weight.detach().zero_()
    x = images(1, 16, 4, 4).abs()
    y = block(x).detach().numpy()
    assert y.shape == (1, 32, 2, 2)
    np.testing.assert_array_equal(y[:, 8:24], x.numpy()[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_widths_scale_to_multiples_of_eight():
    # 0.35 x 24 = 8.4 becomes 8; 0.35 x 32 = 11.2 would become 8, more than a tenth less, so 16.
    assert [make_divisible(0.35 * channels) for channels in (24, 32, 64, 96)] == [8, 16, 24, 32]
    assert models.mobilenet_v1(width_mult=0.25).fc.in_features == 256


def test_mobilenet_v1_has_either_activation():
    found = {type(module) for module in models.mobilenet_v1(width_mult=0.25, activation="leaky_relu").modules()}
    assert nn.LeakyReLU in found
    assert nn.ReLU not in found


def test_stochastic_depth_drops_images_and_scales_the_others():
    tt.manual_seed(0)
    layer = StochasticDepth(0.25, "row")
    y = layer(tt.ones(2000, 2, 1, 1)).numpy().reshape(2000, 2)
    assert (y[:, 0] == y[:, 1]).all()
    assert sorted(np.unique(y).tolist()) == [0.0, pytest.approx(1 / 0.75)]
    assert y.mean() == pytest.approx(1, abs=0.05)  # the standard deviation of the mean is 0.013
    together = StochasticDepth(0.5, "batch")(tt.ones(64, 2)).numpy()
    assert len(np.unique(together)) == 1
    assert not StochasticDepth(1.0, "row")(tt.ones(3, 2)).any()
    assert layer.eval()(x := images(3, 2)) is x


def test_squeeze_excitation_scales_channels_by_their_averages():
    layer = SqueezeExcitation(2, 1)
    layer.load_state_dict(
        {
            "fc1.weight": tt.tensor([[[[1.0]], [[-1.0]]]]),
            "fc1.bias": tt.tensor([0.0]),
            "fc2.weight": tt.tensor([[[[1.0]]], [[[-1.0]]]]),
            "fc2.bias": tt.tensor([0.0, 0.0]),
        }
    )
    x = tt.tensor([[[[1.0, 3.0]], [[1.0, 0.0]]]])
    # The averages 2 and 0.5 make a hidden 1.5; its sigmoid and that of its negative are the factors.
    high = 1 / (1 + np.exp(-1.5))
    np.testing.assert_allclose(layer(x).tolist(), [[[[high, 3 * high]], [[1 - high, 0]]]], rtol=1e-6)


def test_every_model_says_in_a_line_what_it_is():
    entries = {entry["name"]: entry for entry in describe("models")}
    assert entries.keys() == set(MODELS)
    assert all(entry["summary"].endswith(".") for entry in entries.values())
    assert {"num_classes", "in_channels"}.isdisjoint(a["name"] for e in entries.values() for a in e["arguments"])
