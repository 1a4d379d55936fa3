"""A config file and overrides to a checked `Config`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from tinytrain.config.origins import Origins
from tinytrain.config.overrides import apply_overrides
from tinytrain.config.problems import explain
from tinytrain.config.resolve import resolve
from tinytrain.config.schema import Config, ModelSection, Section
from tinytrain.config.yaml_source import read_yaml


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Return the config in a YAML file, with overrides applied.

    Args:
        path: the file.
        overrides: as `KEY=VALUE`, the value in YAML.

    Raises:
        ConfigError: the file or an override is not valid; the message has the place and the closest name.
        OSError: the file cannot be read.
    """
    values, origins = read_yaml(path)
    apply_overrides(values, origins, overrides)
    return config_from_values(values, origins)


def config_from_values(values: dict[str, Any], origins: Origins | None = None) -> Config:
    """Return the config that plain values describe.

    Args:
        values: sections and keys, as a config file nests them.
        origins: where the values came from, for messages.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type or range, or names nothing.
    """
    origins = origins if origins is not None else {}
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise explain(error, Config, origins) from error
    config.origins.update(origins)
    return resolve(config)


def model_from_values(values: dict[str, Any], origins: Origins) -> ModelSection:
    """Return the `model` section that plain values describe, for which the rest of a config need not be known.

    Args:
        values: of the section.
        origins: of the config that it stands in.

    Raises:
        ConfigError: a value is missing or of another type.
    """
    try:
        return _ModelAlone.model_validate({"model": values}).model
    except ValidationError as error:
        raise explain(error, _ModelAlone, origins) from error


class _ModelAlone(Section):
    """A config of which no more is known than the network."""

    model: ModelSection
    """The network."""
