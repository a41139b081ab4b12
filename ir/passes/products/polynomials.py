"""Values as polynomials of others, so that equal ones are known whatever the order of their sums and products.

A polynomial is a number for each product of powers. Values that would be longer than `_TERMS` stand for themselves, so
that two equal values may be told apart, but never two different ones taken for equal (up to rounding).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import isclose, isfinite
from typing import Final

import numpy as np

from ir.core import Dense, Eqn, Function, Value
from ir.evaluate import evaluate
from ir.ops.elementwise import add, integer_pow, mul, neg, one_minus_square, square, sub
from ir.ops.shape import broadcast_in_dim, concatenate, constant, pad, reshape
from ir.rewriter import constant_number
from ir.types import TensorType

# What is not computed from others: values, and small arrays that are known, which are equal if their elements are.
Atom = Value | Dense
# A product of powers, in no order, and what each is multiplied by.
Powers = frozenset[tuple[Atom, int]]
Polynomial = Mapping[Powers, float]

_TERMS: Final = 32
_POWER: Final = 8
# What is known has at most so many elements, and is written in so many equations.
_ELEMENTS: Final = 256
_EQUATIONS: Final = 8

ZERO: Final[Polynomial] = {}
ONE: Final[Polynomial] = {frozenset(): 1.0}
MINUS_ONE: Final[Polynomial] = {frozenset(): -1.0}
_OPS: Final = (add, sub, neg, mul, square, one_minus_square)
_ARRANGING: Final = (broadcast_in_dim, concatenate, constant, pad, reshape)


def plus(p: Polynomial, q: Polynomial) -> Polynomial:
    """The sum."""
    return _summed([*p.items(), *q.items()])


def times(p: Polynomial, q: Polynomial) -> Polynomial | None:
    """The product; None if it is too long."""
    if len(p) * len(q) > _TERMS * _TERMS // 4:
        return None
    out = _summed([(_joined(left, right), a * b) for left, a in p.items() for right, b in q.items()])
    return out if len(out) <= _TERMS else None


def _summed(terms: Sequence[tuple[Powers, float]]) -> Polynomial:
    """What cancels stays, times 0: it may be infinite. Numbers do not."""
    out: dict[Powers, float] = {}
    for powers, number in terms:
        out[powers] = out.get(powers, 0.0) + number
    if len(out) > 1 and not out.get(frozenset(), 1.0):
        del out[frozenset()]
    return out


def _joined(left: Powers, right: Powers) -> Powers:
    if not left or not right:
        return left or right
    powers = Counter(dict(left))
    powers.update(dict(right))
    return frozenset(powers.items())


def one_hot(type: TensorType, place: int) -> Polynomial:
    """A vector with a one there and zeros elsewhere."""
    array = np.zeros(type.shape, type.dtype.np)
    array[place] = 1
    return {frozenset({(Dense(array, type.dtype), 1)}): 1.0} if type.size > 1 else ONE


def ratio(p: Polynomial, q: Polynomial) -> float | None:
    """The number that q is multiplied by to be p; None if there is none, or if one of them is zero."""
    if p.keys() != q.keys() or any((number == 0) != (q[powers] == 0) for powers, number in p.items()):
        return None
    numbers = [number / q[powers] for powers, number in p.items() if number]
    first = numbers[0] if numbers else 0.0
    alike = isfinite(first) and first != 0 and all(isclose(n, first, rel_tol=1e-12) for n in numbers)
    return first if alike else None


class Polynomials:
    """Of values, by their definitions; each is found once."""

    def __init__(self, definition: Callable[[Value], Eqn | None]) -> None:
        self.definition = definition
        self.found: dict[Value, Polynomial] = {}

    def of(self, value: Value) -> Polynomial:
        """The value as a polynomial, itself in the worst case. No recursion."""
        stack = [value]
        while stack:
            v = stack[-1]
            eqn = self.definition(v)
            operands = eqn.operands if eqn is not None and _is_arithmetic(eqn) else ()
            if v in self.found:
                stack.pop()
            elif waiting := [w for w in operands if w not in self.found]:
                stack += waiting
            else:
                self.found[v] = self._one(v, eqn, [self.found[w] for w in operands])
                stack.pop()
        return self.found[value]

    def _one(self, value: Value, eqn: Eqn | None, parts: list[Polynomial]) -> Polynomial:
        number = constant_number(
            self.definition(eqn.operands[0]) if eqn and eqn.op is broadcast_in_dim else eqn
        )
        if isinstance(number, float) and isfinite(number):
            return {frozenset(): number}
        made = _arithmetic(eqn, parts) if eqn is not None and parts else None
        if made is not None and len(made) <= _TERMS:
            return made
        dense = self._known(value)
        return {frozenset({(value if dense is None else dense, 1)}): 1.0}

    def _known(self, value: Value) -> Dense | None:
        """A small array that is made of constants."""
        if value.type.size > _ELEMENTS or not value.type.dtype.is_float:
            return None
        order: dict[Eqn, None] = {}
        stack = [(value, False)]
        while stack:
            v, is_ready = stack.pop()
            eqn = self.definition(v)
            if eqn is None or eqn.op not in _ARRANGING or v.type.size > _ELEMENTS or len(stack) > _EQUATIONS:
                return None
            if is_ready:
                order[eqn] = None
            elif eqn not in order:
                stack.append((v, True))
                stack += [(w, False) for w in eqn.operands]
        (array,) = evaluate(Function((), tuple(order), (value,)))
        return Dense(array, value.type.dtype)


def _is_arithmetic(eqn: Eqn) -> bool:
    return eqn.op in _OPS or (eqn.op is integer_pow and 1 <= eqn.attrs["y"] <= _POWER)


def _arithmetic(eqn: Eqn, parts: list[Polynomial]) -> Polynomial | None:
    first, last = parts[0], parts[-1]
    if eqn.op is mul:
        return times(first, last)
    if eqn.op is add:
        return plus(first, last)
    if eqn.op is integer_pow:
        power: Polynomial | None = ONE
        for _ in range(eqn.attrs["y"]):
            power = None if power is None else times(power, first)
        return power
    if eqn.op is square:
        return times(first, first)
    if eqn.op is one_minus_square:
        squared = times(first, first)
        return None if squared is None else _minus(ONE, squared)
    return _minus(ZERO if eqn.op is neg else first, last)


def _minus(p: Polynomial, q: Polynomial) -> Polynomial:
    return plus(p, {powers: -number for powers, number in q.items()})


__all__ = [
    "MINUS_ONE",
    "ONE",
    "ZERO",
    "Polynomial",
    "Polynomials",
    "Powers",
    "one_hot",
    "plus",
    "ratio",
    "times",
]
