"""The tensor that people hold: an array, its place on the tape, and what PyTorch calls its attributes.

Operations live in `tinytrain.ops`; `ops/methods.py` makes methods of them. Here is what they stand on:
the class and its fields; how results enter the tape is in `tinytrain.recording`.

A freshly computed array may lie in memory in any order (activations are channels-last); people are told that it
is contiguous. `Tensor.strided_array` makes that true before anybody can share the memory or see its strides. An array
may also not be computed yet (see `tinytrain.pending`); `Tensor.array` computes it, `Tensor.value` hands it on as it is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytrain import dtypes
from tinytrain.device import Array, array_module, device, device_of, move
from tinytrain.handle import RemovableHandle
from tinytrain.pending import Pending
from tinytrain.size import Size
from tinytrain.tape import KEPT, AccumulateGrad, Node, Rule, Storage
from tinytrain.tensor_values import TensorValues

Replay = Callable[[Array], Array]


class View:
    """How a tensor shares the memory of another.

    Args:
        base: the tensor that owns the memory; never a view itself.
        replay: redoes the view on an array of the base's shape and strides.
        pull: takes the view's gradient to the base's.
        rewrites: the base's count of history rewrites when the view's own history was last right.
        recorded: whether the view was made while operations were recorded.
    """

    __slots__ = ("_base", "pull", "recorded", "replay", "rewrites")

    def __init__(self, base: Tensor, replay: Replay, pull: Rule, rewrites: int, recorded: bool):
        self._base = base
        self.replay = replay
        self.pull = pull
        self.rewrites = rewrites
        self.recorded = recorded

    @property
    def base(self) -> Tensor:
        """The tensor that the view was made of; where that became a view of itself since, what it was before."""
        view = self._base._view
        return self._base if view is None else view.base


class Tensor(TensorValues):
    """A multi-dimensional array on a device that can record how it was computed.

    Args:
        data: sizes of an uninitialised tensor, or values (an array, nested sequences) for a tensor of the
            default dtype. `tinytrain.tensor` is the usual way to make one.
    """

    __slots__ = (
        "__weakref__",
        "_accumulator",
        "_grad",
        "_hooks",
        "_is_strided",
        "_moments",
        "_node",
        "_requires_grad",
        "_storage",
        "_view",
        "value",
    )

    __array_priority__ = 1000
    __hash__ = object.__hash__

    value: Array | Pending
    """What the engine reads: the array, or what stands for it until it is computed."""
    _is_strided: bool
    _moments: tuple[Array, Array] | None
    _node: Node | None
    _requires_grad: bool
    _grad: Tensor | None
    _storage: Storage
    _view: View | None
    _hooks: dict[str, dict[int, Any]] | None
    _accumulator: weakref.ref[Node] | Node | None
    _keeps_accumulator = False
    """Whether the node that gathers the gradient is kept from step to step."""
    _copies_grad = True
    """Whether a deep copy has a gradient where this has one."""

    def __init__(self, *data: Any):
        numpy_dtype = dtypes.get_default_dtype().numpy
        if len(data) == 1 and not isinstance(data[0], int):
            source = data[0]
            array = source.array if isinstance(source, Tensor) else np.asarray(source)
            if isinstance(source, Size):
                array = np.empty(source, numpy_dtype)
            array = array.astype(numpy_dtype, copy=False)
        else:
            array = np.empty(data or (0,), numpy_dtype)
        _initialise(self, array)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Let the type checker know that ops are attached as methods."""

        __add__: Callable[..., Any]
        __radd__: Callable[..., Any]
        __sub__: Callable[..., Any]
        __rsub__: Callable[..., Any]
        __mul__: Callable[..., Any]
        __rmul__: Callable[..., Any]
        __truediv__: Callable[..., Any]
        __rtruediv__: Callable[..., Any]
        __pow__: Callable[..., Any]
        __neg__: Callable[..., Any]
        __matmul__: Callable[..., Any]
        __lt__: Callable[..., Any]
        __le__: Callable[..., Any]
        __gt__: Callable[..., Any]
        __ge__: Callable[..., Any]
        __getitem__: Callable[..., Any]
        __setitem__: Callable[..., Any]

    # What the engine reads.

    @property
    def array(self) -> Array:
        """The values as a NumPy or CuPy array in whatever memory order; not to be written to."""
        array = self.value
        if array.__class__ is not np.ndarray and isinstance(array, Pending):
            array = self.value = array.settle()
        return array

    @property
    def moments(self) -> tuple[Array, Array] | None:
        """Mean and sum of squared deviations per channel, where whoever computed the values took them on the way."""
        return self._moments if self._storage.version == 0 and not self._is_strided else None

    def strided_array(self) -> Array:
        """Return the array with the strides that people are told of, for whatever shares its memory."""
        array = self.array
        if not self._is_strided:
            if array.flags.c_contiguous:
                self._storage.settle()
            else:
                array = self.value = array_module(array).ascontiguousarray(array)
            self._is_strided = True
        return array

    def may_be_read_later(self) -> bool:
        """Whether a pending value may read this memory: everybody who could change it would compute the value first."""
        return not self._is_strided

    def edge(self) -> Node | None:
        """Return the node that this tensor's gradient goes to, or None where none is wanted."""
        if self._view is not None:
            self._renew_view()
        if self._node is not None:
            return self._node
        if not self._requires_grad:
            return None
        held = self._accumulator
        node = held() if isinstance(held, weakref.ref) else held
        if node is None:
            if self._keeps_accumulator:
                node = self._accumulator = AccumulateGrad(weakref.ref(self))
            else:
                node = AccumulateGrad(self)
                self._accumulator = weakref.ref(node)
        return node

    def _renew_view(self) -> None:
        """Record the view again where the base, or another view of it, was changed in place since."""
        view = self._view
        assert view is not None
        if view.rewrites != self._storage.rewrites:
            view.rewrites = self._storage.rewrites
            edge = view.base.edge()
            self._move_to(None if edge is None else Node("AsStrided", (edge,), (view.pull,)))

    def _accumulate(self, g: Array, is_private: bool = False) -> None:
        """Take the gradient of a whole backward: run the hooks, then add it to `grad`.

        Args:
            g: the gradient.
            is_private: whether nobody else holds its memory.
        """
        hooks = self._hooks
        if hooks is not None:
            g, is_private = self._after_hooks(g), False
        if self._grad is None:
            is_private = is_private and g.flags.c_contiguous
            self._grad = wrap(g if is_private else array_module(g).array(g, order="C"))
        else:
            self._grad.value = self._grad.array + g
            self._grad._storage.version += 1
        if hooks is not None:
            for hook in list(hooks.get("accumulated", {}).values()):
                hook(self)

    def _after_hooks(self, g: Array) -> Array:
        """Return what the hooks of this leaf make of its gradient."""
        for hook in list((self._hooks or {}).get("gradient", {}).values()):
            g = replaced(g, hook(wrap(g)), hook)
        return g

    def _move_to(self, node: Node | None) -> None:
        """Take another place on the tape; a gradient that is kept is that of the new place from now on."""
        former, self._node = self._node, node
        if self._hooks is not None and former is not None and former.hooks is not None:
            keep = former.hooks.pop(KEPT, None)
            if keep is not None and node is not None:
                node.hooks = {**(node.hooks or {}), KEPT: keep}

    # Shape, type, place.

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self.value.shape)

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        if not -self.value.ndim <= dim < self.value.ndim:
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[{-max(self.value.ndim, 1)}, {max(self.value.ndim, 1) - 1}], but got {dim})"
            )
        return self.value.shape[dim]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.value.ndim

    def dim(self) -> int:
        """Return the number of dimensions."""
        return self.value.ndim

    ndimension = dim

    def numel(self) -> int:
        """Return the number of elements."""
        return self.value.size

    nelement = numel

    @property
    def dtype(self) -> dtypes.dtype:
        """The element type."""
        return dtypes.from_numpy_dtype(self.value.dtype)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.value.itemsize

    def element_size(self) -> int:
        """Return the bytes per element."""
        return self.value.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.value.size * self.value.itemsize

    @property
    def device(self) -> device:
        """The device that the values lie on."""
        array = self.value
        return array.device if isinstance(array, Pending) else device_of(array)

    @property
    def is_cuda(self) -> bool:
        """Whether the values lie on a GPU."""
        return self.device.type == "cuda"

    def get_device(self) -> int:
        """Return the number of the GPU that the values lie on, -1 on the CPU."""
        return self.device.index or 0 if self.is_cuda else -1

    def is_signed(self) -> bool:
        """Return whether elements can be negative."""
        return self.dtype.is_signed

    def is_floating_point(self) -> bool:
        """Return whether the elements are floats."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Return False: there are no complex tensors."""
        return False

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Return whether the elements lie in memory in row-major order, or in channels-last order if so asked."""
        if memory_format == "torch.channels_last":
            array = self.strided_array()
            return array.ndim == 4 and array.transpose(0, 2, 3, 1).flags.c_contiguous
        return not self._is_strided or self.array.flags.c_contiguous

    def stride(self, dim: int | None = None) -> Any:
        """Return how many elements lie between neighbours, of one dimension or all."""
        array = self.strided_array()
        strides = tuple(step // array.itemsize for step in array.strides)
        return strides if dim is None else strides[dim]

    def data_ptr(self) -> int:
        """Return the address of the first element."""
        array = self.strided_array()
        return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr

    # Place on the tape.

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor."""
        return self._requires_grad or self.edge() is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Say whether `backward` shall fill `grad` of this leaf; return the tensor.

        Raises:
            RuntimeError: the elements are no floats, or the tensor is a result whose gradient cannot be switched off.
        """
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError(
                f"only Tensors of floating point dtype can require gradients; this one is {self.dtype.name}"
            )
        if not self.is_leaf:
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. Use detach() for a tensor "
                    "that does not require grad"
                )
            return self
        self._requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        self.edge()
        return self._node is None

    @property
    def grad_fn(self) -> Node | None:
        """The node that made this tensor, None for a leaf."""
        self.edge()
        return self._node

    @property
    def grad(self) -> Tensor | None:
        """The gradient gathered by `backward`, of the shape of the tensor."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(value).__name__}")
            if value.array.shape != self.value.shape or value.dtype is not self.dtype:
                raise RuntimeError(
                    f"assigned grad has shape {list(value.shape)} and dtype {value.dtype.name}; "
                    f"the tensor has {list(self.shape)} and {self.dtype.name}"
                )
        self._grad = value

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradient of this tensor to the `grad` of every leaf it was computed from.

        Args:
            gradient: the gradient of this tensor, of its shape; may be left out for a single element.
            retain_graph: keep the graph for another backward.
            create_graph: not available; gradients are first order.
            inputs: leaves to fill; all by default.

        Raises:
            RuntimeError: nothing here requires gradients, a shape is wrong, or the graph was freed.
        """
        from tinytrain.autograd import backward

        backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs)

    def detach(self) -> Tensor:
        """Return a tensor with the same memory that does not require gradients."""
        alias = _initialise(object.__new__(Tensor), self.strided_array())
        alias._is_strided = True
        alias._storage = self._storage
        return alias

    def detach_(self) -> Tensor:
        """Forget how this tensor was computed; return it.

        Raises:
            RuntimeError: it is a view, whose history is its base's.
        """
        if self._view is not None:
            raise RuntimeError("can't detach views in-place; use detach()")
        self._node = None
        self._requires_grad = False
        return self

    @property
    def data(self) -> Tensor:
        """The same memory outside the tape: changes to it are not seen by version checks."""
        alias = self.detach()
        alias._storage = Storage()
        return alias

    @data.setter
    def data(self, value: Tensor) -> None:
        self.value = value.strided_array()
        self._is_strided = True

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook` with the gradient of this tensor in every backward; what it returns replaces the gradient.

        Raises:
            RuntimeError: the tensor does not require gradients.
        """
        node = self.edge()
        if node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if isinstance(node, AccumulateGrad):
            return self._register("gradient", hook)
        if node.hooks is None:
            node.hooks = {}

        return RemovableHandle(node.hooks, lambda g: replaced(g, hook(wrap(g)), hook))

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `hook` with this leaf each time `backward` has filled its `grad`.

        Raises:
            RuntimeError: the tensor is not a leaf that requires gradients.
        """
        if not isinstance(self.edge(), AccumulateGrad):
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        return self._register("accumulated", hook)

    def _register(self, kind: str, hook: Callable[..., Any]) -> RemovableHandle:
        if self._hooks is None:
            self._hooks = {}
        return RemovableHandle(self._hooks.setdefault(kind, {}), hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this result in `grad` too; nothing to do for a leaf."""
        node = self.edge()
        if node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if isinstance(node, AccumulateGrad) or (self._hooks and "retained" in self._hooks):
            return

        this = weakref.ref(self)

        def keep(g: Array) -> None:
            held = this()
            if held is not None:
                held._grad = wrap(g.copy()) if held._grad is None else wrap(held._grad.array + g)

        self._hooks = {**(self._hooks or {}), "retained": {}}
        node.hooks = {**(node.hooks or {}), KEPT: keep}

    @property
    def retains_grad(self) -> bool:
        """Whether this is a result whose gradient is kept in `grad`."""
        return not self.is_leaf and self._hooks is not None and "retained" in self._hooks

    @property
    def _version(self) -> int:
        """How often the memory was written to in place."""
        return self._storage.version

    @property
    def _base(self) -> Tensor | None:
        """The tensor whose memory this one shares, None where it owns it."""
        return None if self._view is None else self._view.base

    def __repr__(self) -> str:
        from tinytrain.printing import format_tensor

        return format_tensor(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol. Use detach()"
            )
        copy = self._like(self.array.copy(order="K"))
        memo[id(self)] = copy
        copy._is_strided = self._is_strided
        copy._requires_grad = self._requires_grad
        if self._copies_grad:
            copy._grad = None if self._grad is None else self._grad.__deepcopy__(memo)
        return copy

    def _like(self, array: Array) -> Tensor:
        """Return a leaf of this tensor's class around `array`."""
        return _initialise(object.__new__(type(self)), array)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be pickled; use detach()")
        return _restore, (type(self), move(self.strided_array(), device("cpu")), self._requires_grad)


