"""Powers of one base with exponents in progression, and running products of it, as a table of products.

y = pow(broadcast x along an axis, [0, 1, 2, ...] along that axis)     becomes     products of u^(aB) and u^b
y = cumprod(broadcast x along an axis) along that axis                 likewise

`ir.passes.rolling.powers` writes them and says where that pays. It runs before a program is differentiated, too, so
that the derivative is that of the products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ir.core import Eqn, Function, Value
from ir.ops.convert import convert
from ir.ops.cumulative import cumprod
from ir.ops.elementwise import add, mul, neg, pow, sub
from ir.ops.shape import broadcast_in_dim, constant, iota, reshape, reshape_to
from ir.passes.nested import deep
from ir.passes.replacing import rewritten
from ir.passes.rolling.powers import pays, progression
from ir.rewriter import constant_number
from ir.types import TensorType

_LARGEST = 1 << 20  # exponent
_TABLES = (cumprod, pow)
_ARITHMETIC = {add: np.add, sub: np.subtract, mul: np.multiply}


@deep
def tabulate_powers(function: Function) -> Function:
    """Write tables of powers as products where that takes less time."""
    if not any(eqn.op in _TABLES for eqn in function.eqns):
        return function
    definitions = {r: eqn for eqn in function.eqns for r in eqn.results}
    env: dict[Value, Value] = {}

    def write(eqn: Eqn) -> Value | None:
        return _table(eqn, definitions.get, env) if eqn.op in _TABLES else None

    return rewritten(function, write, env)


def _table(eqn: Eqn, definition: Callable[[Value], Eqn | None], env: dict[Value, Value]) -> Value | None:
    """What stands for a power, or a running product; None where it stays."""
    base, shape = definition(eqn.operands[0]), eqn.results[0].type.shape
    if base is None or base.op is not broadcast_in_dim:
        return None
    x, dims = base.operands[0], base.attrs["dims"]
    for axis, size in enumerate(shape):
        if axis in dims and x.type.shape[dims.index(axis)] == size:
            continue
        exponents = _along(eqn.operands[1], axis, definition) if eqn.op is pow else _counted(eqn, axis, size)
        others = TensorType((*shape[:axis], *shape[axis + 1 :]), x.type.dtype)
        if exponents is None or not pays(exponents, others):
            continue
        left = [(k, d - (d > axis)) for k, d in enumerate(dims) if d != axis]
        kept = reshape_to(env.get(x, x), tuple([x.type.shape[k] for k, _ in left]))
        one = broadcast_in_dim(kept, shape=others.shape, dims=tuple([d for _, d in left]))
        return progression(one, exponents, axis)
    return None


def _counted(eqn: Eqn, axis: int, size: int) -> npt.NDArray[np.int64] | None:
    """How many factors each element of a running product has; None where it runs along another axis."""
    counts = np.arange(1, size + 1)
    return (counts[::-1] if eqn.attrs["reverse"] else counts) if eqn.attrs["axis"] == axis else None


def _along(
    value: Value, axis: int, definition: Callable[[Value], Eqn | None]
) -> npt.NDArray[np.int64] | None:
    """Exponents that change along one axis only, integers of one sign; None for others or where they are not known."""
    size = value.type.shape[axis]
    later: list[Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = []
    while (eqn := definition(value)) is not None and eqn.op not in (constant, iota):
        if eqn.op in _ARITHMETIC:
            numbers = [constant_number(definition(v)) for v in eqn.operands]
            if numbers[0] is None and numbers[1] is None:
                return None
            followed = 0 if numbers[0] is None else 1
            numbers[followed] = None
            value = eqn.operands[followed]
            later.append(_step(eqn, numbers))
            continue
        if eqn.op not in (broadcast_in_dim, convert, neg, reshape):
            return None
        value = eqn.operands[0]
        if eqn.op is convert:
            later.append(_rounded(eqn))
        elif eqn.op is neg:
            later.append(np.negative)
        elif eqn.op is broadcast_in_dim:
            if axis not in eqn.attrs["dims"]:
                return None
            axis = eqn.attrs["dims"].index(axis)
        else:
            # Where the one axis that is left may be; others of more than one element are not followed.
            long = [d for d, n in enumerate(value.type.shape) if n != 1]
            if len(long) != 1:
                return None
            axis = long[0]
        if value.type.shape[axis] != size:
            return None
    if eqn is None or eqn.results[0].type.dtype.kind not in ("int", "uint", "float"):
        return None
    if eqn.op is iota:
        if eqn.attrs["axis"] != axis:
            return None
        table = np.arange(size, dtype=np.float64)
    else:
        array = np.broadcast_to(eqn.attrs["value"].array, eqn.results[0].type.shape).astype(np.float64)
        rows = np.moveaxis(array, axis, 0).reshape(size, -1)
        if not rows.size or not (rows == rows[:, :1]).all():
            return None
        table = rows[:, 0]
    for step in reversed(later):
        table = step(table)
    if not ((table == np.round(table)) & (np.abs(table) <= _LARGEST)).all() or table.min() < 0 < table.max():
        return None
    return table.astype(np.int64)


def _rounded(eqn: Eqn) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    dtype = eqn.results[0].type.dtype.np
    return lambda table: table.astype(dtype).astype(np.float64)


def _step(
    eqn: Eqn, numbers: list[float | None]
) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    dtype, function = eqn.results[0].type.dtype.np, _ARITHMETIC[eqn.op]

    def step(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x, y = [table if n is None else n for n in numbers]
        return np.asarray(function(x, y)).astype(dtype).astype(np.float64)

    return step


__all__ = ["tabulate_powers"]
