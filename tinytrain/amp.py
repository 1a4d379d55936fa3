"""Mixed precision by `torch.amp`'s names."""

from tinytrain.ops.autocasting import autocast, is_autocast_available
from tinytrain.optim.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "is_autocast_available"]
