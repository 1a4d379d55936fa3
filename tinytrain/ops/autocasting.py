"""Mixed precision by `torch.autocast`: which ops compute in 16 bits and which in float32.

The lists are in `autocast_rules`. An op that stands in one is marked `by_autocast`; all others take what they get, and
float32 where types meet. What such an op calls itself is not cast again. float64 is never cast.

A weight is cast once: the cast is kept until the outermost autocast ends, or the weight changes.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, cuda_is_available
from tinytrain.ops.autocast_rules import AS_THEY_COME, LOWER, REFUSED, RULES, UNLESS_DTYPE, WIDEST
from tinytrain.ops.common import cast
from tinytrain.pending import Pending, settled
from tinytrain.recording import record
from tinytrain.tape import is_grad_enabled
from tinytrain.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

_DEFAULTS = {"cpu": dtypes.bfloat16, "cuda": dtypes.float16}


class _Kept(NamedTuple):
    """A weight's cast, with what tells whether it is still right."""

    weight: Tensor
    array: Array | Pending
    version: int
    cast: Tensor


class _Mode(threading.local):
    """What is in force on a thread.

    Attributes:
        on: whether autocast is, for any device.
        lower: the type to compute in, by device type; absent where there is no autocast.
        kept: casts of weights, by the identity of the weight.
        keeps: whether such are kept.
        depth: how many autocasts are entered.
    """

    def __init__(self) -> None:
        self.on = False
        self.lower: dict[str, dtypes.dtype] = {}
        self.kept: dict[int, _Kept] = {}
        self.keeps = True
        self.depth = 0


_mode = _Mode()


class autocast:
    """Let convolutions and matrix products compute in 16 bits inside; a context manager and a decorator.

    Args:
        device_type: `cpu` or `cuda`: the ops on tensors of that device.
        dtype: `float16` or `bfloat16`; by default float16 on a GPU, bfloat16 on the CPU.
        enabled: False switches autocast off inside, within another one.
        cache_enabled: whether casts of weights are kept; by default as it is outside.

    Raises:
        ValueError: `device_type` is no text.
        RuntimeError: there is no such device type.
        UsageError: bfloat16 is asked for, and the package for it is not installed.
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtypes.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        if enabled and device_type == "cuda" and not cuda_is_available():
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=2)
            enabled = False
        if enabled and self.dtype not in (dtypes.float16, dtypes.bfloat16):
            warnings.warn(
                f"In {device_type.upper()} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"It supports torch.bfloat16 and torch.float16; got {self.dtype!r}",
                stacklevel=2,
            )
            enabled = False
        if enabled:
            _ = self.dtype.numpy  # asks for the package now, not in the middle of a step
        self.device_type = device_type
        self.enabled = enabled
        self.cache_enabled = cache_enabled
        self._before: list[tuple[dtypes.dtype | None, bool]] = []

    def __enter__(self) -> autocast:
        self._before.append((_mode.lower.get(self.device_type), _mode.keeps))
        _set(self.device_type, self.dtype if self.enabled else None)
        if self.cache_enabled is not None:
            _mode.keeps = self.cache_enabled
        _mode.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        _mode.depth -= 1
        if _mode.depth == 0:
            clear_autocast_cache()
        dtype, _mode.keeps = self._before.pop()
        _set(self.device_type, dtype)

    def __call__(self, function: Function) -> Function:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return run  # type: ignore[return-value]  # the wrapper has the signature of what it wraps


def is_autocast_available(device_type: str) -> bool:
    """Return whether there is an autocast for a device type."""
    return device_type in RULES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Return whether autocast is in force for a device type on this thread."""
    return device_type in _mode.lower


def is_any_autocast_enabled() -> bool:
    """Return whether autocast is in force for some device type on this thread."""
    return _mode.on


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """Return the type that autocast computes in, or would by default.

    Raises:
        RuntimeError: there is no such device type.
    """
    if device_type not in RULES:
        raise RuntimeError(f"unsupported autocast device_type {device_type!r}; expected one of {', '.join(RULES)}")
    return _mode.lower.get(device_type, _DEFAULTS[device_type])


def is_autocast_cache_enabled() -> bool:
    """Return whether the casts of weights are kept."""
    return _mode.keeps


def clear_autocast_cache() -> None:
    """Forget the casts of weights."""
    _mode.kept.clear()


def by_autocast(function: Function) -> Function:
    """Let an op treat its operands as the tables say of its name, where autocast is in force."""
    name = function.__name__
    assert any(name in rules for rules in RULES.values()), name
    takes_one = function.__code__.co_argcount == 1 and function.__code__.co_kwonlyargcount == 0

    @functools.wraps(function)
    def run_one(input: Any) -> Any:  # as below, in a quarter of the time (`benchmarks/overhead.py`)
        return run_by_autocast(function, name, (input,)) if _mode.on else function(input)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return run_by_autocast(function, name, args, kwargs) if _mode.on else function(*args, **kwargs)

    return run_one if takes_one else run  # type: ignore[return-value]  # the wrapper has the signature of what it wraps


