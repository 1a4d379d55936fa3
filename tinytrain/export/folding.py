"""Batch normalisation folded into the convolution or linear layer before it."""

from __future__ import annotations

import numpy as np

from tinytrain.export.graph import Graph, Node

BEFORE = ("Conv", "Gemm")


def fold_batch_norm(graph: Graph) -> int:
    """Fold each batch normalisation whose input nothing else reads; return how many there were.

    `y = (w x + b - mean) s + shift` with `s = scale / sqrt(var + eps)` is `(s w) x + (b - mean) s + shift`; computed in
    float64, rounded once. The folded weights keep their name, the shift gets the name of the bias.
    """
    makers = {node.outputs[0]: node for node in graph.nodes}
    readers = graph.readers()
    folded: dict[str, str] = {}
    for node in graph.nodes:
        if node.op != "BatchNormalization":
            continue
        before = makers.get(node.inputs[0])
        if before is None or before.op not in BEFORE or readers[node.inputs[0]] > 1 or readers[before.inputs[1]] > 1:
            continue
        _fold(graph, before, node)
        folded[node.outputs[0]] = before.outputs[0]
    graph.nodes = [node for node in graph.nodes if node.outputs[0] not in folded]
    for node in graph.nodes:
        node.inputs = [folded.get(name, name) for name in node.inputs]
    read = graph.readers()
    graph.constants = {name: array for name, array in graph.constants.items() if name in read}
    return len(folded)


def _fold(graph: Graph, layer: Node, norm: Node) -> None:
    scale, shift, mean, var = (graph.constants[name].astype(np.float64) for name in norm.inputs[1:])
    weight = graph.constants[layer.inputs[1]]
    factor = scale / np.sqrt(var + norm.attributes["epsilon"])
    bias = graph.constants[layer.inputs[2]].astype(np.float64) if len(layer.inputs) > 2 else 0.0
    graph.constants[layer.inputs[1]] = (weight * factor.reshape(-1, *(1 for _ in weight.shape[1:]))).astype(np.float32)
    name = layer.inputs[1].removesuffix("weight") + "bias" if len(layer.inputs) == 2 else layer.inputs[2]
    graph.constants[name] = ((bias - mean) * factor + shift).astype(np.float32)
    layer.inputs = [*layer.inputs[:2], name]
