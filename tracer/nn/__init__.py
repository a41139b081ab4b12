"""Neural-network functions on arrays: activations, softmax, one-hot, convolution, pooling.

Names and formulas are those of `jax.nn`, which runs them outside a trace.
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
from tracer.nn.convolutions import avg_pool, conv, max_pool
from tracer.nn.normalizers import log_softmax, logsumexp, one_hot, softmax, standardize

__all__ = [
    "avg_pool",
    "celu",
    "conv",
    "elu",
    "gelu",
    "hard_tanh",
    "initializers",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "max_pool",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "squareplus",
    "standardize",
    "swish",
]
__all__ += _borrowed.__all__
