"""The native kernels' threads and memory: the same bits for any number of threads, safe after fork, no fresh blocks."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

import tinytrain
from tests.kernels.native_reference import channels_last
from tinytrain import nn
from tinytrain.kernels import find_kernel, native
from tinytrain.nn import functional as F

if native.PROBLEM:
    pytest.skip(f"the native kernels are {native.PROBLEM}", allow_module_level=True)
_native = native.EXTENSION

ONE = (1, 1, 1, 1, 1, 1, 1, 1, 1)
"""Stride, padding and dilation 1, one group."""


@pytest.fixture(autouse=True)
def number_of_threads() -> Iterator[None]:
    before = _native.get_threads()
    yield
    _native.set_threads(before)


def draw(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return channels_last(values) if len(shape) == 4 else values


def results():
    """Return what every kernel computes, by name."""
    x, g, y = draw(5, 40, 23, 21), draw(5, 40, 23, 21, seed=1), draw(5, 40, 23, 21, seed=2)
    a, b, c, mean = draw(4, 40)
    source = (x, a, b, 1, 0.0, 0.0)
    grads = (g, y, b, a, 2, -0.5, 1.0, a, b, c)
    sink = (y, x, a, b, 1, 0.0, 0.0, x, mean)
    pool = (3, 3, 2, 2, 1, 1, 1, 1)
    peaks, winners = _native.max_pool(source, 12, 11, pool, True)
    found = {
        "apply": _native.apply(x, y, 1, 0.0, 0.0, None),
        "apply_grad": _native.apply_grad(grads),
        "moments": _native.moments(x),
        "grad_sums": _native.grad_sums(grads, mean),
        "max_pool": (peaks, winners),
        "max_pool_grad": _native.max_pool_grad(peaks, winners, 23, 21, pool),
        "mean_pixels": _native.mean_pixels(source),
        "reading another order": _native.mean_pixels(np.asfortranarray(x)),
    }
    few, few_weights = draw(40, 3, 23, 21, seed=3), draw(3, 1, 3, 3)
    found["conv_forward, few channels"] = _native.conv_forward(few, few_weights, (*ONE[:8], 3), None, True)
    found["conv_weight_grad, few channels"] = _native.conv_weight_grad(few, few, few_weights.shape, (*ONE[:8], 3))
    pointwise = (1, 1, 0, 0, 0, 0, 1, 1, 1)
    for name, w, where in (
        ("dense", draw(40, 40, 3, 3), ONE),
        ("pointwise", draw(40, 40, 1, 1), pointwise),
        ("depthwise", draw(40, 1, 3, 3), (*ONE[:8], 40)),
        ("grouped", draw(40, 10, 3, 3), (*ONE[:8], 4)),
    ):
        w = np.ascontiguousarray(w)
        found |= {
            f"conv_forward, {name}": _native.conv_forward(source, w, where, None, True),
            f"conv_input_grad, {name}": _native.conv_input_grad(grads, w, x.shape, where, sink),
            f"conv_weight_grad, {name}": _native.conv_weight_grad(grads, source, w.shape, where),
            f"conv_backward, {name}": _native.conv_backward(grads, source, w, where, sink),
        }
    return {name: each if isinstance(each, tuple) else (each,) for name, each in found.items()}


def differences(found, expected):
    return [
        name
        for name in expected
        if not all(
            (a is None and b is None) or np.array_equal(a, b) for a, b in zip(found[name], expected[name], strict=True)
        )
    ]


def test_any_number_of_threads_gives_the_same_bits(instruction_set):
    _native.set_threads(1)
    alone = results()
    for threads in (2, 3, 5, 2):
        _native.set_threads(threads)
        assert _native.get_threads() == threads
        for _ in range(3):
            assert differences(results(), alone) == [], f"{threads} threads"


def test_fewer_than_one_thread_is_one():
    _native.set_threads(0)
    assert _native.get_threads() == 1


def test_several_python_threads_compute_at_once():
    _native.set_threads(3)
    expected = results()
    wrong: list[object] = []

    def compute():
        try:
            for _ in range(4):
                wrong.extend(differences(results(), expected))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=compute) for _ in range(5)]
    for each in threads:
        each.start()
    for threads_wanted in (2, 4, 1, 3):  # and meanwhile the number of threads changes
        _native.set_threads(threads_wanted)
        time.sleep(0.01)
    for each in threads:
        each.join(60)
    assert not any(each.is_alive() for each in threads)
    assert wrong == []


def wait_for(pid, seconds=60):
    """Return the exit code of a child; a child that hangs is ended and fails the test."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail("the child hangs")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_computes_right():
    _native.set_threads(3)
    expected = results()
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os._exit(1 if differences(results(), expected) else 0)
        assert wait_for(pid) == 0
    assert differences(results(), expected) == []  # and so does the parent, still


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_children_may_be_forked_while_other_threads_compute():
    _native.set_threads(3)
    expected = results()
    small = draw(2, 8, 6, 6)
    stop = threading.Event()

    def keep_busy():
        while not stop.is_set():
            _native.apply(small, None, 1, 0.0, 0.0, None)

    busy = [threading.Thread(target=keep_busy) for _ in range(2)]
    for each in busy:
        each.start()
    try:
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                os._exit(1 if differences(results(), expected) else 0)
            assert wait_for(pid) == 0
    finally:
        stop.set()
        for each in busy:
            each.join()


