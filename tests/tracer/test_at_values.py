"""Un-jitted transforms of code that calls JAX and lets Python look at values: against eager JAX."""

from __future__ import annotations

import functools
import gc
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import tracer as tr
import tracer.numpy as tnp
from lowering.execute import PROGRAMS
from tests.tracer.helpers import assert_same, raises
from tracer.errors import ConcretizationError, DifferentiationError, TracerError
from tracer.state import state

X = jnp.array([0.4, 1.3, -0.6])
DATA = jnp.arange(6.0).reshape(2, 3)


def branch(x: Any) -> Any:
    total = jnp.sum(x)
    if total > 0:
        return jnp.sum(jnp.sin(x) * total)
    return total * 3


def loop(x: Any) -> Any:
    while jnp.sum(x * x) < 100:
        x = x * jnp.exp(x / 4)
        x = jnp.where(jnp.abs(x) < 0.5, 2.0, x)
    return jnp.prod(jnp.sin(x))


def first_large(x: Any) -> Any:
    for i in range(3):
        if x[i] > 1:
            x = jnp.where(x > 1.2, jnp.exp(x), x * x)
            break
    return jnp.sum(x**3)


def masked(x: Any) -> Any:
    return jnp.sum(x[x > 0] ** 3) + jnp.prod(x)


def backtracking(x: Any) -> Any:
    """A descent whose steps are halved until the value falls."""
    f = lambda x: jnp.sum((x**2 - 1) ** 2) + jnp.sum(x) / 3
    for _ in range(2):
        step, slope = 1.0, 4 * x * (x**2 - 1) + 1 / 3
        while f(x - step * slope) > f(x) - 0.1 * step * jnp.sum(slope**2):
            step /= 2
        x = x - step * slope
    return f(x)


def looked_at_data(x: Any) -> Any:
    mean = float(jnp.mean(DATA))
    for row in np.asarray(DATA):
        if row[0] > mean:
            x = jnp.tanh(x * row)
    return jnp.sum(x) * DATA[0].tolist()[1]


def compiled_inside(x: Any) -> Any:
    y = jax.jit(lambda x: jnp.cumsum(jnp.sin(x) * x))(x)
    if y[-1] > 0:
        y = lax.scan(lambda c, y: (jnp.tanh(c * y), c), y[0], y)[1]
    return jnp.sum(y**2)


def integers(x: Any) -> Any:
    order = jnp.argsort(x)
    if order[0] == 2:
        return jnp.sum(x[order] * jnp.arange(3) ** 2 * x)
    return jnp.sum(x)


def mixed(x: Any) -> Any:
    y = tnp.sin(x)
    if jnp.max(y) > 0:
        y = tnp.exp(y) * jnp.cos(y)
    return tr.fori_loop(0, 3, lambda i, c: c * tnp.sin(c) + x, y).sum()


def mixed_in_jax(x: Any) -> Any:
    y = jnp.sin(x)
    y = jnp.exp(y) * jnp.cos(y)
    return lax.fori_loop(0, 3, lambda i, c: c * jnp.sin(c) + x, y).sum()


def noisy(x: Any) -> Any:
    key = jax.random.key(3)
    while jnp.sum(draw := jax.random.normal(key, (3,))) < 0.5:
        key = jax.random.fold_in(key, 1)
    return jnp.sum(jnp.sin(draw * x)) if x[0] > 0 else x[0]


CASES: list[Callable[..., Any]] = [
    branch, loop, first_large, masked, backtracking, looked_at_data, compiled_inside, integers, noisy,
]  # fmt: skip


