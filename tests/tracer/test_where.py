"""Derivatives of selections: what is not chosen adds nothing to them, what is chosen keeps them, a NaN included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir import transforms
from ir.passes.dce import dce
from ir.passes.inlining import inline_calls
from ir.passes.pipeline import optimize
from tests.tracer.helpers import array, assert_close, assert_same, count_ops, x64

inf, nan = np.inf, np.nan

# name: (function, points, slopes there)
SLOPES: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "sqrt": (lambda x: tnp.where(x > 0, tnp.sqrt(x), 0), [0, -1, 4], [0, 0, 0.25]),
    "sqrt, else": (lambda x: tnp.where(x <= 0, 0, tnp.sqrt(x)), [0, -1, 4], [0, 0, 0.25]),
    "sqrt, not": (lambda x: tnp.where(~(x <= 0), tnp.sqrt(x), 0), [0, -1, 4], [0, 0, 0.25]),
    "log": (lambda x: tnp.where(x > 0, tnp.log(x), 0), [0, -1, 4], [0, 0, 0.25]),
    "log1p": (lambda x: tnp.where(x > -1, tnp.log1p(x), 0), [-1, -2, 1], [0, 0, 0.5]),
    "x log x": (lambda x: tnp.where(x == 0, 0, x * tnp.log(x)), [0, 1, -1], [0, 1, nan]),
    "quotient": (lambda x: tnp.where(x != 0, 1 / x, 0), [0, 2], [0, -0.25]),
    "reciprocal": (lambda x: tnp.where(x != 0, tnp.reciprocal(x), 0), [0, 2], [0, -0.25]),
    "sinc": (lambda x: tnp.where(x == 0, 1, tnp.sin(x) / x), [0, 1], [0, float(np.cos(1) - np.sin(1))]),
    "power": (lambda x: tnp.where(x > 0, x**0.5, 0), [0, -1, 4], [0, 0, 0.25]),
    "negative power": (lambda x: tnp.where(x != 0, x**-2, 0), [0, 1], [0, -2]),
    "exponent": (lambda x: tnp.where(x > 0, 0.0**x, 3), [-1, 1], [0, 0]),
    "cbrt": (lambda x: tnp.where(x > 0, tnp.cbrt(x), 0), [0, 1], [0, 1 / 3]),
    "arcsin": (lambda x: tnp.where(abs(x) < 1, tnp.arcsin(x), 2), [1, -1, 3, 0], [0, 0, 0, 1]),
    "arccos": (lambda x: tnp.where(abs(x) < 1, tnp.arccos(x), 2), [1, -1, 3, 0], [0, 0, 0, -1]),
    "arccosh": (lambda x: tnp.where(x > 1, tnp.arccosh(x), 0), [1, 0], [0, 0]),
    "arctanh": (lambda x: tnp.where(abs(x) < 1, tnp.arctanh(x), 0), [1, 2, 0], [0, 0, 1]),
    "arctan2": (lambda x: tnp.where(x > 0, tnp.arctan2(x, x), 0), [0, 1], [0, 0]),
    "overflow": (lambda x: tnp.where(x < 9, tnp.exp(x), 1), [1e4, 0], [0, 1]),
    "chain": (lambda x: tnp.where(x > 0, tnp.sin(3 * tnp.sqrt(x) + 1) ** 2, 0), [0, -1], [0, 0]),
    "chain of singular ones": (lambda x: tnp.where(x > 1, tnp.sqrt(tnp.log(x)), 0), [1, 0, -1], [0, 0, 0]),
    "one within another": (
        lambda x: tnp.where(x > 0, tnp.sqrt(x), tnp.where(x < 0, tnp.sqrt(-x), 1)),
        [0, 4, -4],
        [0, 0.25, -0.25],
    ),
    "both cases": (lambda x: tnp.where(x > 1, tnp.log(x), tnp.sqrt(1 - x)), [1, 4, -3], [-inf, 0.25, -0.25]),
    "by its own value": (lambda x: tnp.where((r := tnp.sqrt(x)) > 0, r, 0), [0, -1, 4], [0, 0, 0.25]),
    "written with JAX": (lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0), [0, -1, 4], [0, 0, 0.25]),
    "select": (
        lambda x: tnp.select([x > 0, x < 0], [tnp.log(x), tnp.log(-x)], 0),
        [0, 2, -2],
        [0, 0.5, -0.5],
    ),
    # What is chosen keeps its derivative.
    "infinite where chosen": (lambda x: tnp.where(x >= 0, tnp.sqrt(x), 0), [0, -1], [inf, 0]),
    "NaN where chosen": (lambda x: tnp.where(x > -2, tnp.log(x), 0), [-1, -3], [-1, 0]),
    "also used outside": (lambda x: tnp.where(x > 0, r := tnp.sqrt(x), 0) + r, [0, 4], [nan, 0.5]),
    "used by another mask": (
        lambda x: tnp.where(x > 0, r := tnp.sqrt(x), 0) + tnp.where(x > -1, r, 0),
        [4, -2],
        [0.5, 0],
    ),
}


# Taken through all transforms; the others through the two modes.
IN_EVERY_WAY = (
    "sqrt",
    "by its own value",
    "infinite where chosen",
    "used by another mask",
    "written with JAX",
)


def transformed(f: Callable[[Any], Any], x: Any, every: bool) -> dict[str, Any]:
    """The slope at each point in several ways."""
    total = lambda x: f(x).sum()
    one = jnp.ones_like(x)
    modes = tr.jit(lambda x: {"grad": tr.grad(total)(x), "jvp": tr.jvp(f, (x,), (one,))[1]})(x)
    if not every:
        return modes
    return modes | {
        "without jit": tr.grad(total)(x),
        "unoptimised": tr.jit(tr.grad(total), opt=0)(x),
        "vmap of grad": tr.vmap(tr.grad(f))(x),
        "grad of vmap": tr.grad(lambda x: tr.vmap(f)(x).sum())(x),
        "linearize": tr.linearize(f, x)[1](one),
        "in scan": tr.grad(lambda x: tr.scan(lambda c, y: (c + f(y), None), 0.0, x)[0])(x),
        "in cond": tr.grad(lambda x: tr.cond(x[0] < 1e9, lambda x: f(x).sum(), lambda x: x.sum(), x))(x),
        "in checkpoint": tr.grad(lambda x: tr.checkpoint(total)(x))(x),
        "in jit": tr.grad(lambda x: tr.jit(f)(x).sum())(x),
    }


@pytest.mark.parametrize("name", SLOPES)
def test_slopes(name: str) -> None:
    f, points, want = SLOPES[name]
    x = jnp.array(points, np.float32)
    np.testing.assert_array_equal(tr.jit(f)(x), tr.jit(f, opt=0)(x))
    for how, got in transformed(f, x, name in IN_EVERY_WAY).items():
        got = np.asarray(got)
        known = ~np.isnan(want)  # what is undefined may be any NaN or inf
        np.testing.assert_allclose(got[known], np.asarray(want)[known], rtol=1e-5, atol=1e-6, err_msg=how)
        assert not np.isfinite(got[~known]).any(), how


@pytest.mark.parametrize(
    "name", [n for n in SLOPES if "chosen" not in n and "both" not in n and "outside" not in n]
)
def test_second_and_third_order(name: str) -> None:
    f, points, want = SLOPES[name]
    x = jnp.array([p for p, w in zip(points, want, strict=True) if np.isfinite(w)], np.float32)
    first = lambda x: tr.grad(lambda x: f(x).sum())(x)
    second = lambda x: tr.grad(lambda x: first(x).sum())(x)
    third = tr.grad(lambda x: second(x).sum())
    forward = lambda x: tr.jvp(first, (x,), (jnp.ones_like(x),))[1]
    for slopes in tr.jit(lambda x: (second(x), third(x), forward(x)))(x):
        assert np.isfinite(np.asarray(slopes)).all()


def test_values_and_derivatives_elsewhere_are_those_of_jax() -> None:
    x = jnp.concatenate([array(20, low=0.1, high=3), -array(20, seed=1, low=0.1, high=3)])
    f = lambda np: lambda x: np.where(x > 0, np.sqrt(x) * np.log(x), np.where(x < -1, 1 / x, x**3))
    got = tr.jit(
        lambda x: (f(tnp)(x), tr.grad(lambda x: f(tnp)(x).sum())(x), tr.hessian(lambda x: f(tnp)(x).sum())(x))
    )
    ours = got(x)
    assert all(bool(jnp.isfinite(y).all()) for y in ours)
    # JAX's own derivatives need the operands made safe by hand.
    safe = lambda x: jnp.where(
        x > 0,
        jnp.sqrt(jnp.where(x > 0, x, 1)) * jnp.log(jnp.where(x > 0, x, 1)),
        jnp.where(x < -1, 1 / jnp.where(x < -1, x, 1), x**3),
    )
    total = lambda x: safe(x).sum()
    assert_same(ours, (f(jnp)(x), jax.grad(total)(x), jax.hessian(total)(x)), 1e-4)


def test_norms_and_directions() -> None:
    def direction(v: Any) -> Any:
        n = tnp.linalg.norm(v)
        return tnp.where(n > 0, v / n, 0)

    def rows(v: Any) -> Any:
        n = tnp.linalg.norm(v, axis=1, keepdims=True)
        return tnp.where(n > 0, v / n, v)

    def row_norms(v: Any) -> Any:
        n = tnp.sqrt(tnp.sum(v * v, axis=1))
        return tnp.where(tnp.any(v != 0, axis=1), n, 0)

    def columns(v: Any) -> Any:
        n = tnp.sqrt(tnp.sum(v * v, axis=0))
        return tnp.where((n > 0)[None, :], v / n, 0)

    zero, some = jnp.zeros(3), jnp.array([3.0, 4.0, 0.0])
    mixed = jnp.stack([zero, some])
    assert_close(tr.jit(tr.jacobian(direction))(zero), jnp.zeros((3, 3)))
    assert_close(tr.jacobian(direction)(some), jax.jacobian(lambda v: v / jnp.linalg.norm(v))(some))
    g = tr.jit(tr.grad(lambda v: (rows(v) * mixed[::-1]).sum()))(mixed)
    assert_close(g[0], some)
    assert bool(jnp.isfinite(g).all())
    assert_close(tr.grad(lambda v: row_norms(v).sum())(mixed), jnp.stack([zero, some / 5]))
    for f in (direction, rows, row_norms, columns):
        for x in (mixed if f is not direction else zero, jnp.zeros((2, 3)) if f is not direction else zero):
            h = tr.jit(tr.hessian(lambda v, _f=f: _f(v).sum()))(x)
            assert bool(jnp.isfinite(h).all())
            assert bool(jnp.isfinite(tr.jvp(f, (x,), (jnp.ones_like(x),))[1]).all())


def test_masks_that_are_moved() -> None:
    """The selection lies behind a reshape, a transposition, a broadcast or a reduction."""
    x = jnp.array([[0.0, 4.0, 0.0], [1.0, 0.0, 9.0]])
    want = jnp.where(x > 0, 0.5 / jnp.sqrt(jnp.where(x > 0, x, 1)), 0)
    r = tnp.sqrt
    for f in (
        lambda x: tnp.where(x.reshape(-1) > 0, r(x).reshape(6), 0),
        lambda x: tnp.where(x.T > 0, r(x).T, 0),
        lambda x: tnp.where(x.reshape(3, 2).T > 0, r(x).reshape(3, 2).T, 0),
        lambda x: tnp.where((x > 0)[None], r(x)[None], 0),
        lambda x: tnp.where((x > 0)[None] & tnp.ones((2, 1, 1), bool), r(x)[None], 0) / 2,
        lambda x: tnp.where(tnp.stack([x > 0, x > 0]), r(x), 0) / 2,
        lambda x: tr.vmap(lambda row: tnp.where(row > 0, r(row), 0))(x),
    ):
        assert_close(tr.jit(tr.grad(lambda x, _f=f: _f(x).sum()))(x), want)
    rows = jnp.array([[0.0, 0.0], [1.0, 4.0]])
    used = tnp.array([False, True])
    g = tr.grad(lambda x: tnp.where(used, tnp.sum(tnp.sqrt(x), axis=1), 0).sum())(rows)
    assert_close(g, jnp.array([[0, 0], [0.5, 0.25]]))
    # Chosen for one of several copies is chosen.
    g = tr.grad(lambda x: tnp.where(tnp.array([[True], [False]]), tnp.sqrt(x), 0).sum())(jnp.zeros(3))
    assert bool(jnp.isinf(g).all())


def test_of_several_operands_and_types() -> None:
    x, y = jnp.array([1.0, 0.0, 3.0]), jnp.array([2.0, 0.0, 0.5])
    f = lambda x, y: tnp.where(y > 0, x / y + tnp.arctan2(x, y) + tnp.power(y, x), x).sum()
    safe = lambda x, y: jnp.where(
        y > 0, x / (s := jnp.where(y > 0, y, 1)) + jnp.arctan2(x, s) + jnp.power(s, x), x
    ).sum()
    assert_same(tr.jit(tr.grad(f, (0, 1)))(x, y), jax.grad(safe, (0, 1))(x, y))
    assert_same(tr.grad(f)(x, y), jax.grad(safe)(x, y))
    for dtype in ("float16", "bfloat16"):
        g = tr.grad(lambda x: tnp.where(x > 0, tnp.log(x), 0).sum().astype(np.float32))(x.astype(dtype))
        assert_close(g.astype(np.float32), jnp.array([1, 0, 1 / 3]), 1e-2)
    with x64():
        z = jnp.array([0.0, 1 + 1j, 0.0])
        g = tr.grad(lambda z: tnp.real(tnp.where(z != 0, tnp.log(z) + tnp.sqrt(z), 0)).sum())(z)
        assert bool(jnp.isfinite(g).all())
        want = jax.grad(lambda z: jnp.real(jnp.log(z) + jnp.sqrt(z)))(z[1])
        assert_close(g[1], want)


# The programs ----------------------------------------------------------------------------------------


def body(f: Any, *args: Any) -> ir.Function:
    return tr.jit(tr.grad(f)).ir(*args)


def test_programs_without_selection_stay_as_they_are() -> None:
    f = tr.trace(lambda x: tnp.sum(tnp.log(x) / tnp.sqrt(x)))(array(3))
    assert transforms.guarded(f, [True]) is f
    g = tr.trace(lambda x: tnp.sum(tnp.where(x > 0, x, 2 * x) * tnp.exp(x)))(array(3))
    assert transforms.guarded(g, [True]) is g
    plain = tr.trace(lambda x, n: tnp.where(x > 0, tnp.log(n), 0) * x)(array(3), array(3))
    assert transforms.guarded(plain, [True, False]) is plain  # no derivative by n is asked for


def test_an_op_is_guarded_once_and_not_written_twice() -> None:
    f = tr.trace(lambda x: tnp.sum(tnp.where(x > 0, tnp.log(x), 0)))(array(3))
    guarded = transforms.guarded(f, [True])
    ir.verify(guarded)
    assert count_ops(guarded, "log") == 1
    assert count_ops(guarded, "select") == 2
    assert guarded == transforms.guarded(
        tr.trace(lambda x: tnp.sum(tnp.where(x > 0, tnp.log(x), 0)))(array(3)), [True]
    )


def test_layers_with_selections_are_not_written_twice() -> None:
    """Every layer's condition comes from what an earlier guard changed: it is taken from the new program."""
    ws = [array(4, 4, seed=k) / 2 for k in range(6)]

    def network(x: Any) -> Any:
        for w in ws:
            h = x @ w
            x = tnp.where(h > 0, h, tnp.exp(h) - 1)
        return tnp.sum(x)

    f = tr.trace(network)(array(3, 4))
    guarded = transforms.guarded(f, [True])
    ir.verify(guarded)
    for name in ("exp", "dot_general", "gt"):
        assert count_ops(guarded, name) == 6
    x = array(3, 4)
    assert_close(tr.jit(network)(x), ir.evaluate(guarded, x, *[w for w in ws if len(guarded.params) > 1])[0])


