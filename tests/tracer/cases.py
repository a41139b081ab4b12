"""Calls written for two libraries of one interface, compared: values, types, and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tracer as tr
from tests.tracer.helpers import array, assert_same


@dataclass(frozen=True)
class Case:
    """A call.

    Attributes:
      name: of the function.
      call: takes a library, then operands.
      args: the operands.
      gradient: compare gradients with respect to inexact operands, too.
      tol: of results, relative to the largest; by element type where None.
    """

    name: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    gradient: bool = True
    tol: float | None = None


def weights(out: Any) -> Any:
    """Cotangents without structure, the same for both."""

    def of_leaf(path: Any, x: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return np.zeros(x.shape, jax.dtypes.float0)
        return array(*x.shape, dtype=x.dtype, seed=17 + len(path))

    return jax.tree_util.tree_map_with_path(of_leaf, out)


def program(cases: Sequence[Case], xp: Any, transforms: Any, shapes: Sequence[Any]) -> Any:
    """Values of all cases, and with shapes of the results also gradients, in one function to compile."""

    def run(case: Case, of: Any, args: Any) -> Any:
        if of is None:
            return case.call(xp, *args)
        out, pull = transforms.vjp(lambda *xs: case.call(xp, *xs), *args)
        given = jax.tree_util.tree_map(
            lambda w, o: w if w.dtype == jax.dtypes.float0 else jnp.asarray(w, o.dtype), weights(of), out
        )
        return out, [ct for ct, x in zip(pull(given), args, strict=True) if _moves(x)]

    def every(operands: Any) -> Any:
        out = []
        for number, (case, of, args) in enumerate(zip(cases, shapes, operands, strict=True)):
            try:
                out.append(run(case, of, args))
            except Exception as error:
                error.add_note(f"in case {number} of {case.name}, at {case.args}")
                raise
        return out

    return every


def _moves(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact)


def differences(cases: Sequence[Case], ours: Any, theirs: Any) -> list[str]:
    """What differs between `ours` under tracer and `theirs` under JAX, a message for each case."""
    operands = [c.args for c in cases]
    shapes = jax.eval_shape(program(cases, theirs, jax, [None] * len(cases)), operands)
    seeds = []
    for c, shape in zip(cases, shapes, strict=True):
        moves = c.gradient and any(_moves(x) for x in c.args)
        seeds.append(shape if moves and any(map(_moves, jax.tree_util.tree_leaves(shape))) else None)
    want = jax.jit(program(cases, theirs, jax, seeds))(operands)
    got = tr.jit(program(cases, ours, tr, seeds))(operands)
    wrong = []
    for number, (a, b, seed, c) in enumerate(zip(got, want, seeds, cases, strict=True)):
        try:
            assert_same(a, b, c.tol, weak=seed is None)
        except AssertionError as error:
            wrong.append(f"case {number}, {c.name} at {c.args}: {error}")
    return wrong