TRANSFORMS: dict[str, Callable[[Any, Callable[..., Any]], Callable[..., Any]]] = {
    "value_and_grad": lambda t, f: t.value_and_grad(f),
    "jacrev": lambda t, f: t.jacrev(f),
    "hessian": lambda t, f: t.hessian(f),
    "jvp": lambda t, f: lambda x: t.jvp(f, (x,), (x + 1,)),
    "vjp": lambda t, f: lambda x: t.vjp(f, x)[1](jnp.float32(2)),
    "linearize": lambda t, f: lambda x: t.linearize(f, x)[1](x + 1),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("f", CASES, ids=lambda f: f.__name__)
def test_against_jax(f, transform):
    of = TRANSFORMS[transform]
    assert_same(of(tr, f)(X), of(jax, f)(X), 2e-4, weak=False)


@pytest.mark.parametrize("f", [branch, first_large, looked_at_data], ids=lambda f: f.__name__)
def test_third_derivatives(f):
    for of in (
        lambda t: t.jacfwd(t.jacrev(t.grad(f))),
        lambda t: t.grad(lambda x: t.grad(lambda x: t.grad(f)(x)[1])(x)[0]),
    ):
        assert_same(of(tr)(X), of(jax)(X), 2e-4, weak=False)


@pytest.mark.parametrize("transform", ["value_and_grad", "hessian", "jvp"])
def test_operations_and_loops_of_ours_inside(transform):
    of = TRANSFORMS[transform]
    assert_same(of(tr, mixed)(X), of(jax, mixed_in_jax)(X), 2e-4)


@pytest.mark.parametrize("xp", ["ours", "JAX's"])
@pytest.mark.parametrize("transform", ["value_and_grad", "hessian"])
def test_reverse_mode_through_a_while_loop(xp, transform):
    while_loop = tr.while_loop if xp == "ours" else lax.while_loop

    def f(x: Any) -> Any:
        y = jnp.sin(x)
        if jnp.max(y) > 0:
            y = jnp.exp(y)
        return while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * jnp.sin(c[1])), (0, y))[1].sum()

    def bounded(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, c: c * jnp.sin(c), jnp.exp(jnp.sin(x))).sum()

    of = TRANSFORMS[transform]
    assert_same(of(tr, f)(X), of(jax, bounded)(X), 2e-4)


def test_pytrees_and_further_arguments():
    def loss(params: Any, batch: Any, scale: float, *, offset: Any = 0.0) -> Any:
        hidden = jnp.tanh(batch @ params["w"] + offset)
        out = hidden @ params["v"]
        if not jnp.all(jnp.isfinite(out)) or batch[0, 0] > 5:
            return jnp.float32(0)
        return jnp.mean(out**2) * scale

    params = {"v": jnp.array([0.5, -1.0]), "w": DATA.T / 5}
    batch = jnp.ones((4, 3)) * jnp.arange(4.0)[:, None]
    for t in (tr, jax):
        got = (
            t.value_and_grad(loss)(params, batch, 2.0, offset=0.1),
            t.grad(loss, argnums=1)(params, batch, 2.0),
        )
        if t is tr:
            ours = got
    assert_same(ours, got, weak=False)
    second = [t.jacrev(t.grad(loss))(params, batch, 2.0) for t in (tr, jax)]
    assert_same(*second, weak=False)


def test_auxiliary_results_of_any_kind():
    def f(x: Any) -> Any:
        y = jnp.sort(x)
        kept = {"y": y, "n": jnp.argmax(x), "name": "none"}
        return (jnp.sum(y**2), kept) if y[0] < 2 else (jnp.sum(y), kept)

    (value, aux), slope = tr.value_and_grad(f, has_aux=True)(X)
    (value_, aux_), slope_ = jax.value_and_grad(f, has_aux=True)(X)
    assert aux.pop("name") == aux_.pop("name") == "none"
    assert_same((value, aux, slope), (value_, aux_, slope_), weak=False)


def test_complex_numbers():
    def f(z: Any) -> Any:
        w = jnp.exp(z) * jnp.conj(z[::-1])
        return jnp.sum(jnp.abs(w)) if jnp.real(w[0]) > 0 else jnp.sum(jnp.real(w**2))

    for z in (X + 1j, X - 2j):
        assert_same(tr.grad(f)(z), jax.grad(f)(z), weak=False)


