"""Applying the rules of `ir.rewrite` to a function: one sweep in program order, and again while it helps.

A table finds the rules that may fit an equation by its op and by the ops that made its operands, so that
most equations cost a look or two. Imports the core of `ir` only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ir.contents import has_effects
from ir.core import EMPTY_ATTRS, Attrs, Dense, Eqn, Function, Value, attr_key
from ir.errors import IRTypeError
from ir.journal import Applied, applied
from ir.numerics.precision import iinfo
from ir.op import Builder, Op, building
from ir.ops.shape import broadcast_in_dim, constant, full, iota
from ir.rewrite import Apply, AttrVar, Literal, Pattern, Rule, Var
from ir.source import UNKNOWN, merge
from ir.types import TensorType

_MAX_DEPTH = 16  # of replacements within the replacement of one equation
_MAX_SWEEPS = 8

# Matching -----------------------------------------------------------------------------------------

Definitions = dict[Value, Eqn]


def constant_number(eqn: Eqn | None) -> Any:
    """The Python number that fills a constant, or None."""
    if eqn is None or eqn.op is not constant:
        return None
    dense = eqn.attrs["value"]
    return dense.item() if dense.shape == () and dense.dtype.kind != "key" else None


def wraps(type: TensorType, axis: int) -> bool:
    """Whether the positions along an axis are more than integers of that type there are from 0 on."""
    return type.dtype.is_integer and type.shape[axis] - 1 > int(iinfo(type.dtype.np).max)


def index_axis(value: Value, definition: Callable[[Value], Eqn | None]) -> int | None:
    """The axis whose indices a value holds, or None."""
    eqn = definition(value)
    if eqn is None or eqn.op is iota:
        return None if eqn is None else eqn.attrs["axis"]
    made = definition(eqn.operands[0]) if eqn.op is broadcast_in_dim else None
    if made is None or made.op is not iota:
        return None
    axis = made.attrs["axis"]
    at: int = eqn.attrs["dims"][axis]
    return at if made.attrs["shape"][axis] == eqn.attrs["shape"][at] else None


def _same_number(a: Any, b: float) -> bool:
    if a != b:
        return False
    if isinstance(a, complex):
        return math.copysign(1, a.imag) == 1 and _same_number(a.real, b)
    return a != 0 or not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b)


class Match:
    """A successful match.

    Attributes:
      values: matched values by variable name; a tuple for a `Rest`.
      attrs: matched attributes by variable name.
      interior: equations the pattern covers, the root first.
      nodes: results of those that the replacement uses too, by slot.
    """

    __slots__ = ("attrs", "interior", "nodes", "root", "values")

    def __init__(self, root: Eqn) -> None:
        self.values: dict[str, Any] = {}
        self.attrs: dict[str, Any] = {}
        self.interior: list[Eqn] = []
        self.nodes: dict[int, Value] = {}
        self.root = root

    def extend(self, pattern: Apply, eqn: Eqn, definitions: Definitions) -> bool:
        """Match an equation of the pattern's op; on failure the match is spoiled."""
        operands = eqn.operands
        count = len(pattern.operands)
        if len(operands) != count if pattern.rest is None else len(operands) < count:
            return False
        self.interior.append(eqn)
        if pattern.slot is not None:
            self.nodes[pattern.slot] = eqn.results[0]
        for name, label, key in pattern.attrs:
            have = eqn.attrs[name]
            if label is None:
                if attr_key(have) != key:
                    return False
            elif label not in self.attrs:
                self.attrs[label] = have
            elif attr_key(self.attrs[label]) != attr_key(have):
                return False
        values = self.values
        for operand, value in zip(pattern.operands, operands, strict=False):
            if type(operand) is Var:
                if values.setdefault(operand.label, value) is not value:
                    return False
                continue
            inner = definitions.get(value)
            if inner is None:
                return False
            if type(operand) is Apply:
                if inner.op is not operand.op or not self.extend(operand, inner, definitions):
                    return False
            else:
                number = constant_number(inner)
                if number is None or not _same_number(number, operand.number):
                    return False
        return pattern.rest is None or values.setdefault(pattern.rest, operands[count:]) == operands[count:]


