"""Linear solves, roots and fixed points, differentiated by what defines them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.errors import ArgumentError, ArgumentTypeError, DifferentiationError
from tests.tracer.helpers import array, assert_close, raises

A = array(4, 4) + 4 * np.eye(4, dtype=np.float32)
B = array(4, seed=1)
BATCH_A = np.stack([A, A.T, A + 1])
BATCH_B = np.stack([B, 2 * B, B - 1])


def close(got: Any, want: Any, tol: float | None = None) -> None:
    """`assert_close` leaf by leaf."""
    got, want = jax.tree.leaves(got), jax.tree.leaves(want)
    for a, b in zip(got, want, strict=True):
        assert_close(a, b, tol)


def solved(lib: Any, solve: Callable[..., Any], xp: Any, **options: Any) -> Callable[..., Any]:
    """A scalar of the solution, with the solver's own program kept out of derivatives."""

    def f(a: Any, b: Any) -> Any:
        fixed = lib.stop_gradient(a)
        inner = lambda _, b: xp.linalg.solve(fixed, b)
        turned = lambda _, b: xp.linalg.solve(fixed.T, b)
        return xp.sum(xp.sin(solve(lambda x: a @ x, b, inner, turned, **options)))

    return f


OURS = solved(tr, tr.custom_linear_solve, tnp)
JAXS = solved(lax, lax.custom_linear_solve, jnp)
PLAIN = lambda a, b: jnp.sum(jnp.sin(jnp.linalg.solve(a, b)))
TRANSFORMS: dict[str, tuple[Callable[..., Any], tuple[Any, Any]]] = {
    "grad": (lambda lib, f: lib.grad(f, (0, 1)), (A, B)),
    "jacfwd": (lambda lib, f: lib.jacfwd(f, (0, 1)), (A, B)),
    "hessian": (lambda lib, f: lib.hessian(f, (0, 1)), (A, B)),
    "reverse over reverse": (
        lambda lib, f: lib.grad(lambda a, b: lib.grad(f, 0)(a, b).sum() + lib.grad(f, 1)(a, b).sum(), (0, 1)),
        (A, B),
    ),
    "batch of b": (lambda lib, f: lib.vmap(lib.grad(f, (0, 1)), (None, 0)), (A, BATCH_B)),
    "batch of a": (lambda lib, f: lib.vmap(lib.grad(f, (0, 1)), (0, None)), (BATCH_A, B)),
    "batch of both": (lambda lib, f: lib.vmap(lib.hessian(f, (0, 1))), (BATCH_A, BATCH_B)),
    "grad of a batch": (
        lambda lib, f: lib.grad(lambda a, b: lib.vmap(f, (None, 0))(a, b).sum(), (0, 1)),
        (A, BATCH_B),
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_linear_solve_under_every_transform(name: str) -> None:
    transform, args = TRANSFORMS[name]
    want = transform(jax, PLAIN)(*args)
    close(transform(tr, OURS)(*args), want, tol=1e-4)
    close(tr.jit(transform(tr, OURS))(*args), want, tol=1e-4)
    close(tr.jit(transform(tr, JAXS))(*args), want, tol=1e-4)  # imported from JAX's own
    if name != "reverse over reverse":
        close(transform(jax, tr.jit(OURS))(*args), want, tol=1e-4)  # differentiated by JAX


def test_linear_solve_prints_and_parses() -> None:
    function = tr.jit(tr.grad(OURS, (0, 1))).ir(A, B)
    assert "linear_solve" in [e.op.name for e in function.eqns]
    ir.verify(function)
    assert ir.parse(str(function)) == function
    close(ir.evaluate(function, A, B), jax.grad(PLAIN, (0, 1))(A, B), tol=1e-4)


def conjugate_gradient(matvec: Any, b: Any) -> Any:
    def step(s: Any) -> Any:
        x, r, p, k = s
        ap = matvec(p)
        alpha = tnp.vdot(r, r) / tnp.vdot(p, ap)
        new = r - alpha * ap
        return x + alpha * p, new, new + tnp.vdot(new, new) / tnp.vdot(r, r) * p, k + 1

    go_on = lambda s: (tnp.vdot(s[1], s[1]) > 1e-12) & (s[3] < 20)
    x, _, _, steps = tr.while_loop(go_on, step, (tnp.zeros_like(b), b, b, 0))
    return x, steps


def test_iterative_solver_with_its_steps_besides() -> None:
    spd = A @ A.T

    def f(a: Any, b: Any) -> Any:
        x, steps = tr.custom_linear_solve(
            lambda x: a @ x, b, conjugate_gradient, symmetric=True, has_aux=True
        )
        return tnp.sum(x**2), steps

    # A symmetric solve sees the symmetric part: its derivative by `a` is as if `a` were free.
    want = jax.grad(lambda a, b: jnp.sum(jnp.linalg.solve(a, b) ** 2), (0, 1))(spd, B)
    (_, steps), got = tr.jit(tr.value_and_grad(f, (0, 1), has_aux=True))(spd, B)
    assert 0 < int(steps) <= 20
    close(got, want, tol=1e-3)
    close(jax.jit(jax.grad(lambda a, b: tr.jit(f)(a, b)[0], (0, 1)))(spd, B), want, tol=1e-3)
    batch = tr.vmap(tr.grad(lambda a, b: f(a, b)[0], 1), (None, 0))(spd, BATCH_B)
    each = jnp.stack([jax.grad(lambda b: jnp.sum(jnp.linalg.solve(spd, b) ** 2))(b) for b in BATCH_B])
    close(batch, each, tol=1e-3)


def test_trees_of_unknowns() -> None:
    def f(lib: Any, xp: Any, solve: Any) -> Callable[..., Any]:
        def run(s: Any, b: Any) -> Any:
            matvec = lambda x: {"u": 2 * s * x["u"] + x["v"].sum(), "v": s * x["v"]}
            inverse = lambda _, y: {"u": (y["u"] - y["v"].sum() / s0) / (2 * s0), "v": y["v"] / s0}
            turned = lambda _, y: {"u": y["u"] / (2 * s0), "v": (y["v"] - y["u"].sum() / (2 * s0)) / s0}
            s0 = lib.stop_gradient(s)
            x = solve(matvec, b, inverse, turned)
            return xp.sum(x["u"] ** 3) + xp.sum(x["v"])

        return run

    b = {"u": np.float32(0.3), "v": B}
    want = jax.grad(f(lax, jnp, lax.custom_linear_solve), (0, 1))(1.7, b)
    close(tr.grad(f(tr, tnp, tr.custom_linear_solve), (0, 1))(1.7, b), want)


def test_linear_solve_errors() -> None:
    solve = lambda _, b: b
    with raises(ArgumentTypeError, "i32[3]", "floating point"):
        tr.jit(lambda b: tr.custom_linear_solve(lambda x: x, b, solve))(np.arange(3, dtype=np.int32))
    with raises(ArgumentTypeError, "f32[4]", "f32[3]"):
        tr.jit(lambda b: tr.custom_linear_solve(lambda x: x[:3], b, solve))(B)
    with raises(ArgumentTypeError, "structure"):
        tr.jit(lambda b: tr.custom_linear_solve(lambda x: (x, x), b, solve))(B)
    with raises(ArgumentTypeError, "(x, aux)"):
        tr.jit(lambda b: tr.custom_linear_solve(lambda x: x, b, solve, has_aux=True))(B)
    forward_only = lambda b: tr.custom_linear_solve(lambda x: 2 * x, b, lambda _, b: b / 2).sum()
    close(tr.jacfwd(forward_only)(B), np.full(4, 0.5))
    with pytest.raises(DifferentiationError, match="transpose_solve"):
        tr.grad(forward_only)(B)


# Roots -----------------------------------------------------------------------------------------------


def newton(f: Any, x: Any) -> Any:
    """Scalar Newton iteration in plain operations of both libraries' arrays."""
    step = lambda s: (s[0] - f(s[0]) / tr.grad(f)(s[0]), s[1] + 1)
    return tr.while_loop(lambda s: (tnp.abs(f(s[0])) > 1e-6) & (s[1] < 50), step, (x, 0))[0]


def cube_root(a: Any) -> Any:
    return tr.custom_root(lambda x: x**3 - a, 1.0 + 0 * a, newton, lambda g, y: y / g(1.0))


def test_root_of_any_order() -> None:
    a = 2.7
    orders = [cube_root]
    for _ in range(3):
        orders.append(tr.grad(orders[-1]))
    want = [a ** (1 / 3), a ** (-2 / 3) / 3, -2 * a ** (-5 / 3) / 9, 10 * a ** (-8 / 3) / 27]
    for f, value in zip(orders, want, strict=True):
        np.testing.assert_allclose(f(a), value, rtol=2e-5)
        np.testing.assert_allclose(tr.jit(f)(a), value, rtol=2e-5)
    np.testing.assert_allclose(tr.jacfwd(tr.jacfwd(cube_root))(a), want[2], rtol=2e-5)
    np.testing.assert_allclose(jax.grad(tr.jit(cube_root))(a), want[1], rtol=2e-5)
    many = np.array([0.5, 1.0, 2.0, 8.0], np.float32)
    np.testing.assert_allclose(tr.vmap(tr.grad(cube_root))(many), many ** (-2 / 3) / 3, rtol=2e-5)
    summed = lambda a: tr.scan(lambda c, x: (c + cube_root(x), None), 0.0, a)[0]
    np.testing.assert_allclose(tr.grad(summed)(many), many ** (-2 / 3) / 3, rtol=2e-5)


def test_root_of_a_system_against_jax() -> None:
    def program(lib: Any, xp: Any, root: Any, transform: Any) -> Callable[..., Any]:
        def f(w: Any, b: Any) -> Any:
            residual = lambda x: xp.tanh(w @ x) + 3 * x - b

            def solve(f: Any, x: Any) -> Any:
                for _ in range(8):
                    x = x - xp.linalg.solve(transform.jacfwd(f)(x), f(x))
                return x, xp.max(x)

            tangent_solve = lambda g, y: xp.linalg.solve(transform.jacobian(g)(y), y)
            x, place = root(residual, xp.zeros(4), solve, tangent_solve, has_aux=True)
            return xp.sum(x**2) + lib.stop_gradient(place)

        return f

    ours, theirs = program(tr, tnp, tr.custom_root, tr), program(lax, jnp, lax.custom_root, jax)
    for transform in (lambda lib, f: lib.value_and_grad(f, (0, 1)), lambda lib, f: lib.hessian(f)):
        want = transform(jax, theirs)(A, B)
        close(tr.jit(transform(tr, ours))(A, B), want, tol=1e-4)
        close(tr.jit(transform(tr, theirs))(A, B), want, tol=1e-4)


def test_equal_roots_find_the_compiled_program() -> None:
    from lowering.execute import PROGRAMS

    tr.grad(cube_root)(2.0)
    held = len(PROGRAMS)
    tr.grad(cube_root)(3.0)
    assert len(PROGRAMS) == held


def test_root_with_a_loop_in_its_residual() -> None:
    """The tangents of a loop go alone, so that they can be transposed."""

    def f(a: Any) -> Any:
        power = lambda x: tr.scan(lambda c, _: (c * x, None), 1.0 + 0 * x, None, 3)[0]
        return tr.custom_root(lambda x: power(x) * a - 2.0, 1.0 + 0 * a, newton, lambda g, y: y / g(1.0))

    np.testing.assert_allclose(tr.grad(f)(0.5), -(2.0 ** (1 / 3)) / 3 * 0.5 ** (-4 / 3), rtol=1e-5)


# Fixed points -----------------------------------------------------------------------------------------


def equilibrium(w: Any, b: Any) -> Any:
    return tr.fixed_point(lambda x: tnp.tanh(0.2 * w @ x + b), tnp.zeros_like(b))


def unrolled(w: Any, b: Any) -> Any:
    x = jnp.zeros_like(b)
    for _ in range(300):
        x = jnp.tanh(0.2 * w @ x + b)
    return x


def test_fixed_point_under_every_transform() -> None:
    w = array(4, 4, seed=3)
    with jax.enable_x64(True):
        args = jnp.asarray(w, jnp.float64), jnp.asarray(B, jnp.float64)
        loss = lambda f: lambda w, b: (f(w, b) ** 2).sum()
        for transform in (
            lambda lib, f: lib.value_and_grad(f, (0, 1)),
            lambda lib, f: lib.jacfwd(f, (0, 1)),
            lambda lib, f: lib.hessian(f, 1),
            lambda lib, f: lib.vmap(lib.grad(f, (0, 1)), (None, 0)),
        ):
            given = (
                (args[0], jnp.stack([args[1], -args[1]])) if "vmap" in transform.__code__.co_names else args
            )
            want = transform(jax, loss(unrolled))(*given)
            close(tr.jit(transform(tr, loss(equilibrium)))(*given), want, tol=1e-9)


def test_fixed_point_stops() -> None:
    assert float(tr.fixed_point(lambda x: 0.5 * x + 1, 0.0)) == pytest.approx(2.0, rel=1e-6)
    assert float(tr.fixed_point(lambda x: x + 1, 0.0, max_steps=5)) == 5.0
    assert float(tr.fixed_point(lambda x: 0.5 * x, 1.0, tol=0.1)) > 1e-3
    assert np.isnan(tr.fixed_point(lambda x: x * jnp.nan, 1.0))
    with pytest.raises(ArgumentError, match="max_steps"):
        tr.fixed_point(lambda x: x, 1.0, max_steps=0)
    with raises(ArgumentTypeError, "f32[]", "f32[2]"):
        tr.jit(lambda x: tr.fixed_point(lambda x: tnp.stack([x, x]), x))(1.0)


# Functions that call JAX -------------------------------------------------------------------------------


def test_functions_that_call_jax() -> None:
    root = lambda a: tr.custom_root(
        lambda x: jnp.sinh(x) - a, 0.5, newton, lambda g, y: jnp.divide(y, g(1.0))
    )
    np.testing.assert_allclose(tr.grad(root)(1.3), 1 / np.sqrt(1 + 1.3**2), rtol=1e-6)
    fixed = lambda w: tr.fixed_point(lambda x: jnp.tanh(w * x + 1.0), 0.0)
    h = 1e-3
    np.testing.assert_allclose(
        tr.jit(tr.grad(fixed))(0.5), (fixed(0.5 + h) - fixed(0.5 - h)) / (2 * h), rtol=1e-3
    )

    def f(a: Any, b: Any) -> Any:
        frozen = lax.stop_gradient(a)
        solve = lambda _, b: jnp.linalg.solve(frozen, b)
        turned = lambda _, b: jnp.linalg.solve(frozen.T, b)
        return jnp.sum(jnp.sin(tr.custom_linear_solve(lambda x: jnp.dot(a, x), b, solve, turned)))

    close(tr.grad(f, (0, 1))(A, B), jax.grad(PLAIN, (0, 1))(A, B), tol=1e-4)
    # Arrays of JAX that are closed over: nothing calls JAX with a traced value but the inner functions.
    matrix, fixed_matrix = jnp.asarray(A), np.asarray(A)
    g = lambda b: tr.custom_linear_solve(
        lambda x: jnp.dot(matrix, x),
        b,
        lambda mv, b: jnp.linalg.solve(fixed_matrix, b),
        lambda vm, b: jnp.linalg.solve(fixed_matrix.T, b),
    )
    close(tr.jacrev(g)(B), jnp.linalg.inv(A), tol=1e-4)


# Systems given by a derivative ------------------------------------------------------------------------------

MAPS: dict[str, Callable[..., Any]] = {
    "scan": lambda t, lib, xp, x: lib.scan(lambda c, _: (xp.sin(c) * c + A @ c, None), x, None, length=2)[0],
    "cond": lambda t, lib, xp, x: lib.cond(x[0] > 0, lambda x: xp.sin(x) * x + A @ x, lambda x: 2 * x, x),
    "checkpoint": lambda t, lib, xp, x: t.checkpoint(lambda x: xp.sin(x) * x + A @ x)(x),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_system_given_by_the_derivative_of_a_program(name):
    def made(t: Any, lib: Any, xp: Any) -> Any:
        def loss(x: Any, b: Any) -> Any:
            push = lambda v: t.jvp(lambda x: MAPS[name](t, lib, xp, x), (x,), (v,))[1]
            solve = lambda push, b: xp.linalg.solve(t.jacfwd(push)(b * 0), b)
            return xp.sum(xp.sin(lib.custom_linear_solve(push, b, solve, solve)))

        return t.grad(loss, (0, 1))

    want = made(jax, lax, jnp)(B, B + 1)
    close(made(tr, tr, tnp)(B, B + 1), want, 1e-3)
    close(tr.jit(made(tr, tr, tnp))(B, B + 1), want, 1e-3)
    close(tr.jit(made(jax, lax, jnp))(B, B + 1), want, 1e-3)
