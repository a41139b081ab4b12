"""Which inputs each element of a program depends on: sets pushed through the equations, one rule an op.

A value of a program is independent of all inputs (`None`) or has an array of set numbers of its shape (see
`ir.sparsity.sets`). What follows from constants alone is computed on the way, so that constant indices are followed
one by one, and what is multiplied by a constant zero is no dependence. The programs are linear in their inputs (see
`ir.sparsity.patterns`); of an op, the rule says what is true of its derivative by the operands that depend on inputs.

A rule is `rule(walk, eqn, ids, known) -> ids of the results`, where `ids` and `known` have an entry for each
operand, `None` where it does not depend on inputs and where it is not known. The files under `ir/sparsity/rules`
mirror `ir/ops`. Elementwise ops need none. (What is known of constants that are rounded: `ir.sparsity.exactness`.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ir.contents import has_effects, has_open_loops
from ir.core import Array, Eqn, Function, Value, inner_first, nested_functions
from ir.errors import SparsityError
from ir.evaluate import evaluate
from ir.op import Op
from ir.sparsity.exactness import Exactness, exactness, without_cancelling
from ir.sparsity.sets import EMPTY, Ids, Pool

Found = Sequence[Ids | None]
Known = Sequence[Array | None]
DependenceRule = Callable[["Propagation", Eqn, Found, Known], Found]

# Work, size and equations in loops up to which a value that follows from constants alone is computed.
_FLOPS: Final = 1 << 27
_ELEMENTS: Final = 1 << 24
_STEPS: Final = 20_000
# Ops that hold functions, and are evaluated in as many steps as these have equations.
_FOLLOWED: Final = frozenset({"call", "checkpoint", "cond", "custom_jvp_call", "custom_vjp_call", "scan"})

_RULES: dict[str, DependenceRule] = {}
_CONSERVATIVE: set[str] = set()


def depends(*names: str) -> Callable[[DependenceRule], DependenceRule]:
    """Register the decorated function as the rule of these ops."""

    def decorate(rule: DependenceRule) -> DependenceRule:
        for name in names:
            if name in _RULES:
                raise ValueError(f"op {name!r} has two rules")
            _RULES[name] = rule
        return rule

    return decorate


def conservative(*names: str) -> None:
    """Say of these ops that every element of every result depends on all that any operand depends on."""
    _CONSERVATIVE.update(names)
    depends(*names)(_everything)


def rule_of(op: Op) -> DependenceRule | None:
    """The rule of an op; `None` where it has none."""
    import ir.sparsity.rules  # noqa: F401 (registers them)

    return _RULES.get(op.name) or (_elementwise if op.elementwise else None)


def is_conservative(op: Op) -> bool:
    """Whether the op is one of which nothing more is said than that all depends on all."""
    import ir.sparsity.rules  # noqa: F401 (registers them)

    return op.name in _CONSERVATIVE


class Propagation:
    """One walk through a program and the functions nested in it, with the pool that its sets are in."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def run(
        self, function: Function, ids: Found, known: Known
    ) -> tuple[list[Ids | None], list[Array | None]]:
        """What the results depend on, and those of them that are known.

        Args:
          ids: of the params.
          known: of the params, to the last bit.
        """
        held = {v: i for v, i in zip(function.params, ids, strict=True) if i is not None}
        values = {v: k for v, k in zip(function.params, known, strict=True) if k is not None}
        # Where only the zeros of a value are known.
        rounded: set[Value] = set()
        dying = _last_uses(function)
        for position, eqn in enumerate(function.eqns):
            given = [held.get(v) for v in eqn.operands]
            if any(i is not None for i in given):
                inside = any(nested_functions(eqn))
                seen = [None if inside and v in rounded else values.get(v) for v in eqn.operands]
                found = self.step(eqn, given, seen)
                for value, i in zip(eqn.results, found, strict=True):
                    if i is not None and value.type.dtype.is_inexact and i.any():
                        held[value] = np.asarray(i)
            elif all(v in values for v in eqn.operands) and can_be_known(eqn):
                worst = Exactness.BITS if rounded.isdisjoint(eqn.operands) else Exactness.ZEROS
                how = exactness(eqn, worst)
                if how is not Exactness.NONE:
                    arrays: Sequence[Array] = [values[v] for v in eqn.operands]
                    as_written, arrays = (
                        without_cancelling(eqn, arrays) if how is Exactness.ZEROS else (eqn, arrays)
                    )
                    values.update(zip(eqn.results, _evaluated(as_written, arrays), strict=True))
                    rounded.update(eqn.results if how is Exactness.ZEROS else ())
            for value in dying[position]:
                held.pop(value, None)
                values.pop(value, None)
        known = [None if v in rounded else values.get(v) for v in function.results]
        return [held.get(v) for v in function.results], known

    def step(self, eqn: Eqn, ids: Found, known: Known) -> Found:
        """What the results of one equation depend on."""
        rule = rule_of(eqn.op)
        if rule is None:
            raise SparsityError(f"{eqn.op.name} has no rule for sparsity patterns", source=eqn.source)
        return rule(self, eqn, ids, known)

    def join(self, a: Ids | None, b: Ids | None) -> Ids | None:
        """Unions element by element, of arrays of one shape."""
        if a is None or b is None:
            return b if a is None else a
        return self.pool.join(a, b)

    def joined(self, arrays: Found) -> Ids | None:
        """Unions element by element of all arrays of one shape."""
        total: Ids | None = None
        for each in arrays:
            total = self.join(total, each)
        return total

    def every(self, arrays: Found) -> int:
        """The set of all that any element of any array depends on."""
        return self.pool.every(*[i for i in arrays if i is not None])


