"""Layers in a row give what they give one by one, also where bare values pass between them."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.nn import functional as F
from tinytrain.nn.rows import in_row
from tinytrain.tensor import Tensor


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


def test_a_row_on_any_device(device):
    tt.manual_seed(0)
    row = nn.Sequential(*ROWS["to logits"]()).to(device).eval()
    x = tt.randn(4, 3, 16, 16, device=device)
    expected = one_by_one(row, x)
    with tt.no_grad():
        for _ in range(2):
            np.testing.assert_allclose(row(x).cpu().numpy(), expected.detach().cpu().numpy(), rtol=1e-5, atol=1e-6)
