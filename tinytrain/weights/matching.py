"""Which tensor of a file goes where in a model, and why the others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tinytrain.errors import WeightsError, did_you_mean
from tinytrain.nn import Module
from tinytrain.tensor import wrap

Status = Literal["loaded", "skipped", "initialised"]
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Row:
    """What became of one tensor.

    Args:
        status: `loaded`; `skipped`: it is in the file and was not taken; `initialised`: the model keeps its own.
        name: in the model; None where the model has none of that name.
        source: in the file; None where the file has none.
        reason: of being skipped or left, or how it was changed.
    """

    status: Status
    name: str | None
    source: str | None
    reason: str = ""


@dataclass
class Matching:
    """The table of what was matched with what.

    Attributes:
        rows: the model's tensors in its order, then what is left of the file.
        prefix: that the file's names have and the model's have not.
        others: prefixes with which as many names would match; the one that comes first in the file is taken.
        arrays: to be loaded, by the model's names.
    """

    rows: list[Row]
    prefix: str = ""
    others: list[str] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, status: Status) -> list[Row]:
        """Return the rows of a status."""
        return [row for row in self.rows if row.status == status]

    @property
    def missing(self) -> list[str]:
        """The model's tensors that the file does not give, without the batch counters that old files lack."""
        return [str(row.name) for row in self.of("initialised") if str(row.name).rpartition(".")[2] != _COUNTER]

    def summary(self) -> str:
        """Return the table's totals in a line."""
        counts = Counter(row.status for row in self.rows)
        prefix = f" from {self.prefix!r}" if self.prefix else ""
        prefix += f" ({', '.join(map(repr, self.others))} would fit as well)" if self.others else ""
        return (
            f"{counts['loaded']} tensors loaded{prefix}, {counts['skipped']} skipped, "
            f"{counts['initialised']} left at initialisation"
        )


def load_weights(
    model: Module,
    tensors: Mapping[str, np.ndarray],
    *,
    mapping: Mapping[str, str | None] | None = None,
    skip: Iterable[str] = (),
) -> Matching:
    """Load what fits of a file's tensors into a model, and return the table of it.

    Args:
        model: changed in place.
        tensors, mapping, skip: as of `match_weights`.

    Raises:
        WeightsError: nothing fits, or the mapping is wrong; the model is unchanged.
    """
    expected = {name: tensor.array for name, tensor in model.state_dict().items()}
    matching = match_weights(expected, tensors, mapping=mapping, skip=skip)
    if not matching.arrays:
        reasons = "; ".join(f"{row.source}: {row.reason}" for row in matching.of("skipped")[:3])
        raise WeightsError(
            f"no tensor of the file fits the model {type(model).__name__} ({reasons})",
            remedy="`tinytrain doctor FILE` shows its names and shapes; a mapping can rename them",
        )
    model.load_state_dict({name: wrap(array) for name, array in matching.arrays.items()}, strict=False)
    return matching


def match_weights(
    expected: Mapping[str, np.ndarray],
    tensors: Mapping[str, np.ndarray],
    *,
    mapping: Mapping[str, str | None] | None = None,
    skip: Iterable[str] = (),
) -> Matching:
    """Find for each tensor of a model the file's tensor of its name and shape.

    The file's names may all have a prefix, as `state_dict.module.`; it is the one with which most names match.

    Args:
        expected: of a model: arrays by name, whose shapes and types count.
        tensors: of a file: arrays by name.
        mapping: the file's names to the model's. Where both end in a dot, all names that begin so are meant. A longer
            rule wins over a shorter one. None as the model's name leaves the tensor out.
        skip: the model's names that are not to be loaded, as those of a head for other classes.

    Raises:
        WeightsError: a rule of the mapping matches nothing, or two tensors get one name.
    """
    renamed = _rename(tensors, mapping or {})
    prefix, *others = _prefixes(expected, [name for name in renamed.values() if name is not None])
    sources: dict[str, str] = {}
    rows: dict[str, Row] = {}
    rest = []
    for source, renaming in renamed.items():
        if renaming is None:
            rest.append(Row("skipped", None, source, "the mapping leaves it out"))
            continue
        name = renaming.removeprefix(prefix)
        if name not in expected or not renaming.startswith(prefix):
            rest.append(Row("skipped", None, source, "the model has no tensor of that name"))
        elif name in sources:
            raise WeightsError(f"{source!r} and {sources[name]!r} are both {name!r} in the model")
        else:
            sources[name] = source
    arrays = {}
    skipped = set(skip)
    for name, own in expected.items():
        if name not in sources:
            rows[name] = Row("initialised", name, None, "the file has no such tensor")
            continue
        array = tensors[sources[name]]
        reason = "left out on purpose" if name in skipped else _misfit(own, array)
        if reason:
            rest.append(Row("skipped", name, sources[name], reason))
            rows[name] = Row("initialised", name, None, "the file's was skipped")
            continue
        arrays[name] = array
        change = f"{array.dtype} becomes {own.dtype}" if array.dtype != own.dtype else ""
        rows[name] = Row("loaded", name, sources[name], change)
    return Matching([*rows.values(), *rest], prefix, others, arrays)


def _misfit(own: np.ndarray, array: np.ndarray) -> str:
    """Return why a tensor cannot be loaded, or nothing."""
    if own.shape != array.shape:
        return f"shape {array.shape} in the file, {own.shape} in the model"
    if own.dtype != array.dtype and not (own.dtype.kind == array.dtype.kind or np.can_cast(array.dtype, own.dtype)):
        return f"{array.dtype} in the file, {own.dtype} in the model"
    return ""


def _rename(names: Iterable[str], mapping: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return each name with what the mapping makes of it."""
    names = list(names)
    rules = sorted(mapping, key=len, reverse=True)
    unused = set(rules)
    renamed: dict[str, str | None] = {}
    for name in names:
        rule = next((rule for rule in rules if name == rule or (rule.endswith(".") and name.startswith(rule))), None)
        if rule is None:
            renamed[name] = name
            continue
        unused.discard(rule)
        new = mapping[rule]
        if new is not None and rule.endswith(".") != (new.endswith(".") or not new):
            raise WeightsError(f"mapping {rule!r}: {new!r}: both must end in a dot, or neither")
        renamed[name] = None if new is None else new + name.removeprefix(rule)
    if unused:
        rule = sorted(unused)[0]
        raise WeightsError(f"mapping {rule!r}: the file has no such name{did_you_mean(rule, names)}")
    return renamed


def _prefixes(expected: Mapping[str, np.ndarray], names: Iterable[str]) -> list[str]:
    """Return the prefixes with which most names are the model's, in the file's order; at least the empty one."""
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in expected:
                counts["".join(f"{part}." for part in parts[:start])] += 1
    best = max(counts.values(), default=0)
    return [prefix for prefix, count in counts.items() if count == best] or [""]
