"""The tape: accumulation, freeing, version checks, hooks, switches, leaf rules."""

from __future__ import annotations

import gc
import weakref

import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.autograd import gradcheck


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(list(values), requires_grad=True)


def test_gradients_of_all_uses_of_a_value_are_added():
    x = leaf(2.0, 3.0)
    (x * x + 5 * x).sum().backward()
    assert x.grad.tolist() == [9.0, 11.0]


def test_a_second_backward_adds_to_the_gradient():
    x = leaf(1.0)
    (3 * x).sum().backward()
    (4 * x).sum().backward()
    assert x.grad.tolist() == [7.0]


def test_backward_of_more_than_one_element_needs_a_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="implicitly created only for scalar outputs"):
        (x * 2).backward()
    (x * 2).backward(tt.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 20.0]


def test_a_gradient_of_another_shape_is_refused():
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (leaf(1.0, 2.0) * 2).backward(tt.ones(3))


def test_a_graph_that_holds_values_is_freed_by_backward():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


def test_retain_graph_keeps_it():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0]


def test_changing_a_value_that_backward_needs_is_an_error():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_changing_an_operand_that_backward_needs_is_an_error():
    x, w = leaf(1.0, 2.0), tt.tensor([3.0, 4.0])
    y = x * w
    w.mul_(2)
    with pytest.raises(RuntimeError, match="expected version 0, found version 1"):
        y.sum().backward()


def test_changing_a_value_that_backward_does_not_need_is_none():
    x = leaf(1.0, 2.0)
    y = x + 1
    y.mul_(3)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_leaf_that_requires_gradients_cannot_be_changed_in_place():
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.add_(1)
    with tt.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0]


def test_nothing_is_recorded_inside_no_grad():
    x = leaf(1.0)
    with tt.no_grad():
        y = x * 2
        with tt.enable_grad():
            z = x * 2
    assert not y.requires_grad
    assert z.requires_grad
    assert (x * 2).requires_grad


def test_no_grad_decorates_with_and_without_parentheses():
    x = leaf(1.0)

    @tt.no_grad()
    def first() -> tt.Tensor:
        return x * 2

    @tt.no_grad
    def second() -> tt.Tensor:
        return x * 2

    assert not first().requires_grad
    assert not second().requires_grad


def test_a_hook_sees_the_gradient_and_may_replace_it():
    x = leaf(1.0, 1.0)
    seen = []
    handle = x.register_hook(lambda g: (seen.append(g.tolist()), g * 10)[1])
    (x * 2).sum().backward()
    assert seen == [[2.0, 2.0]]
    assert x.grad.tolist() == [20.0, 20.0]
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("is_leaf", [True, False], ids=["leaf", "result"])
@pytest.mark.parametrize(
    ("hook", "error", "message"),
    [
        (lambda g: g[:1], RuntimeError, r"has changed the size of value: was \[2\], got \[1\]"),
        (lambda g: g.double(), RuntimeError, "has changed the type of value: was float32, got float64"),
        (lambda g: 1.0, TypeError, "hook '<lambda>': expected to return a Tensor or None, got float"),
    ],
    ids=["size", "type", "kind"],
)
def test_a_hook_must_return_a_gradient_like_the_one_it_saw(is_leaf, hook, error, message):
    x = leaf(1.0, 1.0)
    y = x * 2
    (x if is_leaf else y).register_hook(hook)
    with pytest.raises(error, match=message):
        y.sum().backward()
    assert x.grad is None


def test_a_hook_on_a_result_changes_what_flows_on():
    x = leaf(1.0)
    y = x * 2
    y.register_hook(lambda g: g * 100)
    y.sum().backward()
    assert x.grad.tolist() == [200.0]


def test_retain_grad_keeps_the_gradient_of_a_result():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    (y * 3).sum().backward()
    assert y.grad.tolist() == [3.0]


def test_the_gradient_that_is_kept_is_that_of_the_latest_values():
    x = leaf(1.0, 1.0)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * tt.tensor([1.0, 2.0])).sum().backward()
    assert y.grad.tolist() == [1.0, 2.0]
    assert x.grad.tolist() == [6.0, 12.0]


