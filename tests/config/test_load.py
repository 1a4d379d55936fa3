"""A config is checked whole: every mistake is told with its place, what was expected, and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from tinytrain.config import Config, config_from_values, load_config
from tinytrain.config.schema import Section, plain_values
from tinytrain.errors import TinytrainError

GOOD = """\
name: small
data:
  dataset: digits
  batch_size: 32
transforms:
  train: [ToTensor]
model:
  name: cnn
  widths: [8, 16]
train:
  epochs: 2
  optimizer: {name: sgd, lr: 1e-3}
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "x.yaml"
        path.write_text(text)
        return path

    return write


def message(path: Path, *overrides: str) -> str:
    """Return the refusal of a config, the file called `x.yaml`."""
    with pytest.raises(TinytrainError) as caught:
        load_config(path, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(path), "x.yaml")


def test_values_are_read_and_the_rest_are_defaults(write):
    config = load_config(write(GOOD))
    assert (config.name, config.data.batch_size, config.train.optimizer.arguments["lr"]) == ("small", 32, 0.001)
    assert (config.seed, config.device, config.data.workers) == (0, "auto", 0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs: 2", "epoch: 2", "x.yaml:11: train.epoch: unknown key (did you mean 'epochs'?). Known here: epochs, "),
        ("name: small", "nmae: small", "x.yaml:1: nmae: unknown key (did you mean 'name'?). Known here: name, seed, "),
        ("batch_size: 32", "batch_size: many", "x.yaml:4: data.batch_size: expected a whole number, found 'many'"),
        ("batch_size: 32", "batch_size: 3.5", "x.yaml:4: data.batch_size: expected a whole number, found 3.5"),
        ("batch_size: 32", "batch_size: true", "x.yaml:4: data.batch_size: expected a whole number, found true"),
        (
            "batch_size: 32",
            "batch_size: 0",
            "x.yaml:4: data.batch_size: expected a number of at least 1, found 0. Images in a batch.",
        ),
        ("batch_size: 32", "download: no", "x.yaml:4: data.download: expected true or false, found 'no'"),
        ("batch_size: 32", "val_fraction: 1", "x.yaml:4: data.val_fraction: expected a number below 1.0, found 1"),
        ("batch_size: 32", "val_fraction: .nan", "x.yaml:4: data.val_fraction: expected a finite number, found .nan"),
        (
            "dataset: digits",
            "dataset: 5",
            "x.yaml:3: data.dataset: expected text, found 5. Put text that looks like something else in quotes",
        ),
        ("  dataset: digits\n", "", "x.yaml:2: data.dataset: this key is missing. Which data set: "),
        ("train: [ToTensor]", "train: ToTensor", "x.yaml:6: transforms.train: expected a list, found 'ToTensor'"),
        (
            "train: [ToTensor]",
            "train: [{Pad: 1}]",
            "x.yaml:6: transforms.train.0: expected a name, or one name with its arguments, as in "
            "{RandomCrop: {size: 8}}, found {Pad: 1}",
        ),
        ("  name: cnn\n", "", "x.yaml:7: model: expected either `name` or `layers`"),
        (
            "  name: cnn\n",
            "  layers: [ReLU]\n",
            "x.yaml:7: model: `layers` leaves nothing to say to `widths`",
        ),
        ("name: small", "device: gpu", "x.yaml:1: device: 'gpu' is not possible here. auto (a GPU if there is one), "),
        ("name: small", "name: a/b", "x.yaml:1: name: 'a/b' is not possible here. Name of the run's folder"),
        ("optimizer: {name: sgd, lr: 1e-3}", "optimizer: sgd", "x.yaml:12: train.optimizer: expected keys and values"),
        ("name: small", "seed: -1", "x.yaml:1: seed: expected a number of at least 0, found -1"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(write, old: str, new: str, expected: str):
    assert old in GOOD
    told = message(write(GOOD.replace(old, new, 1)))
    assert told.startswith(expected)
    assert "\n" not in told


def test_of_several_mistakes_the_first_in_the_file_is_told(write):
    text = GOOD.replace("epochs: 2", "epoch: 2").replace("batch_size: 32", "batch_size: x")
    assert message(write(text)).startswith("x.yaml:4: data.batch_size")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs", "expected KEY=VALUE, found 'train.epochs'. As in train.optimizer.lr=0.05"),
        ("--epochs=3", "expected KEY=VALUE, found '--epochs=3'"),
        ("train..epochs=3", "expected KEY=VALUE, found 'train..epochs=3'"),
        ("train.epoch=3", "override: train.epoch: unknown key (did you mean 'epochs'?)"),
        ("train.epochs=soon", "override: train.epochs: expected a whole number, found 'soon'"),
        (
            "model.widths.2=4",
            "override: model.widths.2: there is no such key: model.widths is a list of 2, counted from",
        ),
        ("model.widths.last=4", "override: model.widths.last: there is no such key: model.widths is a list of 2"),
        ("name.first=4", "override: name.first: there is no such key: name is a single value"),
        ("model.widths=[1", "override: model.widths: not valid YAML: "),
        ("seed=99999999999999999999", "override: seed: 99999999999999999999 does not fit in 64 bits"),
        ("model.widths=[1, 99999999999999999999]", "override: model.widths.1: 99999999999999999999 does not fit"),
        ("data.options={a: 1, a: 2}", "override: data.options.a: this key is there twice"),
        ("data.options={foo: 1}", "override: data.options.foo: unknown key for dataset 'digits'. It takes none"),
    ],
)
def test_a_wrong_override_is_refused(write, override: str, expected: str):
    assert message(write(GOOD), override).startswith(expected)


