"""Self-contained weights: a `.safetensors` file that says itself which network it is for.

The metadata of the file holds one JSON document under `tinytrain`: the model's config, the class names, the evaluation
transforms, the input shape, the version that wrote it, and the order of the weights, which the format does not keep. A
SHA-256 over that and the weights stands beside it, since the format has no checksum: a flipped bit is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain.device import CPU, move
from tinytrain.errors import WeightsError
from tinytrain.pickles import visible
from tinytrain.tensor import Tensor, wrap
from tinytrain.weights.reading import WeightsFile, read_weights

_KEY, _DIGEST = "tinytrain", "tinytrain_sha256"


@dataclass
class Bundle:
    """Weights and what is needed to use them.

    Attributes:
        weights: arrays by their names in the `state_dict`.
        model: the `model` section of the config.
        class_names: by class index.
        eval_transforms: the `transforms.eval` section of the config.
        input_shape: (c, h, w) of one image as the network gets it.
        version: of tinytrain that wrote it.
        extra: whatever else is to be known, as where the data came from.
    """

    weights: dict[str, np.ndarray]
    model: dict[str, Any]
    class_names: list[str]
    eval_transforms: list[Any]
    input_shape: tuple[int, int, int]
    version: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights as tensors."""
        return {name: wrap(array) for name, array in self.weights.items()}


def save_bundle(path: str | os.PathLike[str], bundle: Bundle) -> None:
    """Write a bundle to a file."""
    from safetensors.numpy import save

    description = json.dumps({**vars(bundle), "weights": list(bundle.weights)})
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in bundle.weights.items()}
    metadata = {"format": "pt", _KEY: description, _DIGEST: _digest(description, contiguous)}
    Path(path).write_bytes(save(contiguous, metadata))


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle from a file, or from the `best.safetensors` of a run folder.

    Raises:
        WeightsError: there is no such file, it is damaged, or it does not say which network it is for.
    """
    file = read_weights(path)
    described = description_in(file)
    if described is None:
        raise WeightsError(
            "the file does not say which network it is for", place=path, remedy="Name a config with --config"
        )
    described["input_shape"] = tuple(described["input_shape"])
    described["weights"] = {name: file.tensors[name] for name in described["weights"]}
    return Bundle(**described)


def description_in(file: WeightsFile) -> dict[str, Any] | None:
    """Return what a file says of itself: the attributes of `Bundle` by name; None where the file is not one of ours.

    Raises:
        WeightsError: it is damaged, or an attribute is missing, unknown or of another kind.
    """
    if file.format != "safetensors" or _KEY not in file.entries:
        return None
    try:
        described = json.loads(file.entries[_KEY])
        weights = {name: file.tensors[name] for name in described["weights"]}
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise WeightsError(f"the metadata is damaged: {visible(str(error))}", place=file.path) from error
    if file.entries.get(_DIGEST) != _digest(file.entries[_KEY], weights):
        raise WeightsError("the file is damaged: its checksum is another", place=file.path)
    _check(described, file.path)
    return described


def arrays_of(state_dict: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the values of a `state_dict` as arrays on the CPU, sharing memory where they lie there."""
    return {name: move(tensor.strided_array(), CPU) for name, tensor in state_dict.items()}


def weights_sha256(state_dict: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the weights' bytes in `state_dict` order, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays_of(state_dict).values():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check(described: Mapping[str, Any], path: Path) -> None:
    """Make sure that a description has the attributes of `Bundle`, each of its kind."""
    required = _EXPECTED.keys() - {"version", "extra"}
    for name in sorted(required - described.keys()):
        raise WeightsError("this key of the metadata is missing", place=f"{path}: {name}")
    for name, value in described.items():
        if name not in _EXPECTED:
            raise WeightsError("unknown key of the metadata", place=f"{path}: {visible(name)}")
        words, is_so = _EXPECTED[name]
        if not is_so(value):
            raise WeightsError(
                f"the metadata should have {words} here, not {reprlib.repr(value)}", place=f"{path}: {name}"
            )


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is kind for item in value)


_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "weights": ("a list of names", lambda value: _is_list_of(str, value)),
    "model": ("keys and values", lambda value: isinstance(value, dict)),
    "class_names": ("a list of names", lambda value: _is_list_of(str, value) and bool(value)),
    "eval_transforms": ("a list", lambda value: isinstance(value, list)),
    "input_shape": (
        "three whole numbers from 1",
        lambda value: _is_list_of(int, value) and len(value) == 3 and min(value) >= 1,
    ),
    "version": ("text", lambda value: isinstance(value, str)),
    "extra": ("keys and values", lambda value: isinstance(value, dict)),
}
"""What each attribute has to be, in words and as a test."""


def _digest(description: str, weights: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a description and of weights with their names, types and shapes."""
    digest = hashlib.sha256(description.encode("utf-8", "surrogatepass"))
    for name, array in weights.items():
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
