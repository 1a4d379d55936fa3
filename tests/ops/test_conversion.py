"""Conversions change type or device, give the tensor back where nothing changes, and are recorded."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain.device import cuda_problem
from tinytrain.errors import DeviceError


def test_to_gives_the_tensor_itself_where_nothing_changes():
    x = tt.ones(2)
    assert x.to(tt.float32) is x.to("cpu") is x.to(x) is x.float() is x.cpu() is x
    y = x.to(tt.float32, copy=True)
    y.zero_()
    assert x.tolist() == [1, 1]


def test_to_takes_every_form():
    x = tt.tensor([1.7, -1.7])
    assert x.to(tt.int64).tolist() == [1, -1]
    assert x.to("cpu", tt.float64).dtype is tt.float64
    assert x.to(device="cpu", dtype=tt.float16).dtype is tt.float16
    assert x.to(tt.tensor(1), non_blocking=True).dtype is tt.int64
    assert x.to(tt.device("cpu"), tt.int32, False, True).dtype is tt.int32
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        x.to(tt.float32, "cpu")


def test_methods_are_named_after_c_types():
    x = tt.tensor([0.0, 2.5])
    found = {name: getattr(x, name)().dtype.name for name in "bool byte char short int long half float double".split()}
    assert found == {
        "bool": "bool",
        "byte": "uint8",
        "char": "int8",
        "short": "int16",
        "int": "int32",
        "long": "int64",
        "half": "float16",
        "float": "float32",
        "double": "float64",
    }
    assert x.bool().tolist() == [False, True]


def test_type_names_and_takes_types():
    x = tt.ones(1)
    assert x.type() == "torch.FloatTensor"
    assert x.long().type() == "torch.LongTensor"
    assert x.type("torch.DoubleTensor").dtype is tt.float64
    assert x.type(tt.int32).dtype is tt.int32
    assert x.type_as(tt.tensor(True)).dtype is tt.bool
    with pytest.raises(ValueError, match=r"invalid type: 'torch\.QuadTensor'"):
        x.type("torch.QuadTensor")


def test_gradients_come_back_in_the_old_type():
    x = tt.ones(2, requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.dtype is tt.float32
    assert x.grad.tolist() == [3, 3]
    assert not x.long().requires_grad


def test_an_absent_gpu_is_an_error_with_a_remedy():
    if cuda_problem() is None:
        pytest.skip("there is a GPU")
    for move in (lambda x: x.cuda(), lambda x: x.to("cuda:1"), lambda x: x.type("torch.cuda.FloatTensor")):
        with pytest.raises(DeviceError, match="not available"):
            move(tt.ones(1))


@pytest.mark.gpu
def test_gradients_move_back_to_their_device():
    if cuda_problem() is not None:
        pytest.skip(cuda_problem())
    x = tt.ones(2, requires_grad=True)
    (x.cuda() * 3).sum().backward()
    assert x.grad.device == tt.device("cpu")
    assert x.grad.tolist() == [3, 3]
