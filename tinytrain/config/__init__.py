"""Experiments as YAML: reading, checking, overriding, and building what they describe."""

from tinytrain.config.load import config_from_values, load_config
from tinytrain.config.schema import Config

__all__ = ["Config", "config_from_values", "load_config"]
