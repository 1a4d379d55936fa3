"""Products of matrices and vectors, and what goes with them.

Everything comes down to `matmul` on arrays, which hands each pair of matrices to BLAS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytrain.device import Array, array_module
from tinytrain.dtypes import FLOATS, is_low
from tinytrain.ops.arithmetic import add, mul
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import same_device, wrap_dim
from tinytrain.ops.contraction import contract
from tinytrain.ops.output import accepts_out
from tinytrain.recording import record
from tinytrain.tape import unbroadcast
from tinytrain.tensor import Tensor

__all__ = [
    *("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner", "outer", "ger", "kron", "tensordot", "cross"),
    *("addmm", "addmv", "addr", "addbmm", "baddbmm"),
    *("tril", "triu", "trace"),
]


@accepts_out
@by_autocast
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product over the last dimension of `input` and the last but one of `other`.

    Args:
        input: (k,) or (*, n, k).
        other: (k,) or (*, k, m); the leading dimensions broadcast.

    Raises:
        RuntimeError: the shapes do not fit, the types differ, or an operand has no dimensions.
    """
    x, y = input.array, other.array
    if x.ndim == 0 or y.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {x.ndim}D and {y.ndim}D")
    _check_operands("matmul", input, other)
    if x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise RuntimeError(_misfit(x, y))
    left = x if x.ndim > 1 else x[None]
    right = y if y.ndim > 1 else y[:, None]
    _check_batches(left.shape[:-2], right.shape[:-2])
    xp = array_module(x)
    whole = multiply_matrices(left, right)
    out = whole
    if y.ndim == 1:
        out = out[..., 0]
    if x.ndim == 1:
        out = out[..., 0] if y.ndim == 1 else out[..., 0, :]

    def input_rule(g: Array) -> Array:
        g = xp.asarray(g).reshape(whole.shape)
        return unbroadcast(multiply_matrices(g, right.swapaxes(-1, -2)), left.shape).reshape(x.shape)

    def other_rule(g: Array) -> Array:
        g = xp.asarray(g).reshape(whole.shape)
        if right.ndim == 2 and left.ndim > 2:  # one product instead of a batch of them and a sum
            rows = left.reshape(math.prod(left.shape[:-1]), left.shape[-1])
            return multiply_matrices(rows.T, g.reshape(len(rows), g.shape[-1])).reshape(y.shape)
        return unbroadcast(multiply_matrices(left.swapaxes(-1, -2), g), right.shape).reshape(y.shape)

    name = {(1, 1): "Dot", (2, 1): "Mv"}.get((x.ndim, y.ndim), "Mm")
    return record(out, name, (input, other), (input_rule, other_rule), saved=(input, other))


@accepts_out
@by_autocast
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices, (n, k) and (k, m).

    Raises:
        RuntimeError: the operands are no matrices or do not fit.
    """
    _check_ndim("mm", self=(input, 2), mat2=(mat2, 2))
    return matmul(input, mat2)


@accepts_out
@by_autocast
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of two batches of matrices, (b, n, k) and (b, k, m).

    Raises:
        RuntimeError: the operands have not three dimensions or do not fit.
    """
    _check_ndim("bmm", batch1=(input, 3), batch2=(mat2, 3))
    x, y = input.array, mat2.array
    if x.shape[0] != y.shape[0] or x.shape[2] != y.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{x.shape[0]}, {x.shape[2]}] "
            f"but got: [{y.shape[0]}, {y.shape[1]}]."
        )
    return matmul(input, mat2)


