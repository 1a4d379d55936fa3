"""Training steps on a GPU beside PyTorch's, and a whole training to an accuracy."""

from __future__ import annotations

import functools
import gc
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contenders import Step, mixed_step
from gpu_correctness import experiment
from gpu_machine import COPIED, best_seconds
from measure import medians, repeated
from networks import ON_GPU, Network
from roofline import training_work

import tinytrain as tt
from tinytrain.device import cupy, synchronize

if TYPE_CHECKING:
    from gpu import Part

OURS, CAPTURED = "ours", "ours, captured"
EAGER, CHANNELS_LAST, COMPILED = "eager", "channels-last", "compiled"
THEIRS = (EAGER, CHANNELS_LAST, COMPILED)

PRECISIONS = ("bf16", "tf32", "fp16", "fp32")
"""In the order of their value."""

WIDTHS = {"bf16": 2, "fp16": 2}  # bytes of an activation; of others four
COMPILED_IN = ("bf16", "tf32")
"""Precisions in which PyTorch's network is compiled; each takes long."""

COMPILE_SECONDS, SMOKE_COMPILE_SECONDS = 45, 10
ROUNDS, WARMUP, TURN = 7, 2, 0.15  # seconds of a turn
FAST = "configs/cifar10-fast.yaml"
ACCURACY = 0.94


class Late(Exception):
    """Something took longer than it may."""


def measure_steps(part: Part, name: str, batch: int, *, smoke: bool) -> None:
    """Measure training steps of a network in every precision, ours and PyTorch's in turns.

    Args:
        part: gets a row a precision, the row anew once the compiled network has its turns too.
        name: of the network.
        batch: images.
        smoke: as little as shows that it works; PyTorch on its CPU where it finds no GPU.
    """
    network = ON_GPU[name]
    where = _device_of_torch(part, smoke=smoke)
    bandwidth = _bandwidth(smoke)

    def enter(precision: str, limit: float | None = None) -> None:
        row = _Row(part, network, batch, precision, bandwidth, smoke)
        if limit is not None:
            assert where is not None
            with _limited(limit):
                row.enter(COMPILED, functools.partial(_theirs, network, batch, precision, COMPILED, where))
        row.enter(OURS, functools.partial(_ours, network, batch, precision))
        row.enter(CAPTURED, functools.partial(_captured, network, batch, precision))
        for layout in (EAGER, CHANNELS_LAST) if where is not None else ():
            row.enter(layout, functools.partial(_theirs, network, batch, precision, layout, str(where)))
        row.measure()
        row.clear()

    for precision in ("bf16", "fp32") if smoke else PRECISIONS:
        enter(precision)
    if where is not None:  # compiling comes last, for it may end this process
        for precision in COMPILED_IN[: 1 if smoke else None]:
            enter(precision, SMOKE_COMPILE_SECONDS if smoke else COMPILE_SECONDS)


def compile_steps(steps: Sequence[tuple[str, int]]) -> None:
    """Compile PyTorch's networks for the steps of a visit, so that its cache has them.

    Args:
        steps: networks and batches.
    """
    where = _device_of_torch(None, smoke=False)
    if where is None:
        return
    for precision in COMPILED_IN:
        for name, batch in steps:
            _theirs(ON_GPU[name], batch, precision, COMPILED, where)()
            print(f"compiled: {name}, {batch} images, {precision}", flush=True)
            _free()


class _Row:
    """The contenders of one network, batch and precision, and what was measured of them."""

    def __init__(self, part: Part, network: Network, batch: int, precision: str, bandwidth: float, smoke: bool):
        self._part, self._network, self._batch, self._precision = part, network, batch, precision
        self._bandwidth, self._smoke = bandwidth, smoke
        self._steps: dict[str, Step] = {}
        self._memory: dict[str, float] = {}
        self._reasons: dict[str, str] = {}

    def enter(self, contender: str, build: Callable[[], Step]) -> None:
        """Add a contender that builds and takes three steps, with the memory that it then holds; else the reason."""
        _free()
        try:
            before = _held()
            step = build()
            for _ in range(3):
                step()
            _finish()
        except Exception as error:  # whatever it is that fails, compilers raise anything; the others go on
            self._reasons[contender] = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            return
        self._steps[contender] = step
        self._memory[contender] = (_held() - before) / 1e9

    def measure(self) -> None:
        """Measure all contenders in turns and write the row."""
        row: dict[str, Any] = {
            "network": self._network.name,
            "batch": self._batch,
            "precision": self._precision,
        }
        seconds = 0.01 if self._smoke else TURN
        turns = {name: repeated(step, seconds=seconds, finish=_finish) for name, step in self._steps.items()}
        found = medians(turns, rounds=2 if self._smoke else ROUNDS, warmup=1 if self._smoke else WARMUP)
        for name in (OURS, CAPTURED, *THEIRS):
            row[f"{name} ms"] = 1e3 * found[name] if name in found else None
        ours = min((found[name] for name in (OURS, CAPTURED) if name in found), default=None)
        theirs = min((found[name] for name in THEIRS if name in found), default=None)
        if ours is not None:
            work = training_work(self._network, batch=self._batch, width=WIDTHS.get(self._precision, 4))
            row["of bandwidth"] = work.bytes / ours / self._bandwidth
            row["images/s"] = self._batch / ours
            if theirs is not None:
                row["times PyTorch's best"] = theirs / ours
        row["GB"] = {name: round(held, 3) for name, held in self._memory.items()}
        row["not measured"] = self._reasons
        key = f"{self._network.name}, {self._batch}, {self._precision}"
        self._part.add("steps", key=key, **row)
        for name, reason in self._reasons.items():
            self._part.add("not measured", key=f"{key}, {name}", what=f"{key}: {name}", reason=reason)

    def clear(self) -> None:
        """Let go of all contenders."""
        self._steps.clear()
        _free()


