"""A trained network for other programs: as an ONNX graph, as plain weights, with test vectors to prove a port by."""

from tinytrain.export.golden import Golden
from tinytrain.export.graph import ExportError, Graph
from tinytrain.export.onnx_file import Agreement, compare_with_onnxruntime, write_onnx
from tinytrain.export.tracing import trace

__all__ = ["Agreement", "ExportError", "Golden", "Graph", "compare_with_onnxruntime", "trace", "write_onnx"]