@by_autocast
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix (n, k) and a vector (k,).

    Raises:
        RuntimeError: the operands are no matrix and vector or do not fit.
    """
    _check_ndim("mv", input=(input, 2), vec=(vec, 1))
    return matmul(input, vec)


@by_autocast
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Return the sum of the products of two vectors (n,).

    Raises:
        RuntimeError: the operands are no vectors, or differ in length or type.
    """
    _check_ndim("dot", input=(input, 1), tensor=(tensor, 1))
    if input.array.shape != tensor.array.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input.array.size}] and src [{tensor.array.size}] "
            "to have the same number of elements"
        )
    return matmul(input, tensor)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return the sums of products over the last dimension of both operands; a product where one has none.

    Raises:
        RuntimeError: the last dimensions differ.
    """
    a, b = input.array.ndim, other.array.ndim
    if a == 0 or b == 0:
        return mul(input, other)
    _check_operands("inner", input, other)
    if input.array.shape[-1] != other.array.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors "
            f"but got shapes {list(input.shape)} and {list(other.shape)}"
        )
    if a == b == 1:
        return dot(input, other)
    left, right = [*range(a - 1), -1], [*range(a - 1, a + b - 2), -1]
    return contract([input, other], [left, right], [*left[:-1], *right[:-1]])


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return the products of all pairs of elements of two vectors, (n,) and (m,), as (n, m).

    Raises:
        RuntimeError: the operands are no vectors.
    """
    _check_ndim("outer", self=(input, 1), vec2=(vec2, 1))
    return mul(input.unsqueeze(1), vec2)


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: every element of `input` times the whole of `other`, laid out in blocks."""
    ndim = max(input.array.ndim, other.array.ndim)
    a = (1,) * (ndim - input.array.ndim) + input.array.shape
    b = (1,) * (ndim - other.array.ndim) + other.array.shape
    left = input.reshape([size for each in a for size in (each, 1)])
    right = other.reshape([size for each in b for size in (1, each)])
    return mul(left, right).reshape([m * n for m, n in zip(a, b, strict=True)])


@by_autocast
def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] | Tensor = 2) -> Tensor:
    """Return the sums of products over several dimensions of two tensors.

    Args:
        a: a tensor.
        b: a tensor.
        dims: how many of the last dimensions of `a` to pair with the first of `b`, or two lists of dimensions.

    Raises:
        RuntimeError: the dimensions are not as many, or differ in size.
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.array.ndim, b.array.ndim):
            raise RuntimeError(
                f"tensordot expects 0 <= dims <= ndim of both tensors, but got dims={dims}, "
                f"shapes {list(a.shape)} and {list(b.shape)}"
            )
        dims = (range(a.array.ndim - dims, a.array.ndim), range(dims))
    if len(dims) != 2 or len(dims[0]) != len(dims[1]):
        raise RuntimeError(f"both dimension lists should have same length, got {dims}")
    left, right = list(range(a.array.ndim)), list(range(a.array.ndim, a.array.ndim + b.array.ndim))
    for one, two in zip(*dims, strict=True):
        i, j = wrap_dim(one, a.array.ndim), wrap_dim(two, b.array.ndim)
        if a.array.shape[i] != b.array.shape[j] and 1 not in (a.array.shape[i], b.array.shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.array.shape[i]} in dim {i} and second "
                f"has size {b.array.shape[j]} in dim {j}"
            )
        right[j] = i
    _check_operands("tensordot", a, b)
    kept = [each for each in left + right if (each in left) != (each in right)]
    sizes = dict(zip([*left, *right], [*a.array.shape, *b.array.shape], strict=True))
    # A single number is a sum of products for PyTorch, not a matrix product, and so not lowered by autocast on a CPU.
    is_single = all(sizes[each] == 1 for each in kept)
    compute = contract.__wrapped__ if is_single else contract  # type: ignore[attr-defined]  # what is marked by_autocast
    return compute([a, b], [left, right], kept)


@by_autocast
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Return the vector products along a dimension of size 3, by default the first such.

    Raises:
        RuntimeError: the shapes do not broadcast, or the dimension has not size 3.
    """
    x, y = input.array, other.array
    xp = array_module(x)
    if dim is None:
        threes = [axis for axis, size in enumerate(x.shape) if size == 3]
        if not threes:
            raise RuntimeError("no dimension of size 3 in input")
        dim = threes[0]
    if x.ndim != y.ndim:
        raise RuntimeError(f"inconsistent tensors dimensions input: {x.ndim} other: {y.ndim}")
    axis = wrap_dim(dim, x.ndim)
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        raise RuntimeError(f"cross: inputs dimension {dim} must have length 3. Got {x.shape[axis]} and {y.shape[axis]}")

    def product(u: Array, v: Array) -> Array:
        return xp.roll(u, -1, axis) * xp.roll(v, 1, axis) - xp.roll(u, 1, axis) * xp.roll(v, -1, axis)

    return record(
        product(x, y),
        "LinalgCross",
        (input, other),
        (lambda g: unbroadcast(product(y, g), x.shape), lambda g: unbroadcast(product(g, x), y.shape)),
        saved=(input, other),
    )


@by_autocast
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return `beta * input + alpha * (mat1 @ mat2)`; with `beta` 0, whatever `input` holds counts as 0."""
    _check_ndim("addmm", mat1=(mat1, 2), mat2=(mat2, 2))
    return _added(input, matmul(mat1, mat2), beta, alpha)


@by_autocast
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return `beta * input + alpha * (mat @ vec)`."""
    _check_ndim("addmv", mat=(mat, 2), vec=(vec, 1))
    return _added(input, matmul(mat, vec), beta, alpha)


@by_autocast
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return `beta * input + alpha * outer(vec1, vec2)`."""
    _check_ndim("addr", vec1=(vec1, 1), vec2=(vec2, 1))
    return _added(input, outer(vec1, vec2), beta, alpha)


