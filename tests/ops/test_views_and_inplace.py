"""Views share memory and gradients with their base, and changes in place are recorded or refused, as in PyTorch."""

from __future__ import annotations

import pytest

import tinytrain as tt


def leaf(*values):
    return tt.tensor(values, dtype=tt.float64, requires_grad=True)


def test_a_view_writes_into_its_base():
    x = tt.zeros(2, 3)
    x[1].add_(5)
    assert x.tolist() == [[0, 0, 0], [5, 5, 5]]
    assert x[1]._base is x


def test_writing_an_item_cuts_its_gradient():
    x = leaf([1, 2], [3, 4], [5, 6])
    y = x * 2
    y[0] = 5
    v = y[1]
    v.mul_(3)
    y.sum().backward()
    assert y.tolist() == [[5, 5], [18, 24], [10, 12]]
    assert x.grad.tolist() == [[0, 0], [6, 6], [2, 2]]


def test_a_change_of_the_base_reaches_views_made_before():
    x = leaf(1, 2, 3, 4)
    y = x * 1
    v = y.view(2, 2)
    y.mul_(3)
    (v * v).sum().backward()
    assert v.tolist() == [[3, 6], [9, 12]]
    assert x.grad.tolist() == [18, 36, 54, 72]  # d(3x)²/dx = 18x


def test_a_change_of_the_base_reaches_expanded_views_made_before():
    x = leaf(1, 2)
    y = x * 1
    v = y.expand(3, 2)
    y.mul_(5)
    v.sum().backward()
    assert x.grad.tolist() == [15, 15]


def test_a_view_of_a_view_changes_the_base():
    x = leaf(1, 2, 3)
    y = x * 1
    v = y[:2]
    w = v[:1]
    w.mul_(5)
    v.add_(1)
    y.sum().backward()
    assert y.tolist() == [6, 3, 3]
    assert x.grad.tolist() == [5, 1, 1]


def test_a_transposed_view_of_a_reshaped_one_changes_the_base():
    x = leaf(1, 2, 3, 4, 5, 6)
    y = x * 1
    y.view(2, 3).t()[0].mul_(10)
    y.sum().backward()
    assert y.tolist() == [10, 2, 3, 40, 5, 6]
    assert x.grad.tolist() == [10, 1, 1, 10, 1, 1]


def test_one_part_can_be_changed_by_another():
    x = leaf(1, 2, 3, 4)
    y = x * 1
    y[:2].add_(y[2:])
    y.sum().backward()
    assert y.tolist() == [4, 6, 3, 4]
    assert x.grad.tolist() == [1, 1, 2, 2]


def test_parts_of_one_memory_count_their_changes_together():
    """The product needs the second part, whose memory its own result is written to."""
    y = leaf(1, 2, 3, 4) * 1
    y[:2].mul_(y[2:])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_constant_becomes_part_of_the_graph_by_what_is_written_into_it():
    a = leaf(1, 1)
    b = tt.zeros(2, 2, dtype=tt.float64)
    row = b[0]
    row.copy_(a * 3)
    assert b.requires_grad
    assert not b.is_leaf
    assert row.requires_grad
    b.sum().backward()
    assert a.grad.tolist() == [3, 3]


def test_accumulating_in_place_adds_up_gradients():
    a = leaf(2, 3)
    b = tt.zeros(2, dtype=tt.float64)
    b += a
    b *= a
    b.sum().backward()
    assert a.grad.tolist() == [4, 6]


def test_a_leaf_that_requires_grad_refuses_changes():
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.mul_(2)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[0] = 7
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[:1].mul_(2)
    assert x.tolist() == [1, 2]


def test_a_leaf_may_be_changed_without_recording():
    x = leaf(1, 2)
    with tt.no_grad():
        x.mul_(3)
        x[0] = 7
    (x * x).sum().backward()
    assert x.grad.tolist() == [14, 12]


def test_a_changed_value_that_backward_needs_is_an_error():
    x = leaf(1, 2)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="MulBackward0 expected version 0, found version 1"):
        z.sum().backward()


def test_a_changed_value_that_backward_does_not_need_is_no_error():
    x = leaf(1, 2)
    y = x * 2
    z = y + 1
    w = y * 5
    y.add_(1)
    (z + w).sum().backward()
    assert x.grad.tolist() == [12, 12]


def test_a_change_through_a_view_counts_as_a_change_of_the_base():
    x = leaf(1, 2)
    y = x * 2
    z = y * y
    y[0].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_a_change_through_detach_is_seen_and_one_through_data_is_not():
    x = leaf(1, 2)
    y = x * 2
    z = y * y
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    z = x * x
    x.data.mul_(5)
    z.sum().backward()
    assert x.tolist() == [5, 10]


def test_detach_shares_memory_but_no_history():
    x = leaf(1, 2)
    y = x * 2
    d = y.detach()
    d.mul_(10)
    assert y.tolist() == [20, 40]
    assert not d.requires_grad
    assert y._version == d._version == 1


