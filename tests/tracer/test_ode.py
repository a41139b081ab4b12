"""`odeint`: against closed forms, SciPy and JAX's own; its derivatives of both kinds, from inside and outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental.ode import odeint as jax_odeint

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.errors import ArgumentError, ArgumentTypeError, ConcretizationError
from tests.tracer.helpers import raises

ADJOINTS = ("discrete", "continuous")
TIMES = np.array([0.0, 0.7, 1.9, 2.0])
A = np.array([[-0.5, 2.0], [-2.0, -0.3]])
Y0 = np.array([1.0, 0.5])
# Steps meet 1.4e-8 each; what remains after some tens of them, and of derivatives through them.
TOL = 1e-6


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def close(got: Any, want: Any, tol: float = TOL) -> None:
    """Leaf by leaf, relative to the largest element."""
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        scale = max(1.0, float(np.max(np.abs(b), where=np.isfinite(b), initial=0)))
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=tol * scale)


def solver(adjoint: str) -> Callable[..., Any]:
    return lambda *args, **options: tr.odeint(*args, adjoint=adjoint, **options)


def driven(solve: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """A scalar of a linear system driven by time."""
    field = lambda y, t, a: xp.cos(t) * (a @ y)
    return lambda a, y0, t: xp.sum(xp.sin(solve(field, y0, t, a)))


def exact(a: Any, y0: Any, t: Any) -> Any:
    """The same, by the exponential of the matrix."""
    state = lambda s: jax.scipy.linalg.expm((jnp.sin(s) - jnp.sin(t[0])) * a) @ y0
    return jnp.sum(jnp.sin(jnp.stack([state(s) for s in t])))


# Values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_values(adjoint: str) -> None:
    solve = solver(adjoint)
    logistic = solve(lambda y, t, r: r * y * (1 - y), 0.1, TIMES, 2.0)
    close(logistic, 1 / (1 + 9 * np.exp(-2 * TIMES)))
    assert logistic.dtype == np.float64
    system = solve(lambda y, t, a: a @ y, Y0, TIMES, A)
    close(system, np.stack([jax.scipy.linalg.expm(A * t) @ Y0 for t in TIMES]))
    backwards = solve(lambda y, t: -t * y, 1.0, TIMES[::-1])
    close(backwards, np.exp((TIMES[-1] ** 2 - TIMES[::-1] ** 2) / 2))
    spiral = solve(lambda y, t, c: c * y, 1 + 1j, TIMES, -0.3 + 2j)
    close(spiral, np.exp((-0.3 + 2j) * TIMES) * (1 + 1j))
    close(solve(lambda y, t: 1, 0.0, TIMES), TIMES)
    assert solve(lambda y, t: -y, np.zeros(0), TIMES).shape == (4, 0)
    close(solve(lambda y, t: -y, 2.0, TIMES[:1]), np.array([2.0]))


def test_pendulum_against_scipy() -> None:
    def field(y: Any, t: Any, length: Any) -> Any:
        return {"angle": y["speed"], "speed": -9.81 / length * tnp.sin(y["angle"])}

    y0 = {"angle": 1.0, "speed": 0.3}
    got = tr.jit(lambda y0, t: tr.odeint(field, y0, t, 1.5, rtol=1e-11, atol=1e-11))(y0, TIMES)
    want = scipy.integrate.solve_ivp(
        lambda t, y: [y[1], -9.81 / 1.5 * np.sin(y[0])],
        (0, 2),
        [1.0, 0.3],
        "DOP853",
        TIMES,
        rtol=1e-12,
        atol=1e-12,
    )
    close([got["angle"], got["speed"]], list(want.y), 1e-9)


def test_stiff_system_against_scipy_and_jax() -> None:
    """Robertson's reactions (1966), where stability limits the steps and many are rejected."""

    def field(xp: Any) -> Callable[..., Any]:
        def f(y: Any, t: Any) -> Any:
            slow, fast = 0.04 * y[0], 1e4 * y[1] * y[2]
            burn = 3e7 * y[1] ** 2
            return xp.stack([fast - slow, slow - fast - burn, burn])

        return f

    y0, t = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.1, 0.3])
    slope = lambda t, y: field(np)(y, t)
    want = scipy.integrate.solve_ivp(slope, (0, 0.3), y0, "Radau", t, rtol=1e-10, atol=1e-12)
    got = tr.jit(lambda y0: tr.odeint(field(tnp), y0, t))(y0)
    close(got, want.y.T)
    close(got, jax.jit(lambda y0: jax_odeint(field(jnp), y0, t))(y0), 1e-7)


