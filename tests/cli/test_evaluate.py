"""`evaluate` takes weights from elsewhere: by their own names, through a mapping, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tinytrain import models
from tinytrain.cli.main import run
from tinytrain.generator import manual_seed

CONFIG = """
data: {dataset: digits}
model: {name: cnn, widths: [4], strides: [2]}
transforms: {eval: [ToTensor]}
"""


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Return a function that evaluates arrays by name, and returns the exit code, the report and the message."""
    (tmp_path / "config.yaml").write_text(CONFIG)

    def evaluate(arrays, mapping=None):
        np.savez(tmp_path / "w.npz", **arrays)
        arguments = ["evaluate", str(tmp_path / "w.npz"), "--config", str(tmp_path / "config.yaml"), "--json"]
        if mapping is not None:
            (tmp_path / "names.json").write_text(json.dumps(mapping))
            arguments += ["--mapping", str(tmp_path / "names.json")]
        code = run(arguments)
        stdout, stderr = capsys.readouterr()
        return code, json.loads(stdout) if stdout else None, stderr

    return evaluate


@pytest.fixture
def arrays():
    manual_seed(0)
    state = models.cnn(in_channels=1, widths=[4], strides=[2]).state_dict()
    return {name: tensor.detach().numpy() for name, tensor in state.items()}


def test_a_prefix_and_a_mapping_lead_to_the_same_report(evaluate, arrays):
    code, expected, _ = evaluate(arrays)
    assert code == 0
    assert expected["count"] == 355
    prefixed = {f"state_dict.module.{name}": array for name, array in arrays.items()}
    assert evaluate(prefixed) == (0, expected, "")
    renamed = {name.replace("classifier.", "fc/"): array for name, array in arrays.items()}
    mapping = {"fc/weight": "classifier.weight", "fc/bias": "classifier.bias"}
    assert evaluate(renamed, mapping) == (0, expected, "")


def test_a_network_that_is_not_filled_is_refused_with_the_reasons(evaluate, arrays):
    arrays["classifier.weight"] = np.zeros((3, 4), np.float32)
    del arrays["classifier.bias"]
    code, report, message = evaluate(arrays)
    assert (code, report) == (3, None)
    assert (
        "w.npz: the weights do not fit the network: classifier.weight: shape (3, 4) in the file, (10, 4) in the model; "
        "classifier.bias: not in the file. `tinytrain doctor FILE` shows" in message
    )


def test_weights_that_are_there_twice_are_not_guessed_at(evaluate, arrays):
    twice = {f"{prefix}.{name}": array for prefix in ("model", "ema") for name, array in arrays.items()}
    code, _, message = evaluate(twice)
    assert code == 3
    assert "w.npz: the weights are there more than once: under 'model.', 'ema.'. Leave the others out" in message
    assert evaluate(twice, {"model.": None}) == evaluate(arrays)


def test_a_rule_that_fits_nothing_is_refused(evaluate, arrays):
    code, _, message = evaluate(arrays, {"clasifier.bias": "x"})
    assert code == 3
    assert "w.npz: mapping 'clasifier.bias': the file has no such name (did you mean 'classifier.bias'?)" in message


def test_weights_of_which_nothing_fits_are_refused(evaluate):
    code, _, message = evaluate({"x": np.zeros(3)})
    assert code == 3
    assert "w.npz: no tensor of the file fits the model CNN (x: the model has no tensor of that name)" in message
