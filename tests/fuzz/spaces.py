"""Where a program runs: tracer, or JAX under the same names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

import tracer
import tracer.numpy as tnp


@dataclass(frozen=True)
class Space:
    """The names that a program uses."""

    name: str
    tr: Any
    xp: Any
    nn: Any


# Transforms and control flow by tracer's names.
_FROM_LAX = ("stop_gradient", "cond", "switch", "while_loop", "fori_loop", "scan", "map", "associative_scan")
_FROM_JAX = (
    "checkpoint", "custom_jvp", "custom_vjp", "grad", "hessian", "jacfwd", "jacobian", "jacrev", "jit", "jvp",
    "linearize", "value_and_grad", "vjp", "vmap",
)  # fmt: skip


def _hvp(f: Any, primals: Any, vectors: Any) -> Any:
    argnums: Any = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jax.jvp(jax.grad(f, argnums), tuple(primals), tuple(vectors))[1]


JAX = Space(
    "jax",
    SimpleNamespace(
        hvp=_hvp,
        **{name: getattr(jax, name) for name in _FROM_JAX},
        **{name: getattr(jax.lax, name) for name in _FROM_LAX},
    ),
    jnp,
    jax.nn,
)


def _vmap_by_examples(f: Any, in_axes: Any, out_axes: int = 0) -> Any:
    """`jax.vmap` by its definition: the function of each example, and their results stacked."""

    def mapped(*xs: Any) -> Any:
        pairs = list(zip(xs, in_axes, strict=True))
        count = next(x.shape[axis] for x, axis in pairs if axis is not None)
        examples = [
            f(*[x if axis is None else jnp.take(x, k, axis) for x, axis in pairs]) for k in range(count)
        ]
        return jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves, out_axes), *examples)

    return mapped


# `jax.vmap` of a `custom_vjp` whose result does not depend on the mapped arguments sums the cotangents
# of the examples before the rule sees them, which is wrong for arguments that are mapped.
JAX_BY_EXAMPLES = replace(JAX, tr=SimpleNamespace(**{**vars(JAX.tr), "vmap": _vmap_by_examples}))
TRACER = Space("tracer", tracer, tnp, getattr(tracer, "nn", None))


def has(name: str) -> bool:
    """Whether both have `tr.…`, `xp.…` or `nn.…`."""
    for space in (JAX, TRACER):
        at: Any = space
        for part in name.split("."):
            at = getattr(at, part, None)
        if at is None:
            return False
    return True
