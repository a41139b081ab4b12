"""Random programs in which rewrites meet: patterns of rules, fed with each other's values."""

from __future__ import annotations

import functools

import numpy as np

from ir.core import Function, Value
from ir.op import Builder, building
from ir.rewrite import NOTHING, ROUNDING
from ir.rewrites import RULES
from tests.passes.theorems import Instance, instances

_DTYPES = frozenset({"f32", "i32", "bool", "c64"})
# Decide by the last digit, so that rounding may turn them over.
_DISCONTINUOUS = frozenset(
    {"eq", "ne", "lt", "le", "gt", "ge", "convert", "bitcast_convert", "div", "log", "pow"}
)


@functools.cache
def _instances(changes: int) -> tuple[Instance, ...]:
    """Patterns of the rules that change no more than that, over few element types."""
    found = []
    for rule in RULES:
        if rule.changes > changes:
            continue
        for each in instances(rule):
            eqns = each.function.eqns
            dtypes = {v.type.dtype.name for eqn in eqns for v in (*eqn.operands, *eqn.results)}
            smooth = changes == NOTHING or _DISCONTINUOUS.isdisjoint(eqn.op.name for eqn in eqns)
            if dtypes <= _DTYPES and smooth:
                found.append(each)
    return tuple(found)


def program(seed: int, changes: int = NOTHING, count: int = 8) -> Function:
    """A program of up to `count` patterns, of rules that change no more than `changes`."""
    rng = np.random.default_rng(seed)
    known = _instances(ROUNDING if changes else NOTHING)
    params: list[Value] = []
    pool: list[Value] = []
    builder = Builder()
    with building(builder):
        for _ in range(int(rng.integers(1, count + 1))):
            pattern = known[int(rng.integers(len(known)))].function
            env: dict[Value, Value] = {}
            for param in pattern.params:
                fitting = [v for v in pool if v.type is param.type]
                if fitting and rng.random() < 0.85:
                    env[param] = fitting[-1 - int(rng.integers(min(len(fitting), 3)))]
                else:
                    env[param] = Value(param.type)
                    params.append(env[param])
                    pool.append(env[param])
            for eqn in pattern.eqns:
                outs = builder.copy(eqn, tuple([env[v] for v in eqn.operands]))
                env.update(zip(eqn.results, outs, strict=True))
                pool.extend(outs)
    results = [*pool[-1:], *[v for v in pool if rng.random() < 0.15]]
    return Function(tuple(params), tuple(builder.eqns), tuple(results), "program")