def _everything(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    every = walk.every(ids)
    return [np.broadcast_to(np.int32(every), v.type.shape) for v in eqn.results]


def _elementwise(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    return [walk.joined(ids)]


def filled(ids: Ids | None, value: Value) -> Ids:
    """The sets of a value as an array, empty ones where it is independent."""
    return np.broadcast_to(np.int32(EMPTY), value.type.shape) if ids is None else ids


def can_be_known(eqn: Eqn) -> bool:
    """Whether an equation all of whose operands are constants can be evaluated in little time."""
    if eqn.op.eval is None or has_effects(eqn) or has_open_loops(eqn) or eqn.op.name == "foreign":
        return False
    types = [v.type for v in (*eqn.operands, *eqn.results)]
    if any(t.dtype.kind == "key" or t.size > _ELEMENTS for t in types):
        return False
    nested = list(nested_functions(eqn))
    if nested and eqn.op.name not in _FOLLOWED:
        return False
    if eqn.attrs.get("length", 1) * sum([len(f.eqns) for each in nested for f in inner_first(each)]) > _STEPS:
        return False
    operands, results = [v.type for v in eqn.operands], [v.type for v in eqn.results]
    return int(eqn.op.flops(operands, results, **eqn.attrs)) <= _FLOPS


def _evaluated(eqn: Eqn, arrays: Sequence[Array]) -> Sequence[Array]:
    params = tuple([Value(v.type) for v in eqn.operands])
    alone = Function(params, (Eqn(eqn.op, params, eqn.attrs, eqn.results, eqn.source),), eqn.results)
    return evaluate(alone, *arrays)


def _last_uses(function: Function) -> list[list[Value]]:
    """For each equation the values that nothing reads after it."""
    last: dict[Value, int] = {}
    for position, eqn in enumerate(function.eqns):
        for value in (*eqn.operands, *eqn.results):
            last[value] = position
    for value in function.results:
        last.pop(value, None)
    dying: list[list[Value]] = [[] for _ in function.eqns]
    for value, position in last.items():
        dying[position].append(value)
    return dying


__all__ = [
    "DependenceRule", "Found", "Known", "Propagation", "can_be_known", "conservative", "depends", "filled",
    "is_conservative", "rule_of",
]  # fmt: skip
