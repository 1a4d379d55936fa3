"""Tensors that a module owns."""

from __future__ import annotations

from tinytrain.tensor import Tensor, _initialise

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that becomes a parameter of the module it is assigned to, and that optimizers change.

    Args:
        data: the values; the parameter shares their memory.
        requires_grad: whether `backward` fills its `grad`.
    """

    __slots__ = ()

    _keeps_accumulator = True  # a parameter outlives its steps
    _copies_grad = False  # a copy is another parameter, that no backward has met

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True):
        if data is None:
            data = Tensor(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: `data` must be a Tensor; got {type(data).__name__}")
        _initialise(self, data.strided_array())
        self._is_strided = True
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that becomes a buffer of the module it is assigned to: state that is not trained.

    Args:
        data: the values; the buffer shares their memory.
        persistent: whether `state_dict` holds it.
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Tensor, *, persistent: bool = True):
        _initialise(self, data.strided_array())
        self._is_strided = True
        self.persistent = persistent
