"""Tensors are made from values, sizes and ranges with PyTorch's types, shapes and errors."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (3, tt.int64, ()),
        (3.5, tt.float32, ()),
        ([True, False], tt.bool, (2,)),
        ([True, 2], tt.int64, (2,)),
        ([1, 2.0], tt.float32, (2,)),
        ([[1, 2], [3, 4]], tt.int64, (2, 2)),
        ([], tt.float32, (0,)),
        ([[], []], tt.float32, (2, 0)),
        (range(3), tt.int64, (3,)),
        (np.float64(3), tt.float64, ()),
        ([np.int8(1), np.int8(2)], tt.int8, (2,)),
        (np.ones((2, 3), np.float16), tt.float16, (2, 3)),
        ([np.array([1, 2]), np.array([3, 4])], tt.int64, (2, 2)),
        ([tt.tensor(1.0), tt.tensor(2)], tt.float32, (2,)),
    ],
)
def test_the_type_of_a_tensor_follows_its_values(data, dtype, shape):
    made = tt.tensor(data)
    assert made.dtype is dtype
    assert made.shape == shape


def test_python_floats_follow_the_default_type():
    try:
        tt.set_default_dtype(tt.float64)
        assert tt.tensor([1.0]).dtype is tt.zeros(2).dtype is tt.rand(2).dtype is tt.float64
    finally:
        tt.set_default_dtype(tt.float32)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: tt.tensor([[1, 2], [3]]), ValueError, r"expected sequence of length 2 at dim 1 \(got 1\)"),
        (lambda: tt.tensor([[1, 2], 3]), TypeError, "not a sequence"),
        (lambda: tt.tensor([1, [2]]), TypeError, "ragged"),
        (lambda: tt.tensor("one"), TypeError, "invalid data type 'str'"),
        (lambda: tt.tensor([None]), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: tt.tensor(2**63), ValueError, "Overflow"),
        (lambda: tt.tensor(1j), TypeError, "complex numbers are not supported"),
        (lambda: tt.tensor([300], dtype=tt.uint8), RuntimeError, "cannot be converted to type uint8 without overflow"),
        (lambda: tt.tensor([1], requires_grad=True), RuntimeError, "floating point"),
        (lambda: tt.tensor([tt.ones(2), tt.ones(2)]), ValueError, "only one element tensors"),
        (lambda: tt.zeros(), TypeError, 'missing 1 required positional arguments: "size"'),
        (lambda: tt.zeros(2, -1), RuntimeError, "negative dimension -1"),
        (lambda: tt.ones(2.0), TypeError, "must be tuple of ints, not float"),
        (lambda: tt.full(2, 3), TypeError, "must be tuple of ints, not int"),
        (lambda: tt.full((2,), [1, 2]), TypeError, "'fill_value' .* must be Number, not list"),
        (lambda: tt.empty(2, colour="red"), TypeError, "colour"),
        (lambda: tt.zeros(2, colour="red"), TypeError, "colour"),
        (lambda: tt.zeros(2, layout="torch.sparse_coo"), NotImplementedError, "strided"),
        (lambda: tt.eye(-1), RuntimeError, "n must be greater or equal to 0, got -1"),
        (lambda: tt.arange(0, 3, 0), RuntimeError, "step must be nonzero"),
        (lambda: tt.arange(3, 1), RuntimeError, "inconsistent with step sign"),
        (lambda: tt.arange(0, float("inf")), RuntimeError, "unsupported range: 0 -> inf"),
        (lambda: tt.linspace(0, 1, -1), RuntimeError, "number of steps must be non-negative"),
        (lambda: tt.linspace(0, 1, 2.0), TypeError, "'steps' must be int"),
        (lambda: tt.from_numpy([1]), TypeError, r"expected np.ndarray \(got list\)"),
        (lambda: tt.from_numpy(np.arange(3)[::-1]), ValueError, "stride in the given numpy array is negative"),
        (lambda: tt.from_numpy(np.arange(3, dtype=np.uint16)), TypeError, "uint16"),
        (lambda: tt.zeros(2, out=tt.zeros(2), dtype=tt.float64), RuntimeError, "does not match dtype of out"),
    ],
)
def test_what_cannot_be_made_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_sizes_come_as_integers_a_tuple_or_by_name():
    assert tt.zeros(2, 3).shape == tt.zeros((2, 3)).shape == tt.ones([2, 3]).shape == tt.rand(size=(2, 3)).shape
    assert tt.zeros(tt.tensor(2), 3).shape == (2, 3)
    assert tt.zeros(()).shape == ()


def test_from_numpy_shares_memory_and_tensor_copies():
    array = np.arange(4.0)
    shared, copied = tt.from_numpy(array), tt.tensor(array)
    array[0] = 7
    assert shared.tolist() == [7, 1, 2, 3]
    assert copied.tolist() == [0, 1, 2, 3]
    assert tt.as_tensor(array).data_ptr() == shared.data_ptr()
    assert tt.as_tensor(array, dtype=tt.float32).dtype is tt.float32
    assert tt.as_tensor(shared) is shared


@pytest.mark.parametrize(
    ("made", "expected", "dtype"),
    [
        (tt.arange(5), [0, 1, 2, 3, 4], tt.int64),
        (tt.arange(1, 2.5, 0.5), [1, 1.5, 2], tt.float32),
        (tt.arange(5, 0, -2), [5, 3, 1], tt.int64),
        (tt.arange(0.0, 3.1, dtype=tt.int64), [0, 1, 2], tt.int64),
        (tt.linspace(0, 1, 5), [0, 0.25, 0.5, 0.75, 1], tt.float32),
        (tt.linspace(0, 10, 5, dtype=tt.int64), [0, 2, 5, 7, 10], tt.int64),
        (tt.linspace(3, 9, 1), [3], tt.float32),
        (tt.linspace(0, 1, 0), [], tt.float32),
        (tt.logspace(0, 2, 3), [1, 10, 100], tt.float32),
        (tt.eye(2, 3), [[1, 0, 0], [0, 1, 0]], tt.float32),
        (tt.full((2,), 3), [3, 3], tt.int64),
        (tt.full((2,), True), [True, True], tt.bool),
        (tt.full_like(tt.zeros(2, dtype=tt.int32), 3), [3, 3], tt.int32),
        (tt.ones_like(tt.zeros(2), dtype=tt.int64), [1, 1], tt.int64),
        (tt.zeros(2, dtype=tt.float64).new_tensor([1, 2]), [1, 2], tt.float64),
    ],
)
def test_ranges_and_fills(made, expected, dtype):
    assert made.tolist() == expected
    assert made.dtype is dtype


def test_out_receives_the_result_and_takes_its_size():
    out = tt.ones(3)
    assert tt.zeros(2, out=out) is out
    assert out.tolist() == [0, 0]


def test_seeded_draws_are_those_torch_prints():
    tt.manual_seed(0)
    assert repr(tt.rand(2)) == "tensor([0.4963, 0.7682])"
    tt.manual_seed(0)
    assert repr(tt.randn(3)) == "tensor([ 1.5410, -0.2934, -2.1788])"
    generator = tt.Generator().manual_seed(0)
    assert tt.randint(0, 10, (6,), generator=generator).tolist() == [4, 9, 3, 0, 3, 9]


@pytest.mark.parametrize(
    ("draw", "error", "text"),
    [
        (lambda: tt.zeros(2).uniform_(2, 1), RuntimeError, "found from=2 > to=1"),
        (lambda: tt.zeros(2).normal_(0, -1), RuntimeError, "found std -1"),
        (lambda: tt.zeros(2).bernoulli_(2), RuntimeError, r"p to be in \[0, 1\], but got p=2"),
        (lambda: tt.zeros(2).exponential_(0), RuntimeError, "lambda > 0.0"),
        (lambda: tt.zeros(2, dtype=tt.int64).uniform_(), NotImplementedError, "int64"),
        (lambda: tt.rand(2, dtype=tt.int64), NotImplementedError, "int64"),
        (lambda: tt.randint(3, 3, (2,)), RuntimeError, "from=3 >= to=3"),
        (lambda: tt.randint(300, (2,), dtype=tt.uint8), RuntimeError, "to - 1 is out of bounds for uint8: 299"),
        (lambda: tt.randint(5, 2), TypeError, "'size' must be tuple of ints"),
        (lambda: tt.randperm(-1), RuntimeError, "negative dimension -1"),
        (lambda: tt.multinomial(tt.ones(2), 3), RuntimeError, "without replacement: 3 > 2"),
        (lambda: tt.multinomial(-tt.ones(2), 1), RuntimeError, "element < 0"),
        (lambda: tt.multinomial(tt.zeros(2), 1), RuntimeError, "sum of probabilities <= 0"),
        (lambda: tt.bernoulli(tt.tensor([2.0])), RuntimeError, r"outside \[0, 1\]"),
        (lambda: tt.normal(0.0, 1.0), TypeError, "`size`"),
        (lambda: tt.ones(2, requires_grad=True).uniform_(), RuntimeError, "leaf Variable that requires grad"),
    ],
)
def test_draws_that_make_no_sense_are_refused(draw, error, text):
    with pytest.raises(error, match=text):
        draw()


def test_a_refilled_tensor_sends_no_gradient_to_its_old_values():
    leaf = tt.ones(3, requires_grad=True)
    changed = leaf * 2
    changed.normal_()
    changed.sum().backward()
    assert leaf.grad.tolist() == [0, 0, 0]


def test_draws_have_the_moments_they_are_asked_for():
    generator = tt.Generator().manual_seed(1)
    numbers = tt.normal(3.0, 2.0, (20_000,), generator=generator)
    assert abs(numbers.mean().item() - 3) < 0.05
    assert abs(numbers.std().item() - 2) < 0.05
    assert abs(tt.zeros(20_000).exponential_(4, generator=generator).mean().item() - 0.25) < 0.01
    assert abs(tt.zeros(20_000).bernoulli_(0.3, generator=generator).mean().item() - 0.3) < 0.01
