"""tracer: a graph-based tracing compiler for differentiable programming, targeting XLA."""

from typing import TYPE_CHECKING, Any

from ir.collector import without_collection

# What is imported stays: a collection meanwhile walks all of JAX, for as long as a third of the time.
with without_collection():
    from tracer import errors, nn, numpy
    from tracer.api.assume import assume
    from tracer.api.autograph import autograph
    from tracer.api.bridge import deserialize, export, from_jax, to_jax
    from tracer.api.checkpoint import checkpoint, checkpoint_name, stop_gradient
    from tracer.api.collectives import (
        all_gather,
        all_to_all,
        axis_index,
        axis_size,
        pmax,
        pmean,
        pmin,
        ppermute,
        psum,
        psum_scatter,
    )
    from tracer.api.control import cond, switch
    from tracer.api.custom import custom_jvp, custom_vjp
    from tracer.api.derivatives import grad, jvp, linearize, value_and_grad, vjp
    from tracer.api.implicit import custom_linear_solve, custom_root, fixed_point
    from tracer.api.jacobians import hessian, hvp, jacfwd, jacobian, jacrev
    from tracer.api.jit import jit, trace
    from tracer.api.linear_call import linear_call
    from tracer.api.loops import fori_loop, while_loop
    from tracer.api.mapping import associative_scan, map
    from tracer.api.ode import odeint
    from tracer.api.scan import scan
    from tracer.api.sparse import sparse_hessian, sparse_jacobian, sparsity
    from tracer.api.vmap import vmap
    from tracer.explain import explain

if TYPE_CHECKING:
    from tracer import debug, fft, linalg, random, special, tree
    from tracer.debug import check, checkify
    from tracer.profiling.profile import profile
    from tracer.views.diff import diff
    from tracer.views.find import find
    from tracer.views.graph import graph
    from tracer.views.show import show

__all__ = [
    "all_gather",
    "all_to_all",
    "associative_scan",
    "assume",
    "autograph",
    "axis_index",
    "axis_size",
    "check",
    "checkify",
    "checkpoint",
    "checkpoint_name",
    "cond",
    "custom_jvp",
    "custom_linear_solve",
    "custom_root",
    "custom_vjp",
    "debug",
    "deserialize",
    "diff",
    "errors",
    "explain",
    "export",
    "fft",
    "find",
    "fixed_point",
    "fori_loop",
    "from_jax",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linalg",
    "linear_call",
    "linearize",
    "map",
    "nn",
    "numpy",
    "odeint",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "profile",
    "psum",
    "psum_scatter",
    "random",
    "scan",
    "show",
    "sparse_hessian",
    "sparse_jacobian",
    "sparsity",
    "special",
    "stop_gradient",
    "switch",
    "to_jax",
    "trace",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

# Loaded when first used: their functions are many, and a program uses few.
_LATER = frozenset({"debug", "fft", "linalg", "random", "special", "tree"})


# Likewise functions, by the modules that hold them.
_FUNCTIONS = {
    "check": "debug",
    "checkify": "debug",
    "diff": "views.diff",
    "find": "views.find",
    "graph": "views.graph",
    "profile": "profiling",
    "show": "views.show",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _LATER:
        return importlib.import_module(f"tracer.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"tracer.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module 'tracer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_FUNCTIONS})