def test_values_of_the_trace_around():
    def outer(t: Any, xp: Any) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            y = xp.sin(x) * 2
            inner = lambda z: jnp.sum(jnp.sin(z) * y) if jnp.sum(y * z) > -5 else jnp.sum(z)
            return t.grad(inner)(x).sum() + (t.grad(inner)(x * x) * x).sum()

        return f

    assert_same(tr.grad(outer(tr, tnp))(X), jax.grad(outer(jax, jnp))(X), weak=False)


def test_jax_around_and_inside():
    assert_same(
        jax.grad(lambda x: tr.grad(branch)(x).sum())(X), jax.grad(lambda x: jax.grad(branch)(x).sum())(X)
    )
    assert_same(
        tr.grad(lambda x: jax.grad(branch)(x).sum())(X), jax.grad(lambda x: jax.grad(branch)(x).sum())(X)
    )
    assert_same(tr.grad(lambda x: tr.vmap(jnp.sin)(x).sum() if x[0] > 0 else x[0])(X), jnp.cos(X), weak=False)


def test_the_path_is_taken_anew_and_compiled_once():
    value_and_grad = tr.value_and_grad(branch)
    value_and_grad(X)
    value_and_grad(-X)
    held = len(PROGRAMS)
    for scale in (1.5, -2.0, 0.3, -0.1):
        assert_same(value_and_grad(X * scale), jax.value_and_grad(branch)(X * scale), weak=False)
    assert len(PROGRAMS) == held


def test_functions_with_the_same_first_derivative_are_not_taken_for_each_other():
    def square(x: Any) -> Any:
        return jnp.sum(x * x) if x[0] > 0 else x[0]

    def tangent(x: Any) -> Any:
        return jnp.sum(lax.stop_gradient(x) * x + x * lax.stop_gradient(x)) if x[0] > 0 else x[0]

    for f in (square, tangent, square):
        assert_same(tr.grad(f)(X), jax.grad(f)(X), weak=False)
        assert_same(tr.hessian(f)(X), jax.hessian(f)(X), weak=False)
        assert_same(jax.hessian(lambda x, f=f: tr.value_and_grad(f)(x)[0])(X), jax.hessian(f)(X), weak=False)


@pytest.mark.parametrize("kept", ["number", "value", "attribute"])
def test_variables_that_change_after_a_derivative_was_taken(kept):
    def outer(t: Any) -> Any:
        def f(x: Any) -> Any:
            total, held = 0.0, {"k": x * 1.0 if kept == "value" else 1.0}
            k = held["k"]
            for _ in range(3):
                by = lambda: held["k"] if kept == "attribute" else k
                inner = lambda z: jnp.sum(jnp.sin(z * by())) if z[0] > -100 else z[0]
                total = total + t.grad(inner)(x).sum()
                k = held["k"] = k * 2 + 1
            return total

        return f

    assert_same(tr.grad(outer(tr))(X), jax.grad(outer(jax))(X), weak=False)


def test_a_third_derivative_of_what_has_changed_is_refused():
    count = itertools.count(1)

    def f(x: Any) -> Any:
        scale = jnp.float32(next(count))  # stands for a random number
        return jnp.sum(jnp.sin(x * scale)) if x[0] > -100 else x[0]

    found = np.diag(tr.hessian(f)(X))
    assert any(np.allclose(found, -e * e * jnp.sin(e * X), rtol=1e-5) for e in range(1, 9))  # of one of them
    with raises(DifferentiationError, "the same each time", located=False):
        tr.jacfwd(tr.hessian(f))(X)


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda t, y: t.grad(lambda x, y: along(x, y))(X, y).sum(),
    "a closure": lambda t, y: t.grad(lambda x: along(x, y))(X).sum(),
    "vjp": lambda t, y: t.vjp(lambda x: along(x, y), X)[1](1.0)[0].sum(),
    "jvp": lambda t, y: t.jvp(lambda x: along(x, y), (X,), (X,))[1],
    "linearize": lambda t, y: t.linearize(lambda x: along(x, y), X)[1](X),
}


def along(x: Any, y: Any) -> Any:
    return jnp.sum(jnp.sin(x * y)) if x[0] > -100 else x[0]


