"""Where each value of a config came from: `file:line`, `override` or `default`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]
"""The way to a value: `("train", "optimizer", "lr")`; list items by their index from 0."""

Origins = dict[KeyPath, str]
"""The origin of every value that somebody wrote; the others are defaults."""

DEFAULT = "default"
OVERRIDE = "override"


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: `train.optimizer.lr`, `model.widths.0`."""
    return ".".join(map(str, path))


def place_of(path: KeyPath, origins: Origins) -> str:
    """Return the place that an error about `path` names, as in `configs/x.yaml:12: train.optimizer.lr`.

    A value that nobody wrote is blamed on the section that lacks it.
    """
    for length in range(len(path), -1, -1):
        if path[:length] in origins:
            return f"{origins[path[:length]]}: {dotted(path)}" if path else origins[()]
    return dotted(path)


def replace_origins(origins: Origins, path: KeyPath, new: Origins) -> None:
    """Put the origins of a new value in place of those of the old one at `path`.

    Args:
        origins: of the whole config; changed in place.
        path: where the new value lies.
        new: its origins, by paths relative to it.
    """
    for old in [p for p in origins if p[: len(path)] == path]:
        del origins[old]
    origins.update({(*path, *relative): origin for relative, origin in new.items()})


def dump_with_origins(values: dict[str, Any], origins: Origins) -> str:
    """Return YAML text in which a comment tells the origin of every value; `read_yaml` reads it back."""
    lines = [(text, origin) for text, origin in _lines(values, (), origins, 0)]
    width = min(max((len(text) for text, origin in lines if origin), default=0), 72)
    return "".join(f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def flow(value: Any) -> str:
    """Return a value as one line of YAML: `{RandomCrop: {size: 8}}`."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        text = repr(value).replace("inf", ".inf").replace("nan", ".nan")
        # With a dot, YAML 1.1 readers take it for a number as well.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, int):
        return str(value)
    return _word(value)


def _lines(values: dict[str, Any], path: KeyPath, origins: Origins, depth: int) -> Iterator[tuple[str, str]]:
    indent = "  " * depth
    for key, value in values.items():
        here = (*path, key)
        if isinstance(value, dict) and value:
            yield f"{indent}{_word(key)}:", ""
            yield from _lines(value, here, origins, depth + 1)
        elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
            yield f"{indent}{_word(key)}:", ""
            for i, item in enumerate(value):
                yield f"{indent}  - {flow(item)}", _origin((*here, i), origins)
        else:
            yield f"{indent}{_word(key)}: {flow(value)}", _origin(here, origins)


def _origin(path: KeyPath, origins: Origins) -> str:
    """Return the origin of a value on one line: its own, or that of the part of it that was overridden."""
    inside = {origin for p, origin in origins.items() if p[: len(path)] == path}
    return OVERRIDE if OVERRIDE in inside else origins.get(path, DEFAULT)


def _word(text: str) -> str:
    """Return a string as YAML: plain where nobody can take it for something else, else in double quotes."""
    is_plain = text[:1].isalpha() and all(c.isalnum() or c in "_-./" for c in text) and text.isascii()
    if is_plain and text.lower() not in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}:
        return text
    return yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=True).rstrip("\n")
