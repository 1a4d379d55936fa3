"""What a sweep tries: values and ranges of config keys, and the points that are made of them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tinytrain.config import Config, load_config
from tinytrain.config.build import refuse_pretrained
from tinytrain.config.load import config_from_values
from tinytrain.config.origins import flow
from tinytrain.config.overrides import apply_overrides, parse_override
from tinytrain.config.schema import plain_values
from tinytrain.errors import UsageError

Search = Literal["grid", "random", "tpe"]
Point = dict[str, Any]
"""A value for each key that a sweep changes, and `seed`."""

MAX_TRIALS = 100_000

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low: whole where the values are to be whole, like `high`.
        high: above it.
        log: whether factors are equally likely, not differences.
    """

    low: float
    high: float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def draw(self, rng: np.random.Generator) -> float:
        """Return a value by chance."""
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high + self.is_whole)))
        else:
            value = rng.uniform(self.low, self.high + self.is_whole)
        return min(int(value), int(self.high)) if self.is_whole else min(max(value, self.low), self.high)


Axis = list[Any] | Range


@dataclass(frozen=True)
class Plan:
    """What is tried.

    Attributes:
        axes: the values, or the range, of each key that changes.
        fixed: further overrides, `KEY=VALUE`.
        search: every combination, combinations by chance, or combinations suggested by those before.
        trials: how many, for a search that is no grid.
        seeds: of the runs; every combination is tried with each.
        prune: whether a run that is worse than most at the same epoch is given up.
    """

    axes: dict[str, Axis]
    fixed: list[str]
    search: Search
    trials: int | None
    seeds: list[int]
    prune: bool

    def points(self) -> list[Point]:
        """Return every point of a grid or a random search, in their order; of the others there is no list."""
        if self.search == "tpe":
            return []
        if self.search == "grid":
            lists = [axis for axis in self.axes.values() if isinstance(axis, list)]
            combinations = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*lists)]
        else:
            rng = np.random.default_rng(self.seeds[0])
            combinations = [self.draw(rng) for _ in range(self.trials or 0)]
        return [{**point, "seed": seed} for point in combinations for seed in self.seeds]

    def draw(self, rng: np.random.Generator) -> Point:
        """Return a point by chance, with the first seed."""
        point = {
            key: axis.draw(rng) if isinstance(axis, Range) else axis[int(rng.integers(len(axis)))]
            for key, axis in self.axes.items()
        }
        return {**point, "seed": self.seeds[0]}

    def document(self) -> dict[str, Any]:
        """Return the plan in plain values, by which the same command is known again."""
        axes = {
            key: {"range": [axis.low, axis.high], "log": axis.log} if isinstance(axis, Range) else axis
            for key, axis in self.axes.items()
        }
        return {**asdict(self), "axes": axes}


def overrides_of(plan: Plan, point: Point) -> list[str]:
    """Return the overrides that make a point of a config."""
    return [*plan.fixed, *(f"{key}={flow(value)}" for key, value in point.items())]


