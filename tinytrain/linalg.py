"""Matrix products by `torch.linalg`'s names."""

from tinytrain.ops.linalg import matmul

__all__ = ["matmul"]
