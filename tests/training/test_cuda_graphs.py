"""Steps that are captured as CUDA graphs learn, to the bit, what the same steps learn one operation after the other."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.capturing import Graph
from tinytrain.device import Array, cuda_problem, watched_reads
from tinytrain.errors import Interrupted
from tinytrain.optim import AdamW, NAdam
from tinytrain.training import Events, Experiment, RunResult
from tinytrain.training.ema import WeightAverage
from tinytrain.training.freezing import Freezing
from tinytrain.training.precision import build_scaler

from .toys import Listener, StopAt, experiment, network, run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(cuda_problem() is not None, reason=str(cuda_problem()))]


class Products(nn.Module):
    """A linear layer by sums of products, for want of a matrix product that can be captured."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.weight = nn.Parameter(tt.randn(out_features, in_features) / in_features**0.5)

    def forward(self, input: tt.Tensor) -> tt.Tensor:
        return (input.unsqueeze(1) * self.weight).sum(2)


def small_network(*between: nn.Module) -> nn.Sequential:
    tt.manual_seed(1)
    first = nn.Sequential(nn.Flatten(), Products(16, 8), nn.BatchNorm1d(8), nn.ReLU())
    return nn.Sequential(first, *between, Products(8, 3))


def on_gpu(model: nn.Module | None = None, **options: Any) -> Experiment:
    """Return the toy experiment on the GPU."""
    e = experiment(model or small_network(), **options)
    where = tt.device("cuda", 0)
    e.model.to(where)
    e.loss.to(where)
    return dataclasses.replace(e, device=where)


def averaged(**options: Any) -> Experiment:
    e = on_gpu(**options)
    return dataclasses.replace(e, average=WeightAverage(e.model, 0.9))


def frozen(**options: Any) -> Experiment:
    e = on_gpu(**options)
    return dataclasses.replace(e, freezing=Freezing(e.model, ["0"], until_epoch=2))


def with_dropout(**options: Any) -> Experiment:
    tt.manual_seed(3)
    e = on_gpu(small_network(nn.Dropout(0.3), Products(8, 8), nn.Dropout(0.2)), **options)
    tt.generator.generator_of(e.device).manual_seed(7)
    return e


def with_adam(**options: Any) -> Experiment:
    model = small_network()
    return on_gpu(model, optimizer=AdamW(model.parameters(), lr=0.01), **options)


KINDS: dict[str, Callable[..., Experiment]] = {
    "plain": on_gpu,
    "convolution": lambda **options: on_gpu(network(), **options),
    "adam": with_adam,
    "average": averaged,
    "freezing": frozen,
    "dropout": with_dropout,
    "clipping": lambda **options: on_gpu(clip_grad_norm=0.5, clip_grad_value=0.2, **options),
    "accumulation": lambda **options: on_gpu(accumulate_steps=2, epochs=6, **options),
    "schedule": lambda **options: on_gpu(schedule="cosine", **options),
}


def confusions(result: RunResult) -> list[Any]:
    return [each.train.confusion.tolist() for each in result.epochs if each.train.confusion is not None]


def same(a: Path, b: Path) -> bool:
    """Return whether two runs have learned the same, whatever time they took and however they took their steps."""
    found = []
    for path in (a, b):
        summary = json.loads((path / "summary.json").read_text())
        rows = [line.split(",")[:6] for line in (path / "metrics.csv").read_text().splitlines()]
        found.append([rows, *(summary[key] for key in ("weights_sha256", "val", "best_epoch"))])
    return found[0] == found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_captured_and_uncaptured_steps_are_equal_to_the_bit(kind: str, tmp_path: Path):
    captured = run(KINDS[kind](), tmp_path / "captured")
    assert captured.summary["cuda_graph"]["captured"] in ("step", "gradients"), captured.summary["cuda_graph"]
    plain = run(KINDS[kind](cuda_graph=False), tmp_path / "plain")
    assert plain.summary["cuda_graph"] == {"captured": "nothing", "reason": "it is switched off"}
    assert same(tmp_path / "captured", tmp_path / "plain")
    assert confusions(captured) == confusions(plain)
    assert sum(map(sum, confusions(plain)[-1])) == 46


