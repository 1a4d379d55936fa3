"""Fully connected layers."""

from __future__ import annotations

import math

from tinytrain.device import device as Device
from tinytrain.dtypes import dtype as Dtype
from tinytrain.nn import functional as F
from tinytrain.nn import init
from tinytrain.nn.module import Module
from tinytrain.nn.parameter import Parameter
from tinytrain.ops.creation import empty
from tinytrain.ops.fusion import on_values
from tinytrain.tensor import Tensor

__all__ = ["Embedding", "Identity", "Linear"]


class Identity(Module):
    """A layer that returns its input.

    Args:
        *args: ignored, so that it can stand in for any layer.
        **kwargs: ignored too.
    """

    def __init__(self, *args: object, **kwargs: object):
        super().__init__()

    @on_values(lambda self, x, is_private: x if is_private else None)
    def forward(self, input: Tensor) -> Tensor:
        """Return `input`."""
        return input


class Linear(Module):
    """`y = x wᵀ + b`.

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        bias: whether `b` is added.
        device: where the parameters lie.
        dtype: their type.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Device | str | None = None,
        dtype: Dtype | None = None,
    ):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty((out_features, in_features), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias evenly from [-b, b) with b = 1 / sqrt(in_features), PyTorch's first values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`, (..., in_features), as (..., out_features)."""
        own = self._parameters
        return F.linear(input, self._held(own, "weight"), self._held(own, "bias"))

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """A table from integers to vectors.

    Args:
        num_embeddings: how many integers there are, from 0.
        embedding_dim: size of a vector.
        padding_idx: an integer whose vector is zero and not trained.
        device: where the table lies.
        dtype: its type.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: Device | str | None = None,
        dtype: Dtype | None = None,
    ):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(empty((num_embeddings, embedding_dim), device=device, dtype=dtype))
        init.normal_(self.weight)
        if padding_idx is not None:
            self.weight.detach()[padding_idx].fill_(0)

    def forward(self, input: Tensor) -> Tensor:
        """Return the vectors (..., embedding_dim) of integers (...)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Return the arguments."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
