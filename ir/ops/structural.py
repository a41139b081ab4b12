"""Custom derivative rules that are equal where they do the same.

A rule is traced when it is asked for, since it may contain calls of custom functions whose rules contain
more of them, without end (the rule of f may call f). Tracing a program again gives new rules; so that it
finds its compiled program all the same, they compare by what they are traced to, and only where names and
bodies are equal already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ir.core import Function, Opaque, attr_key, inner_first
from ir.ops.calls import Rule

# Rules inside rules are followed so far; a rule that goes on and on is equal to itself alone.
_DEPTH = 4


class StructuralRule(Rule):
    """One derivative rule of a custom function.

    Attributes:
      kind: which rule, such as "jvp".
      body: the custom function.
      moves: which operands have tangents. A rule may do otherwise where one has none, or refuse one.
      alone: equal to itself only, whatever it does.
    """

    alone = False

    def __init__(
        self,
        kind: str,
        body: Function,
        make: Callable[[tuple[bool, ...]], Function],
        moves: tuple[bool, ...] | None = None,
        captures: int = 0,
    ) -> None:
        super().__init__(body.name, lambda types: make(self.moves), captures)
        self.kind = kind
        self.body = body
        can_move = tuple([i >= captures and t.dtype.is_inexact for i, t in enumerate(body.in_types)])
        self.moves = can_move if moves is None else moves
        self._can_move = can_move
        self._make = make
        self._moving: dict[tuple[bool, ...], StructuralRule] = {can_move: self} if moves is None else {}
        self._print: Any = None

    def moving(self, moves: tuple[bool, ...]) -> StructuralRule:
        moves = tuple([m and c for m, c in zip(moves, self._can_move, strict=True)])
        if moves not in self._moving:
            self._moving[moves] = StructuralRule(self.kind, self.body, self._make, moves, self.captures)
        return self._moving[moves]

    def fingerprint(self) -> Any:
        """Equal for rules that are traced to the same program."""
        if self._print is None:
            try:
                self._print = _of_rule(self, ())
            except Exception:  # noqa: BLE001 (raised again where the rule is used; equal to itself alone)
                self._print = object()
        return self._print

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, StructuralRule) or self._use != other._use:
            return False
        return bool(self.fingerprint() == other.fingerprint())

    def __hash__(self) -> int:
        return hash((StructuralRule, self._use))

    @property
    def _use(self) -> tuple[str, tuple[bool, ...], int, Function]:
        return self.kind, self.moves, self.captures, self.body


def _of_rule(rule: StructuralRule, around: tuple[StructuralRule, ...]) -> Any:
    if rule.alone:
        return rule._trace
    for distance, outer in enumerate(reversed(around)):
        if outer._use == rule._use:
            return "the rule so many levels out", distance
    if len(around) == _DEPTH:
        return rule._trace  # found nowhere else
    inner = _of_function(rule.function(rule.body.in_types), (*around, rule))
    return rule.kind, rule.moves, rule.captures, _of_function(rule.body, (*around, rule)), inner


def _of_function(function: Function, around: tuple[StructuralRule, ...]) -> Any:
    number = {param: i for i, param in enumerate(function.params)}
    parts: list[Any] = [function.in_types]
    for eqn in function.eqns:
        attrs = tuple([_of_attribute(a, around) for a in eqn.attrs.values()])
        parts.append((eqn.op, attrs, tuple([number[v] for v in eqn.operands])))
        for result in eqn.results:
            number[result] = len(number)
            parts.append(result.type)
    return (*parts, tuple([number[v] for v in function.results]))


def _of_attribute(value: Any, around: tuple[StructuralRule, ...]) -> Any:
    if isinstance(value, Function):
        return _of_function(value, around)
    if isinstance(value, Opaque) and isinstance(value.obj, StructuralRule):
        return _of_rule(value.obj, around)
    if isinstance(value, tuple):
        return tuple([_of_attribute(v, around) for v in value])
    return attr_key(value)


def unequalled(function: Function) -> bool:
    """Whether the function has a rule that no other is equal to, so that no other function is equal to it."""
    return any(
        isinstance(a, Opaque) and isinstance(a.obj, StructuralRule) and a.obj.alone
        for each in inner_first(function)
        for eqn in each.eqns
        for a in eqn.attrs.values()
    )


__all__ = ["StructuralRule", "unequalled"]
