"""Weights of one task for the network of another: a head for other classes, images with other channels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinytrain.device import CPU, move
from tinytrain.nn import Module
from tinytrain.weights.matching import Matching, load_weights, match_weights


def transfer_weights(
    model: Module,
    tensors: Mapping[str, np.ndarray],
    *,
    head: Collection[str],
    classes: Sequence[str],
    source_classes: Sequence[str] | None = None,
    keep_head: bool = False,
    mapping: Mapping[str, str | None] | None = None,
) -> Matching:
    """Load the weights of another task into a model as far as they fit, and return the table of it.

    The head takes over the classes whose names both sides know, and keeps its own initial weights for the others; a
    file that does not tell its classes gives no head. A first convolution for colour images becomes one for grey
    images by the sum over the channels, which computes the same from three equal channels; the other way round its
    weights are divided by three.

    Args:
        model: changed in place.
        tensors: of the file, by name.
        head: the model's tensors with an entry for each class along their first axis.
        classes: of the model, by index.
        source_classes: of the file, by index; None where it does not tell.
        keep_head: take the head by position, as if the classes were the same.
        mapping: the file's names to the model's, as of `match_weights`.

    Raises:
        WeightsError: nothing fits; the model is unchanged.
    """
    own = {name: move(tensor.array, CPU) for name, tensor in model.state_dict().items()}
    sources = {row.name: row.source for row in match_weights(own, tensors, mapping=mapping).rows if row.source}
    adapted: dict[str, np.ndarray] = dict(tensors)
    notes: dict[str, str] = {}
    skipped: dict[str, str] = {}
    shared = {name: (classes.index(name), i) for i, name in enumerate(source_classes or ()) if name in classes}
    for name, source in sources.items():
        if name is None or name not in own:
            continue
        if name in head and not keep_head:
            if _rows_fit(own[name], tensors[source], source_classes) and shared:
                adapted[source] = _by_class(own[name], tensors[source], list(shared.values()))
                notes[name] = _shared_classes(list(shared), len(classes))
            else:
                skipped[name] = _why_no_head(source_classes, tensors[source], len(classes))
            continue
        channels = (*tensors[source].shape[1:2], *own[name].shape[1:2])
        if own[name].ndim == tensors[source].ndim == 4 and channels in ((3, 1), (1, 3)):
            adapted[source], notes[name] = _with_channels(tensors[source], channels[1])
    matching = load_weights(model, adapted, mapping=mapping, skip=skipped)
    rows = []
    for row in matching.rows:
        reason = notes.get(str(row.name), row.reason) if row.status == "loaded" else row.reason
        if row.status == "skipped" and row.name in skipped:
            reason = skipped[row.name]
        rows.append(replace(row, reason=reason))
    return replace(matching, rows=rows)


def _rows_fit(own: np.ndarray, array: np.ndarray, source_classes: Sequence[str] | None) -> bool:
    """Return whether an array has an entry for each of the file's classes, of the shape that the model wants."""
    return source_classes is not None and array.shape == (len(source_classes), *own.shape[1:])


def _by_class(own: np.ndarray, array: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the model's own values with the file's in place of those of the classes that both have."""
    mixed = own.copy()
    for to, of in pairs:
        mixed[to] = array[of]
    return mixed


def _shared_classes(shared: Sequence[str], num_classes: int) -> str:
    named = ", ".join(shared[:5]) + (", ..." if len(shared) > 5 else "")
    return f"{len(shared)} of {num_classes} classes, by name: {named}"


def _why_no_head(source_classes: Sequence[str] | None, array: np.ndarray, num_classes: int) -> str:
    if source_classes is None:
        return f"the head of {array.shape[0]} classes that the file does not name; the data has {num_classes}"
    return f"the head of {len(source_classes)} classes, none of them among the {num_classes} of the data"


def _with_channels(weight: np.ndarray, channels: int) -> tuple[np.ndarray, str]:
    """Return a convolution's weight for grey images instead of colour ones, or the other way round, and say so."""
    if channels == 1:
        return weight.sum(axis=1, keepdims=True), "3 input channels become 1: their sum"
    return np.repeat(weight / 3, 3, axis=1), "1 input channel becomes 3: a third each"
