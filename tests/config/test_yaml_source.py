"""The YAML that a config is written in: YAML 1.2's scalars, places kept, traps refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinytrain.config.origins import flow
from tinytrain.config.yaml_source import MAX_BYTES, MAX_INT, parse_yaml, read_yaml
from tinytrain.errors import ConfigError


def value_of(text: str):
    return parse_yaml(text, name="x.yaml")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("5E4", 50000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-0.25", -0.25),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("+3", 3),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        ("'7'", "7"),
        ('"true"', "true"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, expected: object):
    value = value_of(f"key: {text}")["key"]
    assert value == expected
    assert type(value) is type(expected)


def test_nan_is_a_number():
    assert math.isnan(value_of(".nan"))


def test_every_value_keeps_its_line():
    _, origins = parse_yaml("a: 1\nb:\n  c: [2,\n    3]\n", name="x.yaml")
    assert origins == {
        (): "x.yaml:1",
        ("a",): "x.yaml:1",
        ("b",): "x.yaml:2",
        ("b", "c"): "x.yaml:3",
        ("b", "c", 0): "x.yaml:3",
        ("b", "c", 1): "x.yaml:4",
    }


def test_an_alias_is_a_value_of_its_own():
    value = value_of("a: &w [1, 2]\nb: *w\n")
    assert value == {"a": [1, 2], "b": [1, 2]}
    assert value["a"] is not value["b"]


BOMB = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: a: this key is there twice, first at x.yaml:1"),
        ("a:\n  b: 1\n  b: 1\n", "x.yaml:3: a.b: this key is there twice, first at x.yaml:2"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "x.yaml:1: not valid YAML: the tag !!python/object/apply:os.system is not allowed (column 4)",
        ),
        ("a: !x 1\n", "x.yaml:1: not valid YAML: the tag !x is not allowed (column 4)"),
        ("a: &a [*a]\n", "x.yaml:1: a.0: an alias contains itself"),
        (BOMB, "more than 50000 values once aliases are written out"),
        ("a: " + "[" * 3000 + "]" * 3000, "x.yaml:1: not valid YAML: more than 40 levels deep (column 43)"),
        ("a: *b\n", "x.yaml:1: not valid YAML: found undefined alias 'b' (column 4)"),
        ("a: 1\nb: \0\n", "x.yaml:2: character U+0000 does not belong in a text file"),
        ("a: [1,\n", "x.yaml:2: not valid YAML: "),
        ("a: 1\n\tb: 2\n", "found character '\\t' that cannot start any token (column 1)"),
        ("a: 1\n---\nb: 2\n", "expected a single document in the stream, but found another document"),
        ("1: 2\n", "x.yaml:1: a key is a word, found 1. Put it in quotes"),
        ("a: {[1]: 2}\n", "x.yaml:1: a: a key is a word, found a list or mapping"),
        (f"seed: {MAX_INT + 1}\n", f"x.yaml:1: seed: {MAX_INT + 1} does not fit in 64 bits"),
        ("seed: " + "9" * 5000, "x.yaml:1: seed: 999999999999999999999999 does not fit in 64 bits"),
    ],
)
def test_a_trap_is_refused_by_file_and_line(text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        value_of(text)
    assert message in str(caught.value)


def test_bytes_that_are_not_utf_8_are_refused(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path}:2: byte 0xff is not UTF-8. Save the file as UTF-8"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\n")
    assert read_yaml(path)[0] == {"name": "x"}


@pytest.mark.parametrize(
    ("text", "found"), [("", "nothing"), ("# only this\n", "nothing"), ("- 1\n", "a list"), ("5", "a single value")]
)
def test_a_config_is_keys_and_values(tmp_path: Path, text: str, found: str):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path}: expected keys and values, found {found}"


def test_a_file_without_end_is_refused(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="a config is at most 1048576 bytes"):
        read_yaml(path)


def test_a_missing_file_names_the_nearest(tmp_path: Path):
    (tmp_path / "digits.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "digit.yaml")
    assert str(caught.value) == f"{tmp_path / 'digit.yaml'}: there is no such file. Did you mean 'digits.yaml'?"


def test_a_folder_is_no_config(tmp_path: Path):
    with pytest.raises(ConfigError, match="this is not a file"):
        read_yaml(tmp_path)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(plain_values)
@example(math.inf)
@example(-math.inf)
@example(1e-5)
@example("\x7f\u2028")
def test_what_is_written_is_read_back(value: object):
    assert value_of(f"key: {flow(value)}") == {"key": value}
