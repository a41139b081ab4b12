"""Constant folding, bounded.

    a = constant 2; b = constant 3; c = mul(a, b)     becomes     c = constant 6

Constants that are one number repeated stay so: an elementwise op over them evaluates one element, and
rearranging them makes another one. Other operands and results are folded only up to `MAX_BYTES`, so no
large constant is ever made. What is folded is what `ir.evaluate` computes, bit for bit.
"""

from __future__ import annotations

from typing import Any, Final

import ml_dtypes
import numpy as np

from ir.core import Dense, Eqn, Function, Opaque, Value
from ir.evaluate import evaluate
from ir.ops.reduce import reduce_and, reduce_max, reduce_min, reduce_or
from ir.ops.shape import broadcast_in_dim, concatenate, constant, iota, pad, reshape, rev, slice, transpose
from ir.passes.nested import deep
from ir.types import TensorType

# Largest operand or result, in bytes, that is not one number repeated; a small table fits, a mask of an
# attention matrix does not.
MAX_BYTES: Final = 1024
# These give the number of which their constant operands consist.
_REARRANGE: Final = frozenset({broadcast_in_dim, reshape, transpose, rev, slice, concatenate, pad})
_EXTREMA: Final = frozenset({reduce_max, reduce_min, reduce_and, reduce_or})
_NEVER: Final = frozenset({"assume", "optimization_barrier", "stop_gradient", "sharding_constraint"})
# Ops that are defined to the last bit; of others, NumPy and XLA round results differently.
_EXACT: Final = frozenset({
    "abs", "add", "and", "broadcast_in_dim", "ceil", "clamp", "clz", "complex", "concatenate", "conj",
    "convert", "div", "dynamic_slice", "dynamic_update_slice", "eq", "floor", "gather", "ge", "gt",
    "imag", "is_finite", "le", "lt", "max", "min", "mul", "ne", "neg", "not", "or", "pad",
    "population_count", "real", "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_xor",
    "rem", "reshape", "rev", "round", "select", "shift_left", "shift_right_arithmetic",
    "shift_right_logical", "sign", "slice", "square", "sub", "transpose", "xor",
})  # fmt: skip
# Of integers these are exact too, whatever the order of operations.
_EXACT_INTEGERS: Final = frozenset({"dot_general", "integer_pow", "reduce_prod", "reduce_sum"})
# Complex numbers take several roundings here.
_ROUNDED_COMPLEX: Final = frozenset({"abs", "div", "mul", "sign", "square"})


@deep
def fold(function: Function) -> Function:
    """Evaluate equations all of whose operands are constants."""
    return _fold(function, exact=False)


@deep
def fold_exact(function: Function) -> Function:
    """As `fold`, but only where XLA would compute the same bits."""
    return _fold(function, exact=True)


def _fold(function: Function, *, exact: bool) -> Function:
    known: dict[Value, Eqn] = {}
    eqns: list[Eqn] | None = None
    for i, eqn in enumerate(function.eqns):
        if eqn.op is constant:
            known[eqn.results[0]] = eqn
        elif len(eqn.results) == 1 and all(v in known for v in eqn.operands):
            value = _folded(eqn, [known[v].attrs["value"] for v in eqn.operands], exact)
            if value is not None:
                shape = eqn.results[0].type.shape
                eqn = Eqn(constant, (), {"value": value, "shape": shape}, eqn.results, eqn.source)
                known[eqn.results[0]] = eqn
                eqns = list(function.eqns) if eqns is None else eqns
                eqns[i] = eqn
    return function if eqns is None else function.replace(eqns=tuple(eqns))


def _folded(eqn: Eqn, values: list[Dense], exact: bool) -> Dense | None:
    op, out = eqn.op, eqn.results[0].type
    if not eqn.operands:
        # Positions along an axis of one element.
        is_zero = op is iota and out.shape[eqn.attrs["axis"]] == 1
        return Dense(np.zeros((), out.dtype.np), out.dtype) if is_zero else None
    if op.eval is None or op.effect or op.name in _NEVER or out.dtype.kind == "key":
        return None
    # A nested function may run long; only plain ops are evaluated here.
    if op.inline is not None or any(
        isinstance(a, (Function, Opaque, tuple)) and _holds(a) for a in eqn.attrs.values()
    ):
        return None
    numbers = all(v.shape == () for v in values)
    if numbers and _keeps_number(eqn, values):
        return values[0]
    # A sampler that rejects would turn another rounding into other numbers.
    if any(v.dtype.kind == "key" for v in values) or (exact and not _is_exact(eqn)):
        return None
    if op.elementwise and numbers:
        scalars = [TensorType((), v.dtype) for v in values]
        shape: tuple[int, ...] = ()
    else:
        if out.nbytes > MAX_BYTES or any(v.type.nbytes > MAX_BYTES for v in eqn.operands):
            return None
        scalars = [v.type for v in eqn.operands]
        shape = out.shape
    arrays = [np.broadcast_to(v.array, t.shape) for v, t in zip(values, scalars, strict=True)]
    params = tuple([Value(t) for t in scalars])
    result = Value(out.with_shape(shape))
    step = Function(params, (Eqn(op, params, eqn.attrs, (result,), eqn.source),), (result,))
    array = evaluate(step, *arrays)[0]
    if exact and any(_has_subnormal(a, t) for a, t in zip((array, *arrays), (out, *scalars), strict=True)):
        return None
    return _shortest(array, out)


def _holds(attr: Any) -> bool:
    return not isinstance(attr, tuple) or any(isinstance(item, (Function, Opaque)) for item in attr)


def _keeps_number(eqn: Eqn, values: list[Dense]) -> bool:
    if eqn.op in _REARRANGE:
        return all(v == values[0] for v in values[1:])
    return eqn.op in _EXTREMA and eqn.operands[0].type.size > 0


def _shortest(array: Any, out: TensorType) -> Dense:
    """The constant as one number if all elements are the same bits."""
    if array.size > 1:
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
        if (raw == raw[0]).all():
            return Dense(array.reshape(-1)[0], out.dtype)
    elif array.size == 1:
        return Dense(array.reshape(()), out.dtype)
    return Dense(np.array(array), out.dtype)


def _is_exact(eqn: Eqn) -> bool:
    name, types = eqn.op.name, [v.type.dtype for v in (*eqn.operands, *eqn.results)]
    if name in _EXACT_INTEGERS:
        return not any(t.is_inexact for t in types)
    return name in _EXACT and not (name in _ROUNDED_COMPLEX and any(t.is_complex for t in types))


def _has_subnormal(array: Any, type: TensorType) -> bool:
    """Whether a number is below the normal ones, which XLA may take for zero."""
    if not type.dtype.is_inexact:
        return False
    parts = np.stack([array.real, array.imag]) if type.dtype.is_complex else array
    size = np.abs(parts.astype(np.float64))
    tiny = float(ml_dtypes.finfo(type.dtype.real.np).smallest_normal)  # type: ignore[no-untyped-call]
    return bool(((size > 0) & (size < tiny)).any())