@pytest.mark.parametrize("way", WAYS)
def test_values_that_move_for_jax_alone(way):
    y = jnp.float32(1.5)
    of = WAYS[way]
    assert_same(jax.grad(lambda y: of(tr, y))(y), jax.grad(lambda y: of(jax, y))(y), weak=False)


@jax.custom_vjp
def reverse_only(x: Any) -> Any:
    return jnp.sin(x)


reverse_only.defvjp(lambda x: (jnp.sin(x), x), lambda r, ct: (2 * ct * jnp.cos(r),))


@pytest.mark.parametrize(
    "inside",
    [
        lambda x: lax.map(reverse_only, x).sum(),
        lambda x: lax.scan(lambda c, y: (reverse_only(c) * y, c), x[0], x)[1].sum(),
        lambda x: lax.fori_loop(0, 3, lambda i, c: reverse_only(c) * x, x).sum(),
        lambda x: lax.cond(x[1] > 0, reverse_only, lambda x: x, x).sum(),
        lambda x: jax.checkpoint(reverse_only)(x).sum(),
    ],
)
def test_rules_of_reverse_mode_inside_loops_and_branches(inside):
    f = lambda x: inside(x) if x[0] > 0 else x[0]
    assert_same(tr.grad(f)(X), jax.grad(f)(X), weak=False)
    assert_same(tr.jacrev(tr.grad(f))(X), jax.jacrev(jax.grad(f))(X), weak=False)


def test_residuals_that_do_not_depend_on_the_arguments():
    root = lambda x: 2 * jnp.sum(jnp.sqrt(x)) if jnp.sum(x) < 9 else x[0]
    assert_same(tr.hessian(root)(jnp.zeros(1)), jax.hessian(root)(jnp.zeros(1)), weak=False)  # -inf
    scaled = lambda x: jnp.sum(x.at[jnp.array([0, 1])].multiply(2) ** 3) if x[0] > -9 else x[0]
    assert_same(tr.hessian(scaled)(X), jax.hessian(scaled)(X), weak=False)


def test_shapes_and_texts_of_values():
    cases = [
        lambda x: jnp.sum(jnp.zeros(jnp.sum(x > 0)) + x[0]),
        lambda x: jnp.sum(x[:2].reshape(jnp.sum(x > 0), -1)),
        lambda x: jnp.sum(x) * len(f"{lax.stop_gradient(x)[0]:.2f}"),
    ]
    for f in cases:
        assert_same(tr.grad(f)(X), jax.grad(f)(X), weak=False)
        with raises(ConcretizationError, "Python needs a value", located=False):
            tr.jit(f)(X)


def test_second_derivatives_compile_once_too():
    hessian = tr.hessian(branch)
    hessian(X)
    held = len(PROGRAMS)
    for scale in (1.5, 0.7, 2.0):
        assert_same(hessian(X * scale), jax.hessian(branch)(X * scale), weak=False)
    assert len(PROGRAMS) == held


def test_arrays_are_let_go():
    def live() -> int:
        gc.collect()
        return sum(a.nbytes for a in jax.live_arrays() if a.nbytes >= 400_000)

    f = lambda x: jnp.sum(jnp.sin(x) * 2.5) if x[0] > -100 else x[0]
    before = live()
    for i in range(3):
        tr.grad(f)(jnp.ones(100_000) * i)
        jax.grad(lambda x: tr.value_and_grad(f)(x)[0])(jnp.ones(100_000) * i)
    assert live() == before


def test_infinite_and_undefined_values():
    def f(x: Any) -> Any:
        return jnp.sum(jnp.log(x)) if x[1] > 1 else x[0]

    for x in (jnp.array([0.0, 2.0, jnp.inf]), jnp.array([jnp.nan, 2.0, -1.0])):
        assert_same(tr.value_and_grad(f)(x), jax.value_and_grad(f)(x), weak=False)


