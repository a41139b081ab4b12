"""Rewriting by pattern and replacement, both written as calls of ops.

    @rule(changes=NOTHING)
    def double_negation(x):
        return neg(neg(x)), x

The body of a rule runs once, on pattern variables, and gives the pattern as a tree. A replacement is
a tree too, or, where it must compute attributes, a function of the matched values:

    @rule(changes=NOTHING)
    def transpose_of_transpose(x, *, p, q):
        return transpose(transpose(x, perm=p), perm=q), lambda x, p, q: transpose(x, perm=[p[i] for i in q])

Keyword-only parameters are attribute variables. `lit(1)` is a constant all of whose elements are 1.
Rules are theorems: the test suite draws typed inputs for each and compares both sides.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ir.core import Attrs, Eqn, Function, Value, attr_key
from ir.op import Builder, Op, building
from ir.ops.shape import constant, full
from ir.source import Source
from ir.types import TensorType

# What a rule may change, from harmless to not.
NOTHING: Final = 0  # not a bit
ROUNDING: Final = 1  # the last digits
SPECIAL: Final = 2  # NaN, inf or signed zeros of finite inputs

_COMMUTATIVE = frozenset({"add", "mul", "max", "min", "and", "or", "xor", "eq", "ne"})


class Pattern(Value):
    """A node of a pattern tree. A `Value` so that ops accept it; it has no type."""

    __slots__ = ()

    def __init__(self) -> None:
        self.name = ""


class Var(Pattern):
    """Matches any value, the same value each time."""

    __slots__ = ("label",)

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label


class Literal(Pattern):
    """Matches a constant all of whose elements equal `number` (signs of zero told apart)."""

    __slots__ = ("number",)

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number


class Apply(Pattern):
    """Matches a result of an equation."""

    __slots__ = ("attrs", "index", "op", "operands")

    def __init__(self, op: Op, operands: tuple[Pattern, ...], attrs: Attrs, index: int = 0) -> None:
        super().__init__()
        self.op = op
        self.operands = operands
        self.attrs = attrs
        self.index = index


@dataclass(frozen=True, slots=True)
class AttrVar:
    """Matches any attribute value, the same each time."""

    label: str


def lit(number: float) -> Any:
    """In a rule: a constant filled with `number`, of whatever type fits."""
    return Literal(number)


class _PatternBuilder(Builder):
    __slots__ = ()

    def emit(self, op: Op, operands: tuple[Any, ...], attrs: Attrs = {}) -> tuple[Any, ...]:  # noqa: B006
        return (Apply(op, operands, attrs),)


@dataclass(frozen=True, slots=True)
class Match:
    """A successful match.

    Attributes:
      values: matched values by variable name.
      attrs: matched attributes by variable name.
      interior: equations the pattern covers, the root included.
    """

    values: dict[str, Value]
    attrs: dict[str, Any]
    interior: list[Eqn]
    root: Value


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A pattern, a replacement and when it holds.

    Attributes:
      changes: NOTHING, ROUNDING or SPECIAL.
      guard: on the match; None for always.
      on: kinds of element types of the root for which it holds; None for all.
      single_use: covered values other than the root may have no other consumer.
      examples: operand types and attributes for the tests, where equal shapes will not do.
    """

    name: str
    doc: str
    variables: tuple[str, ...]
    attr_variables: tuple[str, ...]
    pattern: Apply
    replacement: Any
    changes: int
    guard: Callable[[Match], bool] | None
    on: frozenset[str] | None
    single_use: bool
    examples: tuple[Any, ...]


def rule(
    *,
    changes: int,
    on: Iterable[str] | None = None,
    guard: Callable[[Match], bool] | None = None,
    single_use: bool = False,
    examples: Sequence[Any] = (),
) -> Callable[[Callable[..., tuple[Any, Any]]], Rule]:
    """Declare a rewrite; see the module's docstring and `Rule`."""

    def decorate(fn: Callable[..., tuple[Any, Any]]) -> Rule:
        parameters = inspect.signature(fn).parameters.values()
        variables = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        attr_variables = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        with building(_PatternBuilder()):
            pattern, replacement = fn(*map(Var, variables), **{a: AttrVar(a) for a in attr_variables})
        return Rule(
            fn.__name__,
            inspect.getdoc(fn) or "",
            variables,
            attr_variables,
            pattern,
            replacement,
            changes,
            guard,
            None if on is None else frozenset(on),
            single_use,
            tuple(examples),
        )

    return decorate


def constant_number(eqn: Eqn | None) -> Any:
    """The Python number that fills a constant, or None."""
    if eqn is None or eqn.op is not constant:
        return None
    dense = eqn.attrs["value"]
    if dense.shape == () and dense.dtype.kind != "key":
        return dense.item()
    return None


def _same_number(a: Any, b: float) -> bool:
    if a != b:
        return False
    return a != 0 or isinstance(a, (bool, int, complex)) or math.copysign(1, a) == math.copysign(1, b)


