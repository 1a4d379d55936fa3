"""What `doctor` says of the GPU, with stand-ins for every state of driver and packages."""

from __future__ import annotations

import ctypes
import json

import pytest

from tinytrain.cli.main import run
from tinytrain.inspection.gpu import Driver, examine_gpu, read_driver

H200 = "NVIDIA H200, compute capability 9.0, 139.8 GiB"
WORKING = {"cupy-cuda13x": "14.2.0", "nvidia-cudnn-frontend": "1.26.0", "nvidia-cudnn-cu13": "9.19.0"}


class Library:
    """A driver as `ctypes` shows one: functions that write their answers where they are told."""

    def __init__(self, version: int = 13000, devices: int = 2, status: int = 0):
        self.version, self.devices, self.status = version, devices, status

    def cuDriverGetVersion(self, out) -> int:
        out._obj.value = self.version
        return 0

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuGetErrorName(self, status: int, out) -> int:
        out._obj.value = b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"
        return 0

    def cuDeviceGetCount(self, out) -> int:
        out._obj.value = self.devices
        return 0

    def cuDeviceGet(self, out, number: int) -> int:
        out._obj.value = number
        return 0

    def cuDeviceGetName(self, buffer, length: int, device) -> int:
        buffer.value = b"NVIDIA H200"
        return 0

    def cuDeviceTotalMem_v2(self, out, device) -> int:
        out._obj.value = 150_111_000_000
        return 0

    def cuDeviceGetAttribute(self, out, attribute: int, device) -> int:
        out._obj.value = {75: 9, 76: 0}[attribute]
        return 0


def missing(name: str) -> ctypes.CDLL:
    raise OSError(f"{name}: cannot open shared object file")


def test_the_driver_tells_version_and_devices_without_cupy():
    assert read_driver(lambda name: Library()) == Driver((13, 0), (H200, H200))
    assert read_driver(lambda name: Library(version=12040, devices=0, status=100)) == Driver((12, 4))
    assert read_driver(missing) is None


def test_a_driver_that_does_not_start_says_why():
    driver = read_driver(lambda name: Library(status=803))
    assert driver is not None
    assert driver.problem == "cuInit returns 803 (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)"
    assert examine_gpu(driver, {})["next"] == (
        "mend the driver, which does not start: cuInit returns 803 (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)"
    )


@pytest.mark.parametrize(
    ("driver", "installed", "problem", "advice"),
    [
        (None, {}, None, "nothing, for the CPU; for a GPU, install NVIDIA's driver (in a container, start that with"),
        (Driver((13, 0)), {}, None, "nothing, for the CPU; the driver finds no GPU"),
        (Driver((11, 8), (H200,)), {}, None, "update the driver, which is for CUDA 11.8, to one for CUDA 12 or later"),
        (
            Driver((12, 4), (H200,)),
            {},
            None,
            "pip install 'tinytrain[cuda12]', which is for drivers of CUDA 12.4 (CuPy",
        ),
        (
            Driver((13, 1), (H200,)),
            {},
            None,
            "pip install 'tinytrain[cuda13]', which is for drivers of CUDA 13.1 (CuPy",
        ),
        (
            Driver((12, 4), (H200,)),
            WORKING,
            "whatever CuPy says",
            "pip uninstall cupy-cuda13x, then pip install 'tinytrain[cuda12]': the driver is for CUDA 12.4; or update",
        ),
        (
            Driver((13, 0), (H200,)),
            {"cupy-cuda12x": "14.2.0", **WORKING},
            None,
            "pip uninstall cupy-cuda12x cupy-cuda13x, then pip install 'tinytrain[cuda13]': two CuPys are installed",
        ),
        (Driver((13, 0), (H200,)), WORKING, "CUDA's library NVRTC cannot be loaded", "CUDA's library NVRTC cannot be"),
        (
            Driver((13, 0), (H200,)),
            {"cupy-cuda13x": "14.2.0"},
            None,
            "for faster dense convolutions: nvidia-cudnn-frontend is not installed",
        ),
        (Driver((13, 0), (H200,)), WORKING, None, "nothing: a training with device: cuda, or auto, uses the GPU"),
    ],
)
def test_every_state_has_its_advice(driver, installed, problem, advice, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    missing = (
        None if "nvidia-cudnn-frontend" in installed else "nvidia-cudnn-frontend is not installed: pip install ..."
    )
    assert examine_gpu(driver, installed, problem=problem, without_cudnn=missing)["next"].startswith(advice)


def test_a_gpu_that_is_hidden_is_said_to_be(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert examine_gpu(Driver((13, 0)), {})["next"].endswith("the driver finds no GPU, for CUDA_VISIBLE_DEVICES is ''")


def test_what_serves_and_where_it_is_kept_is_told(monkeypatch):
    monkeypatch.setenv("CUPY_CACHE_DIR", "/kept/here")
    found = examine_gpu(Driver((13, 0), (H200,)), WORKING)
    assert found["driver"] == "for CUDA 13.0"
    assert found["gpu 0"] == H200
    assert found["cupy"] == "cupy-cuda13x 14.2.0"
    assert found["cudnn"] == "nvidia-cudnn-frontend 1.26.0, nvidia-cudnn-cu13 9.19.0"
    assert found["compiled kernels"] == "/kept/here"
    assert found["convolution plans"].endswith("plans")
    without = examine_gpu(Driver((13, 0), (H200,)), {"cupy-cuda13x": "14.2.0"}, without_cudnn="no frontend")
    assert without["cudnn"] == (
        "not installed; dense convolutions by kernels of our own, which are slower: no frontend"
    )


def test_doctor_has_a_section_on_the_gpu(capsys):
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"driver", "cupy", "cudnn", "kernels", "compiled kernels", "convolution plans", "next"} <= report[
        "gpu"
    ].keys()
    assert run(["doctor"]) == 0
    assert "\ngpu\n  driver " in capsys.readouterr().out
