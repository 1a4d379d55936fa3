"""Kernels fused across layers, whatever computes them.

They stand under the names of the reference kernels where they compute the same, and under names of their own where they
do more at once: those take and return values that are not computed yet (`tinytrain.pending`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytrain.kernels.fused import activations, convolution, gradients, images, linear, normalization, padding, pooling

KERNELS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        convolution.conv_forward,
        convolution.conv_input_grad,
        convolution.conv_weight_grad,
        convolution.conv_bias_grad,
        convolution.convolve,
        convolution.conv_gradients,
        normalization.convolve_and_normalize,
        normalization.normalize_batch,
        normalization.normalize_by,
        normalization.batch_norm_gradients,
        activations.activation,
        activations.total,
        activations.join_channels,
        gradients.through_activation,
        gradients.shared,
        images.gather_images,
        linear.linear,
        linear.linear_gradients,
        padding.pad_constant,
        pooling.max_pool_forward,
        pooling.max_pool_input_grad,
        pooling.mean_of_pixels,
        pooling.mean_of_pixels_grad,
    )
}
"""Kernel names to functions."""
