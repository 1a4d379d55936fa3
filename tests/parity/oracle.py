"""PyTorch as an oracle: values in both libraries, comparisons that say what differs, and its table of ops.

Whatever takes part in a comparison is made twice from one PyTorch value, with its memory layout and its aliases: once
for PyTorch, once for tinytrain (`Twins`). What tinytrain does not have (complex numbers, say) is `Unsupported`.
"""

from __future__ import annotations

import functools
import inspect
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.device import module_of, move, require
from tinytrain.tensor import share

torch = pytest.importorskip("torch")

# torchvision registers ops with torch when imported, which some builds cannot do; what is compared does not need it.
for _name in ("_meta_registrations", "_autograd_registrations"):
    sys.modules.setdefault(f"torchvision.{_name}", types.ModuleType(_name))

COMPLEX, SPARSE, DIMENSIONS = "complex", "sparse layouts", "more than 64 dimensions"
FAIR_REASONS = (COMPLEX, SPARSE, DIMENSIONS)
DTYPES = {
    getattr(torch, name): getattr(tt, name)
    for name in ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")
}
TOLERANCES = {  # rtol, atol
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1e-7, 1e-7),
}
SEED = 42  # the seed that PyTorch's own tests set before every random op


class Unsupported(Exception):
    """A value that tinytrain has no counterpart of; the text is one of the fair reasons, or another."""


@dataclass
class Twins:
    """Makes each value twice, once for each library.

    Attributes:
        device: where tinytrain's lie; PyTorch's stay on the CPU.
        pairs: the tensors made so far, (theirs, ours), by the identity of their source.
    """

    device: str = "cpu"
    pairs: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    _sources: list[Any] = field(default_factory=list)

    def theirs(self, value: Any) -> Any:
        """Return a copy of a PyTorch value for PyTorch: tensors become leaves with the memory layout kept."""
        return self._map(value, lambda tensor: self._pair(tensor)[0], lambda other: other)

    def ours(self, value: Any) -> Any:
        """Return tinytrain's counterpart of a PyTorch value."""
        return self._map(value, lambda tensor: self._pair(tensor)[1], our_constant)

    def _pair(self, tensor: Any) -> tuple[Any, Any]:
        if id(tensor) not in self.pairs:
            theirs = copy_of(tensor)
            self.pairs[id(tensor)] = theirs, our_tensor(theirs, self.device)
            self._sources.append(tensor)  # an identity is only taken while its object lives
        return self.pairs[id(tensor)]

    def _map(self, value: Any, of_tensor: Callable[[Any], Any], of_other: Callable[[Any], Any]) -> Any:
        if isinstance(value, torch.Tensor):
            return of_tensor(value)
        if isinstance(value, torch.Size):
            return of_other(value)
        if isinstance(value, (tuple, list)):
            return type(value)([self._map(each, of_tensor, of_other) for each in value])
        if isinstance(value, dict):
            return {key: self._map(each, of_tensor, of_other) for key, each in value.items()}
        if isinstance(value, slice):
            parts = (self._map(each, of_tensor, of_other) for each in (value.start, value.stop, value.step))
            return slice(*parts)
        return of_other(value)


def in_float64(value: Any, leaves: dict[int, Any]) -> Any:
    """Return a PyTorch value with every float tensor as a float64 leaf, entered into `leaves` by its source."""

    def double(tensor: Any) -> Any:
        if not tensor.is_floating_point():
            return tensor
        return leaves.setdefault(id(tensor), tensor.detach().double().requires_grad_(tensor.requires_grad))

    return Twins()._map(value, double, lambda other: other)


def as_accurate(ours: Any, theirs: Any, exact: Any) -> bool:
    """Return whether a result of ours is about as near to the exact one as PyTorch's, where rounding rules both."""
    x, y, truth = ours.cpu().array.astype(np.float64), theirs.detach().double().numpy(), exact.numpy()
    return bool(np.abs(x - truth).max() <= 2 * np.abs(y - truth).max())


