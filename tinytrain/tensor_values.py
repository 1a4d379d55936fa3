"""The values of a tensor, as Python and NumPy see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytrain.device import Array, device, fetch, move, number_of
from tinytrain.dtypes import FLOATS

if TYPE_CHECKING:
    from tinytrain.tensor import Tensor


class TensorValues:
    """The part of `Tensor` that hands its values out."""

    __slots__ = ()

    if TYPE_CHECKING:
        value: Any
        requires_grad: Any

        @property
        def array(self) -> Array:
            """Stand in for the tensor's."""

        @property
        def is_cuda(self) -> bool:
            """Stand in for the tensor's."""

        @property
        def device(self) -> device:
            """Stand in for the tensor's."""

        def strided_array(self) -> Array:
            """Stand in for the tensor's."""

        def unbind(self, dim: int) -> list[Tensor]:
            """Stand in for the op."""

        def flip(self, dims: tuple[int, ...]) -> Tensor:
            """Stand in for the op."""

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises:
            RuntimeError: there is more than one, or none.
        """
        if self.value.size != 1:
            raise RuntimeError(f"a Tensor with {self.value.size} elements cannot be converted to Scalar")
        return number_of(self.array)

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return fetch(self.array).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """Return the values as a NumPy array that shares the memory.

        Args:
            force: detach and copy to the CPU where that is needed.

        Raises:
            RuntimeError: the tensor requires gradients (use `detach().numpy()`).
            TypeError: the values lie on a GPU (use `cpu()` first).
        """
        if force:
            return move(self.strided_array(), device("cpu"))
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.is_cuda:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
                "memory first."
            )
        return self.strided_array()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Tensor:
        """Return what a NumPy function made of tensors as a tensor; truth values as uint8, as in PyTorch."""
        from tinytrain.tensor import share

        return share(array.astype(np.uint8) if array.dtype == np.bool_ else array)

    def is_nonzero(self) -> bool:
        """Return whether the only element is not zero."""
        return bool(self)

    def __bool__(self) -> bool:
        if self.value.size != 1:
            how_many = "no values" if self.value.size == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {how_many} is ambiguous")
        return bool(number_of(self.array))

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.value.dtype.kind in FLOATS or self.value.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(number_of(self.array))

    def __len__(self) -> int:
        if self.value.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.value.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.value.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self) -> Tensor:
        return self.flip(() if self.value.ndim == 0 else (0,))

    def __contains__(self, value: Any) -> bool:
        found = self.array == (value.array if isinstance(value, TensorValues) else value)
        return bool(number_of(found.any()))

    def __format__(self, spec: str) -> str:
        if self.value.ndim == 0:
            return format(number_of(self.array), spec)
        return object.__format__(self, spec)
