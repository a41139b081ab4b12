"""`linear_call`: linear functions with their transposes, ours and imported, transformed from inside and outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.custom_derivatives import linear_call as jax_linear_call

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.errors import ArgumentTypeError
from tests.tracer.helpers import array, assert_close, raises

R, X = np.float32(0.7), array(3)


def close(got: Any, want: Any) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert_close(a, b, 1e-5)


def scaled(call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """The square of a product, whose transpose is given as three times what it is."""

    def f(r: Any, x: Any) -> Any:
        forward = lambda r, x: {"out": xp.sin(r) * x}
        return xp.sum(call(forward, lambda r, ct: 3 * xp.sin(r) * ct["out"], r, x)["out"] ** 2)

    return f


def known(r: Any, x: Any, factor: float) -> tuple[Any, Any]:
    """The derivatives by r and x where the transpose is `factor` times that of the map."""
    return jnp.sum(2 * jnp.sin(r) * jnp.cos(r) * x**2), factor * 2 * jnp.sin(r) ** 2 * x


@pytest.mark.parametrize("from_jax", [False, True])
def test_reverse_mode_takes_the_transpose(from_jax: bool) -> None:
    f = scaled(jax_linear_call, jnp) if from_jax else scaled(tr.linear_call, tnp)
    close(tr.grad(f, (0, 1))(R, X), known(R, X, 3))
    close(tr.jit(tr.grad(f, (0, 1)))(R, X), known(R, X, 3))
    close(jax.grad(tr.jit(f), (0, 1))(R, X), known(R, X, 3))
    by_r, by_x = known(R, X, 1)
    tangent = by_r * 0.3 + jnp.vdot(by_x, X)
    close(tr.jvp(f, (R, X), (np.float32(0.3), X))[1], tangent)
    close(jax.jvp(tr.jit(f), (R, X), (np.float32(0.3), X))[1], tangent)
    many = np.stack([X, 2 * X])
    want = [known(R, x, 3) for x in many]
    want = [jnp.stack(parts) for parts in zip(*want, strict=True)]
    close(tr.vmap(tr.grad(f, (0, 1)), (None, 0))(R, many), want)
    close(jax.vmap(jax.grad(tr.jit(f), (0, 1)), (None, 0))(R, many), want)


def test_second_derivatives_and_closures() -> None:
    def f(r: Any, x: Any) -> Any:
        map_ = lambda _, x: tnp.sin(r) * x
        return tnp.sum(tr.linear_call(map_, map_, (), x) ** 3)

    want = jax.hessian(lambda r, x: jnp.sum((jnp.sin(r) * x) ** 3), (0, 1))(R, X)
    close(tr.hessian(f, (0, 1))(R, X), want)
    close(tr.jacrev(tr.grad(f, (0, 1)), (0, 1))(R, X), want)
    close(jax.hessian(tr.jit(f), (0, 1))(R, X), want)
    close(jax.jacrev(jax.grad(tr.jit(f), (0, 1)), (0, 1))(R, X), want)


def test_jax_differentiates_loops_beside_custom_rules() -> None:
    """The linear part of a loop is a loop that JAX cannot transpose: it is given the transpose."""
    same = tr.custom_jvp(lambda x: x)
    same.defjvp(lambda primals, tangents: (primals[0], tangents[0]))

    def f(x: Any) -> Any:
        step = lambda s: (tnp.sin(s[0]) * s[0], s[1] + 1)
        return same(tr.while_loop(lambda s: s[1] < 5, step, (x, 0))[0])

    x = 1.1
    close(jax.grad(tr.jit(f))(x), tr.grad(f)(x))
    close(jax.grad(jax.grad(tr.jit(f)))(x), tr.grad(tr.grad(f))(x))
    close(jax.vmap(jax.grad(tr.jit(f)))(X), tr.vmap(tr.grad(f))(X))


def test_prints_parses_and_prunes() -> None:
    f = lambda r, x: tr.linear_call(lambda r, x: r[0] * x, lambda r, ct: r[0] * ct, (r, r * 2), x)
    function = tr.trace(f)(R, X)
    ir.verify(function)
    assert ir.parse(str(function)) == function
    from ir.passes.dce import dce

    eqn = dce(function).eqns[-1]
    assert eqn.op.name == "linear_call"
    assert eqn.attrs["num_residuals"] == 1


def test_errors() -> None:
    double = lambda _, x: 2 * x
    with raises(ArgumentTypeError, "i32[2]", "linear_args"):
        tr.linear_call(double, double, (), np.arange(2, dtype=np.int32))
    with raises(ArgumentTypeError, "bool[3]", "the result of"):
        tr.linear_call(lambda _, x: x > 0, double, (), X)
    with raises(ArgumentTypeError, "structure"):
        tr.linear_call(double, lambda _, ct: (ct, ct), (), X)
    with raises(ArgumentTypeError, "f32[3]", "f32[1]", "leaf['x']"):
        tr.linear_call(lambda _, x: x, lambda _, ct: {"x": ct["x"][:1]}, (), {"x": X})
