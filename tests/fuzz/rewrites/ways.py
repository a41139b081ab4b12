"""The pipelines that programs are run through, with rules that are counted as they are applied."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Final

from ir.core import Function
from ir.passes.nested import deep
from ir.passes.pipeline import Pass, pipeline
from ir.passes.simplify import simplify, simplify_exact, simplify_fast
from ir.rewrite import NOTHING, RANGE, SPECIAL
from ir.rewriter import RuleTable, Statistics, apply_rules
from ir.rewrites import RULES, rule_table

WAYS: Final = ("default", "fast", "exact")

# Rules that give back digits or range, and may take operations for it.
COSTLY: Final = frozenset(each.name for each in RULES if each.changes == RANGE)


def passes(way: str, fired: Counter[str] | None = None, *, cheap: bool = False) -> tuple[Pass, ...]:
    """The pipeline of a way; of `off` that of `opt=0`.

    Args:
      fired: counts there how often each rule is applied.
      cheap: without the rules of `COSTLY`.
    """
    if way == "off":
        return pipeline(0)
    plain = pipeline(exact=way == "exact", fast_math=way == "fast")
    table = _table(way, cheap)
    statistics = Statistics() if fired is None else Statistics(applied=fired)

    @deep
    def rules(function: Function) -> Function:
        return apply_rules(function, table, statistics=statistics)

    return tuple([rules if each in (simplify, simplify_exact, simplify_fast) else each for each in plain])


@functools.cache
def _table(way: str, cheap: bool) -> RuleTable:
    """The rules of a way, as the passes have them."""
    if not cheap:
        return rule_table(exact=way == "exact", fast_math=way == "fast")
    limit = NOTHING if way == "exact" else SPECIAL if way == "fast" else RANGE
    return RuleTable([each for each in RULES if each.changes <= limit and each.name not in COSTLY])
