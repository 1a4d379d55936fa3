"""`tinytrain.cuda` tells what is true of the GPU, and moves keep values, devices and the order of axes in memory."""

from __future__ import annotations

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.device import cuda_problem, cupy, move
from tinytrain.device import device as device_type
from tinytrain.errors import DeviceError

gpu = pytest.mark.gpu
needs_gpu = pytest.mark.skipif(cuda_problem() is not None, reason=str(cuda_problem()))


@gpu
@needs_gpu
def test_a_gpu_tells_what_it_is():
    properties = tt.cuda.get_device_properties(0)
    assert tt.cuda.get_device_name() == properties.name != ""
    assert tt.cuda.get_device_capability("cuda:0") == (properties.major, properties.minor)
    assert tt.cuda.current_device() == 0 < tt.cuda.device_count()
    assert all((tt.cuda.is_available(), tt.cuda.is_initialized(), tt.cuda.is_bf16_supported()))
    assert properties.total_memory <= tt.cuda.mem_get_info()[1] * 1.1


@gpu
@needs_gpu
def test_memory_is_counted_while_tensors_live():
    tt.cuda.reset_peak_memory_stats()
    before = tt.cuda.memory_allocated()
    x = tt.zeros(1 << 20, device="cuda")
    assert tt.cuda.memory_allocated() == before + (4 << 20)
    assert tt.cuda.memory_reserved() >= tt.cuda.memory_allocated()
    del x
    assert tt.cuda.memory_allocated() == before
    assert tt.cuda.max_memory_allocated() >= before + (4 << 20)
    assert tt.cuda.max_memory_reserved() >= tt.cuda.max_memory_allocated()
    tt.cuda.empty_cache()
    assert tt.cuda.memory_reserved() < before + (4 << 20) + (8 << 20)


@gpu
@needs_gpu
def test_the_gpus_generator_is_seeded_alone():
    tt.manual_seed(1)
    host = tt.rand(4)
    tt.manual_seed(1)
    tt.cuda.manual_seed_all(5)
    first = tt.rand(4, device="cuda").cpu()
    tt.cuda.manual_seed(5)
    assert tt.equal(tt.rand(4, device="cuda").cpu(), first)
    assert tt.equal(tt.rand(4), host)


@gpu
@needs_gpu
def test_a_gpu_that_is_not_there_cannot_be_the_current_one():
    with pytest.raises(DeviceError, match="'cuda:99' is not available"):
        tt.cuda.set_device(99)
    with tt.cuda.device(0):
        assert tt.cuda.current_device() == 0


@pytest.mark.skipif(cuda_problem() is None, reason="there is a GPU")
def test_without_a_gpu_names_that_need_one_say_why():
    for call in (tt.cuda.current_device, tt.cuda.get_device_name, tt.cuda.mem_get_info, tt.cuda.memory_allocated):
        with pytest.raises(DeviceError, match="there is no GPU to use: "):
            call()
    assert not tt.cuda.is_bf16_supported()
    tt.cuda.manual_seed_all(0)
    tt.cuda.empty_cache()


def test_the_cpu_is_no_gpu():
    with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
        tt.cuda.get_device_name("cpu")


@gpu
@needs_gpu
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 2, 1, 0), (1, 0, 3, 2)])
def test_a_move_keeps_the_order_of_axes_in_memory(axes):
    x = np.random.default_rng(0).random((2, 3, 4, 5), np.float32).transpose(axes)
    there = move(x, device_type("cuda", 0))
    assert there.strides == x.strides
    back = move(there, device_type("cpu"))
    assert back.strides == x.strides
    np.testing.assert_array_equal(back, x)


@gpu
@needs_gpu
def test_parts_and_scalars_can_be_moved():
    for x in (np.float32(3).reshape(()), np.arange(24.0)[::3], np.zeros((0, 3)), np.arange(6).reshape(2, 3)[:, ::-1]):
        there = move(x, device_type("cuda", 0))
        assert isinstance(there, cupy().ndarray)
        np.testing.assert_array_equal(move(there, device_type("cpu")), x)