def test_a_value_that_decides_is_kept_as_it_was() -> None:
    """The norm is compared with 0 before a guard would make it 1."""

    def f(v: Any) -> Any:
        n = 2 * tnp.sqrt(tnp.sum(v * v))
        return tnp.where(n > 0, n, -1.0)

    function = tr.trace(f)(jnp.zeros(3))
    guarded = transforms.guarded(function, [True])
    ir.verify(guarded)
    for v in (np.zeros(3, np.float32), np.float32([3, 4, 0])):
        assert_close(ir.evaluate(guarded, v)[0], ir.evaluate(function, v)[0])
    assert count_ops(guarded, "sqrt") == 2


def test_a_condition_that_is_computed_late_is_not_worth_a_second_network() -> None:
    def f(x: Any) -> Any:
        y = tnp.log(x)
        z = y
        for _ in range(100):
            z = tnp.sin(z)
        return tnp.where(tnp.isfinite(z), y, 0)

    function = tr.trace(f)(array(3))
    assert count_ops(transforms.guarded(function, [True]), "sin") == 100
    assert_same(tr.grad(lambda x: f(x).sum())(jnp.array([1.0, 2.0])), jnp.array([1.0, 0.5]))


def payoff(x: Any) -> Any:
    """What is left of a path's mean, where anything is: the condition needs every step of the path."""
    price, total = 1.0, 0.0
    for t in range(len(x)):
        price = price * tnp.exp(x[t])
        total = total + price
    return tnp.sum(tnp.where(total > 2, total, 0))


