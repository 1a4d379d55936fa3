"""YAML text to plain values, keeping the file and line of every one of them.

The scalars are YAML 1.2's: `1e-3` is a number, `no` and `on` are words. What a config never needs and an
attacker or a typing slip does is refused: duplicate keys, tags, cyclic and exploding aliases, endless files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tinytrain.config.origins import KeyPath, Origins, dotted
from tinytrain.errors import ConfigError, did_you_mean

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_VALUES = 50_000  # after aliases are written out
MAX_INT = 2**63 - 1

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = {
    "null": (r"(?:~|null|Null|NULL|)", "~nN\0"),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)", "tTfF"),
    "int": (r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", "-+0123456789"),
    "float": (
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        "-+0123456789.",
    ),
}


def read_yaml(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Origins]:
    """Return the mapping in a YAML file and the place of every value in it.

    Args:
        path: the file, UTF-8, at most 1 MiB.

    Raises:
        ConfigError: there is no such file, or it is not one mapping in the subset that we read.
        OSError: the file cannot be read.
    """
    file = Path(path)
    if not file.is_file():
        remedy = _similar_file(file) if not file.exists() else "Name a YAML file"
        reason = "there is no such file" if not file.exists() else "this is not a file"
        raise ConfigError(reason, place=file, remedy=remedy)
    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"a config is at most {MAX_BYTES} bytes", place=file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise ConfigError(reason, place=f"{file}:{line}", remedy="Save the file as UTF-8") from error
    value, origins = parse_yaml(text, name=str(file))
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"a {_kind(value)}"
        raise ConfigError(f"expected keys and values, found {found}", place=file)
    return value, origins


def parse_yaml(text: str, *, name: str, lines: bool = True) -> tuple[Any, Origins]:
    """Return the value of YAML text and the origin of each part of it.

    Args:
        text: one YAML document.
        name: what messages and origins call the text.
        lines: whether an origin ends in its line number.

    Raises:
        ConfigError: the text is not YAML, or not the subset that we read.
    """

    def place(line: int) -> str:
        return f"{name}:{line + 1}" if lines else name

    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        reason = f"character U+{ord(text[error.position]):04X} does not belong in a text file"
        raise ConfigError(reason, place=place(line)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        assert mark is not None, "the scanner, the parser and the composer always say where"
        problem = ", ".join(filter(None, [error.context, error.problem]))
        raise ConfigError(f"not valid YAML: {problem} (column {mark.column + 1})", place=place(mark.line)) from error
    if node is None:
        return None, {(): place(0)}
    reader = _Reader(place, lines)
    return reader.value(node, ()), reader.origins


class _Loader(yaml.SafeLoader):
    """PyYAML's scanner, parser and composer with YAML 1.2's scalars, without tags, of bounded depth."""

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace(_PREFIX, "!!")
            raise self._refusal(event, f"the tag {tag} is not allowed")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._refusal(event, f"more than {MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refusal(self, event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]


_Loader.yaml_implicit_resolvers = {}  # in place of SafeLoader's, which are YAML 1.1's
for _name, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        _PREFIX + _name, re.compile(f"{_pattern}\\Z"), ["" if c == "\0" else c for c in _first]
    )


class _Reader:
    """Turns nodes into values, noting where each came from."""

    def __init__(self, place: Callable[[int], str], has_lines: bool):
        self.origins: Origins = {}
        self._place, self._has_lines = place, has_lines
        self._above: set[int] = set()
        self._count = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._error(node, path, f"more than {MAX_VALUES} values once aliases are written out")
        if id(node) in self._above:
            raise self._error(node, path, "an alias contains itself")
        self.origins[path] = self._place(node.start_mark.line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._above.add(id(node))
        result = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self._above.remove(id(node))
        return result

    def _list(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        lines: dict[str, str] = {}
        for key_node, value_node in node.value:
            if key_node.tag != _PREFIX + "str":
                found = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
                reason = f"a key is a word, found {found or 'nothing'}"
                raise self._error(key_node, path, reason, "Put it in quotes")
            key, where = key_node.value, self._place(key_node.start_mark.line)
            if key in result:
                raise self._error(key_node, (*path, key), f"this key is there twice, first at {lines[key]}")
            lines[key] = where
            result[key] = self.value(value_node, (*path, key))
            self.origins[(*path, key)] = where
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind, text = node.tag.removeprefix(_PREFIX), node.value
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            # Twenty-odd digits are beyond the bound already; int() refuses thousands in another way.
            number = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) <= 24 else MAX_INT + 1
            if abs(number) > MAX_INT:
                raise self._error(node, path, f"{text[:24]} does not fit in 64 bits")
            return number
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text

    def _error(self, node: yaml.Node, path: KeyPath, reason: str, remedy: str | None = None) -> ConfigError:
        place = self._place(node.start_mark.line)
        key = dotted(path)
        joint = ": " if self._has_lines else "."  # without lines the place is a key that the path goes on from
        return ConfigError(reason, place=f"{place}{joint}{key}" if key else place, remedy=remedy)


def _kind(value: Any) -> str:
    return "list" if isinstance(value, list) else "single value"


def _similar_file(file: Path) -> str | None:
    """Return a remedy naming the file that may have been meant, or None."""
    if not file.parent.is_dir():
        return None
    hint = did_you_mean(file.name, (p.name for p in file.parent.iterdir() if p.suffix in {".yaml", ".yml"}))
    return hint.strip(" ()").capitalize() or None
