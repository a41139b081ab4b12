"""The functions of `jax.nn` that have no implementation of their own here: imported, call by call."""

from __future__ import annotations

import jax

from tracer.numpy.borrowing import borrowed

dot_product_attention = borrowed(jax.nn.dot_product_attention)
get_scaled_dot_general_config = jax.nn.get_scaled_dot_general_config
glu = borrowed(jax.nn.glu)
hard_sigmoid = borrowed(jax.nn.hard_sigmoid)
hard_silu = borrowed(jax.nn.hard_silu)
hard_swish = borrowed(jax.nn.hard_swish)
identity = borrowed(jax.nn.identity)
log1mexp = borrowed(jax.nn.log1mexp)
logmeanexp = borrowed(jax.nn.logmeanexp)
mish = borrowed(jax.nn.mish)
scaled_dot_general = borrowed(jax.nn.scaled_dot_general)
scaled_matmul = borrowed(jax.nn.scaled_matmul)
sparse_plus = borrowed(jax.nn.sparse_plus)
sparse_sigmoid = borrowed(jax.nn.sparse_sigmoid)
tanh = borrowed(jax.nn.tanh)

__all__ = [
    "dot_product_attention", "get_scaled_dot_general_config", "glu", "hard_sigmoid", "hard_silu",
    "hard_swish", "identity", "log1mexp", "logmeanexp", "mish", "scaled_dot_general", "scaled_matmul",
    "sparse_plus", "sparse_sigmoid", "tanh",
]  # fmt: skip
