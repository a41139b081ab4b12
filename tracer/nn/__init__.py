"""Neural-network functions on arrays: activations, attention, convolution, pooling, normalisation, losses.

Names and formulas are those of `jax.nn` where it has them, and of `optax.losses` for losses.
"""

from tracer.nn import borrowed as _borrowed
from tracer.nn import initializers
from tracer.nn.activations import (
    celu,
    elu,
    gelu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_sign,
    softplus,
    squareplus,
    swish,
)
from tracer.nn.borrowed import *  # noqa: F403 (its names are the list of what is borrowed)
from tracer.nn.convolutions import conv, conv_transpose
from tracer.nn.ctc import ctc_loss
from tracer.nn.layers import dropout, embedding
from tracer.nn.losses import (
    cosine_distance,
    cosine_similarity,
    hinge_loss,
    huber_loss,
    kl_divergence,
    l2_loss,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
    squared_error,
)
from tracer.nn.normalization import (
    BatchStatistics,
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    rms_norm,
)
from tracer.nn.normalizers import log_softmax, logsumexp, one_hot, softmax, standardize
from tracer.nn.pooling import avg_pool, max_pool

__all__ = [
    "BatchStatistics",
    "avg_pool",
    "batch_norm",
    "celu",
    "conv",
    "conv_transpose",
    "cosine_distance",
    "cosine_similarity",
    "ctc_loss",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "hard_tanh",
    "hinge_loss",
    "huber_loss",
    "initializers",
    "instance_norm",
    "kl_divergence",
    "l2_loss",
    "layer_norm",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "max_pool",
    "one_hot",
    "relu",
    "relu6",
    "rms_norm",
    "selu",
    "sigmoid",
    "sigmoid_binary_cross_entropy",
    "silu",
    "soft_sign",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "softplus",
    "squared_error",
    "squareplus",
    "standardize",
    "swish",
]
__all__ += _borrowed.__all__
