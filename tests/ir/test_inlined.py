"""Linear systems that are solved in place of their equations compute the same."""

from __future__ import annotations

import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.inlined import inlined


def solved(a, b):
    return tnp.linalg.solve(a, tnp.sin(b)), tnp.linalg.inv(a) @ b


@pytest.mark.parametrize("f", [solved, tr.grad(lambda a, b: tnp.sum(solved(a, b)[0] * solved(a, 2 * b)[1]))])
def test_the_same_numbers(f) -> None:
    rng = np.random.default_rng(0)
    args = rng.normal(size=(5, 5)).astype(np.float32), rng.normal(size=(5, 2)).astype(np.float32)
    function = tr.trace(f)(*args)
    flat = inlined(function)
    assert any(eqn.op.name == "linear_solve" for eqn in function.eqns)
    assert all(eqn.op.name != "linear_solve" for eqn in flat.function.eqns)
    ir.verify(flat.function)
    for x, y in zip(ir.evaluate(function, *args), ir.evaluate(flat.function, *args), strict=True):
        np.testing.assert_array_equal(x, y)
    assert flat.positions == tuple(sorted(flat.positions))
    assert len(flat.positions) == len(flat.function.eqns) + 1
    assert flat.positions[-1] == len(function.eqns)
    results = {v for eqn in function.eqns for v in eqn.results}
    assert set(flat.solutions.values()) <= results
    assert not set(flat.solutions) & results


def test_a_system_inside_what_solves_another() -> None:
    import jax

    def inner(a, b):
        return jax.lax.custom_linear_solve(lambda x: a @ x, b, lambda _, r: jax.numpy.linalg.solve(a, r))

    a, b = np.float32([[2, 1], [1, 3]]), np.float32([1, 2])
    function = tr.trace(inner)(a, b)
    flat = inlined(function).function
    assert all(eqn.op.name != "linear_solve" for eqn in flat.eqns)
    ir.verify(flat)
    np.testing.assert_allclose(ir.evaluate(flat, a, b)[0], np.linalg.solve(a, b), rtol=1e-6)


def test_nothing_to_do_is_the_same_object() -> None:
    function = tr.trace(tnp.sin)(1.0)
    assert inlined(function).function is function
