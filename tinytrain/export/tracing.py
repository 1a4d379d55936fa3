"""A network's forward pass as a graph: it runs on a stand-in for its input that notes what is done with it.

The stand-in goes through the network's own `forward` methods, so that a new network needs nothing here. While it runs,
layers and the functions that a network's files name write nodes instead of computing only; they do both, for shapes
decide about some nodes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinytrain import nn
from tinytrain.export.graph import INPUT, OUTPUT, ExportError, Graph, Node, Value
from tinytrain.export.layers import LAYERS
from tinytrain.export.operations import OPERATIONS
from tinytrain.nn import functional
from tinytrain.nn.stateless import Stateless
from tinytrain.ops.creation import zeros
from tinytrain.tape import no_grad
from tinytrain.tensor import Tensor
from tinytrain.threads import one_blas_thread

BATCH = 2
"""Images that pass through: two, so that the batch's size is told from others."""

_OPERATORS = {"__add__": "add", "__sub__": "sub", "__mul__": "mul", "__truediv__": "div", "__getitem__": "getitem"}
_REFLECTED = {"__radd__": "add", "__rmul__": "mul"}
_PASSED_ON = frozenset({"shape", "ndim", "dtype", "device", "size", "dim", "new_tensor", "requires_grad", "is_cuda"})
"""What a stand-in tells of the tensor that it stands for."""


class UnknownMethodError(ExportError, AttributeError):
    """A network does something with its activations that is not known here."""


class Stand:
    """Stands for a tensor: methods and operators write nodes.

    Args:
        graph: where to.
        value: its name and values.
    """

    def __init__(self, graph: Graph, value: Value):
        self.graph, self.value = graph, value

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED_ON:
            return getattr(self.value.tensor, name)
        if name in OPERATIONS:
            return lambda *args, **kwargs: _apply(self.graph, name, getattr(Tensor, name), (self, *args), kwargs)
        raise UnknownMethodError(f"a network that calls `.{name}` on its activations has no ONNX form here")

    def __len__(self) -> int:
        return len(self.value.tensor)


def _operator(method: str, operation: str) -> Callable[..., Any]:
    compute = getattr(Tensor, method)
    return lambda self, *args: _apply(self.graph, operation, compute, (self, *args), {})


for _method, _operation in {**_OPERATORS, **_REFLECTED}.items():
    setattr(Stand, _method, _operator(_method, _operation))


@no_grad
def trace(model: nn.Module, input_shape: Sequence[int], *, preprocess: Callable[[Any], Any] | None = None) -> Graph:
    """Return a network in evaluation mode as a graph from `input` (n, c, h, w) to `logits` (n, classes).

    Args:
        model: the network; its mode is put back.
        input_shape: (c, h, w) of an image.
        preprocess: arithmetic on the input that goes before the network, as a function of a tensor.

    Raises:
        ExportError: something in the network has no ONNX form here; the message names it.
    """
    modes = [(module, module.training) for module in model.modules()]
    graph = Graph(model.state_dict(keep_vars=True))
    like = next(iter(model.parameters()), None)
    images = zeros((BATCH, *input_shape), device=None if like is None else like.device)
    stand = Stand(graph, Value(INPUT, images))
    try:
        with one_blas_thread(), _noting(graph, model.eval()):
            result = model(stand if preprocess is None else preprocess(stand))
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(result, Stand) or result.value.tensor.shape[0] != BATCH:
        raise ExportError("the network does not make one tensor of logits of a batch of images")
    graph.nodes.append(Node("Identity", [result.value.name], [OUTPUT]))
    return graph


def _apply(graph: Graph, name: str, compute: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what an operation makes of stand-ins: computed, and noted by its rule."""
    result = compute(*_map(args, lambda stand: stand.value.tensor), **_map(kwargs, lambda stand: stand.value.tensor))
    names = OPERATIONS[name](graph, result, *_map(args, lambda stand: stand.value), **_map(kwargs, lambda s: s.value))
    if isinstance(result, (tuple, list)):
        return type(result)(Stand(graph, Value(n, each)) for n, each in zip(names, result, strict=True))
    return Stand(graph, Value(names, result))


def _map(values: Any, change: Callable[[Stand], Any]) -> Any:
    """Return arguments with what `change` makes of each stand-in among them."""
    if isinstance(values, Stand):
        return change(values)
    if type(values) in (tuple, list):
        return type(values)(_map(each, change) for each in values)
    if isinstance(values, dict):
        return {key: _map(each, change) for key, each in values.items()}
    return values


def _has_stand(values: Any) -> bool:
    if isinstance(values, (tuple, list)):
        return any(map(_has_stand, values))
    return isinstance(values, Stand)


@contextlib.contextmanager
def _noting(graph: Graph, model: nn.Module) -> Iterator[None]:
    """Let layers, and the functions that the files of a network name, take stand-ins for a while."""
    with contextlib.ExitStack() as undo:
        for name, module in model.named_modules():
            forward = _noting_forward(graph, name, module)
            if forward is not None:
                module.forward = forward  # type: ignore[method-assign]
                undo.callback(delattr, module, "forward")
        files = {functional.__name__, *(type(module).__module__ for module in model.modules())}
        for file in files:
            for name, function in list(vars(sys.modules[file]).items()):
                operation = _operation_of(function)
                if operation is not None:
                    setattr(sys.modules[file], name, _noting_function(graph, operation, function))
                    undo.callback(setattr, sys.modules[file], name, function)
        yield


def _operation_of(function: Any) -> str | None:
    """Return the operation that a function of ours is, or None."""
    is_ours = str(getattr(function, "__module__", "")).startswith("tinytrain.ops.")
    name = getattr(function, "__name__", "")
    return name if is_ours and name in OPERATIONS else None


def _noting_function(graph: Graph, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if _has_stand(args) or _has_stand(list(kwargs.values())):
            return _apply(graph, operation, function, args, kwargs)
        return function(*args, **kwargs)

    return call


def _noting_forward(graph: Graph, name: str, module: nn.Module) -> Callable[..., Any] | None:
    """Return what takes the place of a layer's `forward`; None where its own does, as of a container."""
    own = type(module).forward
    rule = next((LAYERS[kind] for kind in type(module).__mro__ if kind in LAYERS and kind.forward is own), None)
    if rule is not None:

        def layer_forward(x: Stand) -> Stand:
            result = own(module, x.value.tensor)
            return Stand(graph, Value(rule(graph, result, module, x.value), result))

        return layer_forward
    if isinstance(module, Stateless):
        operation = type(module).function.__name__

        def stateless_forward(*inputs: Any) -> Any:
            if operation not in OPERATIONS:
                raise ExportError(f"layer {name!r} ({type(module).__name__}) has no ONNX form here")
            options = {argument: getattr(module, argument) for argument in module.arguments}
            return _apply(graph, operation, type(module).function, inputs, options)

        return stateless_forward
    if type(module).__module__.startswith("tinytrain.nn") and not list(module.children()):

        def followed_forward(*inputs: Any) -> Any:
            try:
                return own(module, *inputs)
            except (AttributeError, TypeError) as error:  # a function without a rule took a stand-in for a tensor
                raise ExportError(f"layer {name!r} ({type(module).__name__}) has no ONNX form here") from error

        return followed_forward
    return None
