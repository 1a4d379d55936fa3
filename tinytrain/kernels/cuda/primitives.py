"""All primitives of the back end, under the names that `kernels/native/_native.pyi` lists, and two of its own."""

from tinytrain.kernels.cuda.convolution import (
    conv_and_prepare,
    conv_backward,
    conv_forward,
    conv_input_grad,
    conv_weight_grad,
    reads_pending,
)
from tinytrain.kernels.cuda.elementwise import apply, apply_grad, grad_sums, moments
from tinytrain.kernels.cuda.images import gather_images
from tinytrain.kernels.cuda.layout import empty
from tinytrain.kernels.cuda.losses import cross_entropy_backward, cross_entropy_forward, raise_wrong_target
from tinytrain.kernels.cuda.normalization import are_vectors, batch_norm_grad, batch_norm_prepare
from tinytrain.kernels.cuda.pooling import max_pool, max_pool_grad, mean_pixels, spread_pixels
from tinytrain.kernels.cuda.updates import adam, during_step, lion, rmsprop, scale, sgd, square_sums

__all__ = [
    "adam",
    "apply",
    "apply_grad",
    "are_vectors",
    "batch_norm_grad",
    "batch_norm_prepare",
    "conv_and_prepare",
    "conv_backward",
    "conv_forward",
    "conv_input_grad",
    "conv_weight_grad",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "during_step",
    "empty",
    "gather_images",
    "grad_sums",
    "lion",
    "max_pool",
    "max_pool_grad",
    "mean_pixels",
    "moments",
    "raise_wrong_target",
    "reads_pending",
    "rmsprop",
    "scale",
    "sgd",
    "spread_pixels",
    "square_sums",
]
