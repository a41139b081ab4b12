"""The rewrites as a document: `python -m ir.rewrites` prints docs/rewrites.md."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from ir.ops.shape import constant
from ir.rewrite import NOTHING, RANGE, ROUNDING, SPECIAL, Apply, AttrVar, Literal, Rule
from ir.rewrites import FAMILIES, RULES
from ir.rewrites.kinds import EXACT, FLOAT, INEXACT, INTEGER

_CHANGES = {
    NOTHING: "nothing",
    ROUNDING: "rounding",
    RANGE: "digits that were lost",
    SPECIAL: "special values",
}
_KINDS = {
    frozenset(EXACT): "integers and booleans",
    frozenset(INEXACT): "float and complex",
    frozenset(FLOAT): "float",
    frozenset(INTEGER): "integers",
}

_HEAD = """# Rewrites

{count} rules, applied until none fits ([`ir/passes/simplify.py`](../ir/passes/simplify.py)). Each is a theorem that the
test suite checks at drawn operands, special values included. This file is written by `python -m ir.rewrites`.

*Changes* says what may differ afterwards: nothing (not a bit); rounding; digits that were lost, which come back, and
with them results that had left the range; special values (NaN, inf and signed zeros of finite inputs). `exact=True`
takes rules of the first kind alone, `fast_math=True` those of the last too. Where the right side is not shown, it
computes shapes or axes, and may decline. *Once*: what is inside the pattern has no other reader. Operands of
commutative operations match in either order. Attributes that the pattern does not fix are not shown, but for the value
of a constant, of which all elements are equal.
"""


def catalogue() -> str:
    """The document."""
    parts = [_HEAD.format(count=len(RULES))]
    parts += [_family(module) for module in FAMILIES]
    return "\n".join(parts)


def _family(module: ModuleType) -> str:
    title, _, rest = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    name = module.__name__.rpartition(".")[2]
    lines = [
        f"## {title.rstrip('.')}",
        "",
        *([rest.replace("\n\n", "\n").strip(), ""] if rest.strip() else []),
        f"[`ir/rewrites/{name}.py`](../ir/rewrites/{name}.py)",
        "",
        "| rule | from | to | changes | where |",
        "|---|---|---|---|---|",
        *[_row(rule) for rule in module.RULES],
        "",
    ]
    return "\n".join(lines)


def _row(rule: Rule) -> str:
    shown = isinstance(rule.replacement, (Apply, Literal)) or hasattr(rule.replacement, "label")
    after = f"`{_text(rule.replacement)}`" if shown else ""
    why = " ".join(rule.doc.split())
    cells = [
        f"**{rule.name}**<br>{why}",
        f"`{_text(rule.pattern)}`",
        after,
        _CHANGES[rule.changes],
        _where(rule),
    ]
    return "| " + " | ".join([cell.replace("|", "\\|") for cell in cells]) + " |"


def _where(rule: Rule) -> str:
    found = []
    if rule.on is not None:
        found.append(_KINDS.get(rule.on) or ", ".join(sorted(rule.on)))
    if rule.single_use:
        found.append("once")
    if rule.guard is not None:
        doc = inspect.getdoc(rule.guard)
        found.append(" ".join(doc.split()).rstrip(".").lower() if doc else "by its guard")
    return "; ".join(found)


def _text(pattern: Any) -> str:
    """A pattern as a call, with the attributes that are not variables."""
    if isinstance(pattern, Literal):
        return f"{pattern.number:g}"
    if not isinstance(pattern, Apply):
        return str(pattern.label)
    if pattern.op is constant:
        value = pattern.given["value"]
        return value.label if isinstance(value, AttrVar) else str(value)
    operands = [_text(operand) for operand in pattern.operands]
    if pattern.rest is not None:
        operands.append(f"*{pattern.rest}")
    fixed = [
        f"{name}={value}"
        for name, value in pattern.given.items()
        if not isinstance(value, AttrVar) and value != pattern.op.attrs.get(name)
    ]
    return f"{pattern.op.name}({', '.join([*operands, *fixed])})"


__all__ = ["catalogue"]