def copy_of(tensor: Any) -> Any:
    """Return a leaf with a copy of a PyTorch tensor's memory, its sizes and its strides."""
    if tensor.layout is not torch.strided:
        raise Unsupported(SPARSE)
    if tensor.ndim > 64:  # NumPy's limit
        raise Unsupported(DIMENSIONS)
    plain = tensor.detach().resolve_conj().resolve_neg()
    storage = plain.untyped_storage().clone()
    fresh = torch.empty(0, dtype=tensor.dtype).set_(storage, plain.storage_offset(), plain.size(), plain.stride())
    return fresh.requires_grad_(tensor.requires_grad)


def our_tensor(tensor: Any, device: str = "cpu") -> Any:
    """Return a tinytrain leaf with the values, the sizes and the strides of a PyTorch tensor."""
    to = our_constant(tensor.dtype).numpy
    copied = copy_of(tensor).detach()
    if copied.dtype is torch.bfloat16:  # NumPy does not know PyTorch's
        copied = copied.view(torch.int16)
    array = copied.numpy()
    if device != "cpu":  # its memory is moved as it is, and looked at with the same strides
        where, start = require(device), copied.storage_offset()
        memory = move(torch.empty(0, dtype=copied.dtype).set_(copied.untyped_storage()).numpy(), where)
        strided = module_of(where).lib.stride_tricks.as_strided
        array = strided(memory[start:], array.shape, array.strides) if array.size else move(array, where)
    return share(array.view(to)).requires_grad_(tensor.requires_grad)


def our_constant(value: Any) -> Any:
    """Return tinytrain's counterpart of anything but a tensor."""
    if isinstance(value, torch.dtype):
        if value.is_complex:
            raise Unsupported(COMPLEX)
        if value not in DTYPES:
            raise Unsupported(str(value).removeprefix("torch."))
        return DTYPES[value]
    if isinstance(value, complex):
        raise Unsupported(COMPLEX)
    if isinstance(value, torch.device):
        return tt.device(str(value))
    if isinstance(value, torch.layout) and value is not torch.strided:
        raise Unsupported(SPARSE)
    if isinstance(value, (torch.memory_format, torch.layout)):
        return getattr(tt, str(value).removeprefix("torch."))
    if isinstance(value, torch.Size):
        return tt.Size(value)
    return value


def tensors_in(value: Any) -> Iterator[Any]:
    """Yield the tensors, of either library, in nested tuples, lists and mappings."""
    if isinstance(value, (torch.Tensor, tt.Tensor)):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_in(each)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors_in(each)


def difference(ours: Any, theirs: Any, tolerance: tuple[float, float] | None = None, values: bool = True) -> str | None:
    """Return what differs between a result of ours and PyTorch's, or None.

    Args:
        ours: a tensor, a number, or nested sequences of them.
        theirs: the same of PyTorch.
        tolerance: relative and absolute; None: PyTorch's defaults for the dtype.
        values: whether to compare values, not only shapes and types.
    """
    if isinstance(theirs, torch.Tensor):
        if not isinstance(ours, tt.Tensor):
            return f"ours is {type(ours).__name__}, torch's a tensor"
        return _tensor_difference(ours, theirs, tolerance, values)
    if isinstance(theirs, (tuple, list)) and not isinstance(theirs, torch.Size):
        if not isinstance(ours, (tuple, list)) or len(ours) != len(theirs):
            return f"ours is {describe(ours)}, torch's {describe(theirs)}"
        found = (difference(a, b, tolerance, values) for a, b in zip(ours, theirs, strict=True))
        return next((f"[{i}]: {text}" for i, text in enumerate(found) if text), None)
    if isinstance(theirs, float) and isinstance(ours, float):
        rtol, atol = tolerance or TOLERANCES[torch.float32]
        return None if np.isclose(ours, theirs, rtol, atol, equal_nan=True) else f"ours {ours!r}, torch's {theirs!r}"
    if type(theirs) in (bool, int):
        return None if type(ours) is type(theirs) and ours == theirs else f"ours {ours!r}, torch's {theirs!r}"
    if isinstance(theirs, torch.Size):
        return None if tuple(ours) == tuple(theirs) else f"ours {ours!r}, torch's {theirs!r}"
    return None if theirs is None and ours is None else f"ours {ours!r}, torch's {theirs!r}"


