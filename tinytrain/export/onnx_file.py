"""A graph as an ONNX file, checked by onnx's own checker and, where it is installed, against onnxruntime."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinytrain import nn
from tinytrain.device import CPU, move
from tinytrain.errors import UsageError
from tinytrain.export.graph import INPUT, OUTPUT, ExportError, Graph
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor, wrap

OPERATOR_SET = 17
"""Of 2022: the oldest with LayerNormalization, which nearly every runtime reads."""

IR_VERSION = 8
"""The file format's version of the same year."""

TOLERANCE = 1e-4
"""Largest difference between onnxruntime's logits and ours, as a share of the largest logit where that is above 1."""


@dataclass(frozen=True)
class Agreement:
    """How well another program's logits agree with ours.

    Attributes:
        runtime: its name and version.
        images: so many were compared.
        difference: the largest between two logits.
        scale: the largest logit's absolute value.
    """

    runtime: str
    images: int
    difference: float
    scale: float

    @property
    def is_close(self) -> bool:
        """Whether the difference is that of rounding."""
        return self.difference <= TOLERANCE * max(1.0, self.scale)


def write_onnx(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    input_shape: Sequence[int],
    num_classes: int,
    metadata: Mapping[str, str],
    version: str,
) -> None:
    """Write a graph as an ONNX file that onnx's checker accepts, shapes included.

    Args:
        graph: from `input` (n, c, h, w) to `logits` (n, classes), any n.
        path: of the file.
        input_shape: (c, h, w).
        num_classes: columns of the logits.
        metadata: texts that go into the file by name.
        version: of the program.

    Raises:
        UsageError: onnx is not installed.
        ExportError: the checker refuses the graph.
    """
    onnx = import_onnx()
    helper = onnx.helper
    number = onnx.TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(node.op, node.inputs, node.outputs, name=node.outputs[0], **node.attributes)
                for node in graph.nodes
            ],
            "network",
            [helper.make_tensor_value_info(INPUT, number, ["n", *input_shape])],
            [helper.make_tensor_value_info(OUTPUT, number, ["n", num_classes])],
            [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPERATOR_SET)],
        ir_version=IR_VERSION,
        producer_name="tinytrain",
        producer_version=version,
    )
    helper.set_model_props(model, dict(metadata))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx refuses the graph: {error}", place=path) from error
    Path(path).write_bytes(model.SerializeToString())


def import_onnx() -> Any:
    """Return the onnx package.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        raise UsageError(
            f"an ONNX file is written by the package onnx, which is missing ({error})",
            remedy="pip install 'tinytrain[onnx]'",
        ) from error
    return onnx


@no_grad
def compare_with_onnxruntime(
    path: str | os.PathLike[str], model: nn.Module, inputs: Sequence[tuple[Tensor, np.ndarray]]
) -> Agreement | None:
    """Return how far onnxruntime's logits are from the network's; None where it is not installed.

    Args:
        path: of the ONNX file.
        model: the network.
        inputs: batches (n, c, h, w), each as the network gets it and as the file does.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings about what it optimises away are not for users
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    difference = scale = 0.0
    for ours, theirs in inputs:
        expected = move(model.eval()(ours).array, CPU)
        (found,) = session.run([OUTPUT], {INPUT: theirs})
        difference = max(difference, float(np.abs(found - expected).max()))
        scale = max(scale, float(np.abs(expected).max()))
    return Agreement(
        f"onnxruntime {onnxruntime.__version__}", sum(len(theirs) for _, theirs in inputs), difference, scale
    )


def random_batch(count: int, input_shape: Sequence[int]) -> Tensor:
    """Return images of normal noise, (n, c, h, w), always the same."""
    rng = np.random.default_rng(0)
    return wrap(rng.standard_normal((count, *input_shape)).astype(np.float32))
