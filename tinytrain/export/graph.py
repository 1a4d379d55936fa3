"""A network as ONNX sees it: nodes over named values, and constants; plain data that needs no library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytrain.device import CPU, move
from tinytrain.errors import TinytrainError
from tinytrain.tensor import Tensor

INPUT, OUTPUT = "input", "logits"


class ExportError(TinytrainError):
    """A network, or a part of it, has no form in the format asked for."""

    exit_code = 3


@dataclass
class Node:
    """One operation.

    Attributes:
        op: ONNX's name of it.
        inputs: names of values; empty where an optional one is left out.
        outputs: names of values.
        attributes: numbers, texts and lists of them.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """What a node makes: a name in the graph, and what it is for the images that the network was traced with.

    Attributes:
        name: in the graph.
        tensor: the values.
    """

    name: str
    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes, the batch's first."""
        return tuple(self.tensor.shape)


class Graph:
    """Nodes in order, and the constants that they read.

    Args:
        known: names of tensors, as of the network's `state_dict`; such a tensor keeps its name as a constant.
    """

    def __init__(self, known: Mapping[str, Tensor] | None = None):
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names = {id(tensor): name for name, tensor in (known or {}).items()}
        self._uses: Counter[str] = Counter()

    def add(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; return the name of its output, or a list of names where there are several.

        Args:
            op: ONNX's name of it.
            inputs: values, names, constants as tensors, arrays or numbers, or None for one that is left out.
            outputs: how many.
            **attributes: those that are None are left out.
        """
        names = [self.name(op) for _ in range(outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(Node(op, [self._input(each) for each in inputs], names, given))
        return names[0] if outputs == 1 else names

    def name(self, stem: str) -> str:
        """Return a name that nothing has: the stem and a number."""
        self._uses[stem] += 1
        return f"{stem}_{self._uses[stem]}"

    def readers(self) -> Counter[str]:
        """Return how often each value is read."""
        return Counter(name for node in self.nodes for name in node.inputs)

    def _input(self, given: Any) -> str:
        if given is None:
            return ""
        if isinstance(given, str):
            return given
        if isinstance(given, Value):
            return given.name
        if isinstance(given, Tensor):
            name = self._names.get(id(given))
            array = np.ascontiguousarray(move(given.strided_array(), CPU)).reshape(given.shape)
        else:
            name = None
            array = np.asarray(given)
            if array.dtype.kind == "f":
                array = array.astype(np.float32)
        name = name or self.name("constant")
        self.constants[name] = array
        return name


def integers(values: Sequence[int]) -> np.ndarray:
    """Return whole numbers as the int64 constant that shapes and axes are given by."""
    return np.asarray(values, np.int64)
