"""Random programs: no element of a derivative at random points lies outside the pattern."""

from __future__ import annotations

import random
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
from ir import transforms
from ir.errors import DifferentiationError, TracerError
from ir.sparsity import hessian_pattern, jacobian_pattern, needs_reverse
from ir.sparsity.rules import control
from tests.fuzz.generate import generate
from tests.fuzz.spaces import TRACER
from tests.ir.generate import arguments, functions
from tests.sparsity.dense import hessian, inexact_results, jacobian, loss


def check(function: ir.Function, operands: list[Any], chosen: tuple[bool, ...]) -> bool:
    """Compare patterns of a function with its derivatives; whether there was something to compare."""
    if not any(chosen) or not function.results:
        return False
    try:
        transforms.jvp(function, chosen)
    except DifferentiationError:  # an op without the derivative, such as scatter_mul of indices that may meet
        return False
    found = jacobian_pattern(function, chosen).dense()
    if needs_reverse(function, chosen):
        want = by_reverse_mode(function, operands, chosen)
    else:
        want = jacobian(function, operands, chosen)
    assert not (want & ~found).any()
    real = tuple([c and t.dtype.kind == "float" for c, t in zip(chosen, function.in_types, strict=True)])
    if not any(real) or needs_reverse(function, chosen):
        return True
    scalar = loss(function)
    try:
        want = hessian(scalar, operands, real)
    except TracerError:  # a rule of an op without second derivative, or for reverse mode alone
        return True
    assert not (want & ~hessian_pattern(scalar, real).dense()).any()
    return True


def by_reverse_mode(function: ir.Function, operands: list[Any], chosen: tuple[bool, ...]) -> Any:
    """Where the Jacobian by reverse mode differs from zero."""
    program = transforms.vjp(function, chosen, [True] * len(function.results))
    rows = []
    for k, t in enumerate(function.out_types):
        for i in range(t.size):
            moved: Any = False
            for unit in (1, 1j) if t.dtype.is_complex else (1,):
                cts = [np.zeros(o.shape, o.dtype.np) for o in function.out_types]
                cts[k].reshape(-1)[i] = unit
                grads = ir.evaluate(program, *operands, *cts)[len(function.results) :]
                flat = np.concatenate([np.asarray(g).reshape(-1).astype(np.complex128) for g in grads])
                moved = moved | ((flat != 0) & ~np.isnan(flat))
            rows.append(moved)
    return np.array(rows)


@given(functions(max_eqns=12, dtypes=("f32", "f64", "i32", "c64", "bool")), st.integers(0, 3))
def test_functions(function: ir.Function, seed: int) -> None:
    function = inexact_results(function)
    chosen = tuple([t.dtype.is_inexact for t in function.in_types])
    check(function, arguments(function, seed), chosen)


# Loops are followed trip by trip, or, as those of many trips are, all at once or until nothing is added.
@pytest.mark.parametrize("trip_by_trip", [True, False])
@settings(max_examples=16)
@given(number=st.integers(0, 2**32 - 1))
def test_traced_programs(trip_by_trip: bool, number: int) -> None:
    """Loops, branches, custom rules, indexing: what `tests.fuzz` draws."""
    with pytest.MonkeyPatch.context() as patch:
        if not trip_by_trip:
            patch.setattr(control, "_WORK", 0)
        _check_program(number)


def _check_program(number: int) -> None:
    program = generate(random.Random(f"sparse.{number}"))
    with jax.enable_x64(True):
        function = inexact_results(tr.trace(program.function(TRACER))(*program.inputs))
        chosen = tuple([t.dtype.is_inexact for t in function.in_types])
        # Custom rules are traced when they are asked for.
        check(function, [np.asarray(x) for x in program.inputs], chosen)
