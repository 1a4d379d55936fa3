"""Convolutions by cuDNN on a GPU, against the reference in float64; and what is said where there is no cuDNN."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinytrain import dtypes
from tinytrain.device import cuda_problem, cupy
from tinytrain.kernels import reference
from tinytrain.kernels.cuda import cudnn, frontend

# Bounds on an element's error, as a share of the sum of the absolute products that it is made of. The operands are
# exact in their type. Half precision rounds the result, by half a unit in the last place: 2^-11 or 2^-9. TF32 rounds
# both factors of a product to 11 significant bits: 2 * 2^-11. The rest is left to sums in float32, Winograd's too.
BOUNDS = {"fp32": 4e-6, "tf32": 2**-10 + 1e-5, "fp16": 2**-11 + 1e-5, "bf16": 2**-9 + 1e-5}
DTYPES = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16"}

CASES = {
    "3x3": ((8, 32, 28, 28), (48, 32, 3, 3), ((1, 1), (1, 1)), (1, 1), (1, 1), 1),
    "stem 7x7": ((4, 3, 64, 64), (64, 3, 7, 7), ((3, 3), (3, 3)), (2, 2), (1, 1), 1),
    "strided 3x3": ((8, 32, 28, 28), (64, 32, 3, 3), ((1, 1), (1, 1)), (2, 2), (1, 1), 1),
    "1x1": ((8, 64, 14, 14), (128, 64, 1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 1),
    "strided 1x1": ((8, 64, 14, 14), (128, 64, 1, 1), ((0, 0), (0, 0)), (2, 2), (1, 1), 1),
    "linear": ((16, 512, 1, 1), (10, 512, 1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 1),
    "32 groups": ((4, 128, 14, 14), (128, 4, 3, 3), ((1, 1), (1, 1)), (1, 1), (1, 1), 32),
    "batch 1": ((1, 64, 56, 56), (64, 64, 3, 3), ((1, 1), (1, 1)), (1, 1), (1, 1), 1),
    "odd sizes": ((3, 7, 13, 11), (5, 7, 3, 3), ((0, 0), (0, 0)), (2, 2), (1, 1), 1),
    "padding behind": ((4, 16, 15, 15), (24, 16, 3, 3), ((0, 1), (0, 1)), (2, 2), (1, 1), 1),
    "dilated": ((4, 32, 28, 28), (32, 32, 3, 3), ((2, 2), (2, 2)), (1, 1), (2, 2), 1),
}


@pytest.fixture
def gpu(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give cuDNN an empty memory and an empty folder; the test is skipped where cuDNN cannot be used."""
    problem = cuda_problem() or cudnn.problem()
    if problem is not None:
        pytest.skip(problem)
    monkeypatch.setenv("TINYTRAIN_HOME", str(tmp_path))
    cudnn._planner.cache_clear()
    yield
    cudnn._planner.cache_clear()


@pytest.fixture(params=BOUNDS)
def precision(request: pytest.FixtureRequest, gpu: None) -> Iterator[str]:
    """Return each precision in turn, and allow TF32 for its turn alone."""
    dtypes.set_float32_matmul_precision("high" if request.param == "tf32" else "highest")
    yield request.param
    dtypes.set_float32_matmul_precision("highest")


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_convolutions_and_gradients_are_those_of_the_reference(case, precision):
    x_shape, w_shape, padding, stride, dilation, groups = CASES[case]
    axes = (stride, padding, dilation, groups)
    where = (*stride, *(before for before, _ in padding), *(after for _, after in padding), *dilation, groups)
    x, w, b = (on_device(shape, seed, precision) for seed, shape in enumerate((x_shape, w_shape, w_shape[:1])))
    y = cudnn.fprop(x, w, where)
    g = on_device(y.shape, 3, precision)
    expect(y, precision, "conv_forward", x, w, *axes)
    expect(cudnn.fprop(x, w, where, b), precision, "conv_forward", x, w, *axes, b)
    expect(cudnn.dgrad(g, w, x_shape, where), precision, "conv_input_grad", g, w, x_shape, *axes)
    expect(cudnn.wgrad(g, x, w_shape, where), precision, "conv_weight_grad", g, x, w_shape, *axes)


@pytest.mark.gpu
def test_a_repetition_gives_the_same_bits_in_the_next_run_too(precision):
    compute, _ = a_layer(precision)
    first = compute()
    for _ in range(5):
        assert_same_bits(compute(), first)
    cudnn._planner.cache_clear()  # what another run remembers: the files alone
    assert_same_bits(compute(), first)


