"""Which residuals of a loop's step are stacked, and which are computed again from those that are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ir.core import Eqn, Value

# No dearer to compute than to write and read again.
_CHEAP: Final = frozenset({
    "abs", "add", "and", "broadcast_in_dim", "clamp", "constant", "convert", "eq", "ge", "gt", "le", "lt",
    "max", "min", "mul", "ne", "neg", "not", "one_minus_square", "or", "reshape", "rev", "select", "sign",
    "slice", "square", "stop_gradient", "sub", "xor",
})  # fmt: skip


def computed_again(
    eqns: Sequence[Eqn], residuals: Iterable[Value], available: Iterable[Value]
) -> tuple[list[Eqn], set[Value]]:
    """(equations to repeat, residuals that they give).

    A residual is computed again where that takes only cheap equations over values that are there anyway
    or are themselves residuals before it, so that nothing else need be stacked for it.

    Args:
      eqns: of the step, in order.
      residuals: what would be stacked.
      available: values that are not stacked for this: inputs of the loop, what is invariant.
    """
    wanted = set(residuals)
    known = set(available) | wanted.difference(r for e in eqns for r in e.results)
    derived: dict[Value, Eqn] = {}
    for eqn in eqns:
        if eqn.op.name in _CHEAP and known.issuperset(eqn.operands):
            derived.update(dict.fromkeys(eqn.results, eqn))
            known.update(eqn.results)
        else:
            known.update(wanted.intersection(eqn.results))
    again = wanted & derived.keys()
    needed, repeated = set(again), []
    for eqn in reversed(eqns):
        if not needed.isdisjoint(eqn.results) and eqn.results[0] in derived:
            repeated.append(eqn)
            needed.update(eqn.operands)
    return repeated[::-1], again
