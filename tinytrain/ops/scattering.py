"""Writing elements by index tensors: along a dimension, or into the flattened tensor."""

from __future__ import annotations

from typing import Any

from tinytrain.device import Array, array_module
from tinytrain.kernels.scattering import scatter_add as add_at
from tinytrain.ops.arithmetic import mul
from tinytrain.ops.autocasting import by_autocast
from tinytrain.ops.common import same_device, wrap_dim
from tinytrain.ops.copying import clone
from tinytrain.ops.places import as_line, checked_places, checked_vector, prepared
from tinytrain.ops.scatter_reduction import scatter_reduce
from tinytrain.ops.shape import expand
from tinytrain.ops.slicing import along
from tinytrain.ops.values import fitted_number
from tinytrain.recording import record
from tinytrain.tensor import Tensor, wrap

__all__ = ["index_add", "index_copy", "index_fill", "put", "scatter", "scatter_add"]


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor | float | None = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Tensor:
    """Return a copy of `input` with `out[index[i][j][k]][j][k] = src[i][j][k]` (for dim 0).

    Args:
        input: the values that stay elsewhere.
        dim: the dimension that the indices count along.
        index: int64, of as many dims as `input` and no larger in any dimension but `dim`.
        src: a tensor of the type of `input`, at least as large as `index`; or a number.
        value: the number, by name.
        reduce: `add` or `multiply`: combine with the values there instead of replacing them.

    Raises:
        RuntimeError: an index is out of range, shapes or types do not fit, or `reduce` is another.
        IndexError: there is no such dimension.
    """
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError(f"reduce argument must be either add or multiply; got {reduce!r}")
    if not isinstance(src, Tensor):
        number = fitted_number(value if src is None else src, input.dtype)
        src = expand(wrap(array_module(input.array).asarray(number)), index.array.shape)
    if reduce is not None:
        return scatter_reduce(input, dim, index, src, "sum" if reduce == "add" else "prod")
    places, values = prepared("scatter", input, dim, index, src)
    if values is None:
        return clone(input)
    out = as_line(input.array.copy())
    out[places] = values.array
    rules = (_cleared(places), lambda g: as_line(g)[places])
    return record(out.reshape(input.array.shape), "Scatter", (input, values), rules)


