"""Rewriting by pattern and replacement, both written as calls of ops.

    @rule(changes=NOTHING)
    def double_negation(x):
        \"\"\"--x = x.\"\"\"
        return neg(neg(x)), x

The body of a rule runs once, on pattern variables, and gives the pattern as a tree. A replacement is
a tree too, or, where it must compute attributes, a function of what was matched:

    @rule(changes=NOTHING)
    def transpose_of_transpose(x, *, p, q):
        return transpose(transpose(x, perm=p), perm=q), lambda x, p, q: permute(x, tuple(p[i] for i in q))

Parameters are variables that match any value, the same each time; `*parts` matches all operands that
are left; keyword-only parameters match attributes. `lit(1)` is a constant all of whose elements are 1.
A guard or a replacement that is a function takes the matched values and attributes by the names of its
parameters, and more where it names them: `out`, the value to be replaced; `definition`, from a value to
its equation or None; `single`, whether a value has no other consumer; `shared`, whether a value inside
the pattern has one. A replacement that returns None leaves the equation as it is.

Rules are theorems: the test suite draws typed inputs for each and compares both sides. `ir.rewriter`
applies them. Imports the core of `ir` only.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ir.core import EMPTY_ATTRS, Attrs, Value, attr_key
from ir.op import Builder, Op, building

# What a rule may change, from harmless to not.
NOTHING: Final = 0  # not a bit
ROUNDING: Final = 1  # the last digits
RANGE: Final = 2  # and results whose digits or range were lost on the way to them
SPECIAL: Final = 3  # NaN, inf or signed zeros of finite inputs

_COMMUTATIVE = frozenset({"add", "mul", "max", "min", "and", "or", "xor", "eq", "ne"})

# Patterns -----------------------------------------------------------------------------------------


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


class Rest(Var):
    """Matches the operands that are left, as a tuple."""

    __slots__ = ()


class Literal(Pattern):
    """Matches a constant all of whose elements equal `number` (signs of zero told apart)."""

    __slots__ = ("number",)

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number


class Apply(Pattern):
    """Matches the result of an equation.

    Attributes:
      attrs: name, variable or None, and what to compare with where it is no variable.
      rest: the label of a `Rest` after `operands`, or None.
      slot: the same number for equal nodes of a pattern and its replacement, which share their value.
    """

    __slots__ = ("attrs", "given", "op", "operands", "rest", "slot")

    def __init__(self, op: Op, operands: Sequence[Any], given: Attrs, slot: int | None = None) -> None:
        super().__init__()
        self.slot = slot
        self.op = op
        self.given = given
        self.rest = operands[-1].label if operands and isinstance(operands[-1], Rest) else None
        self.operands: tuple[Any, ...] = tuple(operands if self.rest is None else operands[:-1])
        self.attrs = tuple(
            [
                (name, value.label, None) if isinstance(value, AttrVar) else (name, None, attr_key(value))
                for name, value in given.items()
            ]
        )


@dataclass(frozen=True, slots=True)
class AttrVar:
    """Matches any attribute value, the same each time."""

    label: str


def lit(number: float) -> Any:
    """In a rule: a constant filled with `number`, of whatever type fits."""
    return Literal(number)


class _PatternBuilder(Builder):
    __slots__ = ()

    def emit(self, op: Op, operands: tuple[Any, ...], attrs: Attrs = EMPTY_ATTRS) -> tuple[Any, ...]:
        return (Apply(op, operands, attrs),)


def _orders(pattern: Any) -> list[Any]:
    """The pattern with the operands of its commutative ops in every order."""
    if not isinstance(pattern, Apply):
        return [pattern]
    found = list(itertools.product(*[_orders(operand) for operand in pattern.operands]))
    if pattern.op.name in _COMMUTATIVE:
        found += [(b, a) for a, b in found]
    tail = () if pattern.rest is None else (Rest(pattern.rest),)
    return [Apply(pattern.op, (*operands, *tail), pattern.given, pattern.slot) for operands in found]


def _key(pattern: Any) -> Any:
    if isinstance(pattern, Apply):
        return (pattern.op, tuple(map(_key, pattern.operands)), pattern.rest, pattern.attrs)
    return repr(pattern.number) if isinstance(pattern, Literal) else pattern.label


def _nodes(tree: Any) -> Iterator[Apply]:
    if isinstance(tree, Apply):
        yield tree
        for operand in tree.operands:
            yield from _nodes(operand)


def _share(pattern: Apply, replacement: Any) -> None:
    """Number the nodes of the pattern, the root left out, that the replacement has too."""
    slots: dict[Any, int] = {}
    for node in _nodes(replacement):
        slots.setdefault(_key(node), len(slots))
    held = {_key(node) for node in _nodes(pattern) if node is not pattern}
    for node in (*_nodes(pattern), *_nodes(replacement)):
        key = _key(node)
        node.slot = slots.get(key) if key in held else None


# Rules --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fill:
    """In an example: the attribute `value` of a constant filled with `number`, of the drawn type."""

    number: Any


@dataclass(frozen=True, slots=True)
class Example:
    """Operands and attributes at which the tests check a rule.

    Attributes:
      operands: for each variable a shape, of the drawn element type; or a type; or a `Dense`, for a
        constant; or a function of `make`, which gives operands of shapes or types. For `*parts` a
        list of these, or a function that returns a list.
      attrs: for each attribute variable its value, or a `Fill`.
      dtypes: names of the element types to draw; those that fit by default.
    """

    operands: tuple[Any, ...]
    attrs: dict[str, Any]
    dtypes: tuple[str, ...] | None = None


def at(*operands: Any, dtypes: Sequence[str] | None = None, **attrs: Any) -> Example:
    """An example; see `Example`."""
    return Example(operands, attrs, None if dtypes is None else tuple(dtypes))


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A pattern, a replacement and when it holds.

    Attributes:
      changes: NOTHING, ROUNDING, RANGE or SPECIAL.
      guard: on what was matched; None for always.
      on: kinds of element types of the root for which it holds; None for all.
      single_use: covered values other than the root may have no other consumer.
      examples: where the tests check it; operands of equal shape by default.
      counterexamples: matches that the guard or the replacement turns down.
    """

    name: str
    doc: str
    variables: tuple[str, ...]
    rest: str | None
    attr_variables: tuple[str, ...]
    pattern: Apply
    orders: tuple[Apply, ...]
    replacement: Any
    changes: int
    guard: Callable[..., bool] | None
    on: frozenset[str] | None
    single_use: bool
    examples: tuple[Example, ...]
    counterexamples: tuple[Example, ...]
    needs: dict[Any, tuple[str, ...]] = field(repr=False)

    def __repr__(self) -> str:
        return f"<rule {self.name}>"


