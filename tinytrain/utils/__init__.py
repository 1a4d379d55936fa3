"""PyTorch's `utils` names: `utils.data` is the loader, `utils.images` the grids."""

from tinytrain.utils.images import make_grid, save_image

__all__ = ["make_grid", "save_image"]