STEPS: dict[str, Callable[[Any], Any]] = {
    "sin": jnp.sin,
    "double where large": lambda x: x * 2 if jnp.max(jnp.abs(x)) < 3 else x / 3,
    "while": lambda x: functools.reduce(lambda x, _: x * 1.5, range(int(lax.stop_gradient(x[0]) > 0)), x),
    "masked sum": lambda x: x + jnp.sum(x[x > 0]),
    "flip": lambda x: x[::-1] if x[0] > x[-1] else x**2,
    "jit": jax.jit(lambda x: jnp.cos(x) * x),
}


@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5), st.integers(0, 100))
@settings(max_examples=12, deadline=None)
def test_random_programs(names, seed):
    x = jnp.asarray(np.random.default_rng(seed).normal(size=3), jnp.float32)

    def f(x: Any) -> Any:
        for name in names:
            x = STEPS[name](x)
        return jnp.sum(x * jnp.arange(1, 4)) if x[0] < 100 else x[0]

    assert_same(tr.grad(f)(x), jax.grad(f)(x), 2e-4, weak=False)
    assert_same(tr.hessian(f)(x), jax.hessian(f)(x), 1e-3, weak=False)


# Refusals -----------------------------------------------------------------------------------------------


def cut(x: Any) -> Any:
    return jnp.sum(x) * float(jnp.max(x))


def compiled(x: Any) -> Any:
    return jax.jit(lambda x: jnp.sum(x) if jnp.max(x) > 0 else jnp.max(x))(x)


def test_what_would_lose_a_derivative():
    for transform in ("value_and_grad", "hessian", "jvp", "linearize"):
        with raises(
            ConcretizationError,
            "derivative would be lost",
            "stop_gradient",
            "test_at_values.py",
            "(cut)",
            located=False,
        ):
            TRANSFORMS[transform](tr, cut)(X)
        with pytest.raises(jax.errors.ConcretizationTypeError):
            TRANSFORMS[transform](jax, cut)(X)
    kept = lambda x: jnp.sum(x) * float(jnp.max(lax.stop_gradient(x)))
    assert_same(tr.grad(kept)(X), jax.grad(kept)(X), weak=False)


@pytest.mark.parametrize(
    ("f", "run"),
    [
        (branch, lambda f: tr.jit(f)(X)),
        (branch, lambda f: tr.jit(tr.grad(f))(X)),
        (branch, lambda f: tr.grad(tr.jit(f))(X)),
        (branch, lambda f: tr.vmap(f)(X[None])),
        (branch, lambda f: tr.grad(lambda x: tr.vmap(f)(x[None]).sum())(X)),
        (compiled, lambda f: tr.grad(f)(X)),
        (compiled, lambda f: tr.jit(f)(X)),
    ],
)
def test_values_that_are_not_known(f, run):
    with raises(
        ConcretizationError,
        "Python needs a value",
        "autograph=True",
        "test_at_values.py",
        f"({f.__name__}",
        located=False,
    ):
        run(f)
    assert state.trace is None
    assert state.bridge is None
    assert_same(tr.grad(branch)(X), jax.grad(branch)(X), weak=False)


def test_converted_control_flow_where_values_are_not_known():
    got = tr.jit(tr.grad(branch), autograph=True)
    for x in (X, -X):
        assert_same(got(x), jax.grad(branch)(x), weak=False)


def test_a_function_that_does_not_repeat_itself_has_no_second_derivative():
    calls = []

    def f(x: Any) -> Any:
        calls.append(None)
        y = jnp.sin(x) if len(calls) % 2 else jnp.exp(x) * x
        return jnp.sum(y) if x[0] > 0 else x[0]

    try:
        found = tr.hessian(f)(X)
    except TracerError as error:
        assert "same" in str(error)
    else:  # each run was of one kind
        assert any(np.allclose(found, np.diag(d)) for d in (-jnp.sin(X), jnp.exp(X) * (X + 2)))


def test_what_the_function_raises():
    def f(x: Any) -> Any:
        if jnp.sum(x) > 0:
            raise KeyError("mine")
        return jnp.sum(x)

    with pytest.raises(KeyError, match="mine"):
        tr.grad(f)(X)
    assert state.trace is None
    assert_same(tr.grad(f)(-X), jnp.ones(3), weak=False)