def test_the_steps_of_a_path_are_guarded_alike() -> None:
    """All of them, or none where the condition would need too much twice; never the last few alone."""
    short = tr.trace(payoff)(array(4, 3))
    guarded = transforms.guarded(short, [True])
    assert count_ops(guarded, "exp") == 2 * 4
    assert count_ops(guarded, "select") == 1 + 4
    starts = [e.attrs["starts"][0] for e in guarded.eqns if e.op.name == "slice"]
    assert starts == sorted(starts), "what is written early is not in the order of the program"
    long = tr.trace(payoff)(array(60, 3))
    assert transforms.guarded(long, [True]) is long


def test_the_gradient_of_a_path_does_not_grow_with_it() -> None:
    def equations(n: int) -> int:
        return len(tr.jit(tr.grad(payoff)).ir(array(n, 3)).eqns)

    assert equations(60) == equations(120) < 60
    x = 0.1 * array(60, 3)
    want = jax.grad(lambda x: jnp.sum(jnp.maximum(jnp.sum(jnp.exp(jnp.cumsum(x, 0)), 0) - 2, 0)))(x)
    assert_close(tr.jit(tr.grad(payoff))(x), want, 1e-4)


@pytest.mark.parametrize("n", [5, 33, 200])
def test_what_comes_after_a_condition_is_guarded_however_long_the_path(n: int) -> None:
    def f(x: Any) -> Any:
        s = 1.0
        for t in range(n):
            s = s * tnp.exp(0.1 * x[t])
        return tnp.sum(tnp.where(s > 1, tnp.sqrt(s - 1), 0))

    for wrap in (tr.jit, lambda f: f):
        assert_same(wrap(tr.grad(f))(jnp.zeros((n, 2))), jnp.zeros((n, 2)))


