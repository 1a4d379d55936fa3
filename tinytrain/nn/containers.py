"""Modules that hold other modules or parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeVar

from tinytrain.nn.module import Module
from tinytrain.nn.parameter import Parameter
from tinytrain.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

RowT = TypeVar("RowT", bound="_Row")


class _Row(Module):
    """What `Sequential` and `ModuleList` share: modules in a row, named by their positions."""

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, _key(self._modules, index), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)[index]
        for key in keys if isinstance(keys, list) else [keys]:
            del self._modules[key]
        self._number(list(self._modules.values()))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def append(self: RowT, module: Module) -> RowT:
        """Add a module at the end; return this container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: RowT, modules: Iterable[Module]) -> RowT:
        """Add modules at the end; return this container."""
        for module in modules:
            self.append(module)
        return self

    def _insert(self, index: int, module: Module) -> None:
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._number(modules)

    def _number(self, modules: list[Module | None]) -> None:
        """Own these modules under the names 0, 1, ..."""
        self._modules = {str(i): module for i, module in enumerate(modules)}


class Sequential(_Row):
    """Modules called one after the other.

    Args:
        *args: modules in order, named `0`, `1`, ...; or one OrderedDict of names and modules.
    """

    def __init__(self, *args: Any):
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], OrderedDict) else enumerate(args)
        for name, module in named:
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """Return what the last module makes of `input` after all before it."""
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]  # a Sequential holds no None
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[_key(self._modules, index)]

    def insert(self, index: int, module: Module) -> Sequential:
        """Add a module before `index`; return this container."""
        self._insert(index, module)
        return self


class ModuleList(_Row):
    """A list of modules.

    Args:
        modules: what it begins with.
    """

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])  # type: ignore[arg-type]
        return self._modules[_key(self._modules, index)]

    def __repr__(self) -> str:
        if not self._modules:
            return f"{self._get_name()}()"
        lines, first = [], 0
        for text, equal in groupby(repr(module) for module in self._modules.values()):
            count = len(list(equal))
            block = f"({first}): {text}" if count == 1 else f"({first}-{first + count - 1}): {count} x {text}"
            lines.append("  " + block.replace("\n", "\n  "))
            first += count
        return "\n".join([f"{self._get_name()}(", *lines, ")"])

    def insert(self, index: int, module: Module) -> None:
        """Add a module before `index`."""
        self._insert(index, module)


class ModuleDict(Module):
    """A dict of modules.

    Args:
        modules: what it begins with, a mapping or pairs.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or replace those of the same names."""
        for name, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[name] = module

    def __getitem__(self, name: str) -> Module | None:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module | None]:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module | None]]:
        """Return names and modules."""
        return self._modules.items()

    def pop(self, name: str) -> Module | None:
        """Take a module out and return it."""
        return self._modules.pop(name)

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()


class ParameterList(Module):
    """A list of parameters.

    Args:
        values: what it begins with; plain tensors become parameters.
    """

    def __init__(self, values: Iterable[Tensor] | None = None):
        super().__init__()
        self.extend(values or ())

    def __getitem__(self, index: int) -> Parameter | None:
        return self._parameters[_key(self._parameters, index)]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self._parameters[_key(self._parameters, index)] = _parameter(value)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter | None]:
        return iter(self._parameters.values())

    def extra_repr(self) -> str:
        """Return a line for each parameter."""
        return "\n".join(
            f"  ({name}): Parameter containing: [{value.dtype} of size {_by(value)}]"
            for name, value in self._parameters.items()
            if value is not None
        )

    def append(self, value: Tensor) -> ParameterList:
        """Add a parameter at the end; return this list."""
        self.register_parameter(str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> ParameterList:
        """Add parameters at the end; return this list."""
        for value in values:
            self.append(value)
        return self


class ParameterDict(Module):
    """A dict of parameters.

    Args:
        parameters: what it begins with; plain tensors become parameters.
    """

    def __init__(self, parameters: Mapping[str, Tensor] | None = None):
        super().__init__()
        for name, value in (parameters or {}).items():
            self[name] = value

    def __getitem__(self, name: str) -> Parameter | None:
        return self._parameters[name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        self.register_parameter(name, _parameter(value))

    def extra_repr(self) -> str:
        """Return a line for each parameter."""
        return "\n".join(
            f"  ({name}): Parameter containing: [{value.type()} of size {_by(value)}]"
            for name, value in self._parameters.items()
            if value is not None
        )

    def __delitem__(self, name: str) -> None:
        del self._parameters[name]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def items(self) -> Iterable[tuple[str, Parameter | None]]:
        """Return names and parameters."""
        return self._parameters.items()


def _parameter(value: Tensor) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def _key(table: Mapping[str, Any], index: int) -> str:
    """Return the name of the member at `index`.

    Raises:
        IndexError: there are not as many.
    """
    if not -len(table) <= index < len(table):
        raise IndexError(f"index {index} is out of range")
    return list(table)[index]


def _by(value: Tensor) -> str:
    """Return a shape as in `2x3`."""
    return "x".join(map(str, value.shape))