def _set(device_type: str, dtype: dtypes.dtype | None) -> None:
    if dtype is None:
        _mode.lower.pop(device_type, None)
    else:
        _mode.lower[device_type] = dtype
    _mode.on = bool(_mode.lower)


def run_by_autocast(
    function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
) -> Any:
    """Call a function with its operands treated as the tables say of the op `name`, where autocast is in force.

    It is called at once where no rule holds for them. `by_autocast` does this for any op, in a third of a microsecond.
    """
    kwargs = kwargs or {}
    tensors = list(_tensors((args, tuple(kwargs.values()))))
    where = _device_type(tensors[0]) if tensors else "cpu"
    lower, rule = _mode.lower.get(where), RULES[where].get(name)
    if callable(rule):
        rule = rule(args, kwargs)
    if lower is None or rule is None:
        return function(*args, **kwargs)
    if rule is REFUSED:
        raise RuntimeError(
            f"{name} is unsafe to autocast: its gradients overflow in 16 bits. Leave out the sigmoid and use "
            "binary_cross_entropy_with_logits, which is safe, or disable autocast for it"
        )
    _mode.on = False
    try:
        if rule is UNLESS_DTYPE:
            if kwargs.get("dtype") is None:
                args, kwargs = _with_first(args, kwargs, lambda first: _cast(first, dtypes.float32, where))
            return function(*args, **kwargs)
        if rule is AS_THEY_COME:
            return function(*args, **kwargs)
        to = lower if rule is LOWER else dtypes.float32
        if rule is WIDEST and all(_is_lower(each, lower, where) for each in tensors):
            to = lower
        named = {key: _cast_all(each, to, where) for key, each in kwargs.items()}
        return function(*_cast_all(args, to, where), **named)
    finally:
        _mode.on = True


def _with_first(
    args: tuple[Any, ...], kwargs: dict[str, Any], change: Callable[[Tensor], Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments with the first operand changed, wherever it stands."""
    if args:
        return (change(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "input": change(kwargs["input"])}


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples and lists."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for each in values:
            yield from _tensors(each)


def _device_type(tensor: Tensor) -> str:
    return "cpu" if type(tensor.value) is np.ndarray else tensor.device.type


def _is_castable(tensor: Tensor, where: str) -> bool:
    dtype = tensor.value.dtype
    return dtype.kind in dtypes.FLOATS and dtype.itemsize < 8 and _device_type(tensor) == where


def _is_lower(tensor: Tensor, lower: dtypes.dtype, where: str) -> bool:
    return not _is_castable(tensor, where) or tensor.value.dtype == lower.numpy


def _cast_all(values: Any, to: dtypes.dtype, where: str) -> Any:
    """Return nested tuples and lists with the tensors in them cast."""
    if isinstance(values, Tensor):
        return _cast(values, to, where)
    if type(values) in (tuple, list):
        return type(values)([_cast_all(each, to, where) for each in values])
    return values


def _cast(tensor: Tensor, to: dtypes.dtype, where: str) -> Tensor:
    """Return a tensor in another type, one that is cast already where that is kept."""
    value = tensor.value
    if value.dtype == to.numpy or not _is_castable(tensor, where):
        return tensor
    if not (_mode.keeps and tensor._requires_grad and tensor.is_leaf and value.dtype == np.float32):
        return cast(tensor, to)
    kept, version = _mode.kept.get(id(tensor)), tensor._storage.version
    is_right = kept is not None and kept.array is value and kept.version == version and kept.cast.dtype is to
    if kept is not None and is_right and (kept.cast.edge() is not None or not is_grad_enabled()):
        return kept.cast
    result = _cast_weight(tensor, to)
    _mode.kept[id(tensor)] = _Kept(tensor, tensor.value, version, result)
    return result


def _cast_weight(weight: Tensor, to: dtypes.dtype) -> Tensor:
    """Return the cast of a weight, whose gradient may come before it is computed and then waits as before."""

    def rule(g: Array | Pending) -> Array | Pending:
        return _WideGradient(g) if isinstance(g, Pending) else g.astype(np.float32)

    with np.errstate(all="ignore"):
        array = weight.array.astype(to.numpy)
    return record(array, "ToCopy", (weight,), (rule,), takes_pending=True)


class _WideGradient(Pending):
    """The gradient of a weight in float32, computed from one in 16 bits that is pending itself.

    Kernels that find the gradients of input and weight in one pass are asked for both before either is computed.
    """

    __slots__ = ("source",)

    is_private = True

    def __init__(self, source: Pending):
        super().__init__(source)
        self.source = source
        self.dtype = np.dtype(np.float32)

    def compute(self) -> Array:
        """Compute the array."""
        array: Array = settled(self.source).astype(np.float32)
        return array
