"""Modules: ownership, state, modes, hooks, repr."""

from __future__ import annotations

import copy
import pickle
from collections import namedtuple

import pytest

import tinytrain as tt
from tinytrain import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 3)

    def forward(self, x: tt.Tensor) -> tt.Tensor:
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


NAMES = ["conv.weight", "conv.bias", "norm.weight", "norm.bias", "head.weight", "head.bias"]


def test_parameters_are_found_under_their_dotted_names():
    assert [name for name, _ in Net().named_parameters()] == NAMES


def test_buffers_are_saved_but_not_trained():
    net = Net()
    assert [name for name, _ in net.named_buffers()] == [
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    ]
    assert "norm.running_mean" in net.state_dict()


def test_a_transient_buffer_is_not_saved():
    net = nn.Module()
    net.register_buffer("table", tt.ones(2), persistent=False)
    assert not net.state_dict()
    assert net.table.tolist() == [1.0, 1.0]


def test_loading_lists_everything_that_does_not_fit():
    net, state = Net(), Net().state_dict()
    del state["head.bias"]
    state["extra"] = tt.ones(1)
    state["conv.weight"] = tt.ones(5)
    before = net.head.weight.tolist()
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    for part in ("'extra'", "'head.bias'", "size mismatch for conv.weight", "torch.Size([5])"):
        assert part in str(error.value)
    assert net.head.weight.tolist() == before


def test_loading_without_strict_reports_the_names_left_over():
    net, state = Net(), Net().state_dict()
    del state["head.bias"]
    state["extra"] = tt.ones(1)
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["head.bias"]
    assert result.unexpected_keys == ["extra"]
    assert str(net.load_state_dict(Net().state_dict())) == "<All keys matched successfully>"


def test_loaded_weights_give_the_same_output():
    x = tt.randn(4, 1, 8, 8)
    a, b = Net().eval(), Net().eval()
    b.load_state_dict(a.state_dict())
    assert tt.equal(a(x), b(x))


def test_train_and_eval_reach_every_module():
    net = Net().eval()
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())


def test_to_changes_floats_and_keeps_integers_and_parameter_objects():
    net = Net()
    weight = net.conv.weight
    net.to(tt.float64)
    assert net.conv.weight is weight
    assert weight.dtype is tt.float64
    assert net.norm.num_batches_tracked.dtype is tt.int64


def test_assigning_before_init_is_an_error_that_says_so():
    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()


def test_an_unknown_attribute_names_the_class():
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'tail'"):
        _ = Net().tail


def test_forward_hooks_see_and_replace_arguments_and_output():
    layer = nn.Linear(2, 2)
    layer.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    handle = layer.register_forward_hook(lambda module, args, output: output + 1)
    expected = [bias + 1 for bias in layer.bias.tolist()]
    assert layer(tt.ones(1, 2)).tolist()[0] == pytest.approx(expected)
    handle.remove()
    assert layer(tt.ones(1, 2)).tolist()[0] == pytest.approx(layer.bias.tolist())


def test_a_backward_hook_sees_both_gradients_and_may_replace_the_inputs():
    layer = nn.Linear(1, 1, bias=False)
    with tt.no_grad():
        layer.weight.fill_(3)
    seen = []

    def hook(module, grad_input, grad_output):
        seen.append((grad_input[0].tolist(), grad_output[0].tolist()))
        return (grad_input[0] * 10,)

    layer.register_full_backward_hook(hook)
    x = tt.ones(1, 1, requires_grad=True)
    layer(x).backward()
    assert seen == [([[3.0]], [[1.0]])]
    assert x.grad.tolist() == [[30.0]]


def test_a_backward_hook_is_called_where_no_input_requires_gradients():
    layer = nn.Linear(2, 1)
    seen = []
    layer.register_full_backward_hook(lambda module, *grads: seen.append(grads))
    layer(tt.ones(1, 2)).backward()
    ((grad_input, (grad_output,)),) = seen
    assert grad_input == (None,)
    assert grad_output.tolist() == [[1.0]]
    assert layer.weight.grad.tolist() == [[1.0, 1.0]]
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: grad_output)
    with pytest.raises(RuntimeError, match="backward hook of Linear: no input requires gradients"):
        layer(tt.ones(1, 2)).backward()


