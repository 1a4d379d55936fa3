"""The definition of every kernel: obvious array code that runs on NumPy and CuPy, in any dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytrain.kernels.reference import convolution, images, linear, normalization, padding, pooling, resampling

KERNELS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        convolution.conv_bias_grad,
        convolution.conv_forward,
        convolution.conv_gradients,
        convolution.conv_input_grad,
        convolution.conv_weight_grad,
        convolution.convolve,
        images.gather_images,
        linear.linear,
        linear.linear_gradients,
        normalization.batch_norm_backward,
        normalization.batch_norm_forward,
        normalization.batch_norm_inference,
        padding.pad_constant,
        pooling.max_pool_forward,
        pooling.max_pool_input_grad,
        resampling.resample,
    )
}
"""Kernel names to functions; a faster kernel stands under the same name and takes the same arguments."""