@by_autocast
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Return a copy of `input` with `out[index[i][j][k]][j][k] += src[i][j][k]` (for dim 0).

    Args:
        input: what is added to.
        dim: the dimension that the indices count along.
        index: int64, of as many dims as `input` and no larger in any dimension but `dim`.
        src: of the type of `input`, at least as large as `index`.

    Raises:
        RuntimeError: an index is out of range, or shapes or types do not fit.
        IndexError: there is no such dimension.
    """
    places, values = prepared("scatter_add", input, dim, index, src)
    if values is None:
        return clone(input)
    out = as_line(input.array.copy())
    add_at(out, places, values.array)
    rules = (lambda g: g, lambda g: as_line(g)[places])
    return record(out.reshape(input.array.shape), "ScatterAdd", (input, values), rules)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """Return a copy of `input` with `alpha * source` added to the slices that `index` names; twice where twice.

    Args:
        input: what is added to.
        dim: the dimension of the slices.
        index: a vector of int32 or int64.
        source: of the shape and type of `input`, but for `dim` as many as indices.
        alpha: a factor.

    Raises:
        RuntimeError: shapes or types do not fit.
        IndexError: an index is out of range, `index` is no vector, or there is no such dimension.
    """
    places = _slices("index_add", input, dim, index, source)
    if alpha != 1:
        source = mul(source, alpha)
    out = as_line(input.array.copy())
    add_at(out, places, as_line(source.array))
    shape = source.array.shape
    rules = (lambda g: g, lambda g: as_line(g)[places].reshape(shape))
    return record(out.reshape(input.array.shape), "IndexAdd", (input, source), rules)


@by_autocast
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Return a copy of `input` with `source` in place of the slices that `index` names.

    Args:
        input: the values that stay elsewhere.
        dim: the dimension of the slices.
        index: a vector of int64.
        source: of the shape and type of `input`, but for `dim` as many as indices.

    Raises:
        RuntimeError: shapes or types do not fit.
        IndexError: an index is out of range, `index` is no vector, or there is no such dimension.
    """
    places = _slices("index_copy", input, dim, index, source)
    out = as_line(input.array.copy())
    out[places] = as_line(source.array)
    shape = source.array.shape
    rules = (_cleared(places), lambda g: as_line(g)[places].reshape(shape))
    return record(out.reshape(input.array.shape), "IndexCopy", (input, source), rules)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """Return a copy of `input` with a number in all of the slices that `index` names.

    Args:
        input: the values that stay elsewhere.
        dim: the dimension of the slices.
        index: a vector of int64; negative ones count from the end.
        value: a number or a tensor without dims.

    Raises:
        RuntimeError: the value has dims, or does not fit the type.
        IndexError: an index is out of range, `index` is no vector, or there is no such dimension.
    """
    dim = wrap_dim(dim, input.array.ndim)
    places = along(dim, checked_vector("index_fill", input, dim, index, negative=True))
    out = as_line(input.array.copy())
    if not isinstance(value, Tensor):
        out[places] = array_module(out).asarray(fitted_number(value, input.dtype))
        return record(out.reshape(input.array.shape), "IndexFill", (input,), (_cleared(places),))
    if value.array.ndim:
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.array.ndim} dimension(s)."
        )
    same_device("index_fill", input, value)
    from_ = value.array.dtype
    out[places] = value.array
    once = along(dim, array_module(out).unique(places[-1]))
    rules = (_cleared(places), lambda g: as_line(g)[once].sum().astype(from_))
    return record(out.reshape(input.array.shape), "IndexFill", (input, value), rules)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Return a copy of `input` with `source` at the places of the flattened tensor that `index` names.

    Args:
        input: the values that stay elsewhere.
        index: int64; negative ones count from the end.
        source: of the type of `input`, with as many elements as indices.
        accumulate: add instead of replacing; places named twice are added to twice.

    Raises:
        RuntimeError: types or numbers do not fit.
        IndexError: an index is out of range.
    """
    same_device("put", input, source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{input.dtype.name} and source.dtype = {source.dtype.name}"
        )
    if source.array.size != index.array.size:
        raise RuntimeError(
            f"put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source.array.size}, index.numel() = {index.array.size}"
        )
    places = checked_places("put", input, index).reshape(-1)
    old = input.array.shape
    shape = source.array.shape
    out = input.array.reshape(-1).copy()
    if accumulate:
        add_at(out, places, source.array.reshape(-1))
    else:
        out[places] = source.array.reshape(-1)

    def input_rule(g: Array) -> Array:
        return g if accumulate else _cleared(places)(g.reshape(-1)).reshape(old)

    def source_rule(g: Array) -> Array:
        return g.reshape(-1)[places].reshape(shape)

    return record(out.reshape(old), "Put", (input, source), (input_rule, source_rule))


def _cleared(places: Any) -> Any:
    """Return the rule that lets a gradient through everywhere but at `places`."""

    def rule(g: Array) -> Array:
        g = g.copy()
        as_line(g)[places] = 0
        return g

    return rule


def _slices(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> tuple[Any, ...]:
    """Return the NumPy index of the slices of `input` that take those of `source`, after checking shape and type."""
    same_device(name, input, source)
    dim = wrap_dim(dim, input.array.ndim)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}(): self and source expected to have the same dtype, but got (self) {input.dtype.name} and "
            f"(source) {source.dtype.name}"
        )
    places = along(dim, checked_vector(name, input, dim, index))
    shape, wanted = as_line(source.array).shape, list(as_line(input.array).shape)
    wanted[dim] = index.array.size
    if list(shape) != wanted:
        raise RuntimeError(
            f"{name}(): source must have the shape of self, with as many slices as indices along dimension {dim}: "
            f"expected {wanted}, got {list(shape)}"
        )
    return places