@pytest.mark.gpu
def test_a_captured_layer_computes_with_what_its_operands_hold_then(precision):
    compute, operands = a_layer(precision)
    stream = cupy().cuda.Stream(non_blocking=True)
    cupy().cuda.Device().synchronize()  # such a stream does not wait for the one that the operands came on
    with stream:
        compute()
        stream.synchronize()
        stream.begin_capture()
        try:
            captured = compute()
        finally:
            graph = stream.end_capture()
        for seed, operand in enumerate(operands):
            bits(operand)[...] = bits(on_device(operand.shape, 7 + seed, precision))
        graph.launch(stream)
        stream.synchronize()
        assert_same_bits(captured, compute())


def a_layer(precision: str) -> tuple[Callable[[], list[Any]], tuple[Any, ...]]:
    """Return a function that computes a layer and its gradients, and the arrays that it reads."""
    where = (1, 1, 1, 1, 1, 1, 1, 1, 1)
    shapes = ((32, 64, 28, 28), (64, 64, 3, 3), (32, 64, 28, 28))
    x, w, g = (on_device(shape, seed, precision) for seed, shape in enumerate(shapes))

    def compute() -> list[Any]:
        return [cudnn.fprop(x, w, where), cudnn.dgrad(g, w, x.shape, where), cudnn.wgrad(g, x, w.shape, where)]

    return compute, (x, w, g)


def expect(got: Any, precision: str, kernel: str, *arguments: Any) -> None:
    """Compare a result with the reference in float64, every element within its bound."""
    numbers = [to_numpy(each) if isinstance(each, cupy().ndarray) else each for each in arguments]
    sizes = [np.abs(each) if isinstance(each, np.ndarray) else each for each in numbers]
    want, scale = (reference.KERNELS[kernel](*each) for each in (numbers, sizes))
    error = np.abs(to_numpy(got) - want)
    bound = BOUNDS[precision] * scale
    assert error.shape == want.shape
    assert (error <= bound).all(), f"{kernel}: {np.max(error / np.maximum(bound, 1e-300)):.2f} times the bound"


def on_device(shape: Sequence[int], seed: int, precision: str) -> Any:
    """Return random numbers on the GPU in the precision's type; images and filters channels-last in memory."""
    numbers = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if precision == "bf16" else np.dtype(DTYPES[precision])
    rows = np.ascontiguousarray(np.moveaxis(numbers, 1, -1) if numbers.ndim > 1 else numbers).astype(dtype)
    there = cupy().asarray(rows.view(np.uint16 if rows.itemsize == 2 else rows.dtype)).view(rows.dtype)
    return there.transpose(0, 3, 1, 2) if numbers.ndim > 1 else there


def bits(array: Any) -> Any:
    """Return the array's elements as whole numbers."""
    return array.view(np.uint16 if array.dtype.itemsize == 2 else np.uint32)


def to_numpy(array: Any) -> np.ndarray:
    """Return a copy on the host in float64."""
    return cupy().asnumpy(bits(array)).view(array.dtype).astype(np.float64)


def assert_same_bits(got: list[Any], want: list[Any]) -> None:
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(cupy().asnumpy(bits(one)), cupy().asnumpy(bits(other)))


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str | None]]:
    """Return a function that puts a frontend in the place of what is installed, and tells what is wrong with it."""

    def problem_of(found: Any) -> str | None:
        def load() -> Any:
            if isinstance(found, BaseException):
                raise found
            return found

        monkeypatch.setattr(frontend, "load", load)
        frontend.problem.cache_clear()
        return frontend.problem()

    yield problem_of
    frontend.problem.cache_clear()


def a_frontend(version: str = "1.26.0", library: int | Exception = 91901) -> Any:
    def backend_version() -> int:
        if isinstance(library, Exception):
            raise library
        return library

    return SimpleNamespace(
        __version__=version, backend_version=backend_version, backend_version_string=lambda: f"made from {library}"
    )


def test_what_keeps_cudnn_from_use_is_said_with_its_remedy(load):
    remedy = r": pip install 'tinytrain\[cuda13\]' \(or \[cuda12\], by your driver\)$"
    for found, text in [
        (ModuleNotFoundError("No module named 'cudnn'", name="cudnn"), "^nvidia-cudnn-frontend is not installed"),
        (a_frontend(version="1.9.2"), "^nvidia-cudnn-frontend is 1.9.2, older than 1.26"),
        (a_frontend(library=RuntimeError("no symbol")), "^the library cuDNN is not found .no symbol."),
        (a_frontend(library=90700), "^cuDNN is made from 90700, older than 9.11"),
    ]:
        assert re.search(text + remedy, load(found) or "")
    for error, said in [
        (
            ImportError("bad wheel", name="cudnn._compiled_module"),
            "nvidia-cudnn-frontend cannot be imported: bad wheel",
        ),
        (OSError("libstdc++ is old"), "nvidia-cudnn-frontend cannot load the library: libstdc++ is old"),
    ]:
        assert load(error) == said


def test_a_frontend_and_a_library_that_are_new_enough_will_do(load):
    assert load(a_frontend()) is None
    assert load(a_frontend(version="2.0.0", library=100000)) is None
