"""What is wrong with a config, in our words, with the place and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tinytrain.config.origins import OVERRIDE, KeyPath, Origins, dotted, flow, place_of
from tinytrain.device import memory_problem
from tinytrain.errors import ConfigError, DeviceError, TinytrainError, did_you_mean

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}
_BOUNDS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
BOUND_WORDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
"""How a number is bounded, by the name that types have for it."""

_MISTAKES = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError)
"""What builders, transforms and layers raise on arguments that are of the right type and make no sense."""


def config_error(reason: str, path: KeyPath, origins: Origins, *, remedy: str | None = None) -> ConfigError:
    """Return the error for the value at `path`."""
    return ConfigError(reason, place=place_of(path, origins), remedy=remedy)


@contextmanager
def placed(path: KeyPath, origins: Origins) -> Iterator[None]:
    """Give an error of a builder the place of the section that asked for it, or of the key in it that is to blame."""
    try:
        yield
    except (ConfigError, DeviceError) as error:
        if error.place is not None:
            raise
        raise type(error)(error.reason, place=blamed(path, origins, error.reason), remedy=error.remedy) from error
    except TinytrainError:
        raise
    except MemoryError as error:
        if memory_problem(error) is not None:  # a full GPU is no mistake of the section that comes last
            raise
        reason = f"too large for the memory: {error}"
        raise ConfigError(reason, place=blamed(path, origins, reason)) from error
    except _MISTAKES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(reason, place=blamed(path, origins, reason)) from error


def blamed(path: KeyPath, origins: Origins, reason: str) -> str:
    """Return the place of what an error in a section comes from.

    That is the key which the reason names, as in "`lr` must be at least 0", an overridden one before one of the file;
    else what was overridden, for the file is mostly one that worked without; else the section.
    """
    inside = [p for p in origins if p[: len(path)] == path and len(p) > len(path)]
    named = [p for p in inside if re.search(rf"`{re.escape(str(p[-1]))}`|\b{re.escape(str(p[-1]))} must\b", reason)]
    overridden = [p for p in inside if origins[p] == OVERRIDE]
    if chosen := [p for p in named if p in overridden][:1] or (named if len(named) == 1 else []):
        return place_of(chosen[0], origins)
    if overridden and origins.get(path) != OVERRIDE:
        first = overridden[0]
        lengths = (n for n in range(len(first), 0, -1) if all(p[:n] == first[:n] for p in overridden))
        return f"{OVERRIDE}: {dotted(first[: next(lengths)])}"
    return place_of(path, origins)


def unknown_key(key: str, known: Iterable[str], path: KeyPath, origins: Origins, *, owner: str = "") -> ConfigError:
    """Return the error for a key that nothing reads.

    Args:
        key: the last part of the path.
        known: the keys that could have been meant.
        path: of the key.
        origins: of the whole config.
        owner: what does not know the key, where it is not plain from the path: `optimizer adam`.
    """
    names = list(known)
    reason = f"unknown key{f' for {owner}' if owner else ''}{did_you_mean(key, names)}"
    remedy = f"Known here: {', '.join(names)}" if names else "It takes none"
    return config_error(reason, path, origins, remedy=remedy)


def explain(error: ValidationError, schema: type[BaseModel], origins: Origins) -> ConfigError:
    """Return the first problem of a validation, in the order of the file, as our own error."""
    details = error.errors(include_url=False)
    return min((_explain_one(one, schema, origins) for one in details), key=_file_order)


def shown(value: Any) -> str:
    """Return a value for a message: text in quotes, the rest as YAML, cut where it is long."""
    text = repr(value) if isinstance(value, str) else flow(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _explain_one(one: ErrorDetails, schema: type[BaseModel], origins: Origins) -> ConfigError:
    path: KeyPath = one["loc"]
    if one["type"] == "extra_forbidden":
        return unknown_key(str(path[-1]), _section(schema, path[:-1]).model_fields, path, origins)
    if one["type"] == "missing":
        return config_error("this key is missing", path, origins, remedy=_about(schema, path))
    remedy = None
    if one["type"] == "string_type" and not isinstance(one["input"], (dict, list)):
        remedy = "Put text that looks like something else in quotes"
    elif one["type"] not in _EXPECTED and one["type"] != "value_error":
        remedy = _about(schema, path)
    return config_error(_expectation(one), path, origins, remedy=remedy)


def _about(schema: type[BaseModel], path: KeyPath) -> str | None:
    """Return what the schema says in short about a key."""
    text = _section(schema, path[:-1]).model_fields[str(path[-1])].description
    return None if text is None else " ".join(text.partition("\n\n")[0].split())


def _expectation(one: ErrorDetails) -> str:
    """Return what was expected and what was found: `expected a number, found 'fast'`."""
    kind, found, context = one["type"], shown(one["input"]), one.get("ctx", {})
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {found}"
    if kind in _BOUNDS:
        limit = _BOUNDS[kind]
        return f"expected a number {BOUND_WORDS[limit]} {context[limit]}, found {found}"
    if kind == "literal_error":
        return f"expected {context['expected'].replace('True', 'true').replace('False', 'false')}, found {found}"
    if kind == "value_error":
        return f"{context['error']}, found {found}"
    return f"{found} is not possible here"


def _section(schema: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """Return the section class that a path leads to."""
    for key in path:
        if isinstance(key, str):
            (schema,) = _section_classes(schema.model_fields[key].annotation)
    return schema


def _section_classes(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the section classes inside an annotation: `Step` of `list[Step] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _section_classes(part)


def _file_order(error: ConfigError) -> tuple[bool, int]:
    """Sort by line; what has no line comes last."""
    line = (error.place or "").split(": ")[0].rpartition(":")[2]
    return (not line.isdecimal(), int(line) if line.isdecimal() else 0)
