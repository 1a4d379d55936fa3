"""How a layer without state is declared: a function and its keyword arguments with their defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tinytrain.device import Array
from tinytrain.nn.module import Module
from tinytrain.ops.fusion import on_values
from tinytrain.pending import Pending

REQUIRED = inspect.Parameter.empty
"""Marks an argument that has no default."""


class Stateless(Module):
    """A layer that calls a function with its input and arguments fixed at construction.

    A subclass names the function and the arguments in its class line, in their order:
    `class Softmax(Stateless, function=F.softmax, dim=None)`. The arguments become attributes, the signature of the
    class and its repr.
    """

    function: Callable[..., Any]
    arguments: tuple[str, ...] = ()
    __signature__: inspect.Signature

    def __init_subclass__(cls, function: Callable[..., Any] | None = None, **defaults: Any) -> None:
        super().__init_subclass__()
        if function is None:
            return
        cls.function = staticmethod(function)
        cls.arguments = tuple(defaults)
        by_position_or_name = inspect.Parameter.POSITIONAL_OR_KEYWORD
        cls.__signature__ = inspect.Signature(
            [inspect.Parameter(name, by_position_or_name, default=value) for name, value in defaults.items()]
        )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}{self.__signature__}: {error}") from None
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            setattr(self, name, value)

    def _on_values(self, x: Array | Pending, is_private: bool) -> Array | Pending | None:
        compute = getattr(type(self).function, "on_values", None)
        return compute(x, **self._given()) if is_private and compute is not None else None

    @on_values(_on_values)
    def forward(self, *inputs: Any) -> Any:
        """Return what the function makes of the inputs."""
        return self.function(*inputs, **self._given())

    def _given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.arguments}

    def extra_repr(self) -> str:
        """Return the arguments; `inplace` only where it is set."""
        return ", ".join(
            f"{name}={getattr(self, name)!r}" for name in self.arguments if name != "inplace" or getattr(self, name)
        )
