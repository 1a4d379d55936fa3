"""Sections that choose something by name: their keys are the arguments of the thing's own signature."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tinytrain.config.origins import KeyPath, Origins
from tinytrain.config.problems import BOUND_WORDS, config_error, shown, unknown_key
from tinytrain.errors import did_you_mean
from tinytrain.registry import Registry

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
_CONTAINERS = (Union, types.UnionType, list, tuple, Sequence)


def find_builder(registry: Registry[Any], name: str, path: KeyPath, origins: Origins) -> Callable[..., Any]:
    """Return what `name` stands for in a registry.

    Raises:
        ConfigError: there is no such name; the message has the place, the closest name and all of them.
    """
    if name not in registry:
        known = sorted(registry)
        reason = f"there is no {registry.kind} called {name!r}{did_you_mean(name, known)}"
        raise config_error(reason, path, origins, remedy=f"Known: {', '.join(known)}")
    return registry[name]


def check_arguments(
    builder: Callable[..., Any],
    arguments: dict[str, Any],
    path: KeyPath,
    origins: Origins,
    *,
    owner: str,
    supplied: Collection[str] = (),
    inferred: Collection[str] = (),
) -> dict[str, Any]:
    """Return every keyword argument in force: those given, checked by their types, and the defaults.

    Args:
        builder: the class or function that the arguments are for.
        arguments: as the config gives them.
        path: of the section that holds them.
        origins: of the whole config.
        owner: what the builder makes, for messages: `optimizer 'sgd'`.
        supplied: parameters that the program fills in itself, and a config cannot.
        inferred: parameters that the program fills in where a config does not.

    Raises:
        ConfigError: an argument is unknown, missing, or of the wrong type.
    """
    parameters = {p.name: p for p in config_parameters(builder) if p.name not in supplied}
    hints = type_hints(builder, parameters)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(builder).parameters.values())
    for name in arguments:
        if name in supplied:
            raise config_error("the program sets this itself", (*path, name), origins, remedy="Leave it out")
        if name not in parameters and not takes_any:
            raise unknown_key(name, parameters, (*path, name), origins, owner=owner)
    known = {*arguments, *inferred}
    missing = [p.name for p in parameters.values() if p.default is p.empty and p.name not in known]
    if missing:
        raise config_error(f"{owner} needs the key {missing[0]!r}", path, origins)
    given = {
        name: _convert(value, hints[name], (*path, name), origins) if name in hints else value
        for name, value in arguments.items()
    }
    defaults = {p.name: p.default for p in parameters.values() if is_plain(p.default)}
    return {**given, **{name: value for name, value in defaults.items() if name not in given}}


def config_parameters(builder: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a class or function that can be given by name."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p for p in inspect.signature(builder).parameters.values() if p.kind in by_name]


def is_plain(value: Any) -> bool:
    """Return whether a default can be written in YAML."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def describe(hint: Any) -> str:
    """Return a type in plain words: `a whole number or a list of 2 whole numbers`."""
    if hint in _WORDS:
        return _WORDS[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if origin is Annotated:
        bounds = [(each, name) for each in parts[1:] for name in BOUND_WORDS if hasattr(each, name)]
        limits = [f"{BOUND_WORDS[name]} {getattr(each, name)}" for each, name in bounds]
        return f"{describe(parts[0])} {' and '.join(limits)}"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(describe, parts)))
    if origin is tuple and parts and parts[-1] is not Ellipsis:
        return f"a list of {len(parts)}"
    if origin in (list, tuple, Sequence):
        return f"a list ({describe(parts[0])} each)"
    return getattr(hint, "__name__", str(hint))


def type_hints(builder: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the types of the parameters; one without annotation has its default's where that tells enough."""
    function = builder.__init__ if inspect.isclass(builder) else builder  # type: ignore[misc]
    defaults = {p.name: type(p.default) for p in parameters.values() if isinstance(p.default, (bool, float, str))}
    try:
        return {**defaults, **get_type_hints(function, include_extras=True)}
    except NameError:  # a type imported for the type checker only; the builder checks such arguments itself
        return defaults


def _convert(value: Any, hint: Any, path: KeyPath, origins: Origins) -> Any:
    """Return a value as its parameter's type wants it: a list becomes a tuple, a whole number a float.

    Read as strict JSON, which has no tuples and may write 1.0 as 1, but converts nothing else.
    """
    if _is_code(hint) and value is not None:
        reason = "this is a function, which Python can give and a config cannot"
        raise config_error(reason, path, origins, remedy="Leave it out")
    if not _is_expressible(hint):
        return value
    try:
        return TypeAdapter(hint, config=_STRICT).validate_json(json.dumps(value))
    except ValidationError as error:
        reason = f"expected {describe(hint)}, found {shown(value)}"
        raise config_error(reason + _closest(hint, value), path, origins) from error


def _is_expressible(hint: Any) -> bool:
    """Return whether YAML can write every value of a type; where it cannot, the builder checks the value."""
    if get_origin(hint) is Literal or hint is Ellipsis or hint in _WORDS:
        return True
    if get_origin(hint) is Annotated:
        return _is_expressible(get_args(hint)[0])
    return get_origin(hint) in _CONTAINERS and all(map(_is_expressible, get_args(hint)))


def _is_code(hint: Any) -> bool:
    """Return whether every value of a type is a function or class, or None."""
    if get_origin(hint) in (Union, types.UnionType):
        return all(map(_is_code, get_args(hint)))
    return hint is type(None) or get_origin(hint) is Callable


def _closest(hint: Any, value: Any) -> str:
    """Return the hint for a misspelt word where the type lists the words."""
    parts = get_args(hint)
    literals = parts if get_origin(hint) is Literal else [x for p in parts for x in get_args(p)]
    return did_you_mean(str(value), [x for x in literals if isinstance(x, str)])
