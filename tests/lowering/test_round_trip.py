"""Every op survives the way through JAX: what its lowering traces to is imported as our ops again."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ir
from lowering.jaxprs.importer import import_jaxpr
from lowering.jaxprs.versions import NEWER_DERIVATIVES
from tests.ops.harness import BY_NAME, PLACE, case, disagreement, dtypes_of, primary

# Ops whose lowering uses a primitive that has no counterpart, and why.
FOREIGN = {
    "sign": "of complex numbers: JAX takes the derivative to be zero",
    "clamp": "of floats at traced bounds: JAX differentiates by neither of two that cross",
}
if not NEWER_DERIVATIVES:
    FOREIGN["acosh"] = "JAX's derivative has the other sign left of the imaginary axis"


def imported(name: str, dtype: str) -> tuple[ir.Function, ir.Function]:
    """(the op applied once, what its lowering is imported as)."""
    c = case(name, dtype)
    with jax.enable_x64(c.wide):
        closed = jax.make_jaxpr(lambda *xs: c.lowered(*xs))(*c.operands)
        back = import_jaxpr(closed, name)
    assert back.captures == ()
    return c.function, back.function


def foreign_in(function: ir.Function) -> set[str]:
    found, stack = set(), [function]
    while stack:
        for eqn in stack.pop().eqns:
            if eqn.op.name.startswith("foreign"):
                found.add(eqn.attrs["primitive"].name)
            stack.extend(ir.nested_functions(eqn))
    return found


CASES = [
    pytest.param(name, dtype, id=f"{name}-{dtype}")
    for name in BY_NAME
    for dtype in (dtypes_of(name) if PLACE[name] == 0 else (primary(name),))
]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_lowering_imports_as_our_ops(name: str, dtype: str) -> None:
    c = case(name, dtype)
    function, back = imported(name, dtype)
    ir.verify(back)
    allowed = {c.sample.op} if c.sample.op in FOREIGN else set()
    assert foreign_in(back) <= allowed
    keys = any(t.dtype.kind == "key" for t in (*function.in_types, *function.out_types))
    if keys or c.sample.compare is not None:
        assert [t.dtype for t in back.out_types] == [t.dtype for t in function.out_types]
        return
    got, want = ir.evaluate(back, *c.operands), ir.evaluate(function, *c.operands)
    for a, b in zip(got, want, strict=True):
        rtol = max(c.rtol(ir.from_numpy(b.dtype)), 1e-6)
        wrong = disagreement(np.asarray(a), b, rtol=rtol, scaled=True, zeros=False)
        assert wrong is None, wrong