class RuleTable:
    """Rules by the op at the root of their pattern, and there by an op next to it."""

    __slots__ = ("_by_op",)

    def __init__(self, rules: Iterable[Rule]) -> None:
        # Per op: patterns that any operands may match; positions to look at; patterns by position and op.
        self._by_op: dict[Op, tuple[list[Any], list[int], dict[tuple[int, Op], list[Any]]]] = {}
        for number, each in enumerate(rules):
            for order in each.orders:
                free, positions, keyed = self._by_op.setdefault(order.op, ([], [], {}))
                for i, operand in enumerate(order.operands):
                    if isinstance(operand, (Apply, Literal)):
                        inner = operand.op if isinstance(operand, Apply) else constant
                        keyed.setdefault((i, inner), []).append((number, each, order))
                        if i not in positions:
                            positions.append(i)
                        break
                else:
                    free.append((number, each, order))

    def __contains__(self, op: object) -> bool:
        return op in self._by_op

    def candidates(self, eqn: Eqn, definitions: Definitions) -> Sequence[tuple[int, Rule, Apply]]:
        """Rules and patterns that may match, in the order of the rules."""
        free, positions, keyed = self._by_op[eqn.op]
        found = free
        for i in positions:
            if i < len(eqn.operands):
                inner = definitions.get(eqn.operands[i])
                if inner is not None and (more := keyed.get((i, inner.op))) is not None:
                    found = sorted([*found, *more], key=_number) if found else more
        return found


def _number(candidate: tuple[int, Rule, Apply]) -> int:
    return candidate[0]


# Replacing ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Statistics:
    """What rewriting did.

    Attributes:
      attempts: patterns that were compared with an equation.
      applied: how often each rule was applied, by its name.
      sweeps: passes over the program.
      places: where they were applied, in order; None where nobody asks.
    """

    attempts: int = 0
    applied: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    places: list[Applied] | None = None


