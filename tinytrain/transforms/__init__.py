"""Image transforms under torchvision's names, for Pillow images and tensors."""

from tinytrain.transforms import functional
from tinytrain.transforms.automatic import AugMix, AutoAugment, RandAugment, TrivialAugmentWide
from tinytrain.transforms.colour import (
    ColorJitter,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from tinytrain.transforms.composition import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from tinytrain.transforms.conversion import (
    ConvertImageDtype,
    Normalize,
    PILToTensor,
    ReverseChannels,
    ToPILImage,
    ToTensor,
)
from tinytrain.transforms.cropping import CenterCrop, FiveCrop, RandomCrop, RandomResizedCrop, TenCrop
from tinytrain.transforms.filters import GaussianBlur, RandomErasing
from tinytrain.transforms.functional import InterpolationMode
from tinytrain.transforms.geometry import AlternatingFlip, Pad, RandomHorizontalFlip, RandomVerticalFlip, Resize
from tinytrain.transforms.mixing import CutMix, MixUp
from tinytrain.transforms.pipeline import BATCH_TRANSFORMS, TRANSFORMS, build_pipeline
from tinytrain.transforms.policies import AutoAugmentPolicy
from tinytrain.transforms.warping import RandomAffine, RandomPerspective, RandomRotation

__all__ = [
    "BATCH_TRANSFORMS",
    "TRANSFORMS",
    "AlternatingFlip",
    "AugMix",
    "AutoAugment",
    "AutoAugmentPolicy",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "CutMix",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "MixUp",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "ReverseChannels",
    "TenCrop",
    "ToPILImage",
    "ToTensor",
    "TrivialAugmentWide",
    "build_pipeline",
    "functional",
]
