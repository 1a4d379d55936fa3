"""Whether kernels and networks on the GPU give what the reference gives."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tinytrain as tt
from tinytrain import models, nn
from tinytrain.optim import SGD
from tinytrain.optim.schedules import SCHEDULES, Schedule
from tinytrain.training import Experiment
from tinytrain.training import selfcheck as check
from tinytrain.training.precision import Precision, build_scaler
from tinytrain.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from gpu import Part

REPOSITORY = Path(__file__).resolve().parent.parent
PROCESSES = 8
"""That test at the same time: they wait for the compiler more than for the GPU."""

FIRST = ("tests/kernels", "tests/emulation", "tests/engine", "tests/optim")
"""What is tested first, where there is a folder of that name, should the time not do for all tests."""

SMOKE_TESTS = ("tests/ops/test_conversion.py",)
SHOWN = 40  # failures that are told of

# One network of each family, and the side of its images.
ZOO = {
    "cnn": 32,
    "lenet5": 32,
    "cifar_resnet20": 32,
    "mobilenet_v1": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "resnet18": 64,
    "resnet50": 64,
    "resnext50_32x4d": 64,
    "shufflenet_v2_x1_0": 64,
    "squeezenet1_1": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "convnext_tiny": 64,
    "vgg11_bn": 32,
    "alexnet": 96,
    "googlenet": 64,
}
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
IMAGES = 4
VAGUE = 0.5
"""A bound beyond which a comparison says little, as a part of a tensor's norm."""


def test_kernels(part: Part, output: Path, *, smoke: bool) -> None:
    """Run the tests that need a GPU, and write down how many passed, and which did not."""
    folders = SMOKE_TESTS if smoke else [*(each for each in FIRST if (REPOSITORY / each).is_dir()), "tests"]
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "--tb=short", "-p", "no:cacheprovider", *folders]
    if importlib.util.find_spec("xdist") is not None and not smoke:
        command += ["-n", str(PROCESSES)]
    counts: dict[str, int] = {}
    failed: list[str] = []
    with (output / "pytest.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            found = re.match(r"(?:\[gw\d+\]\s+\[\s*\d+%\]\s+)?(PASSED|FAILED|ERROR|SKIPPED)\s+(\S+)", line) or re.match(
                r"(?P<test>tests/\S+(?: \S+)*?)\s+(?P<word>PASSED|FAILED|ERROR|SKIPPED)", line
            )
            if found is None or line.startswith(("FAILED tests", "ERROR tests")):
                continue
            named = found.groupdict()
            word, test = (named["word"], named["test"]) if named else (found[1], found[2])
            counts[word] = counts.get(word, 0) + 1
            if word in ("FAILED", "ERROR"):
                failed.append(test)
                if len(failed) <= SHOWN:
                    part.add("failures", key=test, test=test)
            if sum(counts.values()) % 10 == 0:
                part.add("tests", key="counts", **counts, finished=False)
    code = process.wait()
    part.add("tests", key="counts", **counts, finished=True, exit_code=code)
    if failed or code:
        raise SystemExit(f"error: {len(failed)} tests failed, pytest ended with {code}: see pytest.log")


def compare_networks(part: Part, *, smoke: bool) -> None:
    """Take a step of networks of the zoo on the GPU in each precision, and hold it to the definition on the CPU."""
    beyond = 0
    for name, side in {"lenet5": 32}.items() if smoke else ZOO.items():
        rng = np.random.default_rng(0)
        images = tt.from_numpy(rng.standard_normal((IMAGES, _channels(name), side, side), np.float32))
        batch = (images, tt.from_numpy(rng.integers(0, 10, IMAGES)))
        definition = _experiment(name, batch, "cpu", "fp32")
        check.widen(definition)
        expected = check.step_by_definition(definition, batch)
        for precision in PRECISIONS:
            key = f"{name}, {precision}"
            try:
                found = check.take_step(_experiment(name, batch, "cuda", precision), batch)
            except Exception as error:  # a precision or a kernel that fails is a finding; the others go on
                beyond += 1
                part.add("networks", key=key, network=name, precision=precision, reason=_told(error))
                continue
            noisy = check.noisy_steps(definition, batch, check.NOISE[precision], runs=1)
            rows = sorted(
                check.deviations(found, expected, noisy, definition, precision=precision), key=lambda d: -d.of_bound
            )
            worst = rows[0]
            wrong = [each for each in rows if not each.is_within]
            beyond += bool(wrong)
            part.add(
                "networks",
                key=key,
                network=name,
                precision=precision,
                output_error=next(each.error for each in rows if each.kind == "output"),
                output_bound=next(each.bound for each in rows if each.kind == "output"),
                beyond=f"{len(wrong)} of {len(rows)}",
                vague=sum(each.bound > VAGUE for each in rows),
                worst=f"{worst.kind} {worst.name}".strip(),
                error=worst.error,
                bound=worst.bound,
            )
    if beyond:
        raise SystemExit(f"error: {beyond} networks and precisions are beyond their bounds or failed")


def _channels(name: str) -> int:
    return 1 if name == "lenet5" else 3


def _experiment(name: str, batch: check.Batch, device: str, precision: str) -> Experiment:
    """Return a training of a network of the zoo, the same weights at every call."""
    tt.manual_seed(0)
    options: dict[str, Any] = {"init_weights": True} if name == "googlenet" else {}
    model = models.MODELS[name](num_classes=10, in_channels=_channels(name), **options).to(device)
    return experiment(model, batch, device=device, precision=precision)


def experiment(
    model: nn.Module, batch: check.Batch, *, device: str, precision: Precision, lr: float = 0.01
) -> Experiment:
    """Return a training of a model with SGD and momentum.

    Args:
        model: on its device.
        batch: images and targets, its data.
        device: the name of it.
        precision: `fp32`, `tf32`, `bf16` or `fp16`.
        lr: the learning rate.
    """
    where = tt.device(device, 0) if device == "cuda" else tt.device(device)
    optimizer = SGD(model.parameters(), lr=lr, momentum=0.9)
    data = DataLoader(TensorDataset(*batch), len(batch[0]))
    schedule = Schedule(SCHEDULES["constant"](optimizer, 1, 1), warmup_steps=0)
    return Experiment(
        name="gpu",
        seed=0,
        device=where,
        model=model,
        train=data,
        val=None,
        test=None,
        class_names=[str(number) for number in range(10)],
        input_shape=tuple(batch[0].shape[1:]),
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        schedule=schedule,
        epochs=1,
        precision=precision,
        scaler=build_scaler(precision, where),
    )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
