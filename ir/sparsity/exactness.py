"""Which values that follow from constants have the same bits whoever computes them.

A pattern is found by NumPy, and the derivative is computed by XLA: what is rounded may differ in its last digit, and
what a comparison, a conversion to integers or a rounding makes of it may differ altogether. So these are followed
from values without rounding only. Of products, and of sums whose terms are all zero, it is still known where they
are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from ir.core import Array, Eqn, Function, inner_first, nested_functions
from ir.op import op_named

# Ops whose results have no rounding, whatever the type.
_EXACT = frozenset({
    "abs", "argmax", "argmin", "bitcast_convert", "broadcast_in_dim", "ceil", "clamp", "complex", "concatenate", "conj",
    "constant", "convert", "cummax", "cummin", "dynamic_slice", "dynamic_update_slice", "eq", "floor", "gather", "ge",
    "gt", "imag", "iota", "is_finite", "le", "lt", "max", "min", "ne", "neg", "optimization_barrier", "pad", "real",
    "reduce_max", "reduce_min", "reshape", "rev", "round", "scatter", "select", "sign", "slice", "sort",
    "stop_gradient", "top_k", "transpose",
})  # fmt: skip
# Of these, those that only move elements, keep or flip their signs: what is zero stays zero.
_MOVES = frozenset({
    "abs", "broadcast_in_dim", "complex", "concatenate", "conj", "convert", "dynamic_slice", "dynamic_update_slice",
    "gather", "imag", "neg", "optimization_barrier", "pad", "real", "reshape", "rev", "scatter", "select", "slice",
    "stop_gradient", "transpose",
})  # fmt: skip
# Rounded once; zero only where an operand is, unless the range is left.
_PRODUCTS = frozenset({"mul", "div", "square", "integer_pow"})
# Zero where all terms are; where they cancel, another rounding may leave something.
_SUMS = frozenset({"add", "sub", "cumsum", "dot_general", "reduce_sum", "scatter_add"})


class Exactness(IntEnum):
    """How much is known of a value that was computed: nothing, where it is zero, or all of it."""

    NONE = 0
    ZEROS = 1
    BITS = 2


def exactness(eqn: Eqn, operands: Exactness) -> Exactness:
    """Of the results of an equation whose operands are at least so well known."""
    nested = list(nested_functions(eqn))
    if nested:
        whole = operands is Exactness.BITS and all(map(_is_exact, nested))
        return Exactness.BITS if whole else Exactness.NONE
    if not _rounds(eqn):
        return operands if operands is Exactness.BITS else _of_moves(eqn)
    return Exactness.ZEROS if eqn.op.name in _PRODUCTS | _SUMS else Exactness.NONE


def without_cancelling(eqn: Eqn, arrays: Sequence[Array]) -> tuple[Eqn, Sequence[Array]]:
    """A sum with 1 for what may not be zero, so that its result is zero where all terms are; all else as it is."""
    if eqn.op.name not in _SUMS:
        return eqn, arrays
    if eqn.op.name == "sub":
        eqn = Eqn(op_named("add"), eqn.operands, eqn.attrs, eqn.results, eqn.source)
    return eqn, [
        (a != 0).astype(a.dtype) if v.type.dtype.is_inexact else a
        for v, a in zip(eqn.operands, arrays, strict=True)
    ]


def _of_moves(eqn: Eqn) -> Exactness:
    """Of what is only known where it is zero."""
    inexact = all(v.type.dtype.is_inexact for v in eqn.results)
    return Exactness.ZEROS if inexact and eqn.op.name in _MOVES else Exactness.NONE


def _rounds(eqn: Eqn) -> bool:
    """Whether an equation may round, or depend on the rounding of what it does inside."""
    return eqn.op.name not in _EXACT and any(v.type.dtype.is_inexact for v in (*eqn.operands, *eqn.results))


def _is_exact(function: Function) -> bool:
    """Whether nothing in a function rounds."""
    return not any(
        _rounds(eqn) for each in inner_first(function) for eqn in each.eqns if not any(nested_functions(eqn))
    )


__all__ = ["Exactness", "exactness", "without_cancelling"]