class _Matcher:
    """Matches patterns against equations already emitted."""

    def __init__(self, definitions: dict[Value, Eqn]) -> None:
        self.definitions = definitions

    def match(self, rule: Rule, eqn: Eqn) -> Match | None:
        found = Match({}, {}, [], eqn.results[0])
        return found if self._eqn(rule.pattern, eqn, found) else None

    def _eqn(self, pattern: Apply, eqn: Eqn, found: Match) -> bool:
        if pattern.op is not eqn.op or len(pattern.operands) != len(eqn.operands):
            return False
        for name, want in pattern.attrs.items():
            have = eqn.attrs[name]
            if isinstance(want, AttrVar):
                if want.label in found.attrs and attr_key(found.attrs[want.label]) != attr_key(have):
                    return False
                found.attrs[want.label] = have
            elif attr_key(want) != attr_key(have):
                return False
        found.interior.append(eqn)
        orders = [eqn.operands]
        if eqn.op.name in _COMMUTATIVE and eqn.operands[0] is not eqn.operands[1]:
            orders.append((eqn.operands[1], eqn.operands[0]))
        saved = (dict(found.values), dict(found.attrs), len(found.interior))
        for operands in orders:
            if all(self._value(p, v, found) for p, v in zip(pattern.operands, operands, strict=True)):
                return True
            found.values.clear()
            found.values.update(saved[0])
            found.attrs.clear()
            found.attrs.update(saved[1])
            del found.interior[saved[2] :]
        return False

    def _value(self, pattern: Any, value: Value, found: Match) -> bool:
        if isinstance(pattern, Var):
            return found.values.setdefault(pattern.label, value) is value
        eqn = self.definitions.get(value)
        if isinstance(pattern, Literal):
            number = constant_number(eqn)
            return number is not None and _same_number(number, pattern.number)
        return eqn is not None and eqn.results[pattern.index] is value and self._eqn(pattern, eqn, found)


def instantiate(replacement: Any, found: Match, type_: TensorType) -> Value:
    """Append the replacement to the current builder; `type_` is that of literals."""
    if isinstance(replacement, Var):
        return found.values[replacement.label]
    if isinstance(replacement, Literal):
        return full(type_.shape, replacement.number, type_.dtype)
    if isinstance(replacement, Apply):
        operands = []
        known = next((found.values[o.label].type for o in replacement.operands if isinstance(o, Var)), type_)
        for operand in replacement.operands:
            operands.append(instantiate(operand, found, known))
        attrs = {k: found.attrs[v.label] if isinstance(v, AttrVar) else v for k, v in replacement.attrs.items()}
        return replacement.op(*operands, **attrs)  # type: ignore[no-any-return]
    return replacement(**found.values, **found.attrs)  # type: ignore[no-any-return]


class _RewritingBuilder(Builder):
    """Emits equations, each after rewriting it by the rules of its op."""

    __slots__ = ("changed", "definitions", "depth", "matcher", "rules", "uses")

    def __init__(self, rules: dict[Op, list[Rule]], uses: dict[Value, int]) -> None:
        super().__init__()
        self.rules = rules
        self.definitions: dict[Value, Eqn] = {}
        self.matcher = _Matcher(self.definitions)
        self.uses = uses
        self.changed = 0
        self.depth = 0

    def append(self, eqn: Eqn) -> None:
        self.eqns.append(eqn)
        for result in eqn.results:
            self.definitions[result] = eqn

    def emit(self, op: Op, operands: tuple[Value, ...], attrs: Attrs = {}) -> tuple[Value, ...]:  # noqa: B006
        types = op.infer(tuple([v.type for v in operands]), attrs)
        eqn = Eqn(op, operands, attrs, tuple([Value(t) for t in types]), self.source or _UNKNOWN)
        return self.add(eqn)

    def add(self, eqn: Eqn) -> tuple[Value, ...]:
        """Append `eqn`, or what it is rewritten to; the values that stand for its results."""
        candidates = self.rules.get(eqn.op)
        # Depth bounds chains of rewrites of one equation; each step must lower the cost anyway.
        if candidates and len(eqn.results) == 1 and self.depth < 8:
            for each in candidates:
                if each.on is not None and eqn.results[0].type.dtype.kind not in each.on:
                    continue
                found = self.matcher.match(each, eqn)
                if found is None or (each.guard is not None and not each.guard(found)):
                    continue
                if each.single_use and any(
                    self.uses.get(r, 1) > 1 for covered in found.interior[1:] for r in covered.results
                ):
                    continue
                outer, self.source = self.source, eqn.source
                self.depth += 1
                mark = len(self.eqns)
                out = instantiate(each.replacement, found, eqn.results[0].type)
                self.depth -= 1
                self.source = outer
                if out.type is not eqn.results[0].type:
                    # A replacement of another type is a defect of the rule, never a rewrite.
                    raise AssertionError(f"rule {each.name} turned {eqn.results[0].type} into {out.type}")
                if eqn.results[0].name and not out.name and len(self.eqns) > mark:
                    out.name = eqn.results[0].name
                self.changed += 1
                return (out,)
        self.append(eqn)
        return eqn.results


_UNKNOWN = Source(None, 0)


def index_rules(rules: Iterable[Rule]) -> dict[Op, list[Rule]]:
    """Rules by the op at the root of their pattern, in the given order."""
    table: dict[Op, list[Rule]] = {}
    for each in rules:
        table.setdefault(each.pattern.op, []).append(each)
    return table


def apply_rules(function: Function, table: dict[Op, list[Rule]], sweeps: int = 3) -> Function:
    """Rewrite in program order until nothing changes, at most `sweeps` times; linear in each."""
    for _ in range(sweeps):
        uses: dict[Value, int] = {}
        for eqn in function.eqns:
            for v in eqn.operands:
                uses[v] = uses.get(v, 0) + 1
        for v in function.results:
            uses[v] = uses.get(v, 0) + 1
        builder = _RewritingBuilder(table, uses)
        env: dict[Value, Value] = {}
        with building(builder):
            for eqn in function.eqns:
                operands = eqn.operands
                if env and not env.keys().isdisjoint(operands):
                    operands = tuple([env.get(v, v) for v in operands])
                    eqn = Eqn(eqn.op, operands, eqn.attrs, eqn.results, eqn.source)
                for old, new in zip(eqn.results, builder.add(eqn), strict=True):
                    if old is not new:
                        env[old] = new
        if not builder.changed:
            return function
        function = function.replace(
            eqns=tuple(builder.eqns), results=tuple([env.get(v, v) for v in function.results])
        )
    return function
