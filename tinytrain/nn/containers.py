"""Modules that hold other modules by name, or parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tinytrain.nn.module import Module
from tinytrain.nn.parameter import Parameter
from tinytrain.nn.rows import key_at
from tinytrain.tensor import Tensor

__all__ = ["ModuleDict", "ParameterDict", "ParameterList"]


class _Table(Module):
    """What `ModuleDict` and `ParameterDict` share: members by name."""

    def _members(self) -> dict[str, Any]:
        """Return the dict that holds the members."""
        raise NotImplementedError

    def __setitem__(self, name: str, member: Any) -> None:
        raise NotImplementedError

    def update(self, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add members, or replace those of the same names."""
        for name, member in members.items() if hasattr(members, "items") else members:
            self[name] = member

    def __getitem__(self, name: str) -> Any:
        return self._members()[name]

    def __delitem__(self, name: str) -> None:
        del self._members()[name]

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[str]:
        return iter(self._members())

    def __contains__(self, name: object) -> bool:
        return name in self._members()

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._members().keys()

    def values(self) -> Iterable[Any]:
        """Return the members."""
        return self._members().values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return names and members."""
        return self._members().items()

    def pop(self, name: str) -> Any:
        """Take a member out and return it."""
        return self._members().pop(name)

    def clear(self) -> None:
        """Take all members out."""
        self._members().clear()


class ModuleDict(_Table):
    """A dict of modules.

    Args:
        modules: what it begins with, a mapping or pairs.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        super().__init__()
        self.update(modules or {})

    def _members(self) -> dict[str, Any]:
        return self._modules

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)


class ParameterList(Module):
    """A list of parameters.

    Args:
        values: what it begins with; plain tensors become parameters.
    """

    def __init__(self, values: Iterable[Tensor] | None = None):
        super().__init__()
        self.extend(values or ())

    def __getitem__(self, index: int) -> Parameter | None:
        return self._parameters[key_at(self._parameters, index)]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self._parameters[key_at(self._parameters, index)] = _parameter(value)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter | None]:
        return iter(self._parameters.values())

    def extra_repr(self) -> str:
        """Return a line for each parameter."""
        return _lines({name: (p.dtype, p) for name, p in self._parameters.items() if p is not None})

    def __iadd__(self, values: Iterable[Tensor]) -> ParameterList:
        return self.extend(values)

    def append(self, value: Tensor) -> ParameterList:
        """Add a parameter at the end; return this list."""
        self.register_parameter(str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> ParameterList:
        """Add parameters at the end; return this list."""
        for value in values:
            self.append(value)
        return self


class ParameterDict(_Table):
    """A dict of parameters.

    Args:
        parameters: what it begins with, a mapping or pairs; plain tensors become parameters.
    """

    def __init__(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] | None = None):
        super().__init__()
        self.update(parameters or {})

    def _members(self) -> dict[str, Any]:
        return self._parameters

    def __setitem__(self, name: str, value: Tensor) -> None:
        self.register_parameter(name, _parameter(value))

    def extra_repr(self) -> str:
        """Return a line for each parameter."""
        return _lines({name: (p.type(), p) for name, p in self._parameters.items() if p is not None})

    def get(self, name: str, default: Any = None) -> Any:
        """Return a parameter, or something else where there is none of that name."""
        return self._parameters.get(name, default)

    def setdefault(self, name: str, default: Tensor) -> Parameter:
        """Return a parameter, after adding it where there is none of that name."""
        if name not in self:
            self[name] = default
        return self[name]

    def copy(self) -> ParameterDict:
        """Return another dict of the same parameters."""
        return ParameterDict(self.items())


def _lines(parameters: Mapping[str, tuple[Any, Parameter]]) -> str:
    """Return what is printed of parameters, each with what its type is called."""
    return "\n".join(
        f"  ({name}): Parameter containing: [{kind} of size {_by(each)}]" for name, (kind, each) in parameters.items()
    )


def _parameter(value: Tensor) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def _by(value: Tensor) -> str:
    """Return a shape as in `2x3`."""
    return "x".join(map(str, value.shape))
