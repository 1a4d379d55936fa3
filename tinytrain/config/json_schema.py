"""The schema of a config for editors (JSON Schema, draft 2020-12), and as a page for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from tinytrain.config.components import config_parameters, describe, is_plain, type_hints
from tinytrain.config.origins import flow
from tinytrain.config.schema import Component, Config, Section, Step
from tinytrain.config.tables import TABLES

CHOSEN: dict[tuple[str, ...], str] = {
    ("data", "dataset"): "datasets",
    ("model", "name"): "models",
    ("train", "optimizer", "name"): "optimizers",
    ("train", "schedule", "name"): "schedules",
    ("train", "loss", "name"): "losses",
}
"""Keys whose values are names of a table."""

LISTS: dict[tuple[str, ...], str] = {
    ("transforms", "train"): "transforms",
    ("transforms", "eval"): "transforms",
    ("model", "layers"): "layers",
}
"""Keys that hold a list of names with arguments."""


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file, with the names that there are now."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    del definitions["Step"]
    for kind in sorted(set(LISTS.values())):
        definitions[_entry(kind)] = _step_schema(kind)
    for path, kind in LISTS.items():
        owner = _section_schema(schema, path[:-1])
        found = owner["properties"][path[-1]]
        entries = {"type": "array", "items": {"$ref": f"#/$defs/{_entry(kind)}"}}
        if "anyOf" in found:
            found["anyOf"] = [entries, {"type": "null"}]
        else:
            found |= entries
            found.pop("default", None)
    for path, kind in CHOSEN.items():
        found = _section_schema(schema, path[:-1])["properties"][path[-1]]
        names = sorted(TABLES[kind].registry)
        if "anyOf" in found:
            found["anyOf"] = [{"enum": names}, {"type": "null"}]
        else:
            found["enum"] = names
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "tinytrain config"}


def reference() -> str:
    """Return the config reference as Markdown: every key with its type, its default and what it is for."""
    lines = [
        "# The config",
        "",
        "Every key, as `tinytrain config-schema --markdown` prints it. Without `--markdown` it prints the JSON Schema",
        "for editors; the comment `# yaml-language-server: $schema=FILE` atop a config names a file with it.",
        "`tinytrain new FOLDER` writes a config to begin with, `tinytrain check CONFIG` tells every value in force.",
        "",
    ]
    lines += ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for path, annotation, default, about in _keys(Config, ()):
        lines.append(f"| `{'.'.join(path)}` | {annotation} | {default} | {about} |")
    for kind, what in (("optimizers", "optimizer"), ("schedules", "schedule"), ("losses", "loss")):
        lines += ["", f"## `train.{what}` by name", "", "| name | its keys, with their defaults |", "| --- | --- |"]
        lines += [f"| `{name}` | {_arguments(kind, name)} |" for name in sorted(TABLES[kind].registry)]
    lines += [
        "",
        "Models and their options: `tinytrain list models`; transforms: `tinytrain list transforms`; layers:",
        "`tinytrain list layers`; data sets: `tinytrain list datasets`.",
    ]
    return "\n".join(lines) + "\n"


def _entry(kind: str) -> str:
    return kind.removesuffix("s").capitalize()


def _section_schema(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of a section by its path."""
    found = schema
    for key in path:
        found = found["properties"][key]
        found = schema["$defs"][found["$ref"].rpartition("/")[2]]
    return found


def _step_schema(kind: str) -> dict[str, Any]:
    """Return the schema of an entry of a list: a name, or one name with its arguments."""
    table = TABLES[kind]
    names = sorted(table.registry)
    arguments = {}
    for name in names:
        known = [p.name for p in config_parameters(table.registry[name]) if p.name not in table.supplied]
        properties: dict[str, Any] = {key: {} for key in known}
        arguments[name] = {"type": ["object", "null"], "properties": properties, "additionalProperties": False}
    with_arguments = {
        "type": "object",
        "properties": arguments,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"description": (Step.__doc__ or "").strip(), "anyOf": [{"enum": names}, with_arguments]}


def _keys(section: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
    """Yield path, values, default and meaning of every key, section by section."""
    schema = section.model_json_schema()
    for name, field in section.model_fields.items():
        here = (*path, name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section) and here not in LISTS:
            yield from _keys(kind, here)
            continue
        values = _values(here, schema["properties"][name], schema.get("$defs", {}))
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        yield here, values, default, " ".join((field.description or "").split()).replace("|", "\\|")
    if issubclass(section, Component):
        yield (*path, "*"), "", "", "The arguments of what `name` stands for; see below."
    elif section.model_config.get("extra") == "allow":
        yield (*path, "*"), "", "", "The options of the model; see `tinytrain list models`."


def _values(path: tuple[str, ...], schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    if path in CHOSEN:
        return f"a name of `tinytrain list {CHOSEN[path]}`"
    if path in LISTS:
        return f"a list of {LISTS[path]}"
    return _described(schema, definitions)


def _described(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the values that a schema allows in plain words."""
    if "$ref" in schema:
        named = definitions[schema["$ref"].rpartition("/")[2]]
        inside = ", ".join(named.get("properties", {}))
        return f"keys {inside}" if inside else _described(named, definitions)
    if "anyOf" in schema:
        return " or ".join(_described(each, definitions) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value if isinstance(value, str) else flow(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    words = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "text",
        "null": "null",
        "object": "keys and values",
    }
    if schema.get("type") == "array":
        return f"a list ({_described(schema.get('items', {}), definitions)} each)"
    text = words.get(schema.get("type", ""), "any")
    bounds = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "below"}
    limits = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema and abs(schema[key]) < 1e12]
    return " ".join([text, *([" and ".join(limits)] if limits else [])])


def _default(value: Any) -> str:
    if isinstance(value, list):
        value = [each.name if isinstance(each, Step) else each for each in value]
    return f"`{flow(value)}`"


def _arguments(kind: str, name: str) -> str:
    """Return the arguments of an entry of a table, as `lr` (a number), `momentum=0.0`."""
    table = TABLES[kind]
    builder, shown = table.registry[name], []
    parameters = {p.name: p for p in config_parameters(builder)}
    hints = type_hints(builder, parameters)
    for p in parameters.values():
        if p.name in table.supplied:
            continue
        if p.default is p.empty:
            shown.append(f"`{p.name}` (required, {describe(hints[p.name])})")
        else:
            shown.append(f"`{p.name}: {flow(p.default) if is_plain(p.default) else 'null'}`")
    return ", ".join(shown) or "none"
