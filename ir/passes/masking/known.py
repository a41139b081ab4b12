"""Arrays in a program that are known: constants, and what is computed of positions."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ir.core import Array, Eqn, Function, Value, nested_functions
from ir.ops.loops import scan
from ir.ops.shape import constant, iota

# Of so many elements at most, results are computed.
_LARGEST = 1 << 16


def known_arrays(function: Function) -> dict[Value, Array]:
    """The arrays of a function and of those inside it, with the constants that loops take."""
    functions, held = [function], Counter([id(function)])
    for each in functions:
        for eqn in each.eqns:
            for nested in nested_functions(eqn) if eqn.attrs else ():
                held[id(nested)] += 1
                if held[id(nested)] == 1:
                    functions.append(nested)
    found: dict[Value, Array] = {}
    for each in functions:
        for eqn in each.eqns:
            array = _computed(eqn, found)
            if array is not None:
                found[eqn.results[0]] = array
            elif eqn.op is scan and held[id(eqn.attrs["function"])] == 1:
                params = eqn.attrs["function"].params[: eqn.attrs["num_consts"]]
                found.update({p: found[v] for p, v in zip(params, eqn.operands, strict=False) if v in found})
    return found


def _computed(eqn: Eqn, found: dict[Value, Array]) -> Array | None:
    if len(eqn.results) != 1:
        return None
    type = eqn.results[0].type
    if eqn.op is constant:
        return None if type.dtype.kind in ("key", "complex") else np.asarray(eqn.op.eval(**eqn.attrs))
    small = type.dtype.kind in ("bool", "int", "uint") and type.size <= _LARGEST
    if not small or eqn.op.eval is None or not (eqn.op is iota or eqn.op.elementwise):
        return None
    if any(v not in found for v in eqn.operands):
        return None
    with np.errstate(all="ignore"):
        return np.asarray(eqn.op.eval(*[found[v] for v in eqn.operands], **eqn.attrs), type.dtype.np)


__all__ = ["known_arrays"]
