"""What is known of a program's arrays before it runs: constants, and what is computed of positions alone."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ir.core import Array, Eqn, Function, Value, nested_functions
from ir.ops.loops import scan
from ir.ops.shape import broadcast_in_dim, constant, iota, reshape, slice, transpose

# Of so many elements at most, results are computed.
_LARGEST = 1 << 16
# A value is followed to so many equations at most that make it.
_MOST = 256
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
        elif (
            kind in ("bool", "int", "uint")
            and result.type.size <= _LARGEST
            and eqn.op not in _MOVES
            and all(v in self.arrays for v in eqn.operands)
        ):
            with np.errstate(all="ignore"):
                found = eqn.op.eval(*[self.arrays[v] for v in eqn.operands], **eqn.attrs)  # type: ignore[misc]
            self.arrays[result] = np.asarray(found, result.type.dtype.np)
        self._made[result] = eqn

    def equations(self, param: Value) -> list[Eqn]:
        """Equations that make a param of positions, of which it is the last result; none where it is made of others.

        What is used twice is made twice: rows and columns may be counted by one equation, and are not one axis.
        """
        found: list[Eqn] = []

        def make(value: Value, result: Value) -> bool:
            while value in self._given:
                value = self._given[value]
            eqn = self._made.get(value)
            if eqn is None or len(found) >= _MOST:
                return False
            operands = tuple([Value(v.type) for v in eqn.operands])
            if not all(make(v, new) for v, new in zip(eqn.operands, operands, strict=True)):
                return False
            found.append(Eqn(eqn.op, operands, eqn.attrs, (result,), eqn.source))
            return True

        return found if make(param, param) else []


__all__ = ["Known"]
