"""`KEY=VALUE` on the command line: one value of the config, by its dotted path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tinytrain.config.origins import OVERRIDE, KeyPath, Origins, dotted, replace_origins
from tinytrain.config.yaml_source import parse_yaml
from tinytrain.errors import ConfigError, UsageError


def parse_override(text: str) -> tuple[KeyPath, Any, Origins]:
    """Return the path, the value and the origins of the value's parts.

    Args:
        text: as in `train.optimizer.lr=0.05` or `model.widths.0=16`; the value is YAML.

    Raises:
        UsageError: it is not of the form KEY=VALUE.
        ConfigError: the value is not YAML.
    """
    key, equals, value_text = text.partition("=")
    if not equals or not re.fullmatch(r"\w[\w-]*(\.\w[\w-]*)*", key):
        raise UsageError(
            f"expected KEY=VALUE, found {text!r}",
            remedy="As in train.optimizer.lr=0.05; options come as --name",
        )
    path = tuple(int(part) if part.isdecimal() else part for part in key.split("."))
    value, origins = parse_yaml(value_text, name=f"{OVERRIDE}: {key}", lines=False)
    return path, value, dict.fromkeys(origins, OVERRIDE)


def apply_overrides(values: dict[str, Any], origins: Origins, overrides: Sequence[str]) -> None:
    """Put each override's value in its place.

    Args:
        values: the config as read; changed in place.
        origins: the origin of each value; changed in place.
        overrides: as `KEY=VALUE`; none twice.

    Raises:
        UsageError: an override is not KEY=VALUE, or is there twice.
        ConfigError: a path leads through something that has no such part.
    """
    seen: set[KeyPath] = set()
    for text in overrides:
        path, value, value_origins = parse_override(text)
        if path in seen:
            raise UsageError(f"{dotted(path)} is overridden twice", remedy="Keep one of the two")
        seen.add(path)
        replace_origins(origins, _put(values, origins, path, value), value_origins)


def _put(values: dict[str, Any], origins: Origins, path: KeyPath, value: Any) -> KeyPath:
    """Write `value` at `path`, making the sections that are missing on the way; return where it lies."""
    holder: Any = values
    here: KeyPath = ()
    for key in path[:-1]:
        here = _step(holder, here, key, path)
        if isinstance(holder, dict) and holder.get(here[-1]) is None:
            holder[here[-1]] = {}
            origins[here] = OVERRIDE
        holder = holder[here[-1]]
    here = _step(holder, here, path[-1], path)
    holder[here[-1]] = value
    return here


def _step(holder: Any, here: KeyPath, key: str | int, path: KeyPath) -> KeyPath:
    """Return the path one part further: a name in a section, an index that exists in a list."""
    if isinstance(holder, dict):
        return (*here, str(key))
    if isinstance(holder, list):
        if isinstance(key, int) and key < len(holder):
            return (*here, key)
        raise _no_such_part(path, f"{dotted(here)} is a list of {len(holder)}, counted from 0")
    raise _no_such_part(path, f"{dotted(here)} is a single value")


def _no_such_part(path: KeyPath, reason: str) -> ConfigError:
    return ConfigError(f"there is no such key: {reason}", place=f"{OVERRIDE}: {dotted(path)}")
