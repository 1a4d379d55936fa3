"""The names in a weights file to the names in a network, as people write them down."""

from __future__ import annotations

import os

from tinytrain.config.origins import place_of
from tinytrain.config.yaml_source import read_yaml
from tinytrain.errors import ConfigError


def read_mapping(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """Return the mapping in a YAML or JSON file; what it means is told by `tinytrain.weights.match_weights`.

    Raises:
        ConfigError: there is no such file, or it is not names to names.
    """
    values, origins = read_yaml(path)
    for old, new in values.items():
        if new is not None and not isinstance(new, str):
            raise ConfigError(
                f"a name in the network, or null, was expected, not {new!r}", place=place_of((old,), origins)
            )
    return values