class _Rewriter(Builder):
    """Emits equations, each after rewriting it; counts the consumers of every value as it goes.

    An equation none of whose results is used any more is dropped, and what it alone used with it.
    """

    __slots__ = ("constants", "dead", "definitions", "depth", "loose", "made", "statistics", "table", "uses")

    def __init__(self, table: RuleTable, uses: dict[Value, int], statistics: Statistics) -> None:
        super().__init__()
        self.table = table
        self.uses = uses
        self.statistics = statistics
        self.definitions: Definitions = {}
        self.constants: dict[tuple[Dense, tuple[int, ...]], Value] = {}
        self.made: set[Value] = set()  # results of equations that replacements emitted
        self.dead: set[Eqn] = set()
        self.loose: list[Value] = []  # values that may have lost their last consumer
        self.depth = 0

    def append(self, eqn: Eqn) -> None:
        self.eqns.append(eqn)
        for result in eqn.results:
            self.definitions[result] = eqn
        if eqn.op is constant and eqn.attrs["value"].shape == ():
            self.constants.setdefault((eqn.attrs["value"], eqn.attrs["shape"]), eqn.results[0])

    def emit(self, op: Op, operands: tuple[Value, ...], attrs: Attrs = EMPTY_ATTRS) -> tuple[Value, ...]:
        """What replacements call: append an equation, itself rewritten."""
        if op is constant and attrs["value"].shape == ():
            held = self.constants.get((attrs["value"], attrs["shape"]))
            if held is not None:
                return (held,)
        types = op.infer(tuple([v.type for v in operands]), attrs)
        eqn = Eqn(op, operands, attrs, tuple([Value(t) for t in types]), self.source or UNKNOWN)
        for value in operands:
            self.uses[value] = self.uses.get(value, 0) + 1
        self.made.update(eqn.results)
        out = self.add(eqn)
        self.loose.extend(out)
        return out

    def add(self, eqn: Eqn) -> tuple[Value, ...]:
        """Append `eqn`, or what it is rewritten to; the values that stand for its results."""
        if eqn.op in self.table and len(eqn.results) == 1 and self.depth < _MAX_DEPTH:
            out = self.rewritten(eqn)
            if out is not None:
                return (out,)
        self.append(eqn)
        return eqn.results

    def rewritten(self, eqn: Eqn) -> Value | None:
        """The value that replaces the result of `eqn`, by the first rule that fits; or None."""
        kind = eqn.results[0].type.dtype.kind
        for _, each, order in self.table.candidates(eqn, self.definitions):
            if each.on is not None and kind not in each.on:
                continue
            self.statistics.attempts += 1
            found = Match(eqn)
            if not found.extend(order, eqn, self.definitions):
                continue
            if each.guard is not None and not self.called(each, each.guard, found):
                continue
            if each.single_use and self.shared(found):
                continue
            out = self.replaced(each, eqn, found)
            if out is not None:
                self.statistics.applied[each.name] += 1
                if self.statistics.places is not None:
                    self.statistics.places.append((each.name, eqn.source))
                return out
        return None

    def replaced(self, each: Rule, eqn: Eqn, found: Match) -> Value | None:
        """What a match is replaced by; None where its replacement turns it down."""
        outer, source, old = self.source, eqn.source, eqn.results[0]
        for covered in found.interior[1:]:
            source = merge(source, covered.source)
        # Consumers are counted as they will be: what the replacement uses has one, what it replaces none.
        held = _held(each.replacement, found)
        self.count(held, 1)
        gone = self.let_go(found)
        self.source = source
        self.depth += 1
        out: Value | None = self.instantiate(each, each.replacement, found, old.type)
        self.depth -= 1
        self.source = outer
        if not isinstance(each.replacement, Apply) or each.replacement.slot is not None:
            self.count(held, -1)
        for covered in gone:
            self.count(covered.operands, 1)
        if out is not None:
            if out.type is not old.type:
                # A replacement of another type is a defect of the rule, never a rewrite.
                raise IRTypeError(f"rule {each.name} turned {old.type} into {out.type}", source=eqn.source)
            if old.name and not out.name and out in self.made:
                out.name = old.name
            self.uses[out] = self.uses.get(out, 0) + self.uses.get(old, 0)
            self.release(eqn.operands)
        if self.depth == 0:
            self.sweep()
        return out

    def instantiate(self, each: Rule, replacement: Any, found: Match, type_: TensorType) -> Any:
        """Append the replacement; `type_` is that of literals."""
        if isinstance(replacement, Var):
            return found.values[replacement.label]
        if isinstance(replacement, Literal):
            return full(type_.shape, replacement.number, type_.dtype)
        if not isinstance(replacement, Apply):
            return self.called(each, replacement, found)
        if replacement.slot is not None:
            return found.nodes[replacement.slot]
        known = next((found.values[o.label].type for o in replacement.operands if type(o) is Var), type_)
        operands = [self.instantiate(each, o, found, known) for o in replacement.operands]
        rest = () if replacement.rest is None else found.values[replacement.rest]
        attrs = {
            k: found.attrs[v.label] if isinstance(v, AttrVar) else v for k, v in replacement.given.items()
        }
        for pattern in replacement.operands:
            self.count(_held_by(pattern, found), -1)
        self.count(rest, -1)
        return replacement.op(*operands, *rest, **attrs)

    def count(self, values: Iterable[Value], by: int) -> None:
        for value in values:
            self.uses[value] = self.uses.get(value, 0) + by

    def let_go(self, found: Match) -> list[Eqn]:
        """Take back the uses of the equations that the match leaves without a consumer; those equations."""
        gone: dict[Eqn, None] = {}
        for covered in found.interior:
            if covered is found.root or (covered not in gone and not self.uses.get(covered.results[0], 0)):
                gone[covered] = None
                self.count(covered.operands, -1)
        return list(gone)

    def called(self, each: Rule, function: Callable[..., Any], found: Match) -> Any:
        """A guard or replacement, called with what it names."""
        given = {}
        for name in each.needs[function]:
            if name in found.values:
                given[name] = found.values[name]
            elif name in found.attrs:
                given[name] = found.attrs[name]
            elif name == "out":
                given[name] = found.root.results[0]
            elif name == "shared":
                given[name] = self.shared(found)
            else:
                given[name] = self.definitions.get if name == "definition" else self.single
        return function(**given)

    def shared(self, found: Match) -> bool:
        """Whether a covered value other than the root has another consumer."""
        return not all(self.single(covered.results[0]) for covered in found.interior[1:])

    def single(self, value: Value) -> bool:
        """Whether a value has at most one consumer."""
        return self.uses.get(value, 0) <= 1

    def release(self, operands: tuple[Value, ...]) -> None:
        """Note that a consumer of `operands` is gone."""
        for value in operands:
            self.uses[value] -= 1
        self.loose.extend(operands)

    def sweep(self) -> None:
        """Drop equations whose last consumer is gone."""
        loose = self.loose
        while loose:
            eqn = self.definitions.get(loose.pop())
            if eqn is None or has_effects(eqn) or any(self.uses.get(r, 0) for r in eqn.results):
                continue
            for result in eqn.results:
                del self.definitions[result]
            if eqn.op is constant and eqn.attrs["value"].shape == ():
                key = (eqn.attrs["value"], eqn.attrs["shape"])
                if self.constants.get(key) is eqn.results[0]:
                    del self.constants[key]
            self.dead.add(eqn)
            self.release(eqn.operands)