def test_narrow_types() -> None:
    for dtype, tol in ((np.float32, 1e-4), (np.float16, 1e-2)):
        t = TIMES.astype(dtype)
        got = tr.odeint(lambda y, t: -y, dtype(1), t + 100, rtol=tol, atol=tol)
        assert got.dtype == dtype
        close(got, np.exp(-(t + 100 - 100).astype(np.float64)), 10 * tol if dtype == np.float32 else 0.2)
    mixed = tr.odeint(
        lambda y, t: (-y[0], 1j * y[1]), (np.float32(1), np.complex128(1)), TIMES, rtol=1e-6, atol=1e-6
    )
    assert [x.dtype for x in mixed] == [np.float32, np.complex128]
    close(mixed, (np.exp(-TIMES), np.exp(1j * TIMES)), 1e-5)


# Derivatives ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_first_derivatives(adjoint: str) -> None:
    """By arguments, the first state and the times: all ways agree with the closed form and with JAX's."""
    ours, args = driven(solver(adjoint), tnp), (A, Y0, TIMES)
    want = jax.grad(exact, (0, 1, 2))(*args)
    # The interpolant has order 4, and its slope order 3: that is what the steps say of the times.
    tol = 1e-5 if adjoint == "discrete" else TOL
    close(tr.jit(tr.grad(ours, (0, 1, 2)))(*args), want, tol)
    close(tr.jit(tr.jacfwd(ours, (0, 1, 2)))(*args), want, tol)
    close(jax.jit(jax.grad(tr.jit(ours), (0, 1, 2)))(*args), want, tol)
    if adjoint == "continuous":
        close(jax.jit(jax.grad(driven(jax_odeint, jnp), (0, 1, 2)))(*args), want)


