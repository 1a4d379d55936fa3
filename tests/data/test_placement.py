"""Batches come to the device in their order, as they are, and with their own errors."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.device import cuda_problem
from tinytrain.errors import DataError
from tinytrain.utils.data import DataLoader, TensorDataset
from tinytrain.utils.data.placement import prefetched

needs_gpu = pytest.mark.skipif(cuda_problem() is not None, reason=str(cuda_problem()))
Pair = namedtuple("Pair", ["first", "second"])


def data(count: int = 11) -> TensorDataset:
    generator = tt.Generator().manual_seed(0)
    return TensorDataset(tt.randn(count, 3, 4, 5, generator=generator), tt.arange(count))


def test_on_the_cpu_batches_are_handed_on_as_they_are():
    batches = [object(), object()]
    assert all(a is b for a, b in zip(prefetched(batches, tt.device("cpu")), batches, strict=True))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("pin_memory", [False, True])
def test_batches_on_a_gpu_are_those_of_the_loader_and_stay_so(pin_memory: bool):
    expected = list(DataLoader(data(), 4))
    found = list(prefetched(DataLoader(data(), 4, pin_memory=pin_memory), tt.device("cuda", 0)))
    assert len(found) == 3
    for mine, theirs in zip(found, expected, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert a.device == tt.device("cuda", 0)
            assert np.array_equal(a.cpu().numpy(), b.numpy())


@pytest.mark.gpu
@needs_gpu
def test_structures_and_memory_order_stay_as_they_are():
    images = tt.randn(2, 3, 4, 5).to(memory_format="torch.channels_last")
    batch = {"pair": Pair(images, [images[:, 1:]]), "names": ["a", "b"], "scalar": tt.tensor(2.0)}
    (found,) = prefetched([batch], tt.device("cuda", 0))
    assert isinstance(found["pair"], Pair)
    assert found["names"] == ["a", "b"]
    for a, b in (
        (found["pair"].first, images),
        (found["pair"].second[0], images[:, 1:]),
        (found["scalar"], tt.tensor(2)),
    ):
        assert a.is_cuda
        assert np.array_equal(a.cpu().numpy(), b.numpy())
    assert found["pair"].first.array.strides == images.array.strides


@pytest.mark.gpu
@needs_gpu
def test_an_error_is_raised_in_the_place_of_its_batch():
    class Damaged(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            if index == 6:
                raise DataError("cannot be read", place="photo-6.png")
            return super().__getitem__(index)

    batches = prefetched(DataLoader(Damaged(*data().tensors), 4), tt.device("cuda", 0))
    assert next(batches)[1].tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"photo-6\.png: cannot be read"):
        next(batches)


@pytest.mark.gpu
@needs_gpu
def test_a_loader_that_pins_hands_out_pinned_memory():
    for images, labels in DataLoader(data(), 4, pin_memory=True):
        assert images.is_pinned()
        assert labels.is_pinned()
        assert np.array_equal(images.to("cuda", non_blocking=True).cpu().numpy(), images.numpy())
    assert not data().tensors[0].is_pinned()
    pinned = data().tensors[0].pin_memory()
    assert pinned.pin_memory() is pinned
    assert np.array_equal(pinned.numpy(), data().tensors[0].numpy())


@pytest.mark.skipif(cuda_problem() is None, reason="there is a GPU")
def test_without_a_gpu_pinning_says_why_not():
    with pytest.raises(RuntimeError, match="pin_memory: there is no GPU to pin memory for: "):
        tt.zeros(1).pin_memory()


@pytest.mark.gpu
@needs_gpu
def test_a_tensor_on_a_gpu_is_not_pinned():
    with pytest.raises(RuntimeError, match="cannot pin 'cuda:0': only dense CPU tensors can be pinned"):
        tt.zeros(1).cuda().pin_memory()
    assert not tt.zeros(1).cuda().is_pinned()
