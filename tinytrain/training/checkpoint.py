"""What going on with a run needs, saved at the end of every epoch.

`checkpoint/state.safetensors` holds the arrays (weights, optimizer state), its metadata one JSON document with the
rest (schedule, random state, epochs so far) and the SHA-256 of the arrays, checked on reading.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.device import CPU, move
from tinytrain.errors import StorageError, WeightsError
from tinytrain.generator import get_rng_state, set_rng_state
from tinytrain.tensor import Tensor, wrap
from tinytrain.training.experiment import Experiment
from tinytrain.training.run_folder import RunFolder
from tinytrain.weights.bundle import arrays_of

FILE = "checkpoint/state.safetensors"


def save_checkpoint(folder: RunFolder, e: Experiment, progress: dict[str, Any]) -> None:
    """Save the state of a training.

    Args:
        folder: of the run.
        e: whose model, average, optimizer and schedule are saved.
        progress: whatever else is needed, in JSON's terms.
    """
    from safetensors.numpy import save

    arrays = _prefixed("model", e.model.state_dict())
    if e.average is not None:
        arrays |= _prefixed("average", e.average.state_dict())
    state = e.optimizer.state_dict()
    numbers: dict[str, dict[str, Any]] = {}
    for param, remembered in state["state"].items():
        for key, value in remembered.items():
            if isinstance(value, Tensor):
                arrays[f"optimizer/{param}/{key}"] = move(value.array, CPU)
            else:
                numbers.setdefault(str(param), {})[key] = value
    arrays["random"] = move(get_rng_state().array, CPU)
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    document = {
        "sha256": _digest(arrays),
        "optimizer": {"groups": state["param_groups"], "numbers": numbers},
        "schedule": e.schedule.state_dict(),
        "average_updates": None if e.average is None else e.average.num_updates,
        "progress": progress,
    }
    with folder.replacing(FILE) as path:
        path.write_bytes(save(arrays, {"checkpoint": json.dumps(document)}))


def load_checkpoint(folder: RunFolder, e: Experiment) -> dict[str, Any]:
    """Put a training back into the state that was saved; return the `progress` saved with it.

    Raises:
        StorageError: the run has no checkpoint.
        WeightsError: the checkpoint is damaged.
    """
    arrays, document = _read(folder.path / FILE)
    e.model.load_state_dict(_under("model", arrays))
    if e.average is not None:
        e.average.load_state_dict(_under("average", arrays), document["average_updates"])
    remembered: dict[int, dict[str, Any]] = {
        int(param): dict(values) for param, values in document["optimizer"]["numbers"].items()
    }
    for name, array in arrays.items():
        if name.startswith("optimizer/"):
            _, param, key = name.split("/")
            remembered.setdefault(int(param), {})[key] = wrap(array)
    e.optimizer.load_state_dict({"state": remembered, "param_groups": document["optimizer"]["groups"]})
    e.schedule.load_state_dict(document["schedule"])
    set_rng_state(wrap(arrays["random"]))
    return document["progress"]


def _prefixed(kind: str, state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {f"{kind}/{name}": array for name, array in arrays_of(state).items()}


def _under(kind: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    prefix = f"{kind}/"
    return {name.removeprefix(prefix): wrap(array) for name, array in arrays.items() if name.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise StorageError(
            "the run has no checkpoint to go on from", place=path, remedy="Leave out --resume to begin a new run"
        )
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            document = json.loads(file.metadata()["checkpoint"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"the checkpoint is damaged: {error}", place=path) from error
    if document.get("sha256") != _digest(arrays):
        raise WeightsError("the checkpoint is damaged: its checksum does not match its contents", place=path)
    return arrays, document


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