@pytest.mark.parametrize("stop", [(1, 2), (2, 3), (3, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_captured_training_goes_on_to_the_bit_where_it_was_stopped(kind: str, stop: tuple[int, int], tmp_path: Path):
    run(KINDS[kind](), tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(KINDS[kind](), tmp_path / "parts", events=StopAt(*stop))
    resumed = KINDS[kind]()
    tt.manual_seed(999)  # whatever a new process begins with
    run(resumed, tmp_path / "parts", resume=True)
    assert same(tmp_path / "parts", tmp_path / "whole")


class Between(Events):
    """Does something to an experiment after some steps, counted from the first of the training."""

    def __init__(self, changes: dict[int, Callable[[], None]]):
        self.changes, self.steps = changes, 0
        self.messages: list[str] = []

    def pause(self, epoch: int, step: int) -> None:
        self.steps += 1
        self.changes.get(self.steps, lambda: None)()

    def message(self, text: str) -> None:
        self.messages.append(text)


def replace_weights(e: Experiment) -> None:
    e.optimizer.state.pop(e.model[-1].weight)
    e.model[-1].weight = nn.Parameter(e.model[-1].weight.detach() * 0.5)
    e.optimizer.param_groups[0]["params"][-1] = e.model[-1].weight


def move_weights(e: Experiment) -> None:
    e.model[-1].weight.data = e.model[-1].weight.detach().clone()


def soften(e: Experiment) -> None:
    e.optimizer.param_groups[0]["momentum"] = 0.5


def clip(e: Experiment) -> None:
    e.clip_grad_norm = 0.1


def freeze(e: Experiment) -> None:
    e.model[0].requires_grad_(False)


def smooth(e: Experiment) -> None:
    e.loss.label_smoothing = 0.2


def load(e: Experiment) -> None:
    e.model.load_state_dict({name: value * 0.9 for name, value in e.model.state_dict().items()})


def forget(e: Experiment) -> None:
    e.optimizer.load_state_dict(e.optimizer.state_dict())


def hook_module(e: Experiment) -> None:
    e.model[-1].register_forward_hook(lambda module, args, output: output * 0.5)


def hook_tensor(e: Experiment) -> None:
    e.model[-1].weight.register_hook(lambda grad: grad * 0.5)


CHANGES = [hook_module, hook_tensor, replace_weights, move_weights, soften, clip, freeze, smooth, load, forget]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_two_steps_counts_from_the_next(change: Callable[[Experiment], None], tmp_path: Path):
    weights = []
    for cuda_graph in (True, False):
        e = on_gpu(cuda_graph=cuda_graph, epochs=4)
        result = run(e, tmp_path / str(cuda_graph), events=Between({9: lambda e=e: change(e)}))
        weights.append(result.summary["weights_sha256"])
    assert weights[0] == weights[1]
    unchanged = run(on_gpu(cuda_graph=False, epochs=4), tmp_path / "unchanged").summary["weights_sha256"]
    assert (weights[0] == unchanged) == (change in (move_weights, forget))


def test_a_graph_is_launched_for_every_step_like_the_two_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    launches: list[Graph] = []
    launch = Graph.launch

    def counted(graph: Graph) -> None:
        launches.append(graph)
        launch(graph)

    monkeypatch.setattr(Graph, "launch", counted)
    run(on_gpu(epochs=3), tmp_path / "plain")
    # Of the six steps of an epoch the last is smaller; the first two of all choose kernels and make memory.
    assert len(launches) == 3 + 5 + 5
    assert len(set(launches)) == 1
    launches.clear()
    run(frozen(epochs=3), tmp_path / "frozen")
    # Another graph for the epoch in which everything learns; what the optimizer gets anew does not matter to gradients.
    assert len(launches) - (3 + 5) in (3, 4)
    assert len(set(launches)) == 2


def test_a_gradient_is_that_of_the_last_step(tmp_path: Path):
    found: list[list[list[float]]] = []
    for cuda_graph in (True, False):
        e = on_gpu(cuda_graph=cuda_graph)
        found.append([])
        looks = {step: lambda e=e: found[-1].append(e.model[-1].weight.grad.tolist()) for step in (4, 6, 7, 8)}
        run(e, tmp_path / str(cuda_graph), events=Between(looks))
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


class Reads(nn.Module):
    """Looks at a value."""

    def forward(self, input: tt.Tensor) -> tt.Tensor:
        return input * 2.0 if input.sum().item() > 0 else input


class Counts(nn.Module):
    """Puts a new buffer in the place of the old in every forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", tt.zeros(1))

    def forward(self, input: tt.Tensor) -> tt.Tensor:
        self.seen = self.seen + 1.0
        return input * self.seen


class Flips(nn.Module):
    """Draws from a generator of the host."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, input: tt.Tensor) -> tt.Tensor:
        return input if self.training and self.draw() > 0.5 else input * 0.5


def hooked() -> nn.Module:
    layer = nn.ReLU()
    layer.register_forward_hook(lambda module, args, output: output * 0.5)
    return layer


HOST = {
    "reads": (Reads, "the host reads an array of the shape []"),
    "counts": (Counts, "its shapes or its memory change from step to step"),
    "flips": (lambda: Flips(lambda: tt.rand(1).item()), "random numbers are drawn on the host"),
    "python": (lambda: Flips(random.random), "random numbers are drawn on the host"),
    "numpy": (lambda: Flips(np.random.random), "random numbers are drawn on the host"),
    "hooked": (hooked, "hooks are registered on 1"),
}


@pytest.mark.parametrize("kind", HOST)
def test_steps_that_need_the_host_are_not_captured_and_learn_the_same(kind: str, tmp_path: Path):
    between, reason = HOST[kind]
    weights = []
    for cuda_graph in (True, False):
        random.seed(1)
        np.random.seed(1)
        e = on_gpu(small_network(between()), cuda_graph=cuda_graph, epochs=5)
        listener = Listener()
        result = run(e, tmp_path / str(cuda_graph), events=listener)
        weights.append(result.summary["weights_sha256"])
        if cuda_graph:
            told = result.summary["cuda_graph"]
            assert told["captured"] == "nothing"
            assert told["reason"].startswith(reason)
            assert [each for each in listener.messages if "not captured" in each] == [
                f"steps are not captured as a CUDA graph: {told['reason']}"
            ]
    assert weights[0] == weights[1]


def test_a_run_of_a_single_step_says_why_nothing_is_captured(tmp_path: Path):
    told = run(on_gpu(epochs=1, accumulate_steps=100), tmp_path / "run").summary["cuda_graph"]
    assert told == {"captured": "nothing", "reason": "no step was like the one before"}


def test_an_update_that_asks_the_host_is_told_with_its_rule_and_its_line(tmp_path: Path):
    model = small_network()
    scaler = build_scaler("fp16", tt.device("cuda", 0))
    e = on_gpu(model, optimizer=NAdam(model.parameters(), lr=0.01), epochs=3, precision="fp16", scaler=scaler)
    told = run(e, tmp_path / "run").summary["cuda_graph"]
    assert told["captured"] == "gradients"
    line = r"NAdam asks the host whether gradients have overflowed \(in tinytrain/optim/optimizer\.py:\d+\)"
    assert re.fullmatch(line, told["reason"])


def test_the_host_reads_once_a_logging_interval(tmp_path: Path):
    read: list[tuple[int, ...]] = []
    per_step: list[int] = []

    class Counter(Events):
        def pause(self, epoch: int, step: int) -> None:
            per_step.append(len(read))
            read.clear()

        def epoch(self, result: Any) -> None:
            read.clear()  # what an evaluation and a checkpoint read

    def watch(array: Array) -> None:
        read.append(array.shape)

    for cuda_graph in (True, False):
        per_step.clear()
        with watched_reads(watch):
            run(on_gpu(log_every=4, epochs=3, cuda_graph=cuda_graph), tmp_path / str(cuda_graph), events=Counter())
        # the first step comes after the first checkpoint
        assert per_step[1:] == [0, 0, 1, 0, 1, *[0, 0, 0, 1, 0, 1] * 2], per_step


@pytest.fixture(autouse=True)
def _state_of_other_generators() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    yield
    random.setstate(python)
    np.random.set_state(numpy)


@pytest.mark.parametrize("cuda_graph", [True, False])
def test_a_target_that_names_no_class_is_told_where_losses_are_read(tmp_path, cuda_graph):
    e = on_gpu(cuda_graph=cuda_graph)
    e.train.dataset.tensors[1][7] = 5
    with pytest.raises(IndexError, match=r"Target 5 is out of bounds: there are 3 classes, so targets lie in \[0, 2\]"):
        run(e, tmp_path / "run")