def test_a_key_overridden_twice_is_refused(write):
    assert message(write(GOOD), "seed=1", "seed=2") == "seed is overridden twice. Keep one of the two"


def test_overrides_reach_values_list_items_and_absent_sections(write):
    overrides = ["train.optimizer.lr=5e-2", "model.widths.1=24", "finetune.freeze=[features]", "data.root="]
    config = load_config(write(GOOD), overrides)
    assert config.train.optimizer.arguments["lr"] == 0.05
    assert config.model.arguments["widths"] == [8, 24]
    assert config.finetune.freeze == ["features"]
    assert config.data.root is None


def test_an_override_of_a_default_keeps_the_other_defaults(write):
    config = load_config(write(GOOD), ["train.schedule.warmup_epochs=1"])
    assert (config.train.schedule.name, config.train.schedule.warmup_epochs) == ("constant", 1)


def test_an_override_may_hold_equals_signs_and_yaml(write):
    config = load_config(write(GOOD), ["data.root='a=b'", "model={name: cnn, widths: [4]}"])
    assert config.data.root == "a=b"
    assert config.model.arguments["widths"] == [4]


def test_the_resolved_config_names_every_origin(write):
    path = write(GOOD)
    lines = load_config(path, ["seed=3", "model.widths.0=4"]).to_yaml().splitlines()
    told = {line.split("#")[0].strip(): line.split("#")[1].strip() for line in lines if "#" in line}
    assert told["name: small"] == f"{path}:1"
    assert told["seed: 3"] == "override"
    assert told["widths: [4, 16]"] == "override"
    assert told["workers: 0"] == "default"
    assert told["lr: 0.001"] == f"{path}:12"


def test_the_resolved_config_reads_back_as_itself(write):
    config = load_config(write(GOOD))
    again = load_config(write(config.to_yaml()))
    assert plain_values(again) == plain_values(config)


def test_a_config_cannot_be_changed_later():
    config = config_from_values({"data": {"dataset": "digits"}, "model": {"name": "cnn"}})
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1


def sections(section: type[BaseModel] = Section):
    for one in section.__subclasses__():
        yield one
        yield from sections(one)


@pytest.mark.parametrize("section", list(sections()), ids=lambda section: section.__name__)
def test_every_key_says_what_it_is_for(section: type[BaseModel]):
    schema = section.model_json_schema()
    assert schema["description"]
    nested = [name for name, field in schema.get("properties", {}).items() if "$ref" in field]
    unexplained = [name for name, field in schema.get("properties", {}).items() if not field.get("description")]
    assert set(unexplained) <= set(nested)


def test_the_schema_is_available_as_json_schema():
    properties = Config.model_json_schema()["properties"]
    assert {"data", "transforms", "model", "train", "finetune"} <= properties.keys()