def test_an_expanded_tensor_refuses_writes_and_its_rows_take_them():
    x = tt.ones(1, 3)
    v = x.expand(2, 3)
    with pytest.raises(RuntimeError, match="share a single memory location"):
        v.mul_(2)
    v[0].mul_(2)
    assert x.tolist() == [[2, 2, 2]]
    x.expand(1, 3).mul_(2)
    assert x.tolist() == [[4, 4, 4]]


def test_a_view_made_without_recording_refuses_a_recorded_change():
    y = leaf(1, 2) * 1
    with tt.no_grad():
        v = y[:1]
        v.mul_(2)
    with pytest.raises(RuntimeError, match="view was created in no_grad mode"):
        v.mul_(2)


def test_a_change_keeps_shape_and_kind():
    x = tt.ones(2, dtype=tt.int64)
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        x.add_(1.5)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(tt.ones(3, 2, dtype=tt.int64))
    assert x.tolist() == [1, 1]


def test_overlapping_views_add_up_their_gradients():
    x = leaf(1, 2, 3, 4)
    (x * 1).unfold(0, 3, 1).sum().backward()
    assert x.grad.tolist() == [1, 2, 2, 1]
    x.grad = None
    (x * 1).as_strided((2, 2), (1, 1)).sum().backward()
    assert x.grad.tolist() == [1, 2, 1, 0]


def test_a_diagonal_changes_its_matrix():
    x = leaf([1, 2], [3, 4])
    y = x * 1
    y.diagonal().mul_(3)
    y.sum().backward()
    assert y.tolist() == [[3, 2], [3, 12]]
    assert x.grad.tolist() == [[3, 1], [1, 3]]


def test_shapes_change_in_place_and_on_the_tape():
    x = leaf(1, 2, 3)
    y = x * 1
    same = y.unsqueeze_(0)
    assert same is y
    assert y.shape == (1, 3)
    y.t_().mul_(2)
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.unsqueeze_(0)


@pytest.mark.parametrize("is_written_first", [False, True])
def test_a_view_made_before_its_base_took_another_shape_still_changes_it(is_written_first):
    x = leaf(1, 2)
    y = x * 1
    v = y[0]
    if is_written_first:
        v.mul_(3)
    y.unsqueeze_(0)
    if not is_written_first:
        v.mul_(3)
    (v * 2 + (y * tt.tensor([[1.0, 2.0]])).sum()).backward()
    assert y.tolist() == [[3, 2]]
    assert x.grad.tolist() == [9, 2]  # v = 3x0: d(2v + v + 2x1)


@pytest.mark.parametrize(
    ("change", "weights"),
    [
        (lambda y: y.unsqueeze_(0), [[[1, 2, 3], [4, 5, 6]]]),
        (lambda y: y.t_(), [[1, 4], [2, 5], [3, 6]]),
        (lambda y: y.unsqueeze_(1).transpose_(0, 2).squeeze_(1), [[1, 4], [2, 5], [3, 6]]),
    ],
    ids=["unsqueeze", "t", "several"],
)
def test_what_was_written_before_a_change_of_shape_keeps_its_place(change, weights):
    x = leaf([1, 2, 3], [4, 5, 6])
    y = x * 1
    column = y[:, 2]
    y[0, 1] = 5
    change(y)
    column.mul_(10)
    (y * tt.tensor(weights)).sum().backward()
    assert x.grad.tolist() == [[1, 0, 30], [4, 5, 60]]


def test_a_view_cannot_be_detached_in_place():
    y = leaf(1, 2) * 1
    with pytest.raises(RuntimeError, match="can't detach views in-place"):
        y[:1].detach_()


def test_numpy_shares_the_memory():
    x = tt.arange(4.0)
    x.numpy()[0] = 9
    assert x.tolist() == [9, 1, 2, 3]


def test_iteration_gives_views():
    x = tt.arange(6.0).view(2, 3)
    for row in x:
        row.mul_(2)
    assert x.tolist() == [[0, 2, 4], [6, 8, 10]]


def test_a_result_in_another_memory_order_is_shared_as_people_see_it():
    """A transposed result lies column by column in memory; its views and strides must not show that."""
    x = tt.arange(6.0).view(2, 3).t() * 1
    assert x.is_contiguous()
    v = x.view(6)
    v[1] = 100
    assert x.stride() == (2, 1)
    assert x.tolist() == [[0, 100], [1, 4], [2, 5]]


def test_a_number_is_copied_to_every_element():
    assert tt.zeros(2).copy_(3.5).tolist() == [3.5, 3.5]
    assert tt.zeros(2, dtype=tt.int64).copy_(3.5).tolist() == [3, 3]
    assert tt.zeros(2, dtype=tt.uint8).copy_(300).tolist() == [44, 44]