def test_the_gradients_of_a_view_and_its_base_are_kept_through_a_change():
    x = tt.ones(2, 2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    row = y[0]
    row.retain_grad()
    row.mul_(3)
    (y.sum() + (row * 5).sum()).backward()
    assert row.grad.tolist() == [5.0, 5.0]
    assert y.grad.tolist() == [[6.0, 6.0], [1.0, 1.0]]
    assert x.grad.tolist() == [[36.0, 36.0], [2.0, 2.0]]


def test_the_gradient_that_is_kept_is_that_after_all_hooks():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.grad.tolist() == [10.0]


def test_a_kept_gradient_does_not_keep_its_tensor():
    gc.disable()
    try:
        y = leaf(1.0) * 2
        y.retain_grad()
        gone = weakref.ref(y)
        del y
        assert gone() is None
    finally:
        gc.enable()


def test_a_hook_of_a_result_finds_the_gradients_that_are_whole_already():
    x, w, b = leaf(2.0), leaf(3.0), leaf(1.0)
    y = x * b
    seen = []
    y.register_hook(lambda g: seen.append([each.grad is not None and each.grad.tolist() for each in (x, w, b)]))
    (y * w + b).sum().backward()
    assert seen == [[False, [2.0], False]]  # a use of b is still to come
    assert (x.grad.tolist(), b.grad.tolist()) == ([3.0], [7.0])


def test_a_hook_that_raises_leaves_the_gradients_that_were_whole():
    x, w = leaf(2.0), leaf(3.0)
    y = x * 2

    def refuse(g: tt.Tensor) -> None:
        raise KeyError

    y.register_hook(refuse)
    with pytest.raises(KeyError):
        (y * w).sum().backward()
    assert w.grad.tolist() == [4.0]
    assert x.grad is None


def test_a_post_accumulate_hook_is_called_once_the_gradient_is_whole():
    x = leaf(1.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 2 + x * 3).sum().backward()
    assert seen == [[5.0]]


def test_detach_cuts_the_tape_and_shares_the_memory():
    x = leaf(1.0)
    y = x.detach()
    assert not y.requires_grad
    y.fill_(5)
    assert x.tolist() == [5.0]


def test_grad_returns_gradients_and_leaves_grad_alone():
    x, y = leaf(2.0), leaf(3.0)
    dx, dy = tt.autograd.grad((x * y).sum(), [x, y])
    assert (dx.tolist(), dy.tolist()) == ([3.0], [2.0])
    assert x.grad is None


def test_grad_leaves_what_is_below_its_inputs_for_another_walk():
    x = leaf(1.0)
    h = x * x
    loss = (h * h).sum()
    (g,) = tt.autograd.grad(loss, h)
    h.backward(g)
    assert x.grad.tolist() == [4.0]


@pytest.mark.parametrize("is_filled", [True, False])
def test_a_walk_to_some_inputs_passes_by_what_does_not_lead_there(is_filled):
    x, y = leaf(2.0), leaf(3.0)
    aside = y.exp()
    aside.register_hook(lambda g: pytest.fail("called"))
    loss = (x * 3 + aside * 2).sum()
    kept = aside * aside
    aside.add_(1)  # exp needs its result, and is not asked
    if is_filled:
        loss.backward(inputs=[x])
        assert x.grad.tolist() == [3.0]
    else:
        assert tt.autograd.grad(loss, [x])[0].tolist() == [3.0]
        assert x.grad is None
    assert kept.requires_grad
    assert y.grad is None


def test_grad_runs_the_hooks_of_a_leaf_and_fills_nothing():
    x = leaf(1.0)
    x.register_hook(lambda g: g * 2)
    x.register_post_accumulate_grad_hook(lambda p: pytest.fail("called"))
    assert tt.autograd.grad((x * 3).sum(), [x])[0].tolist() == [6.0]
    assert x.grad is None


def test_grad_is_that_after_the_hooks_where_the_walk_ends_and_before_them_where_it_goes_on():
    """So it is in PyTorch."""
    x = leaf(1.0)
    h = x * 2
    h.register_hook(lambda g: g * 10)
    loss = (h * 3).sum()
    assert tt.autograd.grad(loss, [h], retain_graph=True)[0].tolist() == [30.0]
    assert [g.tolist() for g in tt.autograd.grad(loss, [h, x])] == [[3.0], [60.0]]


def test_the_gradient_of_a_result_can_be_filled():
    x = leaf(1.0)
    h = x * 2
    (h * 3).sum().backward(inputs=[h])
    assert h.grad.tolist() == [3.0]
    assert x.grad is None


def test_a_walk_to_no_inputs_is_refused():
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="grad: `inputs` cannot be empty"):
        tt.autograd.grad((x * 2).sum(), [])
    with pytest.raises(RuntimeError, match="backward: `inputs` cannot be empty"):
        (x * 2).sum().backward(inputs=[])


def test_grad_of_an_unused_input_is_an_error_unless_allowed():
    x, y = leaf(2.0), leaf(3.0)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        tt.autograd.grad((x * 2).sum(), [x, y])
    assert tt.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)[1] is None


def test_backward_can_be_limited_to_some_leaves():
    x, y = leaf(2.0), leaf(3.0)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.tolist() == [3.0]
    assert y.grad is None


def test_integers_cannot_require_gradients():
    with pytest.raises(RuntimeError, match="floating point"):
        tt.tensor([1, 2]).requires_grad_()


def test_gradients_have_the_type_of_their_leaf():
    x = leaf(1.0, 2.0)
    (x * tt.tensor([1.0, 2.0], dtype=tt.float64)).sum().backward()
    assert x.grad.dtype is tt.float32


def test_a_long_chain_needs_no_deep_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(5000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1.0]


def test_gradcheck_finds_a_wrong_rule():
    from tinytrain.recording import record

    def wrong(t: tt.Tensor) -> tt.Tensor:
        return record(t.array**2, "Wrong", (t,), (lambda g: 3 * g * t.array,))

    x = tt.tensor([1.0, 2.0], dtype=tt.float64, requires_grad=True)
    assert gradcheck(lambda t: t * t, (x,))
    with pytest.raises(RuntimeError, match="input 0, element"):
        gradcheck(wrong, (x,))


def test_a_result_behaves_as_contiguous_whatever_its_memory_order():
    x = tt.randn(2, 3, 4, 5)
    y = tt.nn.functional.conv2d(x, tt.randn(6, 3, 1, 1))
    assert y.is_contiguous()
    flat = y.view(2, -1)
    flat[0, 0] = 7.0
    assert y[0, 0, 0, 0].item() == 7.0
    assert y.stride() == (120, 20, 5, 1)


def test_a_parameter_goes_at_once_when_nobody_holds_it():
    gc.disable()
    try:
        layer = nn.Linear(3, 2)
        for _ in range(2):
            layer(tt.ones(1, 3)).sum().backward()
        gone = weakref.ref(layer.weight)
        del layer
        assert gone() is None
    finally:
        gc.enable()