def _held_by(pattern: Any, found: Match) -> Sequence[Value]:
    """The value, matched before, that an operand of a replacement stands for."""
    if isinstance(pattern, Var):
        return (found.values[pattern.label],)
    if isinstance(pattern, Apply) and pattern.slot is not None:
        return (found.nodes[pattern.slot],)
    return ()


def _held(replacement: Any, found: Match) -> list[Value]:
    """Matched values that a replacement uses, each as often as it does; all where that is not known."""
    if isinstance(replacement, Literal):
        return []
    if isinstance(replacement, Pattern):
        held = list(_held_by(replacement, found))
        if not held and isinstance(replacement, Apply):
            for operand in replacement.operands:
                held += _held(operand, found)
            if replacement.rest is not None:
                held += found.values[replacement.rest]
        return held
    return [v for value in found.values.values() for v in (value if type(value) is tuple else (value,))]


def _uses(function: Function) -> dict[Value, int]:
    uses: dict[Value, int] = {}
    for eqn in function.eqns:
        for v in eqn.operands:
            uses[v] = uses.get(v, 0) + 1
    for v in function.results:
        uses[v] = uses.get(v, 0) + 1
    return uses


def apply_rules(
    function: Function,
    table: RuleTable,
    *,
    max_sweeps: int = _MAX_SWEEPS,
    statistics: Statistics | None = None,
) -> Function:
    """Rewrite in program order until nothing changes, at most `max_sweeps` times; linear in each.

    Equations that a rewrite leaves without a consumer are removed.
    """
    statistics = Statistics(places=applied()) if statistics is None else statistics
    for _ in range(max_sweeps):
        statistics.sweeps += 1
        rewriter = _Rewriter(table, _uses(function), statistics)
        env: dict[Value, Value] = {}
        before = statistics.applied.total()
        with building(rewriter):
            for eqn in function.eqns:
                operands = eqn.operands
                if env and not env.keys().isdisjoint(operands):
                    operands = tuple([env.get(v, v) for v in operands])
                    eqn = Eqn(eqn.op, operands, eqn.attrs, eqn.results, eqn.source)
                if eqn.op in table:
                    out = rewriter.add(eqn)
                    if out[0] is not eqn.results[0]:
                        env[eqn.results[0]] = out[0]
                else:
                    rewriter.append(eqn)
        if statistics.applied.total() == before:
            break
        function = function.replace(
            eqns=tuple([eqn for eqn in rewriter.eqns if eqn not in rewriter.dead]),
            results=tuple([env.get(v, v) for v in function.results]),
        )
    return function
