"""tracer: a graph-based tracing compiler for differentiable programming, targeting XLA."""

from tracer import errors, nn, numpy
from tracer.api.bridge import deserialize, export, from_jax, to_jax
from tracer.api.control import cond, switch
from tracer.api.custom import checkpoint, custom_jvp, custom_vjp, stop_gradient
from tracer.api.derivatives import grad, jvp, linearize, value_and_grad, vjp
from tracer.api.jacobians import hessian, hvp, jacfwd, jacobian, jacrev
from tracer.api.jit import jit, trace
from tracer.api.loops import fori_loop, while_loop
from tracer.api.mapping import associative_scan, map
from tracer.api.scan import scan
from tracer.api.vmap import vmap
from tracer.explain import explain

__all__ = [
    "associative_scan",
    "checkpoint",
    "cond",
    "custom_jvp",
    "custom_vjp",
    "deserialize",
    "errors",
    "explain",
    "export",
    "from_jax",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linearize",
    "map",
    "nn",
    "numpy",
    "scan",
    "stop_gradient",
    "to_jax",
    "switch",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
