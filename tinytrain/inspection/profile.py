"""Where the time of a training step goes, layer by layer: rows of a table, and a trace to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, groupby
from statistics import median
from typing import Any

from tinytrain.inspection.clock import BACKWARD, Segment

BETWEEN = "(between layers)"
_LEAST_SHARE = 0.005  # of a step; modules with less time of their own share a row


@dataclass(frozen=True)
class LayerTime:
    """What a layer, or a part of the step in parentheses, took of a step: the median of the steps.

    Attributes:
        layer: dotted name, or a name in parentheses.
        type: class name, "" for what is no layer.
        forward_ms: milliseconds a step; those of a part without backward are here too.
        backward_ms: milliseconds a step.
        share: of all layers and parts together, from 0 to 1.
        macs: multiply-adds of one image, forward.
        gflops: 10⁹ operations a second, two a multiply-add, forward and backward; None without multiply-adds.
    """

    layer: str
    type: str
    forward_ms: float
    backward_ms: float
    share: float
    macs: int
    gflops: float | None


@dataclass(frozen=True)
class Profile:
    """The times of the layers over some steps.

    Attributes:
        layers: in the order of the network, then the parts of a step that are no layers.
        steps: what was measured in each, in order.
        images: in a step, on average.
        step_ms: milliseconds of a step with its batch, the median.
        unwatched_ms: the same when nobody looks.
    """

    layers: list[LayerTime]
    steps: Sequence[Sequence[Segment]]
    images: float
    step_ms: float
    unwatched_ms: float

    def to_json(self) -> dict[str, Any]:
        """Return the table as a JSON document."""
        return {
            "steps": len(self.steps),
            "images_per_step": self.images,
            "step_ms": self.step_ms,
            "unwatched_step_ms": self.unwatched_ms,
            "layers": [asdict(each) for each in self.layers],
        }

    def to_trace(self) -> dict[str, Any]:
        """Return the segments in Chrome's trace format, which chrome://tracing and Perfetto show; times in µs."""
        types = {each.layer: each.type for each in self.layers}
        segments = list(chain.from_iterable(self.steps))
        start = segments[0].begin if segments else 0.0
        events: list[dict[str, Any]] = []

        def add(name: str, category: str, begin: float, end: float, **args: Any) -> None:
            place = {"ph": "X", "ts": 1e6 * (begin - start), "dur": 1e6 * (end - begin), "pid": 1, "tid": 1}
            events.append({"name": name, "cat": category, **place, "args": args})

        for phase, group in groupby(segments, key=lambda segment: segment.phase):
            together = list(group)
            add(phase, "phase", together[0].begin, together[-1].end)
            for each in together:
                add(each.name or "(network)", phase, each.begin, each.end, type=types.get(each.name, ""))
        return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": self.to_json()}

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the table as text, its head first."""
        yield "layer", "type", "forward ms", "backward ms", "share", "multiply-adds", "GFLOP/s"
        for each in self.layers:
            times = (f"{each.forward_ms:.3f}", f"{each.backward_ms:.3f}" if each.backward_ms else "-")
            rate = "-" if each.gflops is None else f"{each.gflops:.1f}"
            macs = f"{each.macs:,}" if each.macs else "-"
            yield each.layer, each.type, *times, f"{each.share:.1%}", macs, rate


def profile_of(
    steps: Sequence[Sequence[Segment]],
    types: dict[str, str],
    macs: Mapping[str, int],
    passes: dict[str, int],
    *,
    images: float,
    unwatched: float,
) -> Profile:
    """Return the profile of some steps.

    Args:
        steps: the segments of each, one step at least.
        types: class names of the network's modules by dotted names, in their order.
        macs: multiply-adds of one image by the layer's name.
        passes: by the layer's name, how many times that a step does, forward and backward together.
        images: of a step, on average.
        unwatched: seconds of a step when nobody looks.
    """
    times: defaultdict[tuple[str, bool], list[float]] = defaultdict(lambda: [0.0] * len(steps))
    for number, segments in enumerate(steps):
        for segment in segments:
            times[segment.name, segment.phase == BACKWARD][number] += segment.seconds
    seconds = {key: median(each) for key, each in times.items()}
    total = sum(seconds.values())
    parents = {name.rpartition(".")[0] for name in types if name}
    for name in parents:
        own = {backward: seconds.get((name, backward), 0.0) for backward in (False, True)}
        if sum(own.values()) < _LEAST_SHARE * total:
            for backward, value in own.items():
                seconds.pop((name, backward), None)
                seconds[BETWEEN, backward] = seconds.get((BETWEEN, backward), 0.0) + value
    found = dict.fromkeys(name for name, _ in seconds)
    order = [name for name in types if name in found] + [name for name in found if name not in types]

    def layer(name: str) -> LayerTime:
        forward, backward = seconds.get((name, False), 0.0), seconds.get((name, True), 0.0)
        operations = 2 * macs.get(name, 0) * passes.get(name, 1) * images
        return LayerTime(
            layer=name or "(network)",
            type=types.get(name, ""),
            forward_ms=1e3 * forward,
            backward_ms=1e3 * backward,
            share=(forward + backward) / total,
            macs=macs.get(name, 0),
            gflops=1e-9 * operations / (forward + backward) if operations else None,
        )

    return Profile(
        layers=[layer(name) for name in order],
        steps=steps,
        images=images,
        step_ms=1e3 * median(sum(segment.seconds for segment in segments) for segments in steps),
        unwatched_ms=1e3 * unwatched,
    )
