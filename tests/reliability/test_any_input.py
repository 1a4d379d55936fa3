"""Whatever bytes or text a reader is given, it reads them or refuses them; what is written is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tinytrain.config import config_from_values
from tinytrain.config.overrides import parse_override
from tinytrain.config.yaml_source import parse_yaml
from tinytrain.datasets.idx import read_idx
from tinytrain.errors import ConfigError, DataError, TinytrainError, UsageError, WeightsError
from tinytrain.pickles import PickleError
from tinytrain.weights import describe
from tinytrain.weights.safetensors_file import read_safetensors_bytes

from ..datasets.idx_files import encoded
from ..weights.files import safetensors_file

anew = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)

yaml_like = st.text(st.sampled_from("ab1.-:&*!?|>{}[],#%@\"'\\ \n\t\0é\u2028"), max_size=60)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@anew
@given(yaml_like | st.text())
def test_any_text_is_a_config_or_a_message(text: str):
    try:
        parse_yaml(text, name="x.yaml")
    except ConfigError as error:
        assert str(error).startswith("x.yaml:")  # noqa: PT017  # most texts are read


@anew
@given(yaml_like)
def test_any_argument_is_an_override_or_a_message(text: str):
    try:
        path, _, _ = parse_override(text)
    except (UsageError, ConfigError):
        return
    assert path


SECTIONS = ("data", "model", "train", "transforms", "finetune", "name", "seed", "device")


@anew
@given(st.dictionaries(st.sampled_from(SECTIONS) | st.text(max_size=4), json_values, max_size=4))
@example({"²": None})  # a digit, but no number
def test_any_values_are_a_config_or_a_message(values: dict[str, Any]):
    base = {"data": {"dataset": "digits"}, "model": {"name": "cnn"}}
    try:
        config_from_values({**base, **values})
    except TinytrainError as error:
        assert str(error)  # noqa: PT017  # a few values are as they should be


@anew
@given(st.binary(max_size=300))
def test_any_bytes_are_weights_or_a_message(tmp_path: Path, content: bytes):
    path = tmp_path / "w"
    for beginning in (b"", b"PK\x03\x04", b"\x80\x02", (len(content) or 1).to_bytes(8, "little") + b"{"):
        path.write_bytes(beginning + content)
        try:
            describe(path)
        except WeightsError as error:
            assert str(error).startswith(str(path))  # noqa: PT017  # empty pickles are read


@anew
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=3), st.binary(max_size=20))
def test_any_header_is_read_or_refused(tmp_path: Path, header: dict[str, Any], data: bytes):
    path = safetensors_file(tmp_path / "w.safetensors", header, data)
    try:
        found = read_safetensors_bytes(path.read_bytes())
    except (WeightsError, PickleError):
        return
    assert sum(array.nbytes for array in found.arrays.values()) == len(data)


kinds = st.sampled_from([np.dtype(kind) for kind in ("u1", "i1", "i2", "i4", "f4", "f8")])
numbers = kinds.flatmap(lambda kind: arrays(kind, array_shapes(max_dims=4, max_side=5)))


@anew
@given(numbers)
def test_arrays_come_back_from_idx_files(tmp_path: Path, array: np.ndarray):
    path = tmp_path / "a-idx"
    path.write_bytes(encoded(array))
    read = read_idx(path)
    assert read.dtype == array.dtype
    assert read.tobytes() == array.tobytes()  # which knows one NaN from another


@anew
@given(st.binary(max_size=100))
def test_any_bytes_are_an_idx_file_or_a_message(tmp_path: Path, content: bytes):
    path = tmp_path / "a-idx"
    for beginning in (b"", b"\0\0\x08\x01", b"\x1f\x8b"):
        path.write_bytes(beginning + content)
        try:
            array = read_idx(path)
        except DataError as error:
            assert str(error).startswith(str(path))  # noqa: PT017  # short headers may fit
            continue
        assert array.nbytes <= len(content)
