"""Random tensors, from a generator or the default one of the device; as PyTorch draws them, see `generator`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, array_module, device, number_of
from tinytrain.dtypes import FLOATS
from tinytrain.generator import Generator, generator_of
from tinytrain.ops.creation import creation, like, sizes_of, store
from tinytrain.recording import record, rewrite
from tinytrain.tensor import Tensor, wrap

__all__ = [
    "bernoulli",
    "bernoulli_",
    "exponential_",
    "multinomial",
    "normal",
    "normal_",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "random_",
    "randperm",
    "uniform_",
    "zero_",
]


@creation
def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: dtypes.dtype | None,
    where: device,
) -> Array:
    """Return numbers drawn uniformly from [0, 1)."""
    return generator_of(where, generator).uniform(sizes_of("rand", sizes, size), _floating("rand", dtype))


@creation
def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: dtypes.dtype | None,
    where: device,
) -> Array:
    """Return numbers drawn from the normal distribution with mean 0 and standard deviation 1."""
    return generator_of(where, generator).normal(sizes_of("randn", sizes, size), _floating("randn", dtype))


@creation
def randint(
    *bounds_and_size: Any,
    low: int = 0,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: dtypes.dtype | None,
    where: device,
) -> Array:
    """Return integers drawn uniformly from [low, high).

    Args:
        bounds_and_size: `(high, size)` or `(low, high, size)`.
        low: the smallest value possible.
        high: the bound that is not reached.
        size: a tuple of sizes.
        generator: to draw from.
        dtype: int64 by default.
        where: the device.

    Raises:
        RuntimeError: the range is empty, or the dtype cannot hold it.
        TypeError: `high` or the size is missing, or the size is no tuple.
    """
    arguments = list(bounds_and_size)
    if size is None and arguments and isinstance(arguments[-1], (tuple, list)):
        size = arguments.pop()
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): argument 'size' must be tuple of ints, not {type(size).__name__}")
    if arguments:
        high = arguments.pop()
    if arguments:
        low = arguments.pop()
    if high is None:
        raise TypeError('randint() missing 1 required positional arguments: "high"')
    dtype = dtype or dtypes.int64
    low, high = _checked_bounds("random_", int(low), int(high), dtype)
    return generator_of(where, generator).integers(sizes_of("randint", (size,)), dtype.numpy, low, high)


@creation
def randperm(n: int, *, generator: Generator | None = None, dtype: dtypes.dtype | None, where: device) -> Array:
    """Return the integers 0 to n - 1 in random order."""
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"randperm(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    sizes_of("randperm", (n,))
    order = generator_of(where, generator).permutation(n)
    return order.astype((dtype or dtypes.int64).numpy)


rand_like, randn_like = like(rand), like(randn)


def randint_like(
    input: Tensor, *bounds: int, low: int = 0, high: int | None = None, memory_format: Any = None, **options: Any
) -> Tensor:
    """As `randint`, with the size and by default the dtype and device of `input`."""
    given = {key: value for key, value in options.items() if value is not None}
    bounds_by_name = {} if bounds else {"low": low, "high": high}
    options = {"dtype": input.dtype, "device": input.device, **given}
    return randint(*bounds, size=tuple(input.shape), **bounds_by_name, **options)


def normal(
    mean: float | Tensor,
    std: float | Tensor = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Return numbers drawn from normal distributions.

    Args:
        mean: one for all, or a tensor of them.
        std: the standard deviation, at least 0: one for all, or a tensor of them, broadcast with the means.
        size: of the result where mean and std are both numbers.
        generator: to draw from.
        out: a tensor that receives the result.
        options: where `size` is given: dtype, device, requires_grad.

    Raises:
        RuntimeError: a standard deviation is negative.
        TypeError: a size is missing, or given beside tensors.
    """
    tensors = [each for each in (mean, std) if isinstance(each, Tensor)]
    if (size is None) == (not tensors):
        raise TypeError("normal(): `size` belongs to a mean and a std that are both numbers, and only there")
    if not isinstance(std, Tensor):
        _check_std(std)
    elif std.numel() and number_of((std.array < 0).any()):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    if not tensors:
        return _normal(size, mean, std, generator=generator, out=out, **options)
    source, like_tensor = generator_of(tensors[0].device, generator), tensors[0]
    means, stds = (each.array if isinstance(each, Tensor) else each for each in (mean, std))
    shape = _broadcast_shape(*(each.shape for each in tensors))
    # one number per element, in the order of the elements; a single std scales inside the draw, as in PyTorch
    scale = 1.0 if isinstance(std, Tensor) else float(std)
    numbers = source.normal(shape, like_tensor.dtype.numpy, 0.0, scale)
    numbers = (numbers * stds if isinstance(std, Tensor) else numbers) + means
    numbers = numbers.astype(like_tensor.dtype.numpy)
    if out is not None:
        return store(numbers, out)
    return record(numbers, "Normal", tuple(tensors), tuple(_no_gradient(each.array) for each in tensors))


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """Return 1 with a probability, else 0, in the shape and type of `input`.

    Args:
        input: the probabilities, in [0, 1].
        p: one probability for all, in place of those of `input`.
        generator: to draw from.
        out: a tensor that receives the result.

    Raises:
        RuntimeError: a probability lies outside [0, 1].
        NotImplementedError: probabilities are integers.
    """
    source = generator_of(input.device, generator)
    chances = _checked_chances(input if p is None else p)
    hits = source.bernoulli(input.array.shape, chances).astype(input.array.dtype)
    if out is not None:
        return store(hits, out)
    return record(hits, "Bernoulli", (input,), (_no_gradient(input.array),))


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return indices drawn with probabilities in proportion to the weights `input`.

    Args:
        input: floats (n,) or (rows, n), at least 0, with a sum above 0 in each row.
        num_samples: indices per row.
        replacement: whether an index may come twice.
        generator: to draw from.
        out: a tensor that receives the result.

    Returns:
        An int64 tensor (num_samples,) or (rows, num_samples).

    Raises:
        RuntimeError: the weights or the number of samples are not as above.
    """
    weights = input.array
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if weights.dtype.kind not in FLOATS:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype.name}")
    if num_samples <= 0:
        raise RuntimeError(f"cannot sample n_sample <= 0 samples, got {num_samples}")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: {num_samples} > "
            f"{weights.shape[-1]}"
        )
    xp = array_module(weights)
    if not number_of((xp.isfinite(weights) & (weights >= 0)).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if number_of((weights.sum(-1) <= 0).any()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    rows = weights.reshape(-1, weights.shape[-1])
    drawn = generator_of(input.device, generator).multinomial(rows, num_samples, replacement)
    drawn = drawn.reshape(*weights.shape[:-1], num_samples)
    return wrap(drawn) if out is None else store(drawn, out)


def uniform_(self: Tensor, low: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill this tensor with numbers drawn uniformly from [low, to); return it.

    Raises:
        RuntimeError: the bounds are in the wrong order or not finite.
        NotImplementedError: the elements are no floats.
    """
    kind = _floating("uniform_", self.dtype)
    limit = float(dtypes.limits_of(kind).max)
    for name, bound in (("from", low), ("to", to)):
        if not -limit <= bound <= limit:
            raise RuntimeError(f"{name} is out of bounds for {self.dtype.name}: {bound}")
    if low > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    if to - low > limit:
        raise RuntimeError(f"uniform_ expects to-from <= {limit}, but found to={to} and from={low}")
    return _refill(self, "Uniform", lambda: generator_of(self.device, generator).uniform(self.shape, kind, low, to))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill this tensor with numbers drawn from the normal distribution; return it.

    Raises:
        RuntimeError: the standard deviation is negative.
        NotImplementedError: the elements are no floats.
    """
    _check_std(std)
    kind = _floating("normal_", self.dtype)
    return _refill(self, "Normal", lambda: generator_of(self.device, generator).normal(self.shape, kind, mean, std))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill this tensor with numbers drawn from the exponential distribution of rate `lambd`; return it.

    Raises:
        RuntimeError: the rate is not above 0, or the elements are no floats.
    """
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    if not self.is_floating_point():
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point "
            f"but you specified {self.dtype.name}"
        )
    kind = self.dtype.numpy
    return _refill(
        self, "Exponential", lambda: generator_of(self.device, generator).exponential(self.shape, kind, lambd)
    )