@by_autocast
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return `beta * input + alpha *` the sum of the products of two batches of matrices."""
    return _added(input, bmm(batch1, batch2).sum(0), beta, alpha)


@by_autocast
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return `beta * input + alpha * bmm(batch1, batch2)`."""
    return _added(input, bmm(batch1, batch2), beta, alpha)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return matrices with zeros above a diagonal.

    Args:
        input: (*, n, m).
        diagonal: 0 for the main one, positive above it, negative below.

    Raises:
        RuntimeError: the input has fewer than two dimensions.
    """
    return _triangle(input, diagonal, "tril")


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return matrices with zeros below a diagonal; arguments and errors as for `tril`."""
    return _triangle(input, diagonal, "triu")


@by_autocast
def trace(input: Tensor) -> Tensor:
    """Return the sum of the diagonal of a matrix.

    Raises:
        RuntimeError: the input is no matrix.
    """
    if input.array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.array.ndim}")
    return input.diagonal().sum()


ger, vdot = outer, dot


def multiply_matrices(x: Array, y: Array) -> Array:
    """Return `x @ y` of arrays with at least two dimensions, in as few calls of BLAS as possible.

    A batch that meets a single matrix is one large matrix; strides that BLAS cannot take are copied, for NumPy would
    fall back to a loop of its own, some hundred times slower. It has none for floats of 16 bits, which CuPy has.
    """
    if is_low(x.dtype) and isinstance(x, np.ndarray):
        return multiply_matrices(x.astype(np.float32), y.astype(np.float32)).astype(x.dtype)
    x, y = _for_blas(x), _for_blas(y)
    if y.ndim == 2 and x.ndim > 2 and x.flags.c_contiguous:
        rows = math.prod(x.shape[:-1])
        return (x.reshape(rows, x.shape[-1]) @ y).reshape(*x.shape[:-1], y.shape[-1])
    return x @ y


def _for_blas(x: Array) -> Array:
    rows, columns = x.strides[-2:]
    item = x.itemsize
    if (columns == item and rows >= item * x.shape[-1]) or (rows == item and columns >= item * x.shape[-2]):
        return x
    return array_module(x).ascontiguousarray(x)


def _added(input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """Return `beta * input + alpha * product`, where `input` broadcasts to the product."""
    shape, own = product.array.shape, input.array.shape
    matching = zip(reversed(own), reversed(shape), strict=False)
    if len(own) > len(shape) or any(mine not in (1, size) for mine, size in matching):
        raise RuntimeError(
            f"The expanded size of the tensor {list(shape)} must match the existing size {list(own)} of `input`"
        )
    if product.array.dtype.kind not in FLOATS:  # the factors become integers, or bools, too
        alpha, beta = product.array.dtype.type(alpha).item(), product.array.dtype.type(beta).item()
    scaled = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return scaled
    return add(input if beta == 1 else mul(input, beta), scaled)


def _triangle(input: Tensor, diagonal: int, name: str) -> Tensor:
    x = input.array
    if x.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    cut = getattr(array_module(x), name)
    return record(cut(x, diagonal), name.capitalize(), (input,), (lambda g: cut(g, diagonal),))


def _check_operands(name: str, input: Tensor, other: Tensor) -> None:
    """Check that two operands have one type and lie on one device."""
    same_device(name, input, other)
    if input.array.dtype != other.array.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {input.dtype.name} != {other.dtype.name}"
        )


def _check_ndim(name: str, **operands: tuple[Tensor, int]) -> None:
    """Check the numbers of dimensions of named operands."""
    words = {1: "a 1D", 2: "a matrix", 3: "a 3D"}
    for label, (tensor, ndim) in operands.items():
        if tensor.array.ndim != ndim:
            kind = words[ndim] if ndim == 2 else f"{words[ndim]} tensor"
            raise RuntimeError(f"{name}: {label} must be {kind}, got {tensor.array.ndim}D")


def _check_batches(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    """Check that the leading dimensions of two operands broadcast."""
    for back, (m, n) in enumerate(zip(reversed(left), reversed(right), strict=False), start=1):
        if m != n and m != 1 and n != 1:
            raise RuntimeError(
                f"The size of tensor a ({m}) must match the size of tensor b ({n}) at non-singleton dimension "
                f"{max(len(left), len(right)) - back}"
            )


def _misfit(x: Any, y: Any) -> str:
    """Return PyTorch's message for operands whose inner sizes differ."""
    if x.ndim == 1 and y.ndim == 1:
        return f"inconsistent tensor size, expected vectors of one length; got {x.size} and {y.size} elements"
    if y.ndim == 1:
        return f"size mismatch, got input ({x.shape[-2]}), mat ({x.shape[-2]}x{x.shape[-1]}), vec ({y.size})"
    rows = 1 if x.ndim == 1 else math.prod(x.shape[:-1])
    return f"mat1 and mat2 shapes cannot be multiplied ({rows}x{x.shape[-1]} and {y.shape[-2]}x{y.shape[-1]})"
