"""The names of PyTorch's op table that tinytrain promises; all of their variants, unless one is named."""

ACTIVATIONS = """
    nn.functional.relu nn.functional.relu6 nn.functional.leaky_relu nn.functional.elu nn.functional.gelu
    nn.functional.silu nn.functional.hardtanh nn.functional.hardswish nn.functional.hardsigmoid sigmoid
    nn.functional.softplus tanh softmax log_softmax logsumexp
"""
LAYERS = """
    nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d
    nn.functional.conv_transpose1d nn.functional.conv_transpose2d nn.functional.conv_transpose3d
    nn.functional.unfold nn.functional.linear nn.functional.pad
    nn.functional.max_pool1d nn.functional.max_pool2d nn.functional.max_pool3d
    nn.functional.avg_pool1d nn.functional.avg_pool2d nn.functional.avg_pool3d
    nn.functional.adaptive_avg_pool1d nn.functional.adaptive_avg_pool2d nn.functional.adaptive_avg_pool3d
    nn.functional.adaptive_max_pool2d
    nn.functional.batch_norm nn.functional.group_norm nn.functional.layer_norm
    nn.functional.dropout nn.functional.dropout2d nn.functional.one_hot
    nn.functional.interpolate/nearest nn.functional.interpolate/bilinear
"""
LOSSES = """
    nn.functional.cross_entropy nn.functional.nll_loss nn.functional.mse_loss nn.functional.l1_loss
    nn.functional.smooth_l1_loss nn.functional.binary_cross_entropy nn.functional.binary_cross_entropy_with_logits
"""
CREATION = """
    zeros ones full empty eye arange linspace randn randint normal zeros_like ones_like full_like empty_like
    rand_like randn_like randint_like uniform bernoulli multinomial zero_ fill new_zeros new_ones new_full new_empty
"""
SHAPES = """
    item contiguous clone view view_as reshape reshape_as permute transpose t flatten squeeze unsqueeze expand
    expand_as repeat cat stack chunk split split_with_sizes unbind tensor_split hstack vstack
    to float double half int long bool byte char short
"""
INDEXING = """
    __getitem__ index_select masked_select gather scatter scatter_add masked_fill index_put take_along_dim where
    flip roll tril triu nonzero unique index_add
"""
ARITHMETIC = """
    add sub mul div pow rsub remainder fmod floor_divide true_divide neg abs square reciprocal sign
    __radd__ __rsub__ __rmul__ __rdiv__ __rmod__ __rpow__ __rmatmul__ __rand__ __ror__ __rxor__
    eq ne lt le gt ge isclose allclose equal logical_and logical_or logical_xor logical_not
    bitwise_and bitwise_or bitwise_xor bitwise_not isnan isinf isfinite
    exp log log2 log10 log1p expm1 sqrt rsqrt sin cos floor ceil round trunc clamp clamp_min clamp_max maximum minimum
"""
REDUCTIONS = """
    sum mean std var var_mean std_mean max min amax amin argmax argmin argsort sort topk cumsum cumprod prod norm
    any all
"""
MATRICES = "matmul bmm mm mv dot addmm baddbmm einsum outer"

REQUIRED = frozenset(
    " ".join((ACTIVATIONS, LAYERS, LOSSES, CREATION, SHAPES, INDEXING, ARITHMETIC, REDUCTIONS, MATRICES)).split()
)


def is_required(name: str, variant: str) -> bool:
    """Return whether an entry of the op table is promised."""
    return name in REQUIRED or f"{name}/{variant}" in REQUIRED