def growth(solve: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """The logistic equation at one time, of (rate, first state)."""
    field = lambda y, t, r: r * y * (1 - y)
    return lambda x: solve(field, x[1], TIMES[:2], x[0])[1]


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_second_derivatives(adjoint: str) -> None:
    ours, x = growth(solver(adjoint), tnp), np.array([1.3, 0.2])
    want = jax.hessian(lambda x: x[1] / (x[1] + (1 - x[1]) * jnp.exp(-x[0] * TIMES[1])))(x)
    close(tr.jit(tr.hessian(ours))(x), want)
    close(tr.jit(tr.jacrev(tr.grad(ours)))(x), want)
    if adjoint == "continuous":
        close(jax.jit(jax.hessian(tr.jit(ours)))(x), want)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_closures_trees_and_integers(adjoint: str) -> None:
    def loss(w: Any, y0: Any, scale: Any) -> Any:
        def field(y: Any, t: Any, options: Any) -> Any:
            scale, sign = options
            return {"a": w * y["b"] * scale, "b": sign * y["a"] * scale}

        out = solver(adjoint)(field, y0, TIMES, (scale, -1))
        return tnp.sum(out["a"] ** 2)

    args = (1.3, {"a": 0.4, "b": 0.9}, 0.8)
    got = tr.jit(tr.grad(loss, (0, 1, 2)))(*args)
    for k, step in enumerate((1.3, 0.8)):
        at = 0 if k == 0 else 2
        moved = [[*args[:at], step + e, *args[at + 1 :]] for e in (1e-4, -1e-4)]
        difference = (loss(*moved[0]) - loss(*moved[1])) / 2e-4
        close(got[at], difference, 1e-5)
    # The energy: a = 0.4 cos(ct) + 0.9 w s/c sin(ct), c^2 = w s^2
    c = 0.8 * np.sqrt(1.3)
    a = 0.4 * np.cos(c * TIMES) + 0.9 * 1.3 * 0.8 / c * np.sin(c * TIMES)
    close(got[1]["a"], np.sum(2 * a * np.cos(c * TIMES)))


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_complex_derivatives(adjoint: str) -> None:
    solve = solver(adjoint)
    loss = lambda c, y0: tnp.sum(tnp.abs(solve(lambda y, t, c: c * y, y0, TIMES, c) - 0.5) ** 2)
    known = lambda c, y0: jnp.sum(jnp.abs(jnp.exp(c * TIMES) * y0 - 0.5) ** 2)
    args = (np.complex128(-0.3 + 2j), np.complex128(1 + 1j))
    close(tr.jit(tr.grad(loss, (0, 1)))(*args), jax.grad(known, (0, 1))(*args))


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_batches_and_loops(adjoint: str) -> None:
    """Every example takes its own steps: a batch gives what its examples give."""
    end = lambda k, y0: solver(adjoint)(lambda y, t: -k * y, y0, TIMES)[-1]
    rates = np.array([0.1, 1.0, 30.0])
    want = (-2 * np.exp(-2 * rates), np.exp(-2 * rates))
    close(tr.vmap(tr.grad(end, (0, 1)), (0, None))(rates, 1.0), want)
    close(jax.vmap(jax.grad(tr.jit(end), (0, 1)), (0, None))(rates, 1.0), want)
    alone = np.stack([tr.jit(end)(k, 1.0) for k in rates])
    close(tr.jit(tr.vmap(end, (0, None)))(rates, 1.0), alone, 1e-12)
    often = lambda k: tr.scan(lambda y, _: (end(k, y), None), 1.0, None, 3)[0]
    close(tr.jit(tr.grad(often))(0.3), -6 * np.exp(-1.8))
    kept = tr.checkpoint(lambda k: end(k, 1.0))
    close(tr.jit(tr.grad(kept))(0.3), -2 * np.exp(-0.6))


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_fields_that_call_jax(adjoint: str) -> None:
    end = lambda k, field: solver(adjoint)(field, 1.0, TIMES, k)[-1]
    got = [tr.grad(end)(0.3, lambda y, t, k: -k * xp.sin(y)) for xp in (jnp, tnp)]
    close(got[0], got[1], 1e-12)
    inner = lambda k: tr.odeint(lambda y, t: -k * tnp.sin(y), 1.0, TIMES, adjoint=adjoint)[-1]
    close(jax.jit(jax.grad(inner))(0.3), got[0], 1e-12)


def test_equal_times() -> None:
    """No step lies between them, and the slope is that of the field."""
    t = np.array([0.0, 0.0, 1.0, 1.0])
    for adjoint in ADJOINTS:
        solve = lambda t, adjoint=adjoint: tr.odeint(lambda y, t: -y, 1.0, t, adjoint=adjoint)
        close(solve(t), np.exp(-t))
        e = np.exp(-1.0)
        close(tr.jacrev(solve)(t), np.array([[0, 0, 0, 0], [1, -1, 0, 0], [e, 0, -e, 0], [e, 0, 0, -e]]))


def energy(solve: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    return lambda a, y0, t: xp.sum(solve(a, y0, t) ** 2)


def by_exponential(a: Any, y0: Any, t: Any) -> Any:
    return jax.vmap(lambda s: jax.scipy.linalg.expm(a * (s - t[0])) @ y0)(t)


def random_system(adjoint: str) -> Callable[..., Any]:
    solve = lambda a, y0, t: tr.odeint(lambda y, t, a: a @ y, y0, t, a, adjoint=adjoint)
    return tr.jit(tr.value_and_grad(energy(solve, tnp), (0, 1)))


# Compiled once for all examples.
RANDOM = {adjoint: random_system(adjoint) for adjoint in ADJOINTS}
EXACT = jax.jit(jax.value_and_grad(energy(by_exponential, jnp), (0, 1)))


@pytest.mark.parametrize("adjoint", ADJOINTS)
@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_random_linear_systems(adjoint: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    args = rng.normal(size=(3, 3)), rng.normal(size=3), np.cumsum(rng.uniform(0.05, 0.6, 4))
    with jax.enable_x64(True):
        close(RANDOM[adjoint](*args), EXACT(*args), 1e-5)


# Ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_what_is_not_reached_is_nan(adjoint: str) -> None:
    solve, nan = solver(adjoint), np.nan
    late = lambda y, t: tnp.where(t > 1.0, nan, y)
    close(solve(lambda y, t: y * nan, 1.0, TIMES), np.array([1, nan, nan, nan]))
    close(solve(late, 1.0, TIMES), np.array([1, np.exp(0.7), nan, nan]))
    close(solve(lambda y, t: y * y, 1.0, np.array([0.0, 0.5, 2.0])), np.array([1, 2, nan]))
    few = lambda y0: solve(lambda y, t: -50 * y, y0, TIMES, mxstep=5)
    close(few(1.0), np.array([1, nan, nan, nan]))
    # The steps know what they did reach, the way back starts at the end.
    close(tr.grad(lambda y0: few(y0)[0])(1.0), 1.0 if adjoint == "discrete" else nan)
    close(solve(lambda y, t: -y, 1.0, TIMES, hmax=0.01, mxstep=150), np.exp(-TIMES))
    # The count begins again at each time: it goes on from where it stopped.
    want = np.where(TIMES == 1.9, nan, np.exp(-TIMES))
    close(solve(lambda y, t: -y, 1.0, TIMES, hmax=0.01, mxstep=100), want)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_rejected_steps_do_not_spoil_derivatives(adjoint: str) -> None:
    """They lead below zero, where the root and its derivatives are nan: y = (sqrt(y0) - t / 2)^2."""
    t = np.array([0.0, 1.9, 1.99])
    end = lambda y0: solver(adjoint)(lambda y, t: -tnp.sqrt(y), y0, t)[-1]
    known = lambda y0: (jnp.sqrt(y0) - t[-1] / 2) ** 2
    close(tr.grad(end)(1.0), jax.grad(known)(1.0))
    close(tr.grad(tr.grad(end))(1.0), jax.grad(jax.grad(known))(1.0), 1e-4)  # 1 / sqrt(y) is 200 there


def test_equal_problems_find_the_compiled_program() -> None:
    from lowering.execute import PROGRAMS

    for adjoint in ADJOINTS:
        for k in (0.3, 0.4):
            tr.grad(lambda k: solver(adjoint)(lambda y, t, k: -k * y, 1.0, TIMES, k)[-1])(k)
            held = len(PROGRAMS)
        tr.grad(lambda k: solver(adjoint)(lambda y, t, k: -k * y, 1.0, TIMES, k)[-1])(0.5)
        assert len(PROGRAMS) == held


def test_programs_are_valid() -> None:
    for adjoint in ADJOINTS:
        loss = lambda y0, adjoint=adjoint: tr.odeint(lambda y, t: -y, y0, TIMES, adjoint=adjoint)[-1]
        for f in (loss, tr.grad(loss), tr.grad(tr.grad(loss))):
            ir.verify(tr.trace(f)(1.0))
        compiled = tr.jit(loss).ir(1.0)
        assert ir.parse(str(compiled)) == compiled
        close(ir.evaluate(compiled, np.float64(1.0))[0], np.exp(-2.0))


def test_errors() -> None:
    decay = lambda y, t: -y
    with raises(ArgumentTypeError, "i64[3]", "t to be"):
        tr.odeint(decay, 1.0, np.arange(3))
    with raises(ArgumentTypeError, "f64[]", "t to be"):
        tr.odeint(decay, 1.0, np.float64(1))
    with raises(ArgumentError, "at least one time"):
        tr.odeint(decay, 1.0, np.zeros(0))
    with raises(ArgumentTypeError, "i64[2]", "leaf['a']"):
        tr.odeint(lambda y, t: y, {"a": np.arange(2)}, TIMES)
    with raises(ArgumentTypeError, "structure", "decay_twice"):

        def decay_twice(y: Any, t: Any) -> Any:
            return (y, y)

        tr.odeint(decay_twice, 1.0, TIMES)
    with raises(ArgumentTypeError, "f64[2]", "f64[1,2]", "leaf['a']"):
        tr.odeint(lambda y, t: {"a": y["a"][None]}, {"a": Y0}, TIMES)
    with raises(ArgumentTypeError, "c128[]"):
        tr.odeint(lambda y, t: 1j * y, 1.0, TIMES)
    with raises(ArgumentError, "adjoint", "'both'"):
        tr.odeint(decay, 1.0, TIMES, adjoint="both")
    for options in ({"mxstep": 0}, {"mxstep": 1.5}, {"rtol": -1.0}, {"atol": np.nan}, {"hmax": 0.0}):
        with raises(ArgumentError, next(iter(options))):
            tr.odeint(decay, 1.0, TIMES, **options)
    with raises(ArgumentTypeError, "rtol"):
        tr.odeint(decay, 1.0, TIMES, rtol="small")
    with pytest.raises(ConcretizationError):
        tr.jit(lambda tol: tr.odeint(decay, 1.0, TIMES, rtol=tol))(1e-3)
