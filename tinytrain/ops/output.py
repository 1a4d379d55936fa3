"""The `out` argument: a tensor of the caller's that a result is stored in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tinytrain.device import array_module
from tinytrain.dtypes import can_cast
from tinytrain.ops.creation import store
from tinytrain.recording import shares_elements
from tinytrain.tape import is_grad_enabled
from tinytrain.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def accepts_out(function: Function, *, elementwise: bool = False) -> Function:
    """Let an op store its result in a tensor given as `out`, which it then returns.

    Args:
        function: an op that returns one tensor, or several in a named tuple (`out` is then a tuple, too).
        elementwise: `out` may be an operand itself, and of any type that the result may be cast to.

    Raises:
        RuntimeError: `out` shares memory with an input or within itself, or has another element type; or gradients
            are wanted, which do not pass through `out`.
    """

    @functools.wraps(function)
    def run(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            return function(*args, **kwargs)
        for each in _tensors(out):
            _check_target(function.__name__, each, (args, tuple(kwargs.values())), elementwise)
        result = function(*args, **kwargs)
        if elementwise and can_cast(result.dtype, out.dtype):
            return store(result.array.astype(out.dtype.numpy, copy=False), out)
        if isinstance(out, Tensor):
            return store(result.array, out)
        return type(result)(*(store(each.array, target) for each, target in zip(result, out, strict=True)))

    return run  # type: ignore[return-value]  # accepts what `function` does, and `out`


def _check_target(name: str, out: Tensor, arguments: Any, may_be_operand: bool) -> None:
    """Raise where the result of an op on `arguments` cannot be stored in `out`."""
    if shares_elements(out.array):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )
    for each in _tensors(arguments):
        if is_grad_enabled() and each.requires_grad:
            raise RuntimeError(
                f"{name}(): functions with out=... arguments don't support automatic differentiation, "
                "but one of the arguments requires grad."
            )
        if each is out and may_be_operand:
            continue
        if each is out or array_module(out.array).may_share_memory(each.array, out.array):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
                "single memory location. Please clone() the tensor before performing the operation."
            )


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples and lists."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for each in values:
            yield from _tensors(each)
