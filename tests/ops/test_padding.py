"""Padding adds, mirrors, repeats and wraps as PyTorch does, and cuts where numbers are negative."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.ops.padding import pad


def row(*values):
    return tt.tensor([[values]], dtype=tt.float32)


@pytest.mark.parametrize(
    ("mode", "amounts", "expected"),
    [
        ("constant", (2, 1), [0, 0, 1, 2, 3, 4, 0]),
        ("constant", (-1, 2), [2, 3, 4, 0, 0]),
        ("reflect", (3, 2), [4, 3, 2, 1, 2, 3, 4, 3, 2]),
        ("reflect", (1, -1), [2, 1, 2, 3]),
        ("reflect", (-1, 3), [2, 3, 4, 3, 2, 1]),
        ("replicate", (2, 1), [1, 1, 1, 2, 3, 4, 4]),
        ("replicate", (3, -2), [1, 1, 1, 1, 2]),
        ("circular", (4, 1), [1, 2, 3, 4, 1, 2, 3, 4, 1]),
        ("circular", (2, -1), [2, 3, 1, 2, 3]),
    ],
)
def test_modes_fill_the_ends(mode, amounts, expected):
    assert pad(row(1, 2, 3, 4), amounts, mode).tolist() == [[expected]]


def test_the_first_pair_is_for_the_last_dimension():
    x = tt.ones(1, 2)
    assert pad(x, (0, 1, 2, 0), value=7).tolist() == [[7, 7, 7], [7, 7, 7], [1, 1, 7]]


def test_dimensions_may_be_cut_to_nothing():
    assert pad(tt.ones(3, 4), (-2, -2)).shape == (3, 0)


def test_the_constant_takes_the_type_of_the_tensor():
    assert pad(tt.tensor([1, 2]), (1, 0), value=1.5).tolist() == [1, 1, 2]
    assert pad(tt.tensor([False]), (1, 0), value=1).tolist() == [True, False]


def test_reflection_in_two_dimensions_reflects_the_corners():
    x = tt.arange(6.0).reshape(1, 1, 2, 3)
    expected = [[4, 3, 4, 5, 4], [1, 0, 1, 2, 1], [4, 3, 4, 5, 4], [1, 0, 1, 2, 1]]
    assert pad(x, (1, 1, 1, 1), "reflect").tolist() == [[expected]]


@pytest.mark.parametrize("dtype", [tt.int64, tt.uint8, tt.float16])
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_every_mode_keeps_the_type(mode, dtype):
    y = pad(tt.tensor([[[200, 100]]]).to(dtype), (0, 1), mode)
    assert y.dtype is dtype
    assert y[0, 0, 0].item() == 200


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    ("shape", "amounts"),
    [
        ((1, 2, 5), (2, 3)),
        ((3, 4, 3), (1, 2, -1, 2)),
        ((2, 1, 3, 4), (3, 0, 2, 1)),
        ((1, 2, 3, 4, 3), (1, 2, 0, 3, 2, 1)),
    ],
)
def test_gradients_agree_with_central_differences(mode, shape, amounts):
    x = tt.from_numpy(np.random.default_rng(0).standard_normal(shape)).requires_grad_()
    assert gradcheck(lambda x: pad(x, amounts, mode), [x])


def test_padding_keeps_the_memory_order():
    x = tt.from_numpy(np.moveaxis(np.zeros((2, 5, 4, 3)), -1, 1))
    for mode in ("constant", "reflect", "replicate", "circular"):
        assert np.moveaxis(pad(x, (1, 1, 1, 1), mode).array, 1, -1).flags.c_contiguous


@pytest.mark.parametrize(
    ("kind", "message", "shape", "arguments"),
    [
        (RuntimeError, r"must hold two ints a dimension; got 1", (3, 4), [(1,)]),
        (RuntimeError, r"names more dimensions than a shape \[3, 4\] has", (3, 4), [(1,) * 6]),
        (RuntimeError, r"takes more elements than shape \[3, 4\] has", (3, 4), [(-2, -3)]),
        (TypeError, r"must be a tuple of ints; got 'x'", (3, 4), ["x"]),
        (TypeError, r"must be a tuple of ints; got \(1.5, 1\)", (3, 4), [(1.5, 1)]),
        (
            NotImplementedError,
            r"must be constant, reflect, replicate, circular; got 'mirror'",
            (3, 4),
            [(1, 1), "mirror"],
        ),
        (RuntimeError, r"`value` \(=1.0\) is for mode 'constant' only", (1, 3, 4), [(1, 1), "reflect", 1.0]),
        (RuntimeError, r"padding \(4, 1\) must be less than the dimension's size 4", (1, 3, 4), [(4, 1), "reflect"]),
        (RuntimeError, r"padding \(5, 1\) goes round more than the 4 elements", (1, 3, 4), [(5, 1), "circular"]),
        (NotImplementedError, r"got 2 numbers for shape \[4\]", (4,), [(1, 1), "reflect"]),
        (NotImplementedError, r"got 2 numbers for shape \[2, 3, 4, 4\]", (2, 3, 4, 4), [(1, 1), "replicate"]),
        (RuntimeError, r"would have sizes \[-1\]", (1, 3, 4), [(-2, -3), "replicate"]),
        (RuntimeError, r"only the batch may be empty", (1, 0, 4), [(1, 1), "replicate"]),
    ],
)
def test_refusals_name_argument_and_value(kind, message, shape, arguments):
    with pytest.raises(kind, match=message):
        pad(tt.zeros(*shape), *arguments)


def test_bool_tensors_are_wrapped_but_not_mirrored():
    x = tt.tensor([[[True, False]]])
    assert pad(x, (1, 1), "circular").tolist() == [[[False, True, False, True]]]
    with pytest.raises(NotImplementedError, match="not defined for bool"):
        pad(x, (1, 1), "reflect")
