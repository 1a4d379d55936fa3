"""Normalisation gives mean 0 and variance 1 where it says so, remembers statistics, and has the right gradients."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.nn import functional as F
from tinytrain.tensor import wrap


def random(*shape, seed=0):
    return tt.from_numpy(np.random.default_rng(seed).normal(1.5, 2, shape)).requires_grad_()


def by_definition(x, axes, eps=1e-5):
    mean = x.mean(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + eps)


@pytest.mark.parametrize("shape", [(4, 3), (5, 3, 1), (2, 3, 4, 5), (1, 3, 5, 3), (2, 1, 2, 3, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_gradients_are_those_of_central_differences(shape, training):
    c = shape[1]
    x, weight, bias = random(*shape), random(c, seed=1), random(c, seed=2)
    mean, var = tt.zeros(c, dtype=tt.float64), tt.ones(c, dtype=tt.float64) * 2
    assert gradcheck(lambda x, w, b: F.batch_norm(x, mean.clone(), var.clone(), w, b, training), [x, weight, bias])


@pytest.mark.parametrize("affine", ["weight", "bias", "neither"])
def test_batch_norm_takes_either_parameter_alone(affine):
    x = random(3, 2, 3)
    parameters = {} if affine == "neither" else {affine: random(2, seed=1)}
    assert gradcheck(lambda x, *_: F.batch_norm(x, None, None, training=True, **parameters), [x, *parameters.values()])


def test_batch_norm_normalises_over_all_but_the_channels():
    x = random(4, 3, 5, 2)
    y = F.batch_norm(x, None, None, training=True)
    np.testing.assert_allclose(y.detach().numpy(), by_definition(x.detach().numpy(), (0, 2, 3)), rtol=1e-12)


def test_batch_norm_moves_running_statistics_with_the_unbiased_variance():
    x = tt.tensor([[1.0], [3.0]])
    mean, var = tt.tensor([10.0]), tt.tensor([1.0])
    F.batch_norm(x, mean, var, training=True, momentum=0.25)
    assert mean.tolist() == [0.75 * 10 + 0.25 * 2]
    assert var.tolist() == [0.75 * 1 + 0.25 * 2]  # (1 + 1) / (2 - 1)


def test_batch_norm_in_evaluation_leaves_running_statistics_alone():
    mean, var = tt.tensor([1.0]), tt.tensor([4.0])
    y = F.batch_norm(tt.tensor([[3.0], [5.0]]), mean, var, tt.tensor([2.0]), tt.tensor([1.0]), eps=0)
    assert y.tolist() == [[3.0], [5.0]]
    assert (mean.tolist(), var.tolist()) == ([1.0], [4.0])


def test_batch_norm_in_training_refuses_one_value_per_channel():
    with pytest.raises(ValueError, match=r"more than 1 value per channel when training, got input size \[1, 3, 1\]"):
        F.batch_norm(tt.zeros(1, 3, 1), None, None, training=True)


def test_batch_norm_in_evaluation_needs_running_statistics():
    with pytest.raises(RuntimeError, match="running_mean and running_var to be defined in evaluation"):
        F.batch_norm(tt.zeros(2, 3), None, None)


def test_batch_norm_names_the_parameter_of_the_wrong_size():
    with pytest.raises(RuntimeError, match=r"weight should contain 3 elements, one per channel; its shape is \[2\]"):
        F.batch_norm(tt.zeros(2, 3), None, None, tt.zeros(2), training=True)


def test_batch_norm_of_an_empty_batch_is_empty_and_keeps_running_statistics():
    x, weight = tt.zeros(0, 2, 3, requires_grad=True), tt.ones(2, requires_grad=True)
    mean = tt.ones(2)
    y = F.batch_norm(x, mean, tt.ones(2), weight, training=True)
    y.sum().backward()
    assert y.shape == (0, 2, 3)
    assert weight.grad.tolist() == [0, 0]
    assert mean.tolist() == [1, 1]


def test_batch_norm_of_half_floats_is_computed_in_single_precision():
    x = (tt.randn(64, 2, 8, 8) + 100).half()
    y = F.batch_norm(x, None, None, training=True)
    assert y.dtype is tt.float16
    np.testing.assert_allclose(y.numpy(), by_definition(x.numpy().astype(np.float64), (0, 2, 3)), atol=2e-3)


@pytest.mark.parametrize(("shape", "num_groups"), [((1, 6, 3), 2), ((2, 4, 3, 2), 4), ((3, 4), 2), ((2, 3, 5), 1)])
def test_group_norm_normalises_groups_of_channels(shape, num_groups):
    x, weight, bias = random(*shape), random(shape[1], seed=1), random(shape[1], seed=2)
    grouped = by_definition(x.detach().numpy().reshape(shape[0], num_groups, -1), 2).reshape(shape)
    np.testing.assert_allclose(F.group_norm(x, num_groups).detach().numpy(), grouped, rtol=1e-12)
    assert gradcheck(lambda x, w, b: F.group_norm(x, num_groups, w, b), [x, weight, bias])


def test_group_norm_keeps_memory_channels_last():
    x = wrap(np.random.default_rng(0).normal(size=(2, 3, 5, 4)).transpose(0, 3, 1, 2))
    assert F.group_norm(x, 2).array.strides == x.array.strides


def test_group_norm_refuses_groups_that_do_not_divide_the_channels():
    with pytest.raises(RuntimeError, match=r"input \(=6\) to be divisible by `num_groups` \(=4\)"):
        F.group_norm(tt.zeros(1, 6, 2), 4)


@pytest.mark.parametrize("normalized_shape", [(5,), (3, 5)])
def test_layer_norm_normalises_the_last_dimensions(normalized_shape):
    x, weight, bias = random(2, 3, 5), random(*normalized_shape, seed=1), random(*normalized_shape, seed=2)
    axes = tuple(range(-len(normalized_shape), 0))
    y = F.layer_norm(x, normalized_shape)
    np.testing.assert_allclose(y.detach().numpy(), by_definition(x.detach().numpy(), axes), rtol=1e-12)
    assert gradcheck(lambda x, w, b: F.layer_norm(x, normalized_shape, w, b), [x, weight, bias])


def test_layer_norm_refuses_another_shape():
    with pytest.raises(RuntimeError, match=r"Given normalized_shape=\[4\], expected input with shape \[\*, 4\]"):
        F.layer_norm(tt.zeros(2, 3), (4,))


def test_rms_norm_divides_by_the_root_of_the_mean_square():
    x, weight = random(2, 3, 5), random(5, seed=1)
    array = x.detach().numpy()
    expected = array / np.sqrt((array**2).mean(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(F.rms_norm(x, (5,), eps=1e-3).detach().numpy(), expected, rtol=1e-12)
    assert gradcheck(lambda x, w: F.rms_norm(x, (5,), w), [x, weight])


def test_instance_norm_normalises_each_channel_of_each_sample():
    x, weight, bias = random(2, 3, 5), random(3, seed=1), random(3, seed=2)
    y = F.instance_norm(x)
    np.testing.assert_allclose(y.detach().numpy(), by_definition(x.detach().numpy(), 2), rtol=1e-12)
    assert gradcheck(lambda x, w, b: F.instance_norm(x, weight=w, bias=b), [x, weight, bias])


def test_instance_norm_remembers_the_mean_of_the_instances():
    x = tt.tensor([[[0.0, 2.0]], [[4.0, 8.0]]])
    mean, var = tt.zeros(1), tt.zeros(1)
    F.instance_norm(x, mean, var, momentum=0.5)
    assert mean.tolist() == [0.5 * (1 + 6) / 2]
    assert var.tolist() == [0.5 * (2 + 8) / 2]


def test_instance_norm_refuses_a_single_element():
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        F.instance_norm(tt.zeros(2, 3, 1))


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_local_response_norm_divides_by_its_neighbours(size):
    x = random(1, 5, 3)
    array = x.detach().numpy()
    expected = np.empty_like(array)
    for i in range(5):
        window = array[:, max(0, i - size // 2) : i + (size - 1) // 2 + 1]
        expected[:, i] = array[:, i] / (2 + 0.5 / size * (window**2).sum(1)) ** 0.75
    np.testing.assert_allclose(F.local_response_norm(x, size, 0.5, 0.75, 2.0).detach().numpy(), expected, rtol=1e-12)
    assert gradcheck(lambda x: F.local_response_norm(x, size, 0.5, 0.75, 2.0), [x])


def test_a_change_of_the_input_after_batch_norm_is_noticed():
    x = random(3, 2)
    y = x * 1
    z = F.batch_norm(y, None, None, training=True)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation: NativeBatchNormBackward0"):
        z.sum().backward()