def _ours(network: Network, batch: int, precision: str) -> Step:
    """Return a step as a person writes it with tinytrain's public interface."""
    x, y = network.data(batch)
    tt.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    images = tt.from_numpy(x).cuda().contiguous(memory_format=tt.channels_last)
    return mixed_step(tt, network.model().cuda(), images, tt.from_numpy(y).cuda(), precision=precision)


def _captured(network: Network, batch: int, precision: str) -> Step:
    """Return a step as `tinytrain train` takes it, captured as a CUDA graph.

    Raises:
        RuntimeError: it is not captured; the message says why.
    """
    from tinytrain.training.capture import Steps
    from tinytrain.training.metrics import Meter

    x, y = network.data(batch)
    images = tt.from_numpy(x).cuda().contiguous(memory_format=tt.channels_last)
    data = (images, tt.from_numpy(y).cuda())
    e = experiment(network.model().cuda(), data, device="cuda", precision=precision)
    e.model.train()
    told: list[str] = []
    steps, meter = Steps(e, told.append), Meter(network.classes, device=e.device)
    for _ in range(4):
        steps.take([data], meter)
    if steps.captured != "step":
        raise RuntimeError(f"{steps.captured} captured: {'; '.join(told) or steps.reason}")
    return lambda: steps.take([data], meter)


def _theirs(network: Network, batch: int, precision: str, layout: str, where: str) -> Step:
    """Return a step of PyTorch's: as it comes, channels-last, or channels-last and compiled."""
    import torch
    from twins import twin_of

    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    x, y = network.data(batch)
    twin, images = twin_of(network.model(), network.name).to(where), torch.from_numpy(x).to(where)
    if layout != EAGER:
        twin = twin.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    if layout == COMPILED:
        torch._dynamo.reset()  # else the code of earlier networks counts towards a limit of recompilations
        twin = torch.compile(twin, mode="max-autotune")
    return mixed_step(torch, twin, images, torch.from_numpy(y).to(where), precision=precision)


def _device_of_torch(part: Part | None, *, smoke: bool) -> str | None:
    """Return where PyTorch computes; None where it cannot be compared with, which is said."""
    try:
        import torch
    except ImportError as error:
        reason = f"PyTorch is not there: {error}"
    else:
        if torch.cuda.is_available():
            return "cuda"
        reason = "PyTorch finds no GPU"
        if smoke:
            torch.set_num_threads(1)
            return "cpu"
    if part is not None:
        part.add("not measured", key="torch", what="PyTorch", reason=reason)
    print(reason, flush=True)
    return None


def _finish() -> None:
    """Wait for the GPU, whoever gave it work."""
    synchronize()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def _free() -> None:
    """Give back the memory that nobody holds."""
    gc.collect()
    _finish()
    cupy().get_default_memory_pool().free_all_blocks()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _held() -> float:
    """Return the bytes that are not free on the GPU now; a contender holds what its steps came to need."""
    free, total = cupy().cuda.runtime.memGetInfo()
    return float(total - free)


def _bandwidth(smoke: bool) -> float:
    """Return the bytes a second, read and written, of a copy."""
    xp = cupy()
    size = (1 << 16) if smoke else COPIED
    source = xp.ones(size // 4, xp.float32)
    target = xp.empty_like(source)

    def copy() -> None:
        target[...] = source

    return 2 * size / best_seconds(copy)


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `Late` in the block after so many seconds, and every second from then on: compilers catch much."""
    is_within = True

    def ring(number: int, frame: Any) -> None:
        if is_within:
            raise Late(f"it took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        is_within = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def train_to_accuracy(part: Part, data: Path | None, output: Path, *, smoke: bool) -> None:
    """Train the fast config on CIFAR-10, in float16, and write down what it reached, and in which time."""
    repository = Path(__file__).resolve().parent.parent
    config, overrides = repository / FAST, [f"data.root={data}"]
    if smoke:
        config = repository / "configs" / "digits.yaml"
        overrides = ["train.epochs=1", "model.widths=[4]", "model.strides=[2]", "data.batch_size=400"]
    elif data is None or not config.is_file():
        missing = "no --data FOLDER with CIFAR-10 was named" if data is None else f"{FAST} is not there"
        part.add("cifar10", key="cifar10", what=FAST, reason=missing)
        return
    run = output / "cifar10-run"
    shutil.rmtree(run, ignore_errors=True)
    overrides += ["device=cuda", "train.precision=fp16"]
    command = [sys.executable, "-m", "tinytrain", "train", str(config), *overrides, "--json"]
    done = subprocess.run([*command, "--run-dir", str(run.resolve())], cwd=repository, capture_output=True, text=True)
    print(done.stderr, flush=True)
    if done.returncode:
        raise SystemExit(f"error: the training ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    top1 = summary["test"]["top1"]
    part.add(
        "cifar10",
        key="cifar10",
        what=config.name,
        precision=summary["precision"],
        top1=top1,
        reached=bool(top1 >= ACCURACY),
        seconds=summary["seconds"],
        epochs=summary["epochs"],
        images_per_second=summary["images_per_second"],
        cuda_graph=json.dumps(summary.get("cuda_graph")),
    )