def read_plan(
    config: Config,
    changes: Sequence[str],
    *,
    search: Search | None = None,
    trials: int | None = None,
    num_seeds: int = 1,
    prune: bool = False,
) -> Plan:
    """Return what a command line asks for.

    Args:
        config: that is changed.
        changes: `KEY=V1,V2` for values, `KEY=LOW..HIGH` for a range, `KEY=LOW..HIGH:log` for one of factors;
            `KEY=VALUE` changes the config of all runs.
        search: None: a grid, or by chance where there is a range.
        trials: how many points, for a search that is no grid.
        num_seeds: runs of every point, with the config's seed and those after it.
        prune: give up hopeless runs.

    Raises:
        UsageError: the parts do not go together.
        ConfigError: the seed, or the last of several, is none.
    """
    axes: dict[str, Axis] = {}
    fixed: list[str] = []
    for change in changes:
        key, axis = read_axis(change)
        if key in axes or key in {each.partition("=")[0] for each in fixed}:
            raise UsageError(f"{key} is given twice", remedy="Keep one of the two")
        if isinstance(axis, list) and len(axis) == 1:
            fixed.append(f"{key}={flow(axis[0])}")
        else:
            axes[key] = axis
    if not axes and num_seeds == 1:
        raise UsageError(
            "there is nothing to try", remedy="Give a key several values, as in model.conv=standard,separable"
        )
    if "seed" in axes:
        raise UsageError("seed: seeds are repetitions of every other value", remedy="Use --seeds N")
    ranges = [key for key, axis in axes.items() if isinstance(axis, Range)]
    search = search or ("random" if ranges else "grid")
    if search == "grid" and ranges:
        raise UsageError(
            f"{ranges[0]}: a range has no end of values", remedy="List some, or use --search random --trials N"
        )
    if search == "grid" and trials is not None:
        raise UsageError(
            "a grid has as many trials as combinations", remedy="Leave out --trials, or use --search random"
        )
    if search != "grid" and trials is None:
        raise UsageError(f"a {search} search goes on until it is told to stop", remedy="Say how many with --trials N")
    if search == "tpe" and num_seeds > 1:
        raise UsageError("--seeds repeats points of a plan; tpe chooses each point by the scores before")
    points = trials if trials is not None else math.prod(len(axis) for axis in axes.values() if isinstance(axis, list))
    if (count := points * num_seeds) > MAX_TRIALS:
        remedy = "Give fewer values" if trials is None else "Lower --trials"
        raise UsageError(
            f"these are {count:,} trials; {MAX_TRIALS:,} are the most",
            remedy=remedy if num_seeds == 1 else f"{remedy}, or lower --seeds",
        )
    first = _seed_of(config, [each for each in fixed if each.startswith("seed=")])
    _seed_of(config, [f"seed={first + num_seeds - 1}"])
    fixed = [each for each in fixed if not each.startswith("seed=")]
    return Plan(axes, fixed, search, trials, list(range(first, first + num_seeds)), prune)


def read_axis(change: str) -> tuple[str, Axis]:
    """Return the key and the values, or the range, of `KEY=...`.

    Raises:
        UsageError: it is not of that form, or a range is empty or without end.
    """
    key, _, text = change.partition("=")
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        _, values, _ = parse_override(f"{key}=[{text}]" if "=" in change else change)
        if not values:
            raise UsageError(f"{key}: there is no value", remedy="As in train.optimizer.lr=0.1,0.03")
        return key, values
    parts = match.groups()[:2]
    if not math.isfinite(float(parts[1]) - float(parts[0])):
        raise UsageError(f"{key}: the range {text} has no finite width")
    low, high = (int(part) if re.fullmatch(r"[-+]?\d+", part) else float(part) for part in parts)
    if low >= high:
        raise UsageError(f"{key}: the range {text} is empty", remedy="Give the lower end first")
    if match[3] and low <= 0:
        raise UsageError(f"{key}: a range of factors must be above 0; {text} begins at {low}")
    return key, Range(low, high, bool(match[3]))


def _seed_of(config: Config, overrides: Sequence[str]) -> int:
    """Return the seed of a config with overrides, checked as the schema does."""
    values, origins = plain_values(config), dict(config.origins)
    apply_overrides(values, origins, overrides)
    return config_from_values(values, origins).seed


def check_points(path: Any, plan: Plan) -> None:
    """Load the config of every point, so that a value that cannot be is told before anything runs.

    Raises:
        ConfigError: of the first point that is no config.
        UsageError: a point asks for public weights, which a sweep does not begin with.
    """
    seen: set[tuple[str, ...]] = set()
    points = plan.points() or [
        {key: axis.low if isinstance(axis, Range) else axis[0] for key, axis in plan.axes.items()}
    ]
    for point in points:
        without_seed = tuple(each for each in overrides_of(plan, point) if not each.startswith("seed="))
        if without_seed not in seen and len(seen) < 500:
            refuse_pretrained(load_config(path, without_seed), "sweep", path)
            seen.add(without_seed)
