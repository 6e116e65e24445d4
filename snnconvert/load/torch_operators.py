"""The ATen operators that a file may name: they compute tensors, numbers or sizes from such, and nothing else.

An allow-list, since ATen also reads and writes files (``aten::from_file``, ``aten::save``), and since some operators
believe sizes that they should compare (``_reshape_alias``, ``native_batch_norm``). What stands here is safe to run;
whether it can be converted is decided where the ONNX model is read.
"""

_WEIGHTED = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d _convolution convolution _convolution_mode
    linear addmm matmul mm bmm baddbmm addmv mv dot einsum
    batch_norm _native_batch_norm_legit_no_training _batch_norm_impl_index
    instance_norm layer_norm native_layer_norm group_norm native_group_norm
"""
_ACTIVATIONS = """
    relu relu6 hardtanh clamp clamp_min clamp_max clip leaky_relu prelu elu celu selu gelu silu mish sigmoid tanh
    hardsigmoid hardswish softplus softsign softmax _softmax log_softmax _log_softmax log_sigmoid threshold logit
    dropout feature_dropout alpha_dropout feature_alpha_dropout native_dropout
"""
_POOLING = """
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    upsample_nearest1d upsample_nearest2d upsample_bilinear2d upsample_bicubic2d upsample_linear1d
    _upsample_nearest_exact2d pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle
"""
_ARITHMETIC = """
    add sub subtract rsub mul multiply div divide true_divide floor_divide floordiv remainder fmod neg negative abs
    absolute pow square sqrt rsqrt exp exp2 expm1 log log2 log10 log1p reciprocal floor ceil round trunc frac sign sgn
    sin cos tan asin acos atan sinh cosh erf maximum minimum fmax fmin max min mean sum prod amax amin argmax argmin var
    std var_mean std_mean norm linalg_vector_norm cumsum logsumexp topk sort addcmul addcdiv lerp
    eq ne lt le gt ge logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not any all isnan
    isinf isfinite where masked_fill __and__ __or__ __xor__ __not__ __is__ __isnot__ __contains__
    __range_length __derive_index
"""
_SHAPES = """
    view _unsafe_view reshape flatten unflatten ravel squeeze unsqueeze permute transpose t mT swapaxes
    swapdims movedim moveaxis contiguous expand expand_as repeat tile cat concat concatenate stack hstack
    vstack dstack split split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk tensor_split unbind
    narrow slice select index_select index gather take flip roll pad constant_pad_nd reflection_pad1d reflection_pad2d
    replication_pad1d replication_pad2d view_as reshape_as unfold size sym_size sym_numel stride dim len
    numel __getitem__ list
"""
_CREATION = """
    zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full arange linspace eye scalar_tensor tensor
    tril triu
"""
_TYPES = """
    to _to_copy type_as clone detach alias lift_fresh lift_fresh_copy Int Float Bool IntImplicit FloatImplicit
    ScalarImplicit item is_floating_point result_type
"""
PURE = frozenset("".join((_WEIGHTED, _ACTIVATIONS, _POOLING, _ARITHMETIC, _SHAPES, _CREATION, _TYPES)).split())


def is_pure(name: str) -> bool:
    """Tell whether an ATen operator may be named; ``name`` is without its overload, in-place forms included."""
    return name in PURE or (name.endswith("_") and not name.endswith("__") and name[:-1] in PURE)
