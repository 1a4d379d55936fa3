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
        for module in list(modules):  # which may be this container
            self.append(module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Take out the module at a position, or a container of those in a slice, and return it."""
        taken = self[key]  # type: ignore[index]  # both kinds of rows have it
        del self[key]
        return taken

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

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *_checked(other))

    def __iadd__(self: RowT, other: Sequential) -> RowT:
        return self.extend(_checked(other))

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * _positive(times))

    __rmul__ = __mul__

    def __imul__(self: RowT, times: int) -> RowT:
        return self.extend(list(self) * (_positive(times) - 1))

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

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self: RowT, modules: Iterable[Module]) -> RowT:
        return self.extend(modules)

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
        return self._parameters[_key(self._parameters, index)]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self._parameters[_key(self._parameters, index)] = _parameter(value)

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


def _checked(other: Any) -> Sequential:
    """Return what shall be added to a Sequential.

    Raises:
        ValueError: it is none itself.
    """
    if not isinstance(other, Sequential):
        raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
    return other


def _positive(times: Any) -> int:
    """Return how often the modules of a Sequential shall be called.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less than 1.
    """
    if not isinstance(times, int):
        raise TypeError(f"unsupported operand type(s) for *: {Sequential} and {type(times)}")
    if times <= 0:
        raise ValueError(f"Non-positive multiplication factor {times} for {Sequential}")
    return times


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
