"""A file of names to names."""

from __future__ import annotations

import pytest

from tinytrain.config.mapping import read_mapping
from tinytrain.errors import ConfigError


@pytest.mark.parametrize("text", ["old.: new.\nfc: null\n", '{"old.": "new.", "fc": null}'])
def test_yaml_and_json_are_read(tmp_path, text):
    (tmp_path / "names.yaml").write_text(text)
    assert read_mapping(tmp_path / "names.yaml") == {"old.": "new.", "fc": None}


def test_a_value_that_is_no_name_is_refused_with_its_line(tmp_path):
    (tmp_path / "names.yaml").write_text("a: b\nold: 3\n")
    with pytest.raises(ConfigError, match=r"names\.yaml:2: old: a name in the network, or null, was expected, not 3"):
        read_mapping(tmp_path / "names.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: there is no such file"):
        read_mapping(tmp_path / "none.yaml")
