"""Logic, comparison, selection and extrema. Exact, on every value, unless marked."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

from ir.ops.elementwise import (
    and_,
    eq,
    ge,
    gt,
    le,
    lt,
    max,
    min,
    ne,
    neg,
    not_,
    or_,
    select,
    shift_left,
    shift_right_arithmetic,
    shift_right_logical,
    xor_,
)
from ir.rewrite import NOTHING, SPECIAL, at, collected, lit, rule
from ir.rewrites.kinds import EXACT, FLOAT

BOOL = frozenset({"bool"})

# Logic --------------------------------------------------------------------------------------------


@rule(changes=NOTHING)
def double_not(x):
    """not not x = x, bit by bit."""
    return not_(not_(x)), x


@rule(changes=NOTHING)
def and_of_equals(x):
    """x and x = x."""
    return and_(x, x), x


@rule(changes=NOTHING)
def or_of_equals(x):
    """x or x = x."""
    return or_(x, x), x


@rule(changes=NOTHING)
def xor_of_equals(x):
    """x xor x = 0."""
    return xor_(x, x), lit(0)


@rule(changes=NOTHING, on=BOOL)
def and_with_true(x):
    """x and true = x."""
    return and_(x, lit(True)), x


@rule(changes=NOTHING)
def and_with_false(x):
    """x and false = false; bit by bit, x & 0 = 0."""
    return and_(x, lit(0)), lit(0)


@rule(changes=NOTHING, on=BOOL)
def or_with_true(x):
    """x or true = true."""
    return or_(x, lit(True)), lit(True)


@rule(changes=NOTHING)
def or_with_false(x):
    """x or false = x; bit by bit, x | 0 = x."""
    return or_(x, lit(0)), x


@rule(changes=NOTHING)
def xor_with_false(x):
    """x xor false = x; bit by bit, x ^ 0 = x."""
    return xor_(x, lit(0)), x


@rule(changes=NOTHING, on=BOOL)
def xor_with_true(x):
    """x xor true = not x."""
    return xor_(x, lit(True)), not_(x)


@rule(changes=NOTHING)
def and_with_opposite(x):
    """x and not x = false."""
    return and_(x, not_(x)), lit(0)


@rule(changes=NOTHING, on=BOOL)
def or_with_opposite(x):
    """x or not x = true."""
    return or_(x, not_(x)), lit(True)


@rule(changes=NOTHING)
def absorption_by_and(x, y):
    """x and (x or y) = x."""
    return and_(x, or_(x, y)), x


@rule(changes=NOTHING)
def absorption_by_or(x, y):
    """x or (x and y) = x."""
    return or_(x, and_(x, y)), x


def _shift_by_zero(shift):
    @rule(changes=NOTHING, name=f"{shift.name}_by_zero")
    def by_zero(x):
        """x shifted by no bits."""
        return shift(x, lit(0)), x

    return by_zero


SHIFTS = tuple(_shift_by_zero(op) for op in (shift_left, shift_right_arithmetic, shift_right_logical))

# Comparison ---------------------------------------------------------------------------------------


def _ordered(x):
    """No element is nan."""
    return x.type.dtype.kind in EXACT


def _negated_comparison(comparison, opposite):
    """nan is neither below nor above: only equality may be turned around for floats."""
    free = comparison in (eq, ne)
    examples = [at((3,), (3,), dtypes=["i32", "u8", "bool"])]

    @rule(
        changes=NOTHING,
        name=f"not_{comparison.name}",
        single_use=True,
        guard=None if free else _ordered,
        examples=() if free else examples,
        counterexamples=() if free else [at((3,), (3,), dtypes=["f32", "bf16"])],
    )
    def negated(x, y):
        """The negation of a comparison is the opposite one."""
        return not_(comparison(x, y)), opposite(x, y)

    return negated


NEGATED = tuple(
    _negated_comparison(a, b) for a, b in ((eq, ne), (ne, eq), (lt, ge), (ge, lt), (gt, le), (le, gt))
)


def _self_comparison(comparison, result):
    free = comparison in (lt, gt)
    examples = [at((3,), dtypes=["i32", "u8", "bool"])]

    @rule(
        changes=NOTHING,
        name=f"{comparison.name}_of_equals",
        guard=None if free else _ordered,
        examples=() if free else examples,
        counterexamples=() if free else [at((3,), dtypes=["f32"])],
    )
    def itself(x):
        """A value compared with itself; nan is not equal to itself."""
        return comparison(x, x), lambda out: _all(out, result)

    return itself


def _all(like, answer):
    from ir.ops.shape import full_like

    return full_like(like, answer)


ITSELF = tuple(
    _self_comparison(op, result)
    for op, result in ((eq, True), (ne, False), (lt, False), (le, True), (gt, False), (ge, True))
)

_BOOLS = [at((3,), dtypes=["bool"])]


def _bool(x):
    return x.type.dtype.kind == "bool"


_NUMBERS = [at((3,), dtypes=["i32", "f32"])]


@rule(changes=NOTHING, guard=_bool, examples=_BOOLS, counterexamples=_NUMBERS)
def equal_to_true(x):
    """(x = true) = x."""
    return eq(x, lit(True)), x


@rule(changes=NOTHING, guard=_bool, examples=_BOOLS, counterexamples=_NUMBERS)
def equal_to_false(x):
    """(x = false) = not x."""
    return eq(x, lit(False)), not_(x)


@rule(changes=NOTHING, guard=_bool, examples=_BOOLS, counterexamples=_NUMBERS)
def unequal_to_false(x):
    """(x != false) = x."""
    return ne(x, lit(False)), x


@rule(changes=NOTHING, guard=_bool, examples=_BOOLS, counterexamples=_NUMBERS)
def unequal_to_true(x):
    """(x != true) = not x."""
    return ne(x, lit(True)), not_(x)


# Selection ----------------------------------------------------------------------------------------


@rule(changes=NOTHING)
def select_of_equals(p, x):
    """Either way x."""
    return select(p, x, x), x


@rule(changes=NOTHING)
def select_true(x, y):
    """The predicate always holds."""
    return select(lit(True), x, y), x


@rule(changes=NOTHING)
def select_false(x, y):
    """The predicate never holds."""
    return select(lit(False), x, y), y


@rule(changes=NOTHING)
def select_by_opposite(p, x, y):
    """Swap the cases instead of negating the predicate."""
    return select(not_(p), x, y), select(p, y, x)


@rule(changes=NOTHING)
def select_twice_then(p, x, y, z):
    """Where p holds, the inner selection takes its first case."""
    return select(p, select(p, x, y), z), select(p, x, z)


@rule(changes=NOTHING)
def select_twice_else(p, x, y, z):
    """Where p does not hold, the inner selection takes its second case."""
    return select(p, x, select(p, y, z)), select(p, x, z)


@rule(changes=NOTHING, on=BOOL)
def select_of_truth(p):
    """true where p holds: p."""
    return select(p, lit(True), lit(False)), p


@rule(changes=NOTHING, on=BOOL)
def select_of_falsehood(p):
    """false where p holds: not p."""
    return select(p, lit(False), lit(True)), not_(p)


@rule(changes=NOTHING, single_use=True)
def select_of_negs(p, x, y):
    """One negation after instead of two before."""
    return select(p, neg(x), neg(y)), neg(select(p, x, y))


# Extrema ------------------------------------------------------------------------------------------


def _extremum(op, other):
    @rule(changes=NOTHING, name=f"{op.name}_of_equals")
    def of_equals(x):
        """max(x, x) = x; so for min."""
        return op(x, x), x

    @rule(changes=NOTHING, name=f"{op.name}_twice", on=EXACT)
    def twice(x, y):
        """max(max(x, y), y) = max(x, y); so for min."""
        return op(op(x, y), y), op(x, y)

    @rule(changes=SPECIAL, name=f"{op.name}_twice_inexact", on=FLOAT)
    def twice_inexact(x, y):
        """As for integers, but for the sign of zero (and for derivatives where x = y)."""
        return op(op(x, y), y), op(x, y)

    @rule(changes=NOTHING, name=f"{op.name}_absorbs_{other.name}", on=EXACT)
    def absorbs(x, y):
        """max(x, min(x, y)) = x; so for min."""
        return op(x, other(x, y)), x

    return of_equals, twice, twice_inexact, absorbs


MAX = _extremum(max, min)
MIN = _extremum(min, max)

RULES = collected(globals())
