"""What is known of a program's arrays before it runs: constants, and what is computed of positions alone."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ir.core import Array, Eqn, Function, Value, nested_functions
from ir.ops.loops import scan
from ir.ops.shape import broadcast_in_dim, constant, iota, reshape, slice, transpose

# Of so many elements at most, results are computed.
_LARGEST = 1 << 16
# So many equations at most are followed to what they are made of.
_MOST = 64
_MOVES = (broadcast_in_dim, reshape, slice, transpose)


class Known:
    """What is known of the values of a function and of those inside it.

    Attributes:
      arrays: constants, and small arrays of integers that are computed of such.
    """

    def __init__(self, function: Function) -> None:
        self.arrays: dict[Value, Array] = {}
        self._made: dict[Value, Eqn] = {}
        self._given: dict[Value, Value] = {}
        functions, held = [function], Counter([id(function)])
        for each in functions:
            for eqn in each.eqns:
                for nested in nested_functions(eqn) if eqn.attrs else ():
                    held[id(nested)] += 1
                    if held[id(nested)] == 1:
                        functions.append(nested)
        for each in functions:
            for eqn in each.eqns:
                self._read(eqn)
                # What two loops hold is not known to take the same.
                if eqn.op is scan and held[id(eqn.attrs["function"])] == 1:
                    params = eqn.attrs["function"].params[: eqn.attrs["num_consts"]]
                    for param, v in zip(params, eqn.operands, strict=False):
                        self._given[param] = v
                        if v in self.arrays:
                            self.arrays[param] = self.arrays[v]

    def _read(self, eqn: Eqn) -> None:
        if len(eqn.results) != 1:
            return
        (result,) = eqn.results
        kind = result.type.dtype.kind
        of_numbers = eqn.op.elementwise and eqn.op.eval is not None
        if eqn.op is constant:
            if kind not in ("key", "complex"):
                self.arrays[result] = np.asarray(eqn.op.eval(**eqn.attrs))  # type: ignore[misc]
        elif eqn.op is not iota and not of_numbers and eqn.op not in _MOVES:
            return
        elif kind in ("bool", "int", "uint") and result.type.size <= _LARGEST and eqn.op not in _MOVES:
            if all(v in self.arrays for v in eqn.operands):
                with np.errstate(all="ignore"):
                    found = eqn.op.eval(*[self.arrays[v] for v in eqn.operands], **eqn.attrs)  # type: ignore[misc]
                self.arrays[result] = np.asarray(found, result.type.dtype.np)
        self._made[result] = eqn

    def equations(self, param: Value) -> list[Eqn]:
        """Equations that make a param of positions, of which it is the last result; none where it is made of others."""
        value = param
        while value in self._given:
            value = self._given[value]
        found: dict[Eqn, None] = {}
        pending: list[tuple[Value, bool]] = [(value, False)]
        while pending:
            value, ready = pending.pop()
            while value in self._given:
                value = self._given[value]
            eqn = self._made.get(value)
            if eqn is None or len(found) > _MOST:
                return []
            if ready:
                found[eqn] = None
            elif eqn not in found:
                pending.append((value, True))
                pending += [(v, False) for v in eqn.operands]
        *before, last = [self._plain(eqn) for eqn in found]
        return [*before, Eqn(last.op, last.operands, last.attrs, (param,), last.source)]

    def _plain(self, eqn: Eqn) -> Eqn:
        """The equation over values that are made, and not given."""
        operands = list(eqn.operands)
        for k, v in enumerate(operands):
            while v in self._given:
                v = self._given[v]
            operands[k] = v
        return Eqn(eqn.op, tuple(operands), eqn.attrs, eqn.results, eqn.source)


__all__ = ["Known"]
