"""Architectures, by torchvision's names where it has them."""

from tinytrain.models.cnn import CNN, cnn
from tinytrain.models.registry import MODELS

__all__ = ["CNN", "MODELS", "cnn"]
