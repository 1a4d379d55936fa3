"""From samples to batches, by PyTorch's documented rules."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.utils.data import default_collate, default_convert
from tinytrain.utils.data.collate import collate, default_collate_fn_map

Point = namedtuple("Point", ["x", "y"])


@pytest.mark.parametrize(
    ("batch", "dtype", "values"),
    [
        ([0, 1, 2], tt.int64, [0, 1, 2]),
        ([0.5, 1.5], tt.float64, [0.5, 1.5]),
        ([True, False], tt.bool, [True, False]),
        ([np.float32(1), np.float32(2)], tt.float32, [1, 2]),
        ([np.uint8(1), np.uint8(2)], tt.uint8, [1, 2]),
    ],
)
def test_numbers_become_vectors_of_their_type(batch, dtype, values):
    result = default_collate(batch)
    assert (result.dtype, result.tolist()) == (dtype, values)


def test_tensors_and_arrays_are_stacked():
    assert default_collate([tt.tensor([1, 2]), tt.tensor([3, 4])]).tolist() == [[1, 2], [3, 4]]
    result = default_collate([np.zeros((2, 3), np.float32)] * 4)
    assert (tuple(result.shape), result.dtype) == ((4, 2, 3), tt.float32)


def test_images_that_lie_channels_last_are_stacked_so():
    images = [tt.arange(24).reshape(2, 3, 4).permute(2, 0, 1) + i for i in range(3)]
    result = default_collate(images)
    assert result.tolist() == [image.tolist() for image in images]
    assert result.array.transpose(0, 2, 3, 1).flags.c_contiguous
    assert result.is_contiguous()


def test_text_stays_as_it_is():
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a", b"b"]) == [b"a", b"b"]


def test_structures_are_collated_member_by_member():
    result = default_collate([{"a": 1, "b": [2, 3]}, {"a": 4, "b": [5, 6]}])
    assert result["a"].tolist() == [1, 4]
    assert [each.tolist() for each in result["b"]] == [[2, 5], [3, 6]]
    pairs = default_collate([(0, 1), (2, 3)])
    assert isinstance(pairs, list)
    assert [each.tolist() for each in pairs] == [[0, 2], [1, 3]]
    point = default_collate([Point(0, 0), Point(1, 1)])
    assert isinstance(point, Point)
    assert point.x.tolist() == [0, 1]


def test_a_mapping_keeps_its_type():
    assert type(default_collate([OrderedDict(a=1)])) is OrderedDict


def test_sequences_of_different_lengths_are_refused():
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        default_collate([[1, 2], [1]])


def test_tensors_of_different_shapes_are_refused():
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        default_collate([tt.zeros(2), tt.zeros(3)])


@pytest.mark.parametrize("sample", [object(), None, np.array(["a"]), {1, 2}])
def test_what_has_no_tensor_form_is_refused(sample):
    with pytest.raises(TypeError, match="default_collate: batch must contain tensors, numpy arrays, numbers"):
        default_collate([sample, sample])


def test_a_type_of_your_own_can_have_its_rule():
    class Word(str):
        pass

    def lengths(batch, *, collate_fn_map=None):
        return tt.tensor([len(each) for each in batch])

    table = {Word: lengths, **default_collate_fn_map}
    assert collate([Word("ab"), Word("abc")], collate_fn_map=table).tolist() == [2, 3]


def test_gradients_flow_back_through_a_batch():
    samples = [tt.ones(2, requires_grad=True) for _ in range(2)]
    default_collate(samples).sum().backward()
    assert samples[0].grad.tolist() == [1, 1]


def test_default_convert_makes_tensors_of_arrays_only():
    converted = default_convert({"a": np.arange(2), "b": (1, "x", np.float32(3))})
    assert converted["a"].tolist() == [0, 1]
    assert converted["b"][:2] == [1, "x"]
    assert converted["b"][2].item() == 3
