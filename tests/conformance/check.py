"""One call in both worlds: values, types and gradients, compiled and not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

import tracer as tr
from tests.tracer.cases import Case, weights
from tests.tracer.helpers import assert_same

# What JAX raises where it does not take the operands.
REFUSALS = (TypeError, ValueError, IndexError, NotImplementedError, ZeroDivisionError)


@dataclass(frozen=True)
class Trial:
    """A call that JAX accepts.

    Attributes:
      case: the call.
      seed: shapes of its results, where gradients are compared.
    """

    case: Case
    seed: Any


def trial(case: Case, theirs: Any) -> Trial | None:
    """The call as a trial; None where JAX refuses it."""
    try:
        shape = jax.eval_shape(lambda *xs: case.call(theirs, *xs), *case.args)
    except REFUSALS:
        return None
    leaves = jax.tree_util.tree_leaves(shape)
    if not (case.gradient and any(map(_moves, case.args)) and any(map(_moves, leaves))):
        return Trial(case, None)
    try:
        jax.eval_shape(lambda *xs: evaluated(case, shape, theirs, jax, xs), *case.args)
    except REFUSALS:
        return Trial(case, None)
    return Trial(case, shape)


def evaluated(case: Case, seed: Any, module: Any, transforms: Any, args: Sequence[Any]) -> Any:
    """(result, gradients by the inexact operands)."""
    out = case.call(module, *args)
    if seed is None:
        return out, ()
    other, pull = transforms.vjp(lambda *xs: case.call(module, *xs), *args)
    given = jax.tree_util.tree_map(
        lambda w, o: w if w.dtype == jax.dtypes.float0 else jnp.asarray(w, o.dtype), weights(seed), other
    )
    return out, tuple([ct for ct, x in zip(pull(given), args, strict=True) if _moves(x)])


def _moves(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.inexact))


def compared(trials: Sequence[Trial], ours: Any, theirs: Any, *, eager: bool) -> tuple[list[str], int]:
    """(a message for each way in which a trial differs, how many JAX refuses only when it compiles them).

    Args:
      trials: what to compare, compiled as one program in each world.
      ours, theirs: the modules.
      eager: compare without `jit`, too.
    """

    def program(module: Any, transforms: Any) -> Any:
        return lambda operands: [
            evaluated(t.case, t.seed, module, transforms, args)
            for t, args in zip(trials, operands, strict=True)
        ]

    operands = [t.case.args for t in trials]
    try:
        want = jax.jit(program(theirs, jax))(operands)
    except REFUSALS:
        if len(trials) == 1:
            return [], 1
        return _one_by_one(trials, ours, theirs, eager)
    try:
        got = tr.jit(program(ours, tr))(operands)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is ours: JAX took the call)
        if len(trials) == 1:
            return [_message(trials[0], "jit", error)], 0
        return _one_by_one(trials, ours, theirs, eager)
    wrong: list[str] = []
    for t, a, b in zip(trials, got, want, strict=True):
        wrong += _differs(t, "jit", lambda a=a: a, b)
        if eager:
            wrong += _differs(t, "no jit", lambda t=t: evaluated(t.case, t.seed, ours, tr, t.case.args), b)
    return wrong, 0


def _one_by_one(trials: Sequence[Trial], ours: Any, theirs: Any, eager: bool) -> tuple[list[str], int]:
    found = [compared([t], ours, theirs, eager=eager) for t in trials]
    return [message for wrong, _ in found for message in wrong], sum([refused for _, refused in found])


def _differs(t: Trial, how: str, got: Any, want: Any) -> list[str]:
    try:
        value, gradients = got()
        assert_same(value, want[0], t.case.tol)
        assert_same(gradients, want[1], t.case.tol, weak=False)
    except Exception as error:  # noqa: BLE001 (a difference, or an error where JAX has none)
        return [_message(t, how, error)]
    return []


def _message(t: Trial, how: str, error: Exception) -> str:
    shown = ", ".join([f"{x.dtype}{list(x.shape)}" for x in t.case.args])
    values = "\n".join([str(x) for x in t.case.args])
    return f"{t.case.name}({shown}), {how}: {type(error).__name__}: {error}\nat\n{values}"