def test_quotients_by_constants_need_no_guard() -> None:
    kept = tr.trace(lambda x: tnp.sum(tnp.where(x > 0, x / 3, 0)))(array(3))
    assert transforms.guarded(kept, [True]) is kept
    for unsafe in (lambda x: x / 0.0, lambda x: x / tnp.array([1.0, 0.0, 2.0]), lambda x: 3 / x):
        f = tr.trace(lambda x, unsafe=unsafe: tnp.sum(tnp.where(x > 9, unsafe(x), 0)))(array(3))
        assert count_ops(transforms.guarded(f, [True]), "select") == 2


# Random programs -------------------------------------------------------------------------------------


def random_program(seed: int) -> Callable[[Any, Any], Any]:
    """A function of two (2, 3) arrays with singular ops, selections by values old and new, and moved axes."""

    def f(x: Any, y: Any) -> Any:
        rng = np.random.default_rng(seed)
        one = lambda of: of[int(rng.integers(len(of)))]
        values, conditions = [x, y], [x > 0]
        unary = [
            tnp.sqrt,
            tnp.log,
            tnp.exp,
            tnp.sin,
            lambda v: 1 / v,
            lambda v: v**1.5,
            tnp.arccos,
            lambda v: -v,
        ]
        binary = [tnp.add, tnp.multiply, tnp.divide, tnp.power, tnp.arctan2, tnp.maximum]
        moves = [
            lambda v: v.reshape(3, 2).T,
            lambda v: v.T.reshape(2, 3),
            lambda v: tnp.broadcast_to(v[None], (2, 2, 3)).max(0),
            lambda v: tnp.transpose(tnp.transpose(v.reshape(1, 2, 3), (2, 0, 1)), (1, 2, 0))[0],
            lambda v: v.sum(1, keepdims=True) * tnp.ones((2, 3)),
            lambda v: v.sum(0) + v,
            lambda v: tnp.sqrt(tnp.sum(v * v, axis=1))[:, None] + tnp.zeros((2, 3)),
            lambda v: tr.jit(tnp.sqrt)(v),
        ]
        for _ in range(14):
            kind = rng.integers(6)
            if kind == 0:
                values.append(one(unary)(one(values)))
            elif kind == 1:
                values.append(one(binary)(one(values), one(values)))
            elif kind == 2:
                values.append(one(moves)(one(values)))
            elif kind == 3:
                conditions.append(one([tnp.greater, tnp.less_equal])(one(values), one([0.0, 1.0])))
                if rng.random() < 0.4:
                    conditions.append(
                        one([tnp.logical_and, tnp.logical_xor])(one(conditions), ~one(conditions))
                    )
            else:
                values.append(tnp.where(one(conditions), one(values), one([*values, 0.5])))
        last = [tnp.where(c, v, 0) for c, v in zip(conditions[-3:], values[-3:], strict=False)]
        total = values[-1] if rng.random() < 0.3 else 0
        for v in last:
            total = total + v
        return tnp.sum(tnp.where(tnp.isfinite(total), total, 0))

    return f