def _restore(kind: type[Tensor], array: np.ndarray, requires_grad: bool) -> Tensor:
    """Rebuild a pickled tensor."""
    tensor = _initialise(object.__new__(kind), array)
    tensor._is_strided = True
    tensor._requires_grad = requires_grad
    return tensor


def _initialise(tensor: Tensor, array: Array) -> Tensor:
    """Fill in the fields of a leaf around `array`."""
    if isinstance(array, np.generic):
        array = np.asarray(array)
    tensor.value = array
    tensor._is_strided = False
    tensor._moments = None
    tensor._node = None
    tensor._requires_grad = False
    tensor._grad = None
    tensor._storage = Storage()
    tensor._view = None
    tensor._hooks = None
    tensor._accumulator = None
    return tensor


def name_of(hook: Callable[..., Any]) -> str:
    """Return what a message calls a hook."""
    return getattr(hook, "__name__", type(hook).__name__)


def replaced(g: Array, changed: Tensor | None, hook: Callable[..., Any]) -> Array:
    """Return what `hook` put in the place of a gradient `g`.

    Args:
        g: the gradient that the hook was shown.
        changed: what it returned; None leaves `g` as it is.
        hook: for the message.

    Raises:
        TypeError: it returned something else.
        RuntimeError: it returned a tensor of another shape, type or device.
    """
    if changed is None:
        return g
    name = name_of(hook)
    if not isinstance(changed, Tensor):
        raise TypeError(f"hook '{name}': expected to return a Tensor or None, got {type(changed).__name__}")
    shown = wrap(g)
    for what, old, new in (
        ("size", list(shown.shape), list(changed.shape)),
        ("type", shown.dtype.name, changed.dtype.name),
        ("device", shown.device, changed.device),
    ):
        if old != new:
            raise RuntimeError(
                f"hook '{name}' has changed the {what} of value: was {old}, got {new}. Return a gradient like the one "
                "it was called with, or None"
            )
    return changed.array


def wrap(array: Array) -> Tensor:
    """Return a tensor around a fresh array that no one else holds, outside the tape."""
    return _initialise(object.__new__(Tensor), array)


def share(array: Array) -> Tensor:
    """Return a tensor around an array that others hold too: its strides are kept as they are."""
    tensor = wrap(array)
    tensor._is_strided = True
    return tensor
