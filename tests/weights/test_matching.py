"""Names find each other through prefixes and mappings; what does not fit is told, not guessed."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain import nn
from tinytrain.errors import WeightsError
from tinytrain.weights import Row, load_weights, match_weights, read_weights

from .files import Storage, tensor, zip_file

OWN = {"fc.weight": np.zeros((2, 3), np.float32), "fc.bias": np.zeros(2, np.float32)}


def given(**changes):
    return {"fc.weight": np.ones((2, 3), np.float32), "fc.bias": np.ones(2, np.float32)} | changes


@pytest.mark.parametrize("prefix", ["", "module.", "state_dict.", "state_dict.module.", "net.backbone."])
def test_a_common_prefix_is_found(prefix):
    tensors = {prefix + name: array for name, array in given().items()} | {"optimizer.state.0.exp_avg": np.ones(3)}
    matching = match_weights(OWN, tensors)
    assert matching.prefix == prefix
    assert [row.status for row in matching.rows] == ["loaded", "loaded", "skipped"]
    assert matching.rows[2] == Row("skipped", None, "optimizer.state.0.exp_avg", "the model has no tensor of that name")
    assert matching.arrays.keys() == OWN.keys()


def test_the_prefix_with_most_matches_wins_and_ties_are_told():
    tensors = {"a.fc.bias": np.ones(2)} | {
        f"{p}.{name}": each for p in ("model", "ema") for name, each in given().items()
    }
    matching = match_weights(OWN, tensors)
    assert (matching.prefix, matching.others) == ("model.", ["ema."])
    assert matching.summary() == (
        "2 tensors loaded from 'model.' ('ema.' would fit as well), 3 skipped, 0 left at initialisation"
    )


def test_another_shape_is_skipped_with_both_shapes():
    matching = match_weights(OWN, given(**{"fc.weight": np.ones((5, 3), np.float32)}))
    assert matching.of("skipped") == [
        Row("skipped", "fc.weight", "fc.weight", "shape (5, 3) in the file, (2, 3) in the model")
    ]
    assert matching.of("initialised") == [Row("initialised", "fc.weight", None, "the file's was skipped")]
    assert matching.missing == ["fc.weight"]


def test_a_missing_tensor_is_left_and_batch_counters_do_not_count():
    own = OWN | {"bn.num_batches_tracked": np.zeros((), np.int64)}
    matching = match_weights(own, {"fc.weight": np.ones((2, 3), np.float32)})
    assert [row.name for row in matching.of("initialised")] == ["fc.bias", "bn.num_batches_tracked"]
    assert matching.missing == ["fc.bias"]


def test_a_change_of_type_is_told_and_an_impossible_one_refused():
    matching = match_weights(OWN, given(**{"fc.bias": np.ones(2, np.float16)}))
    assert matching.rows[1] == Row("loaded", "fc.bias", "fc.bias", "float16 becomes float32")
    counters = match_weights({"n": np.zeros((), np.int64)}, {"n": np.array(1.5)})
    assert counters.of("skipped")[0].reason == "float64 in the file, int64 in the model"


def test_a_mapping_renames_names_and_beginnings_and_leaves_out():
    tensors = {"conv/w": np.ones((2, 3), np.float32), "head.b": np.ones(2, np.float32), "head.b.more": np.ones(1)}
    matching = match_weights(OWN, tensors, mapping={"conv/w": "fc.weight", "head.b": "fc.bias", "head.b.more": None})
    assert matching.arrays.keys() == OWN.keys()
    assert matching.of("skipped") == [Row("skipped", None, "head.b.more", "the mapping leaves it out")]
    by_beginning = {"old/fc.weight": OWN["fc.weight"], "old/fc.bias": OWN["fc.bias"]}
    assert match_weights(OWN, by_beginning, mapping={"old/fc.": "fc."}).arrays.keys() == OWN.keys()


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"fc.wieght": "fc.weight"}, r"mapping 'fc.wieght': the file has no such name \(did you mean 'fc.weight'\?\)"),
        ({"fc.": "head"}, "both must end in a dot, or neither"),
        ({"fc.bias": "head."}, "both must end in a dot, or neither"),
        ({"fc.bias": "fc.weight"}, "'fc.bias' and 'fc.weight' are both 'fc.weight' in the model"),
    ],
)
def test_a_wrong_mapping_is_refused(mapping, reason):
    with pytest.raises(WeightsError, match=reason):
        match_weights(OWN, given(), mapping=mapping)


def test_what_is_to_be_skipped_is_left_out():
    matching = match_weights(OWN, given(), skip=["fc.bias"])
    assert matching.of("skipped") == [Row("skipped", "fc.bias", "fc.bias", "left out on purpose")]


def test_loading_changes_the_model_and_returns_the_table(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2))
    raw = np.arange(6, dtype="<f4")
    path = zip_file(
        tmp_path / "w.pth",
        {"module.0.weight": tensor(Storage("FloatStorage", "0", 6), 0, (2, 3), (3, 1))},
        {"0": raw.tobytes()},
    )
    bias = model[0].bias.detach().numpy().copy()
    matching = load_weights(model, read_weights(path).tensors)
    assert model[0].weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    np.testing.assert_array_equal(model[0].bias.detach().numpy(), bias)
    assert matching.summary() == "1 tensors loaded from 'module.', 0 skipped, 1 left at initialisation"


def test_weights_of_which_nothing_fits_are_refused():
    with pytest.raises(WeightsError, match="no tensor of the file fits the model Linear"):
        load_weights(nn.Linear(3, 2), {"x.y": np.ones(3)})
