"""The `out` argument: a tensor of the caller's that a result is stored in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tinytrain.device import array_module
from tinytrain.ops.creation import store
from tinytrain.recording import shares_elements
from tinytrain.tape import is_grad_enabled
from tinytrain.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def accepts_out(function: Function) -> Function:
    """Let an op store its result in a tensor given as `out`, which it then returns.

    Args:
        function: an op that returns one tensor.

    Raises:
        RuntimeError: `out` shares memory with an input or within itself, or has another element type; or gradients
            are wanted, which do not pass through `out`.
    """

    @functools.wraps(function)
    def run(*args: Any, out: Tensor | None = None, **kwargs: Any) -> Any:
        if out is None:
            return function(*args, **kwargs)
        if shares_elements(out.array):
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to a single memory "
                "location. Please clone() the tensor before performing the operation."
            )
        for each in _tensors((args, tuple(kwargs.values()))):
            if is_grad_enabled() and each.requires_grad:
                raise RuntimeError(
                    f"{function.__name__}(): functions with out=... arguments don't support automatic differentiation, "
                    "but one of the arguments requires grad."
                )
            if each is out or array_module(out.array).may_share_memory(each.array, out.array):
                raise RuntimeError(
                    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
                    "single memory location. Please clone() the tensor before performing the operation."
                )
        return store(function(*args, **kwargs).array, out)

    return run  # type: ignore[return-value]  # accepts what `function` does, and `out`


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples and lists."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for each in values:
            yield from _tensors(each)