def test_a_process_that_may_start_no_threads_computes_alone():
    code = """
import resource, numpy as np
from tinytrain.kernels.native import _native
x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
_native.set_threads(1)
alone = _native.moments(np.tile(x, (100, 1)))
_native.set_threads(4)
import threading, _thread
resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))  # no room for a stack
found = _native.moments(np.tile(x, (100, 1)))
assert all(np.array_equal(a, b) for a, b in zip(found, alone))
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.pointwise = nn.Conv2d(32, 32, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        y = F.relu(self.bn2(self.depthwise(x)))
        x = F.relu(self.bn3(self.pointwise(y)) + x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def training_step():
    """Return a function that does one step of training."""
    tinytrain.manual_seed(0)
    model = Network()
    optimizer = tinytrain.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    x, target = tinytrain.randn(32, 3, 32, 32), tinytrain.arange(32) % 10

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), target).backward()
        optimizer.step()

    return step


@pytest.mark.skipif(
    find_kernel("normalize_batch", np.zeros(1, np.float32)) is None, reason="the reference kernels are in use"
)
def test_a_steady_training_step_takes_no_fresh_memory():
    gc.collect()
    _native.drop_memory()  # what other tests left would be given back while this one counts
    step = training_step()
    for _ in range(8):
        step()
    kept = _native.kept_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
        assert _native.kept_memory() == kept
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 5
    # An activation of this network is 4 MiB, 1024 pages; what NumPy itself takes for the loss is far smaller.
    assert faults < 200


def test_freed_blocks_are_kept_and_can_be_dropped():
    _native.drop_memory()
    assert _native.kept_memory() == 0
    block = _native.empty((1 << 20,))
    assert _native.kept_memory() == 0
    del block
    assert _native.kept_memory() >= 4 << 20
    again = _native.empty((1 << 20,))
    assert _native.kept_memory() == 0
    del again
    _native.drop_memory()
    assert _native.kept_memory() == 0


def test_what_is_kept_does_not_grow_beyond_what_was_needed_at_once():
    _native.drop_memory()
    for size in range(1 << 18, 1 << 20, 1 << 16):  # every time another size, which no kept block serves for long
        _native.empty((size,))
    assert _native.kept_memory() <= (4 << 20) * 9 // 8


def test_an_array_outlives_what_it_was_cut_from():
    part = _native.apply(draw(2, 8, 6, 6), None, 1, 0.0, 0.0, None)[1:, 2:5]
    expected = part.copy()
    _native.drop_memory()
    blocks = [_native.empty((2, 8, 6, 6)) for _ in range(8)]
    for each in blocks:
        each[...] = 7
    assert np.array_equal(part, expected)
