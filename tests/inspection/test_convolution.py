"""The arithmetic of one convolution, against tables worked out by hand and the engine's own layers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinytrain import models
from tinytrain.inspection import count_macs, count_parameters
from tinytrain.inspection.convolution import Convolution, Cost
from tinytrain.inspection.twins import blocks_of
from tinytrain.ops.creation import zeros

# (in, out, kernel, size, stride, padding, dilation, groups, bias), output, parameters, multiply-adds, bytes / 4.
BY_HAND = [
    # the example of the MobileNets paper, table 3: 462 M multiply-adds and 2.36 M parameters
    ((512, 512, 3, 14, 1, 1, 1, 1, False), (512, 14, 14), 2_359_296, 462_422_016, 100_352 + 2_359_296 + 100_352),
    # one filter of two by two on four by four pixels: 9 outputs of 4 products, 4 weights and a bias
    ((1, 1, 2, 4, 1, 0, 1, 1, True), (1, 3, 3), 5, 36, 16 + 5 + 9),
    # the first layer of ResNet: 112 * 112 outputs of 64 channels, each of 3 * 49 products
    ((3, 64, 7, 224, 2, 3, 1, 1, False), (64, 112, 112), 9_408, 118_013_952, 150_528 + 9_408 + 802_816),
    # depthwise: 32 filters of 9 weights and a bias each, on 5 * 5 outputs
    ((32, 32, 3, 9, 2, 1, 1, 32, True), (32, 5, 5), 320, 7_200, 2_592 + 320 + 800),
    # two groups of 2 inputs and 3 outputs; dilation 2 makes 3 taps cover 5 pixels: 10 + 0 - 4 - 1 + 1 = 6
    ((4, 6, 3, 10, 1, 0, 2, 2, True), (6, 6, 6), 6 * 2 * 9 + 6, 216 * 18, 400 + 114 + 216),
    # same padding with an even kernel
    ((2, 5, 4, 6, 1, "same", 1, 1, False), (5, 6, 6), 160, 5 * 36 * 32, 72 + 160 + 180),
]


def convolution(in_channels, out_channels, kernel, size, stride, padding, dilation, groups, bias):
    """Return a convolution on squares."""
    pair = padding if isinstance(padding, str) else (padding, padding)
    return Convolution(
        in_channels,
        out_channels,
        (kernel, kernel),
        (size, size),
        (stride, stride),
        pair,
        (dilation, dilation),
        groups,
        bias,
    )


@pytest.mark.parametrize(("arguments", "output", "params", "macs", "floats"), BY_HAND)
def test_costs_are_those_worked_out_by_hand(arguments, output, params, macs, floats):
    assert Cost.of(convolution(*arguments)).document() == {
        "output": list(output),
        "params": params,
        "macs": macs,
        "flops": 2 * macs,
        "bytes": 4 * floats,
    }


def test_the_separable_pair_has_the_figures_of_the_mobilenets_paper():
    # table 3: 52.3 M multiply-adds, 0.27 M parameters
    pair = Cost.of(*convolution(512, 512, 3, 14, 1, 1, 1, 1, False).separable())
    assert (pair.params, pair.macs) == (512 * 9 + 512 * 512, 14 * 14 * 512 * (9 + 512))
    assert pair.output == (512, 14, 14)
    assert pair.bytes == 4 * (4 * 512 * 14 * 14 + pair.params)


def test_the_pair_costs_one_over_n_plus_one_over_k_squared():
    for n, k, stride in itertools.product((8, 64), (3, 5), (1, 2)):
        own = convolution(16, n, k, 20, stride, k // 2, 1, 1, True)
        pair = Cost.of(*own.separable())
        assert pair.output == own.output
        assert pair.macs / own.macs == pytest.approx(1 / n + 1 / k**2)


def test_shapes_and_parameters_are_those_of_the_layers():
    rng = np.random.default_rng(0)
    for _ in range(60):
        groups = int(rng.choice([1, 2, 3]))
        kernel, dilation, stride = (tuple(int(x) for x in rng.integers(1, 4, 2)) for _ in range(3))
        padding = tuple(int(x) for x in rng.integers(0, 3, 2)) if rng.random() < 0.7 else "valid"
        c = Convolution(
            2 * groups, 3 * groups, kernel, (9, 11), stride, padding, dilation, groups, bool(rng.integers(2))
        )
        layer = c.layer()
        assert tuple(layer(zeros(1, *c.input)).shape[1:]) == c.output
        assert count_parameters(layer) == c.params
        assert count_macs(layer, c.input) == c.macs
        assert Convolution.of(layer, c.size) == c


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((6, 8, 3, 9, 1, 0, 1, 4, True), "`in_channels` (=6) must be divisible by `groups` (=4)"),
        ((8, 6, 3, 9, 1, 0, 1, 4, True), "`out_channels` (=6) must be divisible by `groups` (=4)"),
        ((0, 6, 3, 9, 1, 0, 1, 1, True), "`in_channels` must be at least 1; got 0"),
        ((3, 6, 3, 9, 0, 0, 1, 1, True), "`stride` must be at least 1; got 0x0"),
        ((3, 6, 3, 9, 2, "same", 1, 1, True), "`padding` same needs stride 1, `stride` is 2x2"),
        ((3, 6, 3, 9, 1, "full", 1, 1, True), "`padding` must be same, valid or pixels; got 'full'"),
        ((3, 6, 3, 4, 1, 0, 2, 1, True), "the kernel covers 5x5 pixels, the padded image has only 4x4"),
    ],
)
def test_what_is_no_convolution_is_refused(arguments, message):
    with pytest.raises(ValueError, match=r"must|needs|covers") as caught:
        convolution(*arguments)
    assert message in str(caught.value)


def totals(model, input_shape):
    """Return (parameters, multiply-adds) of the standard and of the separable build."""
    blocks = blocks_of(model, input_shape)
    return [
        tuple(sum(getattr(block, build)[i] for block in blocks) for i in (0, 1)) for build in ("standard", "separable")
    ]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_network_and_its_twin_tell_the_same_of_both_builds(norm):
    shape = (1, 28, 28)
    builds = {
        conv: models.cnn(in_channels=1, conv=conv, norm=norm, widths=[16, 24, 40], strides=[1, 2, 2])
        for conv in ("standard", "separable")
    }
    expected = [(count_parameters(model), count_macs(model, shape)) for model in builds.values()]
    for model in builds.values():
        assert totals(model, shape) == expected


def test_published_networks_have_their_published_costs():
    # MobileNets, tables 4 and 1: 569 M and 4.2 M; with standard convolutions 4866 M and 29.3 M
    standard, separable = totals(models.mobilenet_v1(), (3, 224, 224))
    assert [round(separable[0] / 1e6, 1), round(separable[1] / 1e6)] == [4.2, 569]
    assert round(standard[0] / 1e6, 1) == 29.3
    assert standard[1] / 1e6 == pytest.approx(4866, abs=2)
    # torchvision's tables: 1.81 and 1.50 GMACs
    assert round(totals(models.resnet18(), (3, 224, 224))[0][1] / 1e9, 2) == 1.81
    assert round(totals(models.googlenet(), (3, 224, 224))[0][1] / 1e9, 2) == 1.50