def random_(self: Tensor, *bounds: int, generator: Generator | None = None) -> Tensor:
    """Fill this tensor with integers drawn uniformly; return it.

    Args:
        self: the tensor.
        bounds: `(to)` for [0, to), `(from, to)` for [from, to); none: all that the dtype holds from 0 up.
        generator: to draw from.

    Raises:
        RuntimeError: the range is empty, or the dtype cannot hold it.
        TypeError: a bound is not an integer.
    """
    for bound in bounds:
        if not isinstance(bound, (int, np.integer)):
            raise TypeError(f"random_(): bounds must be int, not {type(bound).__name__}")
    low, high = bounds if len(bounds) == 2 else (0, *bounds) if bounds else (None, None)
    if low is not None and high is not None:
        _checked_bounds("random_", low, high, self.dtype)
    kind = self.dtype.numpy
    return _refill(self, "Random", lambda: generator_of(self.device, generator).integers(self.shape, kind, low, high))


def bernoulli_(self: Tensor, p: float | Tensor = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill this tensor with 1 with the probability `p` (one for all, or a tensor of them), else 0; return it.

    Raises:
        RuntimeError: a probability lies outside [0, 1].
    """
    chances = _checked_chances(p)
    source = generator_of(self.device, generator)
    return _refill(self, "Bernoulli", lambda: source.bernoulli(self.shape, chances).astype(self.array.dtype))


def zero_(self: Tensor) -> Tensor:
    """Fill this tensor with zeros; return it."""
    return _refill(self, "Zero", lambda: array_module(self.array).zeros_like(self.array))


@creation
def _normal(
    size: Any,
    mean: float,
    std: float,
    *,
    generator: Generator | None,
    dtype: dtypes.dtype | None,
    where: device,
) -> Array:
    source = generator_of(where, generator)
    return source.normal(sizes_of("normal", (size,)), _floating("normal", dtype), mean, std)


def _refill(target: Tensor, name: str, draw: Callable[[], Array]) -> Tensor:
    """Give `target` fresh values in place; no gradient goes to the old ones."""
    return rewrite(target, lambda old: record(draw(), name, (old,), (_no_gradient(old.array),)))


def _no_gradient(array: Array) -> Callable[[Array], Array]:
    """Return the rule of an operand that a draw does not depend on smoothly: zeros."""
    return lambda g: array_module(g).zeros(array.shape, array.dtype)


def _floating(name: str, dtype: dtypes.dtype | None) -> np.dtype:
    dtype = dtype or dtypes.get_default_dtype()
    if not dtype.is_floating_point:
        raise NotImplementedError(f"{name} is not implemented for {dtype.name}: it draws floats")
    return dtype.numpy


def _check_std(std: float) -> None:
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")


def _checked_bounds(name: str, low: int, high: int, dtype: dtypes.dtype) -> tuple[int, int]:
    """Return the bounds after checking that the range is not empty and that the dtype holds it."""
    if low >= high:
        raise RuntimeError(f"{name} expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if dtype is not dtypes.bool_ and not dtype.is_floating_point:
        limits = np.iinfo(dtype.numpy)
        smallest, largest = int(limits.min), int(limits.max)
    elif dtype is dtypes.bool_:
        smallest, largest = 0, 1
    else:
        largest = int(float(dtypes.limits_of(dtype.numpy).max))
        smallest = -largest
    for text, bound in (("from", low), ("to - 1", high - 1)):
        if not smallest <= bound <= largest:
            raise RuntimeError(f"{text} is out of bounds for {dtype.name}: {bound}")
    return low, high


def _checked_chances(p: float | Tensor) -> Any:
    if not isinstance(p, Tensor):
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        return float(p)
    if not p.is_floating_point():
        raise NotImplementedError(f"bernoulli is not implemented for probabilities of type {p.dtype.name}")
    if not number_of(((p.array >= 0) & (p.array <= 1)).all()):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false: a probability outside [0, 1]")
    return p.array


def _broadcast_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise RuntimeError(f"normal: `mean` and `std` must broadcast; their shapes are {shapes}") from error
