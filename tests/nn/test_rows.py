"""Layers in a row give what they give one by one, also where bare values pass between them."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.kernels import find_kernel
from tinytrain.nn import functional as F
from tinytrain.nn.rows import in_row
from tinytrain.tensor import Tensor

becomes_one = pytest.mark.skipif(
    find_kernel("convolve_and_normalize", np.zeros(1, np.float32)) is None, reason="no kernel set in use here has it"
)


class Halved(nn.Module):
    def forward(self, input):
        return input * 0.5


class Pair(nn.Module):
    def forward(self, input):
        return input, input * 2


class Sum(nn.Module):
    def forward(self, pair):
        return pair[0] + pair[1]


class LastForward(nn.ReLU):
    def forward(self, input):
        return input - 1


class LastCall(nn.Conv2d):
    def __call__(self, input):
        return super().__call__(input) + 1


def norm(channels, **options):
    """Return a normalisation that has seen a batch."""
    layer = nn.BatchNorm2d(channels, **options)
    if layer.affine:
        nn.init.uniform_(layer.weight, 0.5, 2)
        nn.init.uniform_(layer.bias, -1, 1)
    layer(tt.randn(8, channels, 5, 5) * 3 + 1)
    return layer


ROWS = {
    "conv, norm, relu": lambda: [nn.Conv2d(3, 20, 3, padding=1, bias=False), norm(20), nn.ReLU()],
    "bias, every waiting activation": lambda: [
        *(nn.Conv2d(3, 8, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3), nn.Hardswish(), nn.Conv2d(8, 9, 2)),
        *(nn.LeakyReLU(0.2), nn.Conv2d(9, 9, 1), nn.ReLU(inplace=True)),
    ],
    "depthwise, strided, dilated": lambda: [
        nn.Conv2d(3, 18, 3, stride=2, padding="valid", groups=3),
        norm(18, affine=False),
        nn.Conv2d(18, 18, 3, padding="same", dilation=2, groups=18),
    ],
    "nested": lambda: [
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(norm(8), nn.Identity(), nn.ReLU())),
        nn.Sequential(),
        nn.Sequential(nn.Dropout(0.5), Halved(), nn.Conv2d(8, 4, 1)),
    ],
    "an activation of two": lambda: [
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.ReLU6(),
        norm(8),
        nn.Sigmoid(),
        nn.Conv2d(8, 2, 1),
    ],
    "other than tensors in between": lambda: [nn.Conv2d(3, 8, 3), norm(8), Pair(), Sum(), nn.Conv2d(8, 8, 1), Pair()],
    "padding of other kinds": lambda: [nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU()],
    "subclasses with ways of their own": lambda: [LastCall(3, 8, 3), norm(8), LastForward(), nn.ReLU()],
    "to logits": lambda: [
        *(nn.Conv2d(3, 40, 3, 2, 1), norm(40), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Dropout(0.2), nn.Linear(40, 5)),
    ],
    "norms first": lambda: [norm(3), nn.ReLU(), nn.Conv2d(3, 4, 1)],
}
every_row = pytest.mark.parametrize("kind", ROWS)


def one_by_one(layers, x):
    for layer in layers:
        x = one_by_one(layer, x) if isinstance(layer, nn.Sequential) else layer(x)
    return x


def arrays(result):
    return [each.detach().numpy() for each in (result if isinstance(result, tuple) else (result,))]


def assert_same(found, expected):
    for a, b in zip(arrays(found), arrays(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@every_row
@pytest.mark.parametrize("size", [(1, 3, 12, 11), (9, 3, 16, 16)], ids=str)
def test_a_row_gives_the_bits_of_its_layers(kind, size):
    tt.manual_seed(0)
    row = nn.Sequential(*ROWS[kind]()).eval()
    x = tt.randn(*size)
    before = x.clone()
    expected = one_by_one(row, x.clone())
    for _ in range(2):  # the first call of an operation checks its arguments
        with tt.no_grad():
            assert_same(row(x), expected)
            assert_same(in_row(x, *row), expected)
    assert_same(row(x), expected)
    assert_same(x, before)


@every_row
def test_a_row_is_recorded_as_its_layers_are(kind):
    tt.manual_seed(0)
    row = nn.Sequential(*ROWS[kind]()).eval()
    x = tt.randn(2, 3, 12, 11).requires_grad_()
    result = row(x)
    sum(each.sum() for each in (result if isinstance(result, tuple) else (result,))).backward()
    assert x.grad is not None
    assert all(parameter.grad is not None for parameter in row.parameters())


@pytest.fixture
def row():
    tt.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 8, 3), norm(8), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()


@pytest.fixture
def x():
    return tt.randn(2, 3, 12, 12)


@tt.no_grad()
def test_hooks_in_a_row_see_and_replace_what_passes(row, x):
    row(x)
    seen = []
    conv, norm, relu, last = row
    handles = [
        norm.register_forward_hook(lambda module, args, output: seen.append((args[0], output))),
        relu.register_forward_hook(lambda module, args, output: output * 2),
    ]
    found = row(x)
    ((before, after),) = seen
    assert_same(found, last(F.relu(norm(conv(x))) * 2))
    assert_same(after, norm(conv(x)))
    assert_same(before, conv(x))
    for handle in handles:
        handle.remove()
    assert_same(row(x), one_by_one(row, x))


@tt.no_grad()
def test_a_forward_that_is_put_over_a_layer_is_called(row, x, monkeypatch):
    row(x)
    row[2].forward = lambda input: input * 0
    assert_same(row(x), one_by_one(row, x))
    assert_same(row(x), row[3](tt.zeros(2, 8, 10, 10)))
    del row[2].forward
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, input: input + 1, raising=False)
    assert_same(row(x), row[3](row[1](row[0](x)) + 1))


@tt.no_grad()
def test_weights_that_somebody_computes_are_used(row, x):
    row(x)
    conv, norm = row[0], row[1]
    for layer, name in ((conv, "weight"), (conv, "bias"), (norm, "weight"), (norm, "bias")):
        parameter = getattr(layer, name)
        delattr(layer, name)
        setattr(layer, name, parameter * 3)
    assert_same(row(x), one_by_one(row, x))


@tt.no_grad()
def test_statistics_of_a_batch_move_in_a_row_too(row, x):
    row.train()
    mean = row[1].running_mean.clone()
    normal = row[:3](x)
    assert not tt.equal(row[1].running_mean, mean)
    assert int(row[1].num_batches_tracked) == 2
    assert_same(normal, F.relu(F.batch_norm(row[0](x), None, None, row[1].weight, row[1].bias, True)))


@tt.no_grad()
def test_what_a_row_gives_is_the_callers_own(row, x):
    first = row[:3](x)
    kept = first.clone()
    row[0].weight.zero_()
    row[1].weight.zero_()
    x.zero_()
    assert_same(first, kept)
    first.add_(1)
    assert_same(first, kept + 1)


@tt.no_grad()
def test_an_activation_in_place_changes_only_what_is_given_to_it():
    x = tt.randn(2, 3, 12, 12)
    expected = x.clamp(min=0)
    assert nn.Sequential(nn.ReLU(inplace=True))(x) is x
    assert_same(x, expected)
    assert nn.Sequential(nn.Identity(), nn.Dropout().eval())(x) is x


@tt.no_grad()
def test_a_row_computes_in_any_type_and_under_autocast(row, x):
    row(x)
    with tt.autocast("cpu"):
        found = row(x)
        assert found.dtype is tt.bfloat16
        assert_same(found.float(), one_by_one(row, x).float())
    for dtype in (tt.float64, tt.float16):
        assert row.to(dtype)(x.to(dtype)).dtype is dtype
        assert_same(row(x.to(dtype)), one_by_one(row, x.to(dtype)))


@tt.no_grad()
def test_a_row_takes_a_single_image(row, x):
    row(x)
    assert_same(nn.Sequential(row[0], row[2])(x[0]), F.relu(row[0](x[0])))


@tt.no_grad()
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda row, x: row(x[:, :2]), "with 2 channels"),
        (lambda row, x: row(x.double()), "the same dtype"),
        (lambda row, x: nn.Sequential(row[0], nn.BatchNorm2d(5).eval())(x), "5 elements|8 elements"),
        (lambda row, x: row(x[0, 0]), "dimensions"),
        (lambda row, x: row(x[..., :2]), "must not be larger"),
        (lambda row, x: row(3), "must be a Tensor"),
    ],
)
def test_errors_in_a_row_are_those_of_the_layers(row, x, change, error):
    row(x)
    with pytest.raises((RuntimeError, ValueError, TypeError), match=error):
        change(row, x)


@tt.no_grad()
def test_options_that_are_equal_and_not_allowed_are_refused():
    conv = nn.Conv2d(3, 4, 1)
    row, x = nn.Sequential(conv), tt.randn(1, 3, 4, 4)
    row(x)
    for stride in (1.0, (1.0, 1), True):
        conv.stride = stride
        with pytest.raises(TypeError, match="`stride` must be an int"):
            row(x)
    conv.stride = [2, 2]
    assert isinstance(row(x), Tensor)
    assert list(row(x).shape) == [1, 4, 2, 2]


def trained(row, x, run):
    """Return what a copy of a row gives for `x`, the gradients and statistics after it, in the second of two steps."""
    row, x = copy.deepcopy(row), x.clone().requires_grad_(x.requires_grad)
    for _ in range(2):  # the first call of an operation checks its arguments
        row.zero_grad()
        x.grad = None
        result = run(row, x)
        weights = tt.arange(result.numel(), device=x.device).reshape(result.shape).sin()
        (result * weights).sum().backward()
    gradients = [each.grad for each in (x, *row.parameters()) if each.grad is not None]
    return [result, *gradients, *row.buffers()]


def frozen(layer):
    return layer.requires_grad_(False)


def tied():
    layer, both = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
    return [layer, both, nn.ReLU(), layer, both]


TRAINED = {
    "every activation": lambda: [
        *(nn.Conv2d(3, 20, 3, padding=1, bias=False), nn.BatchNorm2d(20), nn.ReLU()),
        *(nn.Conv2d(20, 9, 1, bias=False), nn.BatchNorm2d(9), nn.ReLU6(inplace=True)),
        *(nn.Conv2d(9, 9, 3, bias=False, groups=9), nn.BatchNorm2d(9, momentum=0.5), nn.Hardswish()),
        *(nn.Conv2d(9, 4, 3, 2, bias=False), nn.BatchNorm2d(4, eps=0.1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(4, 5, 2, padding="same", bias=False), nn.BatchNorm2d(5), nn.Sigmoid()),
    ],
    "norms of other kinds": lambda: [
        *(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8, bias=False), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8, momentum=None), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1, bias=False), norm(8).eval(), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1, bias=False), nn.InstanceNorm2d(8), nn.ReLU()),
    ],
    "a bias, padding of another kind": lambda: [
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect", bias=False), nn.BatchNorm2d(8)),
    ],
    "some that learn nothing": lambda: [
        *(frozen(nn.Conv2d(3, 8, 3, bias=False)), frozen(nn.BatchNorm2d(8)), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1, bias=False), frozen(nn.BatchNorm2d(8)), nn.ReLU()),
        *(frozen(nn.Conv2d(8, 8, 1, bias=False)), nn.BatchNorm2d(8), nn.ReLU()),
    ],
    "one layer in two places": tied,
    "a single pair": lambda: [nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8)],
}


@pytest.mark.parametrize("wants", [True, False], ids=["with an input gradient", "without"])
@pytest.mark.parametrize("kind", TRAINED)
def test_a_row_learns_what_its_layers_learn(kind, wants):
    tt.manual_seed(0)
    row, x = nn.Sequential(*TRAINED[kind]()), tt.randn(4, 3, 13, 12).requires_grad_(wants)
    for found, expected in zip(trained(row, x, lambda row, x: row(x)), trained(row, x, one_by_one), strict=True):
        assert_same(found, expected)


@pytest.fixture
def learning():
    tt.manual_seed(1)
    row = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    row(tt.randn(2, 3, 12, 12))
    return row


@becomes_one
def test_a_convolution_and_its_norm_are_one_operation(learning, x):
    first = learning(x).grad_fn.next_functions[0][0]
    assert first.name() == "ReluBackward0"
    leaf = "torch::autograd::AccumulateGrad"
    assert [each and each.name() for each, _ in first.next_functions] == [None, leaf, leaf, leaf]
    assert learning[:2](x).grad_fn.name() == "NativeBatchNormBackward0"


def test_hooks_in_a_row_that_learns_see_and_replace_what_passes(learning, x):
    conv, norm, relu, last = learning
    expected = last(F.relu(norm(conv(x))) * 2)
    seen = []
    handles = [
        conv.register_forward_hook(lambda module, args, output: seen.append(output)),
        relu.register_forward_hook(lambda module, args, output: output * 2),
    ]
    assert_same(learning(x), expected)
    (passed,) = seen
    assert_same(passed, F.conv2d(x, conv.weight))
    handles[0].remove()
    assert_same(learning(x), expected)


def test_a_forward_that_is_put_over_a_layer_that_learns_is_called(learning, x, monkeypatch):
    conv, norm, relu, last = learning
    relu.forward = lambda input: input * 0
    assert_same(learning(x), last(tt.zeros(2, 8, 10, 10)))
    del relu.forward
    normal = norm(conv(x))
    for kind, expected in (
        (nn.ReLU, last(normal + 1)),
        (nn.BatchNorm2d, last(F.relu(conv(x) + 1))),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(kind, "forward", lambda self, input: input + 1, raising=False)
            assert_same(learning(x), expected)


def test_weights_that_somebody_computes_learn_in_a_row(learning, x):
    for layer, name in ((learning[0], "weight"), (learning[1], "weight"), (learning[1], "bias")):
        parameter = getattr(layer, name)
        delattr(layer, name)
        setattr(layer, name, parameter * 3)
        assert_same(learning(x), one_by_one(learning, x))


@becomes_one
def test_what_a_row_reads_later_may_not_change(learning, x):
    for change in (lambda result: learning[0].weight, lambda result: learning[1].weight, lambda result: result):
        result = learning[:3](x)
        with tt.no_grad():
            change(result).mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation: ReluBackward0"):
            result.sum().backward()


def test_errors_of_a_row_that_learns_are_those_of_its_layers(learning, x):
    with pytest.raises(RuntimeError, match="with 2 channels"):
        learning(x[:, :2])
    with pytest.raises(RuntimeError, match="should contain 8 elements"):
        nn.Sequential(learning[0], nn.BatchNorm2d(5))(x)
    one_pixel = nn.Sequential(nn.Conv2d(3, 8, 12, bias=False), nn.BatchNorm2d(8))
    for _ in range(2):
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            one_pixel(x[:1])
    assert int(one_pixel[1].num_batches_tracked) == 2  # counted before it is refused, as by PyTorch


def test_a_row_on_any_device(device):
    tt.manual_seed(0)
    row = nn.Sequential(*ROWS["to logits"]()).to(device).eval()
    x = tt.randn(4, 3, 16, 16, device=device)
    expected = one_by_one(row, x)
    with tt.no_grad():
        for _ in range(2):
            np.testing.assert_allclose(row(x).cpu().numpy(), expected.detach().cpu().numpy(), rtol=1e-5, atol=1e-6)


def test_a_row_learns_on_any_device(device):
    tt.manual_seed(0)
    row = nn.Sequential(*TRAINED["every activation"]()).to(device)
    x = tt.randn(4, 3, 13, 12, device=device).requires_grad_()
    for found, expected in zip(trained(row, x, lambda row, x: row(x)), trained(row, x, one_by_one), strict=True):
        np.testing.assert_allclose(found.detach().cpu().numpy(), expected.detach().cpu().numpy(), rtol=1e-5, atol=1e-6)
