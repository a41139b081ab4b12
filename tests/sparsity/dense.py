"""The reference: where derivatives that are computed one direction after the other differ from zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ir
from ir import transforms
from ir.core import Dense
from ir.ops import elementwise as ew
from ir.ops.convert import convert
from ir.ops.reduce import reduce_sum
from ir.ops.shape import constant
from ir.passes.dce import dce
from ir.types import f64


def jacobian(function: ir.Function, operands: Sequence[Any], nonzero: Sequence[bool]) -> Any:
    """Where the Jacobian at `operands`, by forward mode, differs from zero; nan counts as zero."""
    program = dce(transforms.jvp(function, nonzero, primals_out=False)[0])
    chosen = [np.asarray(x) for x, n in zip(operands, nonzero, strict=True) if n]
    rows = sum(t.size for t in function.out_types if t.dtype.is_inexact)
    columns = [np.zeros((rows, 0), np.bool_)]
    for k, x in enumerate(chosen):
        for i in range(x.size):
            moved = np.zeros(rows, np.bool_)
            for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
                tangents = [np.zeros_like(c) for c in chosen]
                tangents[k].reshape(-1)[i] = unit
                outs = ir.evaluate(program, *operands, *tangents)
                moved |= np.concatenate([np.zeros(0, np.bool_), *map(_differs, outs)])
            columns.append(moved[:, None])
    return np.concatenate(columns, axis=1)


def _differs(x: Any) -> Any:
    wide = np.asarray(x).astype(np.complex128 if np.asarray(x).dtype.kind == "c" else np.float64).reshape(-1)
    return (wide != 0) & ~np.isnan(wide)


def hessian(function: ir.Function, operands: Sequence[Any], nonzero: Sequence[bool]) -> Any:
    """Likewise of the Hessian of the first result, a scalar."""
    gradient = transforms.value_and_grad(function, nonzero)
    return jacobian(gradient.replace(results=gradient.results[len(function.results) :]), operands, nonzero)


def inexact_results(function: ir.Function) -> ir.Function:
    """The function without what has no tangents."""
    return function.replace(results=tuple([r for r in function.results if r.type.dtype.is_inexact]))


def loss(function: ir.Function) -> ir.Function:
    """A scalar of all results: a weighted sum of the elements and their squares."""

    def body(*params: Any) -> Any:
        total = constant(value=Dense(0.0, f64), shape=())
        for number, out in enumerate(ir.op.inline(function, params)):
            if out.type.dtype.is_complex:
                out = ew.add(ew.real(out), ew.imag(out))
            wide = convert(out, dtype=f64)
            weights = np.cos(np.arange(out.type.size) * 1.7 + number).reshape(out.type.shape)
            weighted = ew.mul(constant(value=Dense(weights, f64), shape=out.type.shape), wide)
            every = ew.add(weighted, ew.square(weighted))
            total = ew.add(total, reduce_sum(every, axes=tuple(range(out.type.rank))))
        return total

    return ir.build(function.in_types, body, "loss")
