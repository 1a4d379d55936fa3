"""What is said where a GPU cannot be used, and of one that is full: the reason and the remedy."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import pytest

from tinytrain.cli.main import run
from tinytrain.device import cuda_problem, require
from tinytrain.errors import DeviceError
from tinytrain.gpu_problems import memory_problem

DEVICES = importlib.import_module("tinytrain.device")  # as an attribute it is the class of that name


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class OutOfMemoryError(MemoryError):
    def __init__(self, size: int, total: int, limit: int = 0):
        super().__init__("told by CuPy")
        self.numbers = size, total, limit

    def __reduce__(self):
        return type(self), self.numbers


def returns(value):
    return lambda *arguments: value


def raises(error):
    def function(*arguments):
        raise error

    return function


def nothing(*arguments):
    return None


ONE = returns(1)


def cupy_with(count=ONE, driver=13000, runtime=13000, nvrtc=nothing, limit=0):
    """Return what the engine asks CuPy for, with answers."""
    functions = {"getDeviceCount": count, "driverGetVersion": returns(driver), "runtimeGetVersion": returns(runtime)}
    functions["memGetInfo"] = returns((1 << 28, 24 << 30))
    pool = {"total_bytes": returns(22 << 30), "used_bytes": returns(20 << 30), "get_limit": returns(limit)}
    return SimpleNamespace(
        cuda=SimpleNamespace(
            runtime=SimpleNamespace(CUDARuntimeError=CUDARuntimeError, **functions),
            nvrtc=SimpleNamespace(getVersion=nvrtc),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        ),
        get_default_memory_pool=returns(SimpleNamespace(**pool)),
    )


@pytest.fixture
def answer(monkeypatch):
    """Return a function that puts a CuPy in place, and gives what is wrong with it."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def problem(cupy, import_cublas=nothing):
        monkeypatch.setattr(DEVICES, "cupy", cupy if callable(cupy) else returns(cupy))
        monkeypatch.setattr(DEVICES, "_import_cublas", import_cublas)
        cuda_problem.cache_clear()
        return cuda_problem()

    yield problem
    cuda_problem.cache_clear()


def test_a_gpu_that_can_be_used_has_no_problem(answer):
    assert answer(cupy_with()) is None


def test_a_newer_minor_release_of_cuda_needs_no_newer_driver(answer):
    assert answer(cupy_with(driver=13000, runtime=13020)) is None


INSUFFICIENT = CUDARuntimeError(35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient")
NO_DEVICE = CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")
OTHER = CUDARuntimeError(802, "cudaErrorSystemNotReady: system not yet initialized")
NOT_FOUND = RuntimeError('Failure finding "libnvrtc.so.13": No such file\n')


@pytest.mark.parametrize(
    ("cupy", "import_cublas", "text"),
    [
        (
            raises(ModuleNotFoundError("No module named 'cupy'", name="cupy")),
            None,
            "CuPy is not installed: pip install 'tinytrain[cuda13]' (or [cuda12], by your driver)",
        ),
        (
            raises(ImportError("libcuda.so.1: no such file", name="cupy_backends")),
            None,
            "CuPy is installed but cannot be imported: libcuda.so.1: no such file",
        ),
        (
            cupy_with(raises(INSUFFICIENT), driver=0),
            None,
            "there is no NVIDIA driver here: install it from nvidia.com/drivers (in a container, start that with "
            "--gpus all)",
        ),
        (
            cupy_with(raises(INSUFFICIENT), driver=12080),
            None,
            "the driver is for CUDA 12.8, and this CuPy for CUDA 13.0: update the driver from nvidia.com/drivers to "
            "one for CUDA 13, or pip uninstall cupy-cuda13x and pip install 'tinytrain[cuda12]'",
        ),
        (
            cupy_with(raises(INSUFFICIENT), driver=11040, runtime=12090),
            None,
            "the driver is for CUDA 11.4, and this CuPy for CUDA 12.9: update the driver from nvidia.com/drivers to "
            "one for CUDA 12",
        ),
        (cupy_with(raises(NO_DEVICE)), None, "this machine has no NVIDIA GPU"),
        (cupy_with(returns(0)), None, "this machine has no NVIDIA GPU"),
        (
            cupy_with(raises(OTHER)),
            None,
            "CuPy finds no usable GPU or driver: cudaErrorSystemNotReady: system not yet initialized",
        ),
        (
            cupy_with(nvrtc=raises(NOT_FOUND)),
            None,
            'CuPy is installed, but CUDA\'s library NVRTC cannot be loaded (Failure finding "libnvrtc.so.13": No such '
            "file): pip install 'cupy-cuda13x[ctk]', or install the CUDA Toolkit 13",
        ),
        (
            cupy_with(runtime=12090, driver=12090),
            raises(ImportError("Failure finding libcublas.so.12")),
            "CuPy is installed, but CUDA's library cuBLAS cannot be loaded (Failure finding libcublas.so.12): pip "
            "install 'cupy-cuda12x[ctk]', or install the CUDA Toolkit 12",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(answer, cupy, import_cublas, text):
    assert answer(cupy, import_cublas or nothing) == text
    with pytest.raises(DeviceError) as caught:
        require("cuda:1")
    assert str(caught.value) == f"device 'cuda:1' is not available: {text}. Or use device cpu"


def test_gpus_that_are_hidden_are_named_as_the_reason(answer, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    answer(cupy_with(raises(NO_DEVICE)))
    cuda_problem.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cuda_problem() == (
        "this machine has no NVIDIA GPU (CUDA_VISIBLE_DEVICES is '': only those are shown to programs)"
    )


@pytest.mark.parametrize(
    ("limit", "told"), [(0, ""), (23 << 30, ", which may hold 23.00 GiB")], ids=["without", "with a limit"]
)
def test_a_full_gpu_is_told_with_what_is_held_and_what_to_lower(answer, monkeypatch, capsys, limit, told):
    answer(cupy_with(limit=limit))
    monkeypatch.setitem(sys.modules, "cupy", cupy_with())
    monkeypatch.setattr("tinytrain.cli.doctor.examine", raises(OutOfMemoryError(3 << 29, 22 << 30)))
    assert run(["doctor"]) == 4
    assert capsys.readouterr().err == (
        "error: the GPU has too little memory: 1.50 GiB more were asked for; this program holds 22.00 GiB (20.00 GiB "
        f"in use){told}, and 0.25 GiB of 24.00 GiB are free on the device. Lower data.batch_size, set "
        "train.precision to bf16 or fp16, or data.resident to false\n"
    )


def test_a_full_gpu_that_lacks_a_few_bytes_says_how_many():
    assert memory_problem(cupy_with(), OutOfMemoryError(512, 22 << 30)).startswith(
        "the GPU has too little memory: 0.5 KiB more were asked for; this program holds 22.00 GiB "
    )


def test_too_little_memory_of_the_host_is_told_as_such(monkeypatch, capsys):
    monkeypatch.setattr("tinytrain.cli.doctor.examine", raises(MemoryError("Unable to allocate 9 GiB")))
    assert run(["doctor"]) == 4
    assert capsys.readouterr().err == "error: there is not enough memory: Unable to allocate 9 GiB\n"
