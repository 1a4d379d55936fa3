"""Batches in pinned memory, and on a GPU ahead of their use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinytrain.device import device as Device
from tinytrain.ops.conversion import pin_memory
from tinytrain.tensor import Tensor, wrap
from tinytrain.transfers import Uploads


def prefetched(batches: Iterable[Any], device: Device) -> Iterator[Any]:
    """Yield batches with their tensors on a device; a GPU gets each while it still computes what it was asked before.

    A batch is loaded when it is asked for, not before: so what goes wrong with it is raised in its place.

    Args:
        batches: of tensors in tuples, lists and mappings, or of anything else, which stays as it is.
        device: where the tensors shall lie.
    """
    if device.type == "cpu":
        yield from batches
        return
    uploads = Uploads(device)
    for batch in batches:
        yield _uploaded(batch, uploads)


def _uploaded(batch: Any, uploads: Uploads) -> Any:
    found: list[np.ndarray] = []

    def find(tensor: Tensor) -> Tensor:
        if not tensor.is_cuda:
            found.append(tensor.array)
        return tensor

    changed(batch, find)
    there = iter(uploads.upload(found) if found else ())
    return changed(batch, lambda tensor: tensor if tensor.is_cuda else wrap(next(there)))


def pinned(batch: Any) -> Any:
    """Return a batch with its tensors in pinned memory, from which a GPU reads by itself."""
    return changed(batch, lambda tensor: tensor if tensor.is_cuda else pin_memory(tensor))


def changed(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a batch with every tensor in its tuples, lists and mappings replaced by what `change` makes of it."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: changed(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple):
        members = [changed(each, change) for each in batch]
        return type(batch)(*members) if hasattr(batch, "_fields") else tuple(members)
    return [changed(each, change) for each in batch] if isinstance(batch, list) else batch
