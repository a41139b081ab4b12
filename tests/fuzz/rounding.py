"""How far the results of a program move when each of its operations rounds a little differently.

A program may compare what is mathematically equal, computed twice; which of the two is larger is then for
the roundings of a compiler to say. Here each result of an operation that rounds is multiplied by a number
close to one, always the same for one result: what is compared with its own copy stays equal to it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import ir
import tracer
from ir.core import Eqn, Function, Value, map_nested
from ir.ops.elementwise import mul
from ir.ops.shape import full_like

# Ops whose results are rounded; the others move, choose or compare.
ROUNDING = frozenset(
    """add sub mul square div rem integer_pow sqrt rsqrt cbrt pow exp exp2 expm1 log log1p logistic sin cos tan
    asin acos atan atan2 sinh cosh tanh asinh acosh atanh erf erfc erf_inv lgamma digamma dot_general conv_general
    cumsum cumprod cumlogsumexp reduce_sum reduce_prod reduce_window_sum scatter_add scatter_mul""".split()
)


def noisy(function: Function, rng: random.Random, step: float) -> Function:
    """`function`, and all inside it, with results of rounding ops changed by up to about `step`."""
    builder = ir.Builder()
    env: dict[Value, Value] = {}
    with ir.building(builder):
        for eqn in function.eqns:
            attrs = map_nested(eqn.attrs, lambda inner: noisy(inner, rng, step))
            operands = tuple([env.get(v, v) for v in eqn.operands])
            builder.append(Eqn(eqn.op, operands, attrs, eqn.results, eqn.source))
            if eqn.op.name in ROUNDING and eqn.results[0].type.dtype.is_inexact:
                (result,) = eqn.results
                env[result] = mul(result, full_like(result, 1 + rng.choice([-2, -1, 1, 2]) * step))
    results = tuple([env.get(v, v) for v in function.results])
    return function.replace(eqns=tuple(builder.eqns), results=results)


def moved(call: Callable[..., Any], given: Sequence[Any], step: float) -> float:
    """The largest change of a result, infinite where one becomes another integer or is not finite."""
    made = tracer.trace(lambda *args: jax.tree_util.tree_leaves(call(*args)))(*given)
    exact = ir.evaluate(made, *given)
    largest = 0.0
    for seed in range(4):
        for a, b in zip(ir.evaluate(noisy(made, random.Random(seed), step), *given), exact, strict=True):
            if a.dtype.kind in "biu":
                largest = max(largest, 0.0 if np.array_equal(a, b) else np.inf)
            elif a.size:
                off = np.abs(a - b)
                largest = max(largest, float(np.max(np.where(np.isfinite(off), off, np.inf))))
    return largest
