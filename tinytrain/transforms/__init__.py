"""Image transforms under torchvision's names, for Pillow images and tensors."""

from tinytrain.transforms import functional as functional
from tinytrain.transforms.composition import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from tinytrain.transforms.conversion import ConvertImageDtype, Normalize, PILToTensor, ToPILImage, ToTensor
from tinytrain.transforms.functional import InterpolationMode
from tinytrain.transforms.geometry import (
    CenterCrop,
    FiveCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
    TenCrop,
)
from tinytrain.transforms.pipeline import TRANSFORMS, build_pipeline

__all__ = [
    "CenterCrop",
    "Compose",
    "ConvertImageDtype",
    "FiveCrop",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "TRANSFORMS",
    "TenCrop",
    "ToPILImage",
    "ToTensor",
    "build_pipeline",
    "functional",
]