def test_random_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarding changes no value, bit for bit, and no derivative that was finite, in either mode and order."""
    guard = transforms.guarded
    x = np.float32([[0.0, 1.0, 4.0], [-1.0, 0.5, 2.0]])
    y = np.float32([[2.0, 0.0, -3.0], [1.0, 1.0, 0.0]])
    changed = repaired = 0
    for seed in range(150):
        function = tr.trace(random_program(seed))(x, y)
        function = optimize(function, (inline_calls, dce))
        with np.errstate(all="ignore"):
            guarded = guard(function, [True, True])
            ir.verify(guarded)
            np.testing.assert_array_equal(ir.evaluate(guarded, x, y)[0], ir.evaluate(function, x, y)[0])
            changed += guarded is not function
            found = {}
            for name, use in (("guarded", guard), ("plain", lambda f, _: f)):
                monkeypatch.setattr("ir.transforms.guard.guarded", use)
                first = transforms.value_and_grad(function, [True, True])
                forward, _ = transforms.jvp(function, [True, True])
                again, _ = transforms.jvp(first, [True, True])
                found[name] = [
                    *ir.evaluate(first, x, y),
                    *ir.evaluate(forward, x, y, y, x),
                    *ir.evaluate(again, x, y, y, x),
                ]
        for a, b in zip(found["guarded"], found["plain"], strict=True):
            known = np.isfinite(b)
            np.testing.assert_allclose(a[known], b[known], rtol=1e-4, atol=1e-5, err_msg=f"seed {seed}")
            repaired += bool(np.isfinite(a[~known]).any())
    assert changed > 40
    assert repaired > 20


def test_in_loops_of_unknown_length() -> None:
    def f(x: Any) -> Any:
        going = lambda s: s[0] < 3
        step = lambda s: (
            s[0] + 1,
            s[1] + tnp.where(x > 0, tnp.sqrt(x), 0) * tnp.where(s[1] > 0, tnp.log(s[1]), 1),
        )
        return tr.while_loop(going, step, (0, x))[1].sum()

    g = tr.jit(tr.grad(f))(jnp.array([0.0, 0.0, 2.0]))
    assert bool(jnp.isfinite(g).all())
    assert_close(g[:2], jnp.ones(2))


def test_axes_in_a_cycle() -> None:
    x = jnp.arange(24.0).reshape(2, 3, 4) % 5
    f = lambda x: tnp.where(tnp.transpose(x, (2, 0, 1)) > 0, tnp.transpose(tnp.sqrt(x), (2, 0, 1)), 0).sum()
    assert_close(tr.grad(f)(x), jnp.where(x > 0, 0.5 / jnp.sqrt(jnp.where(x > 0, x, 1)), 0))


@pytest.mark.parametrize("opt", [0, 1])
def test_the_innermost_of_many_selections_guards(opt: int) -> None:
    """However many selections come after it."""

    def f(x: Any) -> Any:
        a, b = x[0], x[1]
        for i in range(12):
            a, b = b, tnp.where(x[i] > 0, tnp.log(x[i]), b)
        return tnp.cos(a) + tnp.cos(b)

    x = np.where(np.arange(12) % 3 == 1, 0.5, 0.0).astype(np.float32)
    got = tr.jit(tr.grad(f), opt=opt)(x)
    want = np.zeros(12, np.float32)
    want[10] = -2 * np.sin(np.log(0.5)) / 0.5  # the last positive one, taken twice
    np.testing.assert_allclose(got, want, rtol=1e-5)
