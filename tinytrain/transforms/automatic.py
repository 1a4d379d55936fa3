"""Automatic augmentation: random chains of a fixed set of operations with tabulated strengths.

Sources: AutoAugment (Cubuk et al., CVPR 2019), RandAugment (Cubuk et al., 2019), TrivialAugment (Müller and Hutter,
ICCV 2021), AugMix (Hendrycks et al., ICLR 2020).
"""

from __future__ import annotations

from tinytrain.random_streams import current_stream
from tinytrain.tensor import Tensor, wrap
from tinytrain.transforms import functional as F
from tinytrain.transforms.base import Transform
from tinytrain.transforms.functional.geometry import as_interpolation
from tinytrain.transforms.functional.images import AnyImage, Fill
from tinytrain.transforms.operations import Strengths, apply_operation, draw_operation, strength_table
from tinytrain.transforms.policies import POLICIES, AutoAugmentPolicy

InterpolationMode = F.InterpolationMode


class _Automatic(Transform):
    """Holds what all of these have: how to read between pixels, and what is outside."""

    def __init__(self, interpolation: InterpolationMode | str | int, fill: Fill):
        self.interpolation, self.fill = as_interpolation(interpolation), fill

    def _apply(self, img: AnyImage, name: str, strength: float) -> AnyImage:
        return apply_operation(img, name, strength, self.interpolation, self.fill)


class AutoAugment(_Automatic):
    """Apply one of 25 pairs of operations, found by search on a data set.

    Args:
        policy: the data set, or its name.
        interpolation: nearest or bilinear.
        fill: value outside the image, or one a channel; None is 0.
    """

    def __init__(
        self,
        policy: AutoAugmentPolicy | str = AutoAugmentPolicy.IMAGENET,
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        fill: Fill = None,
    ):
        super().__init__(interpolation, fill)
        self.policy = AutoAugmentPolicy(policy)
        self.policies = POLICIES[self.policy]

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, list[float], list[int]]:
        """Draw (the pair's number, a number from [0, 1) for each step, a sign 0 or 1 for each step)."""
        stream = current_stream()
        pair = stream.integers(0, transform_num)
        return pair, [stream.uniform() for _ in range(2)], [stream.integers(0, 2) for _ in range(2)]

    def __call__(self, img: AnyImage) -> AnyImage:
        pair, chances, signs = self.get_params(len(self.policies))
        table = strength_table(10, translate=_far(img, 150.0 / 331.0)) | {"Invert": Strengths()}
        for (name, p, bin_), chance, sign in zip(self.policies[pair], chances, signs, strict=True):
            if chance <= p:
                values, signed = table[name]
                strength = 0.0 if values is None or bin_ is None else float(values[bin_])
                img = self._apply(img, name, -strength if signed and sign == 0 else strength)
        return img

    def __repr__(self) -> str:
        return f"AutoAugment(policy={self.policy}, fill={self.fill})"


class RandAugment(_Automatic):
    """Apply `num_ops` operations drawn evenly, all of one strength.

    Args:
        num_ops: number of operations.
        magnitude: bin of the strength, from 0.
        num_magnitude_bins: number of bins.
        interpolation: nearest or bilinear.
        fill: value outside the image, or one a channel; None is 0.

    Raises:
        ValueError: `magnitude` is not one of the bins.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        fill: Fill = None,
    ):
        super().__init__(interpolation, fill)
        if not 0 <= magnitude < num_magnitude_bins:
            raise ValueError(
                f"RandAugment: `magnitude` (={magnitude}) must be one of {num_magnitude_bins} bins, from 0"
            )
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins

    def __call__(self, img: AnyImage) -> AnyImage:
        bins = self.num_magnitude_bins
        table = {"Identity": Strengths()} | strength_table(bins, translate=_far(img, 150.0 / 331.0))
        for _ in range(self.num_ops):
            img = self._apply(img, *draw_operation(table, self.magnitude, bins))
        return img

    def __repr__(self) -> str:
        return (
            f"RandAugment(num_ops={self.num_ops}, magnitude={self.magnitude}, "
            f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, fill={self.fill})"
        )


class TrivialAugmentWide(_Automatic):
    """Apply one operation at a strength, both drawn evenly.

    Args:
        num_magnitude_bins: number of strengths.
        interpolation: nearest or bilinear.
        fill: value outside the image, or one a channel; None is 0.
    """

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | str | int = InterpolationMode.NEAREST,
        fill: Fill = None,
    ):
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def __call__(self, img: AnyImage) -> AnyImage:
        bins = self.num_magnitude_bins
        table = {"Identity": Strengths()} | strength_table(
            bins, translate=(32.0, 32.0), shear=0.99, rotate=135.0, change=0.99, bits=(8, 6)
        )
        return self._apply(img, *draw_operation(table, None, bins))

    def __repr__(self) -> str:
        return (
            f"TrivialAugmentWide(num_magnitude_bins={self.num_magnitude_bins}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )


class AugMix(_Automatic):
    """Mix an image with several chains of operations on it.

    Args:
        severity: strongest bin, 1 to 10.
        mixture_width: number of chains.
        chain_depth: operations a chain; below 1: 1 to 3, drawn.
        alpha: of the Dirichlet and beta distributions that the shares are drawn from.
        all_ops: use brightness, colour, contrast and sharpness too.
        interpolation: nearest or bilinear.
        fill: value outside the image, or one a channel; None is 0.

    Raises:
        ValueError: a severity outside its range.
    """

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        fill: Fill = None,
    ):
        super().__init__(interpolation, fill)
        if not 1 <= severity <= 10:
            raise ValueError(f"The severity must be between [1, 10]. Got {severity} instead.")
        self.severity, self.mixture_width, self.chain_depth = severity, mixture_width, chain_depth
        self.alpha, self.all_ops = alpha, all_ops

    def __call__(self, img: AnyImage) -> AnyImage:
        if not isinstance(img, Tensor):
            return F.to_pil_image(self(F.pil_to_tensor(img)), img.mode)
        table = strength_table(10, translate=_far(img, 1.0 / 3.0), bits=(4, 4))
        if not self.all_ops:
            table = {
                name: table[name] for name in table if name not in ("Brightness", "Color", "Contrast", "Sharpness")
            }
        stream = current_stream()
        generator = stream.generator()
        num_images = img.shape[0] if img.ndim > 3 else 1
        column = (num_images,) + (1,) * (img.ndim - 1)
        kept = generator.dirichlet([self.alpha] * 2, num_images)
        shares = generator.dirichlet([self.alpha] * self.mixture_width, num_images) * kept[:, 1:]
        mixed = kept[:, 0].reshape(column) * img.array
        for chain in range(self.mixture_width):
            changed = img
            depth = self.chain_depth if self.chain_depth > 0 else stream.integers(1, 4)
            for _ in range(depth):
                changed = self._apply(changed, *draw_operation(table, None, self.severity))
            mixed = mixed + shares[:, chain].reshape(column) * changed.array
        return wrap(mixed.astype(img.array.dtype))

    def __repr__(self) -> str:
        return (
            f"AugMix(severity={self.severity}, mixture_width={self.mixture_width}, "
            f"chain_depth={self.chain_depth}, alpha={self.alpha}, all_ops={self.all_ops}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )


def _far(img: AnyImage, share: float) -> tuple[float, float]:
    """Return a share of an image's width and height, pixels."""
    width, height = F.get_image_size(img)
    return share * width, share * height