def rule(
    *,
    changes: int,
    on: Iterable[str] | None = None,
    guard: Callable[..., bool] | None = None,
    single_use: bool = False,
    examples: Sequence[Example] = (),
    counterexamples: Sequence[Example] = (),
    name: str | None = None,
) -> Callable[[Callable[..., tuple[Any, Any]]], Rule]:
    """Declare a rewrite; see the module's docstring and `Rule`."""

    def decorate(fn: Callable[..., tuple[Any, Any]]) -> Rule:
        parameters = inspect.signature(fn).parameters.values()
        operands = [
            Rest(p.name) if p.kind is p.VAR_POSITIONAL else p.name for p in parameters if not _is_attr(p)
        ]
        attr_variables = tuple(p.name for p in parameters if _is_attr(p))
        variables = [v if isinstance(v, Rest) else Var(v) for v in operands]
        with building(_PatternBuilder()):
            pattern, replacement = fn(*variables, **{a: AttrVar(a) for a in attr_variables})
        _share(pattern, replacement)
        orders = {_key(order): order for order in _orders(pattern)}
        called = [f for f in (guard, replacement) if f is not None and not isinstance(f, Pattern)]
        return Rule(
            name=name or fn.__name__,
            doc=inspect.getdoc(fn) or "",
            variables=tuple([v.label for v in variables if not isinstance(v, Rest)]),
            rest=next((v.label for v in variables if isinstance(v, Rest)), None),
            attr_variables=attr_variables,
            pattern=pattern,
            orders=tuple(orders.values()),
            replacement=replacement,
            changes=changes,
            guard=guard,
            on=None if on is None else frozenset(on),
            single_use=single_use,
            examples=tuple(examples),
            counterexamples=tuple(counterexamples),
            needs={f: tuple(inspect.signature(f).parameters) for f in called},
        )

    return decorate


def _is_attr(parameter: inspect.Parameter) -> bool:
    return parameter.kind is parameter.KEYWORD_ONLY


def collected(namespace: dict[str, Any]) -> tuple[Rule, ...]:
    """The rules of a module, in order, those in tuples and lists included."""
    found: dict[Rule, None] = {}
    for value in namespace.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, Rule):
                found[item] = None
    return tuple(found)
