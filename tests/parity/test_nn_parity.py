"""Modules have PyTorch's names, repr, first values, outputs and gradients."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tinytrain as tt  # noqa: E402
from tinytrain import nn  # noqa: E402

from ..nn.layers import LAYERS  # noqa: E402


def build(text: str, namespace: object) -> object:
    return eval(text, dict(vars(namespace)))


@pytest.mark.parametrize(("text", "shape"), LAYERS, ids=[text for text, _ in LAYERS])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_layer_equals_pytorchs_in_repr_first_values_outputs_and_gradients(text, shape, mode):
    torch.manual_seed(7)
    theirs = build(text, torch.nn)
    tt.manual_seed(7)
    ours = build(text, nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[name].numpy(), value.numpy(), err_msg=name)
    if "Dropout" in text and mode == "train":
        return  # which elements are dropped is not PyTorch's
    theirs.train(mode == "train")
    ours.train(mode == "train")
    values = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    x_theirs = torch.tensor(values, requires_grad=True)
    x_ours = tt.tensor(values, requires_grad=True)
    y_theirs, y_ours = theirs(x_theirs * 1), ours(x_ours * 1)
    np.testing.assert_allclose(y_ours.detach().numpy(), y_theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    g = np.random.default_rng(4).normal(size=y_ours.shape).astype(np.float32)
    y_theirs.backward(torch.tensor(g))
    y_ours.backward(tt.tensor(g))
    np.testing.assert_allclose(x_ours.grad.numpy(), x_theirs.grad.numpy(), rtol=1e-3, atol=1e-5)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


LEFT_OUT = {
    "Embedding": {"max_norm", "norm_type", "scale_grad_by_freq", "sparse", "_weight", "_freeze"},
    "Hardtanh": {"min_value", "max_value"},  # deprecated spellings
}
SHARED = sorted(
    name
    for name in dir(nn)
    if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module) and hasattr(torch.nn, name)
)


@pytest.mark.parametrize("name", SHARED)
def test_layer_takes_pytorchs_arguments_with_their_defaults(name):
    ours = inspect.signature(getattr(nn, name)).parameters
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    for argument, parameter in theirs.items():
        if argument in LEFT_OUT.get(name, ()) or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        assert argument in ours, f"{name} lacks {argument}"
        assert ours[argument].default == parameter.default or ours[argument].default == float(parameter.default), (
            argument
        )


INITS = [
    ("uniform_", (5, 4), {"a": -1.0, "b": 2.0}),
    ("normal_", (5, 4), {"mean": 1.0, "std": 2.0}),
    ("normal_", (3, 3), {}),
    ("trunc_normal_", (6, 5), {"std": 0.5, "a": -0.7, "b": 0.9}),
    ("constant_", (3, 4), {"val": 0.3}),
    ("ones_", (3,), {}),
    ("zeros_", (3,), {}),
    ("eye_", (3, 5), {}),
    ("dirac_", (4, 2, 3, 3), {"groups": 2}),
    ("xavier_uniform_", (4, 2, 3, 3), {"gain": 2.0}),
    ("xavier_normal_", (6, 5), {}),
    ("kaiming_uniform_", (4, 2, 3, 3), {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", (4, 2, 3, 3), {"a": 0.1}),
    ("orthogonal_", (4, 6), {"gain": 1.5}),
    ("orthogonal_", (6, 2, 2), {}),
]


@pytest.mark.parametrize(("name", "shape", "options"), INITS)
def test_first_values_are_pytorchs_for_the_same_seed(name, shape, options):
    torch.manual_seed(11)
    theirs = getattr(torch.nn.init, name)(torch.empty(shape), **options)
    tt.manual_seed(11)
    ours = getattr(nn.init, name)(tt.empty(shape), **options)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_gradients_are_clipped_by_norm_as_in_pytorch(norm_type, max_norm):
    values = [np.random.default_rng(i).normal(size=(3, i + 1)).astype(np.float32) for i in range(3)]
    theirs, ours = [torch.zeros(v.shape, requires_grad=True) for v in values], [tt.zeros(v.shape) for v in values]
    for p, q, v in zip(theirs, ours, values, strict=True):
        p.grad, q.grad = torch.tensor(v), tt.tensor(v)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    found = nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-6)
