"""Products of matrices and contractions; NumPy's einsum, which uses no BLAS here, is the reference."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.autograd import gradcheck


def odd(*shape, seed=0):
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return tt.tensor(values, dtype=tt.float64, requires_grad=True)


SHAPES = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((1, 2, 3), (5, 3, 2)),
    ((4, 1, 2, 3), (5, 3, 1)),
]


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_matmul_has_its_values_and_slopes_for_all_dimensions(a, b):
    x, y = odd(*a), odd(*b, seed=1)
    assert tt.matmul(x, y).detach().numpy() == pytest.approx(np.matmul(x.detach().numpy(), y.detach().numpy()))
    assert gradcheck(tt.matmul, (x, y))


def test_matmul_takes_operands_that_blas_cannot():
    x = np.arange(48, dtype=np.float32).reshape(6, 8)
    found = tt.from_numpy(x)[::2, ::2] @ tt.from_numpy(x)[::3, 1::2].t()
    assert found.tolist() == (x[::2, ::2] @ x[::3, 1::2].T).tolist()


def test_matrices_that_do_not_fit_are_named_with_both_shapes():
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"):
        tt.zeros(2, 3) @ tt.zeros(4, 5)
    with pytest.raises(RuntimeError, match="expected m1 and m2 to have the same dtype, but got: float32 != float64"):
        tt.zeros(2, 3) @ tt.zeros(3, 2, dtype=tt.float64)
    with pytest.raises(RuntimeError, match="both arguments to matmul need to be at least 1D"):
        tt.matmul(tt.zeros(()), tt.zeros(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tt.mm(tt.zeros(2), tt.zeros(2, 2)), "mm: self must be a matrix, got 1D"),
        (lambda: tt.bmm(tt.zeros(2, 2), tt.zeros(2, 2, 2)), "bmm: batch1 must be a 3D tensor, got 2D"),
        (lambda: tt.dot(tt.zeros(2), tt.zeros(3)), "inconsistent tensor size"),
        (lambda: tt.trace(tt.zeros(2)), "trace: expected a matrix"),
        (lambda: tt.tril(tt.zeros(2)), "at least 2 dimensions"),
        (lambda: tt.cross(tt.zeros(2), tt.zeros(2)), "no dimension of size 3"),
        (lambda: tt.tensordot(tt.zeros(2, 3), tt.zeros(4, 5), 1), "contracted dimensions need to match"),
    ],
)
def test_operands_of_the_wrong_shape_are_refused(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


EQUATIONS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("bij,bjk", [(2, 3, 4), (2, 4, 5)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("ijji->j", [(2, 3, 3, 2)]),
    ("i,j->ij", [(3,), (4,)]),
    ("ij->", [(3, 4)]),
    ("ij->ji", [(3, 4)]),
    ("...ij,...jk->...ik", [(5, 1, 2, 3), (4, 3, 2)]),
    ("i...,i...->...", [(3, 2, 4), (3, 2, 4)]),
    ("nd,d,md->nm", [(3, 2), (2,), (4, 2)]),
    ("ab,bc,cd,da->", [(2, 3), (3, 4), (4, 5), (5, 2)]),
    ("iij,jk->ik", [(3, 3, 2), (2, 4)]),
    ("ij,k->i", [(2, 3), (4,)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum_has_its_values_and_slopes(equation, shapes):
    operands = [odd(*shape, seed=i) for i, shape in enumerate(shapes)]
    expected = np.einsum(equation, *(each.detach().numpy() for each in operands))
    assert tt.einsum(equation, *operands).detach().numpy() == pytest.approx(expected)
    assert gradcheck(lambda *each: tt.einsum(equation, *each), operands)


def test_einsum_takes_lists_of_labels_and_a_list_of_operands():
    x, y = odd(2, 3), odd(3, 4)
    expected = pytest.approx((x @ y).detach().numpy())
    assert tt.einsum(x, [0, 1], y, [1, 2], [0, 2]).detach().numpy() == expected
    assert tt.einsum("ij,jk->ik", [x, y]).detach().numpy() == expected


def test_einsum_broadcasts_a_dimension_of_size_one():
    x, y = odd(1, 3), odd(2, 3)
    assert tt.einsum("ij,ij->i", x, y).tolist() == pytest.approx((x * y).sum(1).tolist())
    assert gradcheck(lambda x, y: tt.einsum("ij,ij->i", x, y), (x, y))


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("ij,jk->ik", "fewer operands were provided"),
        ("ijk->i", "does not match the number of dimensions"),
        ("i1->i", "invalid subscript given: '1'"),
        ("ij->k", "output subscript k does not appear"),
        ("ij->ii", "output subscript i appears more than once"),
        ("ii->i", "repeated for an operand but the sizes don't match"),
    ],
)
def test_a_malformed_equation_is_refused(equation, message):
    with pytest.raises(RuntimeError, match=message):
        tt.einsum(equation, tt.zeros(2, 3))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (tt.outer, [(3,), (2,)]),
        (tt.inner, [(2, 3), (4, 3)]),
        (tt.kron, [(2, 3), (3, 1)]),
        (tt.cross, [(2, 3), (2, 3)]),
        (lambda a, b: tt.tensordot(a, b, dims=([0, 2], [2, 1])), [(3, 2, 4), (2, 4, 3)]),
        (lambda c, a, b: tt.addmm(c, a, b, beta=0.5, alpha=2), [(4,), (2, 3), (3, 4)]),
        (lambda c, a, b: tt.baddbmm(c, a, b, alpha=2), [(2, 4), (5, 2, 3), (5, 3, 4)]),
        (lambda c, a, b: tt.addbmm(c, a, b, beta=3), [(2, 4), (5, 2, 3), (5, 3, 4)]),
        (tt.addmv, [(2,), (2, 3), (3,)]),
        (tt.addr, [(2, 3), (2,), (3,)]),
        (lambda a: tt.tril(a, -1), [(2, 3, 4)]),
        (lambda a: tt.triu(a, 1), [(2, 3, 4)]),
        (tt.trace, [(3, 4)]),
    ],
)
def test_the_other_products_have_their_slopes(function, shapes):
    assert gradcheck(function, [odd(*shape, seed=i) for i, shape in enumerate(shapes)])


def test_a_factor_of_zero_forgets_what_the_input_holds():
    c = tt.full((2, 2), float("nan"))
    assert tt.addmm(c, tt.eye(2), tt.eye(2), beta=0).tolist() == [[1, 0], [0, 1]]


def test_kron_lays_out_blocks():
    assert tt.kron(tt.tensor([1, 2]), tt.tensor([[1], [3]])).tolist() == [[1, 2], [3, 6]]


def test_einsum_promotes_types_where_nothing_is_summed_over_both():
    x = tt.tensor([1, 2], dtype=tt.int16)
    y = tt.tensor([0.5, 1.5], requires_grad=True)
    found = tt.einsum("i,j->ij", x, y)
    assert found.dtype is tt.float32
    assert found.tolist() == [[0.5, 1.5], [1.0, 3.0]]
    found.sum().backward()
    assert y.grad.tolist() == [3, 3]
    assert tt.einsum("i,j->j", tt.ones(2, dtype=tt.float16), tt.ones(2)).dtype is tt.float32
    assert tt.einsum("i,i->i", x, tt.tensor([2**40, 1])).tolist() == [2**40, 2]


@pytest.mark.parametrize("equation", ["i,i->", "i,j,j->i"])
def test_einsum_sums_products_of_one_type_only(equation):
    operands = [tt.ones(2), tt.ones(2), tt.ones(2, dtype=tt.int16)][-equation.count(",") - 1 :]
    with pytest.raises(RuntimeError, match=r"expected scalar type float32 but found int16"):
        tt.einsum(equation, *operands)
