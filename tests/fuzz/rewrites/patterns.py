"""The patterns of every rule as small functions, of the widest element types that it is for."""

from __future__ import annotations

import functools

from ir.core import Value
from ir.rewrite import Rule
from ir.rewrites import RULES
from tests.passes.theorems import Instance, instances

# A comparison at 1e-9 needs double precision.
WIDE = frozenset({"f64", "c128", "i32", "i64", "u8", "u32", "u64", "bool", "key"})
MOST_ELEMENTS = 400
# Of one rule: examples of many element types are much alike.
_MOST = 40


@functools.cache
def patterns() -> dict[str, tuple[Instance, ...]]:
    """By the rule's name. A rule that rounds to other types only, such as `rounding_twice`, keeps those."""
    return {rule.name: _of(rule) for rule in RULES}


def _of(rule: Rule) -> tuple[Instance, ...]:
    every = list(instances(rule))
    found = [each for each in every if _largest(each) <= MOST_ELEMENTS]
    if not found:  # what pays for large arrays only
        least = min(_largest(each) for each in every)
        found = [each for each in every if _largest(each) == least]
    wide = [each for each in found if all(v.type.dtype.name in WIDE for v in _values(each))]
    chosen = wide or found
    # Floats first, so that gradients have something to say; without elements there is nothing to compare.
    chosen.sort(key=lambda each: (_empty(each), not _floats(each)))
    full = [each for each in chosen if not _empty(each)]
    return tuple((full or chosen)[:_MOST] + chosen[len(full) :][:2])


def _largest(each: Instance) -> int:
    return max(v.type.size for v in _values(each))


def _values(each: Instance) -> list[Value]:
    return [*each.function.params, *[v for eqn in each.function.eqns for v in eqn.results]]


def _empty(each: Instance) -> bool:
    return any(v.type.size == 0 for v in _values(each))


def _floats(each: Instance) -> bool:
    return each.function.results[0].type.dtype.name == "f64"