@pytest.mark.parametrize(
    ("hook", "error", "message"),
    [
        (lambda m, grads, _: (*grads, *grads), RuntimeError, "returned 2 gradients for 1"),
        (lambda m, grads, _: (grads[0].double(),), RuntimeError, "has changed the type of value"),
        (lambda m, grads, _: (grads[0][:, :1],), RuntimeError, "has changed the size of value"),
        (lambda m, grads, _: 1.0, TypeError, "expected to return a Tensor or None, got float"),
    ],
    ids=["number", "type", "size", "kind"],
)
@pytest.mark.parametrize("is_pre", [False, True], ids=["of the inputs", "of the outputs"])
def test_a_backward_hook_must_return_gradients_like_those_it_saw(is_pre, hook, error, message):
    layer = nn.Linear(2, 2)
    if is_pre:
        layer.register_full_backward_pre_hook(lambda module, grads: hook(module, grads, None))
    else:
        layer.register_full_backward_hook(hook)
    with pytest.raises(error, match=message):
        layer(tt.ones(1, 2, requires_grad=True)).sum().backward()


def test_a_backward_hook_finds_the_gradients_that_are_whole_already():
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    seen = []
    first.register_full_backward_hook(lambda *_: seen.append(second.weight.grad is not None))
    second(first(tt.ones(1, 1, requires_grad=True))).backward()
    assert seen == [True]


class Several(nn.Module):
    """Two results in whatever `make` makes of them."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x * 2, x * 3)


def test_backward_hooks_see_the_results_in_a_tuple_and_pass_by_other_containers():
    seen = []
    pair = namedtuple("pair", "a b")
    for make in (lambda a, b: (a, b), pair, lambda a, b: {"a": a, "b": [b]}):
        net = Several(make)
        net.register_full_backward_hook(lambda module, grad_input, grad_output: seen.append(grad_output))
        x = tt.ones(1, requires_grad=True)
        out = net(x)
        a, b = (out["a"], out["b"][0]) if isinstance(out, dict) else out
        (a + b * 10).backward()
        assert x.grad.tolist() == [32.0]
        assert isinstance(out, type(make(x, x)))
    assert [[g.tolist() for g in grads] for grads in seen] == [[[1.0], [10.0]]] * 2


def test_a_deep_copy_shares_nothing():
    net = Net()
    twin = copy.deepcopy(net)
    with tt.no_grad():
        twin.conv.weight.zero_()
    assert net.conv.weight.abs().sum().item() > 0
    assert [name for name, _ in twin.named_parameters()] == NAMES


def test_a_deep_copy_of_a_parameter_has_no_gradient_and_that_of_a_tensor_has():
    layer, x = nn.Linear(1, 1), tt.ones(1, 1, requires_grad=True)
    layer(x).backward()
    assert copy.deepcopy(layer).weight.grad is None
    assert copy.deepcopy(layer.weight).grad is None
    twin = copy.deepcopy(x)
    assert twin.grad.tolist() == x.grad.tolist()
    assert twin.grad is not x.grad


def test_a_module_survives_pickling():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU())
    twin = pickle.loads(pickle.dumps(net))
    for (name, a), b in zip(net.state_dict().items(), twin.state_dict().values(), strict=True):
        assert tt.equal(a, b), name


def test_repr_nests():
    assert repr(nn.Sequential(nn.Linear(1, 2), nn.ReLU())) == (
        "Sequential(\n  (0): Linear(in_features=1, out_features=2, bias=True)\n  (1): ReLU()\n)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 4}, r"Conv2d: `in_channels` \(=6\) must be divisible by `groups` \(=4\)"),
        ({"groups": 3}, r"Conv2d: `out_channels` \(=8\) must be divisible by `groups` \(=3\)"),
        (
            {"padding": "same", "stride": 2},
            r"padding='same' is not supported .* `stride` is \(2, 2\)",
        ),
        ({"padding": "full"}, r"`padding` must be 'same', 'valid' or integers; got 'full'"),
        (
            {"padding_mode": "mirror"},
            r"`padding_mode` must be one of zeros, .*; got 'mirror'",
        ),
    ],
)
def test_conv2d_refuses_and_names_argument_and_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        nn.Conv2d(6, 8, 3, **arguments)


def test_conv2d_refuses_a_kernel_larger_than_the_padded_input():
    with pytest.raises(RuntimeError, match=r"5.*3|3.*5"):
        nn.Conv2d(1, 1, 5)(tt.ones(1, 1, 3, 3))


def test_depthwise_separable_has_the_parameters_of_its_two_convolutions():
    layer = nn.DepthwiseSeparableConv2d(8, 16, 3, padding=1, bias=False)
    assert sum(p.numel() for p in layer.parameters()) == 8 * 9 + 8 * 16
    assert layer(tt.randn(2, 8, 5, 5)).shape == (2, 16, 5, 5)


def test_a_layer_without_inputs_has_an_empty_weight():
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        layer = nn.Linear(0, 3)
    assert layer(tt.ones(2, 0)).tolist() == [[0, 0, 0], [0, 0, 0]]
    with pytest.warns(UserWarning, match="zero-element"):
        assert nn.init.kaiming_normal_(tt.empty(3, 0)).shape == (3, 0)