def _tensor_difference(ours: Any, theirs: Any, tolerance: tuple[float, float] | None, values: bool) -> str | None:
    if tuple(ours.shape) != tuple(theirs.shape):
        return f"shape: ours {tuple(ours.shape)}, torch's {tuple(theirs.shape)}"
    if theirs.dtype not in DTYPES or ours.dtype is not DTYPES[theirs.dtype]:
        return f"dtype: ours {ours.dtype}, torch's {theirs.dtype}"
    if not values:
        return None
    rtol, atol = tolerance or TOLERANCES.get(theirs.dtype, (0.0, 0.0))
    theirs = theirs.float() if theirs.dtype is torch.bfloat16 else theirs  # NumPy has none
    x, y = np.asarray(ours.detach().cpu().array), theirs.detach().resolve_conj().resolve_neg().numpy(force=True)
    if not ours.is_floating_point():
        wrong = x != y
    else:
        with np.errstate(all="ignore"):
            wrong = ~np.isclose(x.astype(np.float64), y.astype(np.float64), rtol, atol, equal_nan=True)
    if not wrong.any():
        return None
    place = tuple(int(i[0]) for i in np.nonzero(wrong)) if x.ndim else ()
    return (
        f"{int(wrong.sum())} of {wrong.size} values differ, first at {list(place)}: "
        f"ours {x[place].item()!r}, torch's {y[place].item()!r}"
        + (f"\n      ours    {x.ravel()[:8].tolist()}\n      torch's {y.ravel()[:8].tolist()}" if x.ndim else "")
    )


def describe(value: Any) -> str:
    """Return a short text of an argument: tensors by shape, strides where not contiguous, and dtype."""
    if isinstance(value, (torch.Tensor, tt.Tensor)):
        layout = "" if value.is_contiguous() else f" stride={tuple(value.stride())}"
        small = f" = {_rounded(value.tolist())}" if value.numel() <= 6 else ""
        grad = " grad" if value.requires_grad else ""
        return f"<{str(value.dtype).removeprefix('torch.')}{list(value.shape)}{layout}{grad}{small}>"
    if isinstance(value, (tuple, list)):
        text = ", ".join(describe(each) for each in value)
        return f"({text})" if isinstance(value, tuple) else f"[{text}]"
    if isinstance(value, dict):
        return ", ".join(f"{key}={describe(each)}" for key, each in value.items())
    return repr(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def describe_call(sample: Any) -> str:
    """Return the arguments of a sample as text."""
    parts = [describe(sample.input), *map(describe, sample.args)]
    return ", ".join([*parts, *([describe(sample.kwargs)] if sample.kwargs else [])])


def seed_both(seed: int = SEED) -> None:
    """Start the default generators of both libraries, and Python's, from one seed."""
    torch.manual_seed(seed)
    tt.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def ours_by_name(name: str) -> Callable[..., Any] | None:
    """Return tinytrain's function of PyTorch's dotted name, else the method of `Tensor` of that name, else None."""
    found: Any = tt
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            break
    if callable(found) and not isinstance(found, type):
        return found
    return getattr(tt.Tensor, name, None)


def ours_for(op: Any) -> Callable[..., Any] | None:
    """Return what runs an entry of PyTorch's op table in tinytrain, or None where there is no such function.

    The table's entries are functions of torch, found by name; partial functions; and small Python functions that call
    torch. The last are run as they are with tinytrain in torch's place.
    """
    function = op.op
    bound: dict[str, Any] = {}
    if isinstance(function, functools.partial):
        function, bound = function.func, {key: our_constant(each) for key, each in function.keywords.items()}
    if inspect.isfunction(function) and "testing/_internal" in function.__code__.co_filename:
        needed = ours_by_name(op.name)
        if needed is None and ours_by_name(f"{op.name}_") is None:
            return None
        scope = {**function.__globals__, "torch": tt, "wrapper_set_seed": _with_seed}
        return types.FunctionType(function.__code__, scope, closure=function.__closure__)
    found = ours_by_name(op.name)
    return None if found is None else functools.partial(found, **bound)


def _with_seed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    tt.manual_seed(SEED)
    return function(*args, **kwargs)
