"""Sums, means, spreads, extremes, running results and norms."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck
from tinytrain.sums import sum_array


def odd(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return tt.tensor(values, dtype=tt.float64, requires_grad=True)


REDUCTIONS = {
    "sum": tt.sum,
    "mean": tt.mean,
    "nansum": tt.nansum,
    "var": tt.var,
    "std": tt.std,
    "amax": tt.amax,
    "amin": tt.amin,
    "logsumexp": tt.logsumexp,
    "norm2": lambda x, dim, keepdim: tt.norm(x, 2, dim, keepdim),
    "norm1": lambda x, dim, keepdim: tt.norm(x, 1, dim, keepdim),
    "norm3": lambda x, dim, keepdim: tt.norm(x, 3.5, dim, keepdim),
    "norm_inf": lambda x, dim, keepdim: tt.norm(x, math.inf, dim, keepdim),
}


@pytest.mark.parametrize("dim", [0, -1, (0, 2), (2, 1, 0)])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_the_slope_is_that_of_the_reduction(name, dim, keepdim):
    assert gradcheck(lambda x: REDUCTIONS[name](x, dim, keepdim=keepdim), (odd(3, 2, 5),))


@pytest.mark.parametrize("name", ["max", "min", "median", "kthvalue", "mode", "sort", "topk", "cummax", "cummin"])
def test_what_is_picked_has_the_gradient(name):
    arguments = {"kthvalue": (2, 1), "topk": (2, 1)}.get(name, (1,))
    assert gradcheck(lambda x: getattr(tt, name)(x, *arguments)[0], (odd(3, 4, 2),))


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "logcumsumexp"])
def test_running_results_have_their_slopes(name):
    assert gradcheck(lambda x: getattr(tt, name)(x, 1), (odd(2, 5, 3),))


@pytest.mark.parametrize("zeros", [[], [1], [1, 3]])
def test_products_have_their_slopes_where_factors_are_zero(zeros):
    values = np.array([1.5, -2.0, 0.5, 3.0])
    values[zeros] = 0
    x = tt.tensor(values, requires_grad=True)
    assert gradcheck(tt.prod, (x,))
    assert gradcheck(lambda x: tt.cumprod(x, 0), (x,))


def test_integers_and_bools_are_summed_as_int64():
    assert tt.sum(tt.tensor([True, True])).dtype is tt.int64
    assert tt.tensor([200, 100], dtype=tt.uint8).sum().item() == 300
    assert tt.cumsum(tt.tensor([200, 100], dtype=tt.uint8), 0).tolist() == [200, 300]
    assert tt.sum(tt.tensor([1, 2]), dtype=tt.float32).dtype is tt.float32


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 2)])
def test_a_sum_of_many_float32_is_as_accurate_in_every_direction(axes):
    shape = [3, 2, 5]
    shape[axes[0]] = 100_003
    x = np.full(shape, 0.1, np.float32)
    count = math.prod(shape[axis] for axis in axes)
    exact = float(np.float32(0.1)) * count
    assert np.abs(sum_array(x, axes) / exact - 1).max() < 1e-5


def test_the_mean_of_integers_is_refused():
    with pytest.raises(RuntimeError, match="Input dtype must be either a floating point"):
        tt.tensor([1, 2]).mean()


def test_variance_counts_one_less_unless_told():
    x = tt.tensor([1.0, 2.0, 4.0, 5.0])
    assert x.var().item() == pytest.approx(10 / 3)
    assert x.var(unbiased=False).item() == 2.5
    assert x.var(0, correction=2).item() == 5
    assert [each.item() for each in tt.var_mean(x, correction=0)] == [2.5, 3]


def test_variance_of_one_element_is_nan_with_a_warning():
    with pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
        assert math.isnan(tt.tensor([1.0]).var().item())


def test_the_slope_of_a_standard_deviation_of_zero_is_zero():
    x = tt.ones(3, requires_grad=True)
    x.std().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_amax_shares_the_gradient_and_max_gives_it_to_the_first():
    x = tt.tensor([[2.0, 1.0, 2.0]], requires_grad=True)
    tt.amax(x, 1).sum().backward()
    assert x.grad.tolist() == [[0.5, 0, 0.5]]
    x.grad = None
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[1, 0, 0]]


def test_max_prints_as_pytorch_does():
    found = tt.max(tt.tensor([[1.0, 7.0], [9.0, 2.0]]), 1)
    assert repr(found) == "torch.return_types.max(\nvalues=tensor([7., 9.]),\nindices=tensor([1, 0]))"


def test_a_nan_wins_every_extreme():
    x = tt.tensor([1.0, math.nan, 3.0])
    assert math.isnan(x.max())
    assert math.isnan(x.amin())
    assert x.argmax().item() == 1
    assert math.isnan(x.median())
    assert x.nanmedian().item() == 1


def test_the_extreme_of_nothing_is_refused():
    with pytest.raises(IndexError, match=r"amax\(\): Expected reduction dim 1 to have non-zero size"):
        tt.amax(tt.zeros(2, 0), 1)
    with pytest.raises(IndexError, match=r"argmax\(\): Expected reduction dim to be specified"):
        tt.zeros(0).argmax()


def test_the_median_is_the_lower_of_two_and_the_mode_the_smallest():
    assert tt.median(tt.tensor([4.0, 1.0, 3.0, 2.0])).item() == 2
    assert tt.mode(tt.tensor([3, 1, 3, 1, 2])).values.item() == 1
    assert tt.kthvalue(tt.tensor([4.0, 1.0, 3.0]), 2).indices.item() == 2


@pytest.mark.parametrize(
    ("median", "values", "expected"),
    [
        (tt.median, [[1.0, 2.0], [2.0, 4.0]], [[0, 0.5], [0.5, 0]]),
        (tt.median, [[1.0, math.nan], [2.0, math.nan]], [[0, 0.5], [0, 0.5]]),
        (tt.nanmedian, [1.0, 1.0, math.nan], [0.5, 0.5, 0]),
        (tt.nanmedian, [math.nan, math.nan], [0.5, 0.5]),
        (tt.median, 3.0, 1),
    ],
)
def test_the_elements_equal_to_the_median_of_all_share_its_gradient(median, values, expected):
    x = tt.tensor(values, requires_grad=True)
    median(x).backward()
    assert x.grad.tolist() == expected


def test_kthvalue_beyond_the_size_is_refused():
    with pytest.raises(RuntimeError, match=r"selected number k out of range for dimension 0: 4 is not in 1\.\.3"):
        tt.kthvalue(tt.zeros(3), 4)


def test_any_all_and_counts():
    x = tt.tensor([[0, 1], [2, 3]])
    assert tt.any(x, 1).tolist() == [True, True]
    assert tt.all(x, 0).tolist() == [False, True]
    assert tt.all(tt.tensor([3], dtype=tt.uint8)).dtype is tt.uint8
    assert tt.count_nonzero(x).item() == 3


def test_logsumexp_does_not_overflow_and_knows_infinities():
    assert tt.logsumexp(tt.tensor([1000.0, 1000.0]), 0).item() == pytest.approx(1000 + math.log(2))
    assert tt.logsumexp(tt.tensor([-math.inf, -math.inf]), 0).item() == -math.inf
    assert tt.logsumexp(tt.zeros(0, 2), 0).tolist() == [-math.inf, -math.inf]


def test_the_slope_of_logsumexp_is_unknown_where_infinities_are_subtracted():
    x = tt.tensor([[-math.inf, -math.inf], [1.0, -math.inf], [math.inf, 1.0]], requires_grad=True)
    tt.logsumexp(x, 1).backward(tt.ones(3))
    assert [[None if math.isnan(g) else g for g in row] for row in x.grad.tolist()] == [[None, None], [1, 0], [None, 0]]


def test_running_extremes_say_where_the_last_was():
    found = tt.cummax(tt.tensor([1.0, 3.0, 2.0, 3.0, math.nan, 9.0]), 0)
    assert found.values.tolist()[:4] == [1, 3, 3, 3]
    assert found.indices.tolist() == [0, 1, 1, 3, 4, 4]
    assert tt.cummin(tt.tensor([2, 2, 5, 1]), 0).indices.tolist() == [0, 1, 1, 3]


def test_norms_are_what_their_names_say():
    x = tt.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert tt.norm(x).item() == 5
    assert tt.norm(x, 1).item() == 7
    assert tt.norm(x, 0, dim=1).tolist() == [2, 0]
    assert tt.norm(x, -math.inf, dim=1).tolist() == [3, 0]
    assert tt.norm(tt.tensor([[3.0, 0.0], [0.0, 4.0]]), "nuc").item() == pytest.approx(7)
    assert tt.dist(x, tt.zeros(2, 2)).item() == 5


def test_the_nuclear_norm_has_its_slope():
    assert gradcheck(lambda x: tt.norm(x, "nuc", dim=(0, 2)), (odd(3, 2, 4),))


def test_an_unknown_norm_is_refused():
    with pytest.raises(RuntimeError, match="`p` must be a number, 'fro' or 'nuc'; got 'two'"):
        tt.norm(tt.zeros(2), "two")


def test_nansum_gives_the_type_that_is_asked_for():
    assert tt.nansum(tt.tensor([1.0, 2.0]), dtype=tt.int32).dtype is tt.int32
    assert tt.nansum(tt.tensor([1, 2], dtype=tt.int32)).dtype is tt.int64
