"""`custom_jvp` and `custom_vjp`: against JAX in every position, and what wrong rules are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.custom_derivatives import SymbolicZero

import tracer as tr
import tracer.numpy as tnp
from lowering.execute import PROGRAMS
from tests.tracer.helpers import array, assert_close, assert_same, both, raises
from tracer import errors

V = array(4)
A = array(3, 4, seed=1)


def scaled_jvp(xp: Any, t: Any, factor: float = 10.0) -> Any:
    """sin(x) * y, with a derivative that is `factor` times too large, to see that the rule is used."""

    @t.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return xp.sin(x) * y

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x, y), (dx, dy) = primals, tangents
        return f(x, y), factor * (xp.cos(x) * y * dx + xp.sin(x) * dy)

    return f


def scaled_vjp(xp: Any, t: Any, factor: float = 10.0) -> Any:
    @t.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return xp.sin(x) * y

    f.defvjp(
        lambda x, y: (f(x, y), (x, y)),
        lambda r, ct: (factor * ct * xp.cos(r[0]) * r[1], factor * ct * xp.sin(r[0])),
    )
    return f


KINDS = {"jvp": scaled_jvp, "vjp": scaled_vjp}

# One name for each place where a call with rules can stand.
POSITIONS: dict[str, Callable[..., Any]] = {
    "value": lambda xp, t, f: f(V, V),
    "grad": lambda xp, t, f: t.grad(lambda x, y: f(x, y).sum(), (0, 1))(V, V * 2),
    "grad of a part": lambda xp, t, f: t.grad(lambda x: f(x, V).sum())(V),
    "jit of grad": lambda xp, t, f: t.jit(t.grad(lambda x: (f(x, x) * x).sum()))(V),
    "grad of jit": lambda xp, t, f: t.grad(lambda x: t.jit(f)(x, x).sum())(V),
    "vmap": lambda xp, t, f: t.vmap(f)(A, A),
    "vmap of grad": lambda xp, t, f: t.vmap(t.grad(lambda x, y: f(x, y).sum(), (0, 1)))(A, A * 2),
    "vmap of grad, one mapped": lambda xp, t, f: t.vmap(
        t.grad(lambda x, y: f(x, y).sum(), (0, 1)), (0, None)
    )(A, V),
    "vmap of grad, the other mapped": lambda xp, t, f: t.vmap(
        t.grad(lambda x, y: f(x, y).sum(), (0, 1)), (None, 0)
    )(V, A),
    "grad of vmap": lambda xp, t, f: t.grad(lambda x, y: t.vmap(f)(x, y).sum(), (0, 1))(A, A),
    "grad of vmap, one mapped": lambda xp, t, f: t.grad(
        lambda x, y: t.vmap(f, (0, None))(x, y).sum(), (0, 1)
    )(A, V),
    "grad of vmap, a closure": lambda xp, t, f: t.grad(lambda y: t.vmap(lambda x: f(x, y))(A).sum())(V),
    "vmap of vmap of grad": lambda xp, t, f: t.vmap(t.vmap(t.grad(lambda x, y: f(x, y))))(A, A),
    "grad of grad": lambda xp, t, f: t.grad(lambda x: t.grad(lambda y: f(y, y * x).sum())(x).sum())(V),
    "vmap of grad of grad": lambda xp, t, f: t.vmap(t.grad(t.grad(lambda x: f(x, x))))(V),
    "grad of vmap of grad": lambda xp, t, f: t.grad(lambda x: t.vmap(t.grad(lambda y: f(y, 2.0)))(x).sum())(
        V
    ),
    "checkpoint": lambda xp, t, f: t.grad(lambda x: t.checkpoint(lambda y: f(y, y))(x).sum())(V),
    "grad of grad of checkpoint": lambda xp, t, f: t.grad(t.grad(t.checkpoint(lambda y: f(y, y))))(0.7),
    "vmap of checkpoint": lambda xp, t, f: t.vmap(t.grad(t.checkpoint(lambda y: f(y, y))))(V),
    "cotangents": lambda xp, t, f: t.vjp(f, V, V)[1](array(4, seed=9)),
    "not used": lambda xp, t, f: t.grad(lambda x: (f(x, x) * 0 + x).sum())(V),
    "of constants": lambda xp, t, f: t.grad(lambda x: (f(V, V) * x).sum())(V),
    "twice": lambda xp, t, f: t.grad(lambda x: f(f(x, x), x).sum())(V),
    "dtypes": lambda xp, t, f: t.grad(lambda x: f(x, x).sum())(V.astype(np.float16)),
    "empty": lambda xp, t, f: t.grad(lambda x: f(x, x).sum())(array(0)),
}
FORWARD: dict[str, Callable[..., Any]] = {
    "jvp": lambda xp, t, f: t.jvp(f, (V, V), (V, V * 2)),
    "jvp of one": lambda xp, t, f: t.jvp(lambda x: f(x, 2.0), (V,), (V,)),
    "jacfwd": lambda xp, t, f: t.jacfwd(lambda x: f(x, x))(V),
    "linearize": lambda xp, t, f: t.linearize(f, V, V)[1](V, V),
    "hessian": lambda xp, t, f: t.hessian(lambda x: f(x, x).sum())(V),
    "vmap of jvp": lambda xp, t, f: t.vmap(lambda x, dx: t.jvp(f, (x, x), (dx, dx)))(A, A),
    "jvp of vmap": lambda xp, t, f: t.jvp(t.vmap(f, (0, None)), (A, V), (A, V)),
    "jvp of jvp": lambda xp, t, f: t.jvp(lambda x: t.jvp(f, (x, x), (V, V))[1], (V,), (V,)),
    "jvp of checkpoint": lambda xp, t, f: t.jvp(t.checkpoint(lambda x: f(x, x)), (V,), (V,)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", POSITIONS)
def test_positions(kind: str, position: str) -> None:
    both(lambda xp, t: POSITIONS[position](xp, t, KINDS[kind](xp, t)))


@pytest.mark.parametrize("position", FORWARD)
def test_forward_positions(position: str) -> None:
    both(lambda xp, t: FORWARD[position](xp, t, scaled_jvp(xp, t)))


def scan_of(t: Any) -> Any:
    return tr.scan if t is tr else jax.lax.scan


@pytest.mark.parametrize("kind", KINDS)
def test_inside_scan(kind: str) -> None:
    def program(xp: Any, t: Any) -> Any:
        loss = scanned(t, KINDS[kind](xp, t))
        return (
            t.grad(loss, (0, 1))(V, A),
            t.vmap(t.grad(loss, (0, 1)), (0, None))(A, A),
            t.grad(lambda c: t.vmap(lambda x: loss(x, A))(c).sum())(A),
        )

    both(program)


def scanned(t: Any, f: Any) -> Any:
    def loss(c: Any, ys: Any) -> Any:
        last, out = scan_of(t)(lambda c, y: (f(c, y), c * y), c, ys)
        return last.sum() + out.sum()

    return loss


@pytest.mark.parametrize("kind", KINDS)
def test_second_order_inside_scan(kind: str) -> None:
    """Equal to the loop written out, although the rule contradicts the function; `jax.lax.scan` forgets it."""

    def written_out(f: Any) -> Any:
        def loss(c: Any, ys: Any) -> Any:
            total = 0.0
            for k in range(3):
                total, c = total + (c * ys[k]).sum(), f(c, ys[k])
            return c.sum() + total

        return loss

    second = lambda t, loss: t.grad(lambda c: t.grad(loss)(c, A).sum())(V)
    got = second(tr, scanned(tr, KINDS[kind](tnp, tr)))
    assert_same(got, second(jax, written_out(KINDS[kind](jnp, jax))))
    right = second(tr, scanned(tr, KINDS[kind](tnp, tr, 1.0)))
    assert_same(right, second(jax, scanned(jax, jnp_product)))


def jnp_product(x: Any, y: Any) -> Any:
    return jnp.sin(x) * y


def test_forward_mode_of_a_reverse_rule_is_an_error() -> None:
    f = scaled_vjp(tnp, tr)
    for run in (
        lambda: tr.jvp(f, (V, V), (V, V)),
        lambda: tr.jit(lambda x: tr.jvp(lambda y: f(y, y), (x,), (x,)))(V),
        lambda: tr.linearize(f, V, V),
        lambda: tr.jacfwd(lambda x: f(x, x))(V),
        lambda: tr.jvp(lambda x: tr.scan(lambda c, _: (f(c, c), None), x, None, 2)[0], (V,), (V,)),
    ):
        with raises(errors.DifferentiationError, "f", "custom_vjp", "custom_jvp", located=False):
            run()


def test_forward_over_reverse_needs_no_forward_rule() -> None:
    """The backward rule is differentiated, not the function; JAX refuses."""
    got = tr.hessian(lambda x: scaled_vjp(tnp, tr, 1.0)(x, x).sum())(V)
    assert_close(got, jax.hessian(lambda x: (jnp.sin(x) * x).sum())(V))


# Forms of rules --------------------------------------------------------------------------------------


def test_defjvps() -> None:
    def program(xp: Any, t: Any) -> Any:
        @t.custom_jvp
        def f(x: Any, y: Any, z: Any) -> Any:
            return x * y * z

        f.defjvps(lambda dx, out, x, y, z: 10 * dx * y * z, None, lambda dz, out, x, y, z: 100 * dz * x * y)

        return (
            t.grad(f, (0, 1, 2))(2.0, 3.0, 4.0),
            t.vmap(t.grad(f, (0, 1, 2)), (0, None, 0))(V, 3.0, V),
            t.jvp(f, (2.0, 3.0, 4.0), (1.0, 1.0, 1.0)),
        )

    both(program)


def test_a_batch_of_examples_has_the_derivatives_of_each() -> None:
    """Also where the result is the same for all of them: the rule sees the cotangent of one example.

    (`jax.vmap` sums the cotangents first and gives every example the sum.)
    """

    @tr.custom_vjp
    def f(shared: Any, own: Any) -> Any:
        return shared

    f.defvjp(lambda *xs: (xs[0], xs), lambda xs, ct: (ct * tnp.cos(xs[0]), tnp.sum(ct) * tnp.sin(xs[1])))
    shared, own, weights = array(3), array(4, 2), array(4, 3)

    def batched(shared: Any, own: Any) -> Any:
        return tnp.sum(weights * tr.vmap(f, in_axes=(None, 0))(shared, own))

    def one_by_one(shared: Any, own: Any) -> Any:
        return sum(tnp.sum(weights[i] * f(shared, own[i])) for i in range(4))

    want = weights.sum(0) * np.cos(shared), weights.sum(1, keepdims=True) * np.sin(own)
    for function in (batched, one_by_one):
        for got in (tr.grad(function, (0, 1))(shared, own), tr.jit(tr.grad(function, (0, 1)))(shared, own)):
            assert_close(got[0], want[0])
            assert_close(got[1], want[1])


def test_rules_that_are_all_zero() -> None:
    f = tr.custom_jvp(lambda x: {"y": x * 2, "n": 1})
    f.defjvps(None)
    assert float(tr.grad(lambda x: f(x)["y"])(float("inf"))) == 0.0


def test_nondiff_argnums() -> None:
    def program(xp: Any, t: Any) -> Any:
        def applied(fn: Any, x: Any, n: int) -> Any:
            return fn(x) ** n

        f = t.custom_jvp(applied, nondiff_argnums=(0, 2))

        @f.defjvp
        def _(fn: Any, n: int, primals: Any, tangents: Any) -> Any:
            return f(fn, primals[0], n), 10 * n * fn(primals[0]) ** (n - 1) * tangents[0]

        g = t.custom_vjp(applied, nondiff_argnums=(0, 2))
        g.defvjp(
            lambda fn, x, n: (applied(fn, x, n), x),
            lambda fn, n, x, ct: (10 * n * fn(x) ** (n - 1) * ct,),
        )
        return [
            (
                h(xp.sin, V, 2),
                t.grad(lambda x, h=h: h(xp.sin, x, 3).sum())(V),
                t.vmap(t.grad(lambda x, h=h: h(xp.sin, x, 3)))(V),
                t.jit(t.grad(lambda x, h=h: h(xp.cos, x, 2).sum()))(V),
            )
            for h in (f, g)
        ]

    both(program)


def test_nondiff_values_of_equal_numbers_are_told_apart() -> None:
    seen: list[Any] = []

    @tr.custom_jvp
    def outer(x: Any) -> Any:
        return x

    def body(x: Any, n: Any) -> Any:
        return x

    f = tr.custom_jvp(body, nondiff_argnums=(1,))

    @f.defjvp
    def _(n: Any, primals: Any, tangents: Any) -> Any:
        seen.append(n)
        return primals[0], tangents[0] * (2.0 if type(n) is float else 3.0 if type(n) is bool else 5.0)

    assert [float(tr.grad(lambda x, n=n: f(x, n))(1.0)) for n in (1, 1.0, True)] == [5.0, 2.0, 3.0]


def test_pytrees_and_keywords() -> None:
    def program(xp: Any, t: Any) -> Any:
        @t.custom_vjp
        def f(p: Any, x: Any) -> Any:
            return {"y": p["a"] * x, "z": (x, p["b"][0])}

        f.defvjp(
            lambda p, x: (f(p, x), (p, x)),
            lambda r, ct: (
                {"a": ct["y"] * r[1], "b": (10 * ct["z"][1], None)},
                ct["y"] * r[0]["a"] + ct["z"][0],
            ),
        )

        @t.custom_jvp
        def g(p: Any, x: Any) -> Any:
            return {"y": p["a"] * x, "n": 3}

        @g.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (p, x), (dp, dx) = primals, tangents
            out = g(p, x)
            return out, {"y": 10 * (dp["a"] * x + p["a"] * dx), "n": np.zeros((), jax.dtypes.float0)}

        p = {"a": V, "b": (2.0, V)}
        loss = lambda out: out["y"].sum() + (out["z"][0] * 2).sum() + out["z"][1]
        return (
            t.grad(lambda p, x: loss(f(p, x)), (0, 1))(p, V),
            t.grad(lambda p, x: loss(f(x=x, p=p)), (0, 1))(p, V),
            t.vmap(t.grad(lambda p, x: loss(f(p, x)), (0, 1)), (None, 0))(p, A),
            t.grad(lambda p, x: g(p, x)["y"].sum(), (0, 1))(p, V),
            t.jvp(lambda x: g(p, x)["y"], (V,), (V,)),
        )

    both(program)


def test_none_for_zero_cotangents() -> None:
    def program(xp: Any, t: Any) -> Any:
        @t.custom_vjp
        def f(p: Any, n: Any, x: Any) -> Any:
            return x * n + p["a"]

        f.defvjp(lambda p, n, x: (f(p, n, x), n), lambda n, ct: (None, None, ct * n * 10))
        return (
            t.grad(lambda p, x: f(p, 3, x).sum(), (0, 1))({"a": V}, V),
            t.grad(lambda x: f({"a": x}, np.int32(2), x).sum())(V),
            t.vmap(t.grad(lambda p, x: f(p, 3, x).sum(), (0, 1)), (None, 0))({"a": V}, A),
        )

    both(program)


def test_default_arguments() -> None:
    def program(xp: Any, t: Any) -> Any:
        @t.custom_jvp
        def f(x: Any, scale: Any = 2.0) -> Any:
            return x * scale

        f.defjvps(lambda dx, out, x, s: 10 * dx * s, lambda ds, out, x, s: ds * x)
        return t.grad(lambda x: f(x).sum())(V), t.grad(lambda x: f(x, scale=3.0).sum())(V)

    both(program)


def test_methods() -> None:
    class Model:
        scale = 3.0

        @tr.custom_jvp
        def double(self) -> Any:
            return self

    def body(self: Any, x: Any) -> Any:
        return x * self.scale

    f = tr.custom_vjp(body, nondiff_argnums=(0,))
    f.defvjp(lambda self, x: (x * self.scale, None), lambda self, r, ct: (10 * self.scale * ct,))
    Model.apply = f  # type: ignore[attr-defined]
    assert float(tr.grad(lambda x: Model().apply(x))(2.0)) == 30.0  # type: ignore[attr-defined]


def test_integer_results_and_operands() -> None:
    def program(xp: Any, t: Any) -> Any:
        @t.custom_jvp
        def f(x: Any, n: Any) -> Any:
            return x * n, n + 1

        @f.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (x, n), (dx, dn) = primals, tangents
            assert dn.dtype == jax.dtypes.float0
            return f(x, n), (10 * dx * n, dn)

        n = np.arange(4, dtype=np.int32)
        return t.grad(lambda x: f(x, n)[0].sum())(V), t.jvp(lambda x: f(x, n), (V,), (V,))

    both(program)


def test_a_closure_over_arrays() -> None:
    scale = np.arange(4, dtype=np.float32)
    big = jnp.arange(5000.0)

    def program(xp: Any, t: Any) -> Any:
        @t.custom_vjp
        def f(x: Any) -> Any:
            return x * scale

        f.defvjp(lambda x: (x * scale, None), lambda r, ct: (ct * scale * 10 + big[:4],))
        return t.grad(lambda x: f(x).sum())(V), t.jit(t.grad(lambda x: f(x).sum()))(V)

    both(program)


# Options ---------------------------------------------------------------------------------------------


def symbolic_jvp(xp: Any, t: Any, seen: list[Any]) -> Any:
    f = t.custom_jvp(lambda x, y, n: xp.sin(x) * y * n)

    def rule(primals: Any, tangents: Any) -> Any:
        (x, y, n), (dx, dy, dn) = primals, tangents
        still = [type(d) is SymbolicZero for d in tangents]
        seen.append(still)
        assert still[2]
        assert dn.dtype == jax.dtypes.float0
        out = f(x, y, n)
        if still[0] and still[1]:
            return out, SymbolicZero(dx.aval)
        of_x = 0.0 if still[0] else 10.0 * xp.cos(x) * y * n * dx
        return out, of_x + (0.0 if still[1] else 10.0 * xp.sin(x) * n * dy)

    f.defjvp(rule, symbolic_zeros=True)
    return f


def symbolic_vjp(xp: Any, t: Any, seen: list[Any]) -> Any:
    f = t.custom_vjp(lambda x, y, n: (xp.sin(x) * y * n, n))

    def fwd(x: Any, y: Any, n: Any) -> Any:
        seen.append([not v.perturbed for v in (x, y, n)])
        return f(x.value, y.value, n.value), (x.value, y.value if x.perturbed else None, n.value)

    def bwd(r: Any, ct: Any) -> Any:
        (x, y, n), (ct, dn) = r, ct
        assert type(dn) is SymbolicZero
        return (None if y is None else 10.0 * ct * xp.cos(x) * y * n, 10.0 * ct * xp.sin(x) * n, None)

    f.defvjp(fwd, bwd, symbolic_zeros=True, optimize_remat=False)
    return lambda x, y, n: f(x, y, n)[0]


@pytest.mark.parametrize("make", [symbolic_jvp, symbolic_vjp])
def test_symbolic_zeros(make: Any) -> None:
    seen: dict[Any, list[Any]] = {tnp: [], jnp: []}

    def program(xp: Any, t: Any) -> Any:
        f = make(xp, t, seen[xp])
        loss = lambda x, y: f(x, y, 3).sum()
        return [
            f(V, V, 3),
            t.grad(loss)(V, V),
            t.grad(loss, 1)(V, V),
            t.grad(loss, (0, 1))(V, V),
            t.jit(t.grad(loss))(V, V),
            t.grad(t.jit(loss), 1)(V, V),
            t.vmap(t.grad(loss), (0, None))(A, V),
            t.vmap(t.grad(loss, 1), (0, None))(A, V),
            t.grad(lambda x: t.vmap(lambda y: loss(x, y))(A).sum())(V),
            t.grad(lambda x: t.grad(loss)(x, V).sum())(V),
            t.jit(lambda a: t.grad(lambda x: make(lambda_of(xp, a), t, seen[xp])(x, x, 3))(2.0))(0.5),
        ]

    assert_same(program(tnp, tr), program(jnp, jax), weak=False)
    for still in ([False, True, True], [True, False, True], [False, False, True]):
        assert still in seen[tnp]
        assert still in seen[jnp]


class lambda_of:
    """Functions of numbers that close over one."""

    def __init__(self, xp: Any, a: Any) -> None:
        self.sin = lambda x: xp.sin(a * x)
        self.cos = lambda x: a * xp.cos(a * x)


def test_nondiff_argnames() -> None:
    def program(xp: Any, t: Any) -> Any:
        def applied(fn: Any, x: Any, mode: str = "once", *, scale: float = 2.0) -> Any:
            return fn(x) * scale * {"once": 1.0, "twice": 2.0}[mode]

        f = t.custom_jvp(applied, nondiff_argnums=(0,), nondiff_argnames=("mode",))
        f.defjvp(lambda fn, mode, p, d: (f(fn, *p, mode), 10.0 * f(fn, *p, mode=mode) * d[0]))
        g = t.custom_vjp(applied, nondiff_argnames=("mode", "fn"))
        g.defvjp(
            lambda fn, x, mode: (g(fn, x, mode), x),
            lambda fn, mode, x, ct: (10.0 * g(fn, x, mode) * ct,),
        )
        return [
            (
                h(xp.sin, V),
                t.grad(lambda x, h=h: h(xp.sin, x).sum())(V),
                t.grad(lambda x, h=h: h(xp.sin, x, mode="twice").sum())(V),
                t.jit(t.grad(lambda x, h=h: h(xp.sin, x, "twice").sum()))(V),
            )
            for h in (f, g)
        ]

    assert_same(program(tnp, tr), program(jnp, jax))
    with raises(errors.ArgumentError, "nondiff_argnames", "['z']", "'x'"):
        tr.custom_jvp(lambda x: x, nondiff_argnames=("z",))


def test_keyword_only_arguments_keep_their_defaults() -> None:
    def program(xp: Any, t: Any) -> Any:
        def scaled(x: Any, *, y: Any = 2.0) -> Any:
            return x * y

        f = t.custom_jvp(scaled)
        f.defjvp(lambda p, d: (f(*p), 10.0 * d[0]))
        g = t.custom_vjp(scaled)
        g.defvjp(lambda x: (g(x), None), lambda r, ct: (10.0 * ct,))
        return [(h(1.0), t.grad(h)(1.0), t.jit(t.grad(h))(1.0)) for h in (f, g)]

    both(program)


def test_jax_differentiates_custom_functions_at_once() -> None:
    f = scaled_jvp(tnp, tr)
    jax.grad(f)(1.0, 2.0)
    before = len(PROGRAMS)
    assert_close(jax.grad(f)(3.0, 2.0), 20 * np.cos(np.float32(3)))
    assert len(PROGRAMS) == before


# What functions and rules close over --------------------------------------------------------------------


def closing_jvp(xp: Any, t: Any, a: Any, parts: Any) -> Any:
    """A function whose parts (body and rule) use `a` where they are among `parts`."""
    of = lambda part, x: x * a if part in parts else x * 2.0
    f = t.custom_jvp(lambda x: of("body", xp.sin(x)))
    f.defjvp(lambda p, d: (f(*p), 10.0 * of("rule", xp.cos(p[0]) * d[0])))
    return f


def closing_vjp(xp: Any, t: Any, a: Any, parts: Any) -> Any:
    of = lambda part, x: x * a if part in parts else x * 2.0
    f = t.custom_vjp(lambda x: of("body", xp.sin(x)))
    f.defvjp(
        lambda x: (f(x), (x, of("forward", x), a if "residual" in parts else None)),
        lambda r, ct: (of("rule", 10.0 * ct * xp.cos(r[0])) + r[1] + (0.0 if r[2] is None else r[2]),),
    )
    return f


CLOSING = {
    "jvp body": (closing_jvp, ("body",)),
    "jvp rule": (closing_jvp, ("rule",)),
    "jvp": (closing_jvp, ("body", "rule")),
    "vjp body": (closing_vjp, ("body",)),
    "vjp forward": (closing_vjp, ("forward",)),
    "vjp rule": (closing_vjp, ("rule",)),
    "vjp residual": (closing_vjp, ("residual",)),
    "vjp": (closing_vjp, ("body", "forward", "rule", "residual")),
}


@pytest.mark.parametrize("name", CLOSING)
def test_traced_values_that_are_closed_over(name: str) -> None:
    make, parts = CLOSING[name]

    def program(xp: Any, t: Any) -> Any:
        of = lambda a: make(xp, t, a, parts)
        scan = scan_of(t)
        stop = tr.stop_gradient if t is tr else jax.lax.stop_gradient
        batch = A[:, 0]
        return [
            t.jit(lambda a: of(a)(2.0))(3.0),
            t.vmap(lambda a: of(a)(2.0))(batch),
            t.jit(lambda a: t.grad(of(a))(2.0))(3.0),
            t.jit(lambda a: t.grad(of(a * 2))(2.0))(3.0),
            t.jit(lambda a: t.grad(t.grad(of(a)))(2.0))(3.0),
            t.vmap(lambda a: t.grad(of(a))(2.0))(batch),
            t.vmap(lambda a: t.vmap(t.grad(of(a)))(V))(batch),
            t.grad(lambda x, a: of(a)(x))(2.0, 3.0),
            t.jit(t.grad(lambda x, a: of(a + 1.0)(x)))(2.0, 3.0),
            t.grad(lambda x, a: t.vmap(lambda y: of(a)(y))(x).sum())(V, 3.0),
            t.grad(lambda x, a: scan(lambda c, _: (of(a)(c), None), x, None, 2)[0])(0.5, 0.7),
            t.grad(lambda x, a: t.checkpoint(lambda y: of(a)(y))(x))(2.0, 3.0),
            t.grad(lambda x: of(stop(x))(x))(3.0),
        ]

    assert_same(program(tnp, tr), program(jnp, jax), weak=False)


@pytest.mark.parametrize("name", CLOSING)
def test_derivatives_by_what_is_closed_over(name: str) -> None:
    """Rules say nothing of them: an error, unless no argument moves and the function itself uses none."""
    make, parts = CLOSING[name]
    of = lambda a: make(tnp, tr, a, parts)
    runs = [
        lambda: tr.grad(lambda a: of(a)(a))(3.0),
        lambda: tr.jit(tr.grad(lambda a: of(a)(a)))(3.0),
        lambda: tr.grad(lambda a: tr.vmap(of(a))(V * a).sum())(3.0),
        lambda: tr.grad(lambda c: tr.scan(lambda c, _: (of(c)(c), None), c, None, 2)[0])(3.0),
    ]
    if "body" in parts:
        runs.append(lambda: tr.grad(lambda a: of(a)(2.0))(3.0))
    else:
        assert float(tr.grad(lambda a: of(a)(2.0))(3.0)) == 0.0
        assert float(jax.grad(lambda a: make(jnp, jax, a, parts)(2.0))(3.0)) == 0.0
    for run in runs:
        with raises(errors.CustomRuleError, "close over", "argument", located=False):
            run()


@pytest.mark.parametrize("name", ["jvp", "vjp", "jvp body", "vjp body"])
def test_functions_of_jax_that_close_over_traced_values(name: str) -> None:
    make, parts = CLOSING[name]

    def program(t: Any) -> Any:
        of = lambda a: make(jnp, jax, a, parts)
        return [
            t.jit(lambda a: of(a)(2.0))(3.0),
            t.vmap(lambda a: of(a)(2.0))(V),
            t.jit(lambda a: t.grad(of(a))(2.0))(3.0),
            t.jit(lambda a: t.grad(of(a * 2))(2.0))(3.0),
            t.jit(lambda a: t.grad(t.grad(of(a)))(2.0))(3.0),
            t.vmap(lambda a: t.grad(of(a))(2.0))(V),
            t.grad(lambda x, a: of(a)(x))(2.0, 3.0),
            t.jit(t.grad(lambda x, a: of(a + 1.0)(x)))(2.0, 3.0),
            t.grad(lambda x, a: t.vmap(lambda y: of(a)(y))(x).sum())(V, 3.0),
            t.grad(lambda x: of(jnp.full(5000, 3.0)[:4])(x).sum())(V),
        ]

    assert_same(program(tr), program(jax), weak=False)
    inside = tr.grad(lambda x, a: jax.jit(lambda y, b: make(jnp, jax, b, parts)(y))(x, a))
    assert_close(inside(2.0, 3.0), jax.grad(make(jnp, jax, 3.0, parts))(2.0))
    if "body" in parts:
        with raises(errors.CustomRuleError, "close over", located=False):
            tr.grad(lambda a: make(jnp, jax, a, parts)(a))(3.0)


def test_functions_of_jax_with_rules_that_raise() -> None:
    def refused(*_: Any) -> Any:
        raise NotImplementedError("no derivative here")

    def f(x: Any, a: Any) -> Any:
        inner = jax.custom_jvp(lambda y: jnp.sin(y) * a)
        inner.defjvp(refused)
        return inner(x)

    assert_close(tr.jit(f)(2.0, 3.0), 3 * np.sin(np.float32(2)))
    with pytest.raises(NotImplementedError, match="no derivative here"):
        tr.grad(f)(2.0, 3.0)


def test_rules_of_rules_close_over_traced_values() -> None:
    """sin(a x), whose derivative is another custom function, whose derivative is the first one again."""

    def program(xp: Any, t: Any) -> Any:
        def made(a: Any) -> Any:
            f = t.custom_jvp(lambda x: xp.sin(a * x))
            g = t.custom_jvp(lambda x: xp.cos(2.0 * x))
            f.defjvps(lambda dx, out, x: a * g(x) * dx)
            g.defjvps(lambda dx, out, x: -a * f(x) * dx)
            return f

        return [
            t.jit(lambda a: t.grad(made(a))(0.3))(2.0),
            t.jit(lambda a: t.grad(t.grad(made(a)))(0.3))(2.0),
            t.jit(lambda a: t.grad(t.grad(t.grad(made(a))))(0.3))(2.0),
            t.grad(lambda x, a: made(a)(x))(0.3, 2.0),
        ]

    both(program)


def test_rules_without_end() -> None:
    """The derivative of each function is a new one."""

    def program(xp: Any, t: Any) -> Any:
        def made(n: int, a: Any) -> Any:
            f = t.custom_jvp(lambda x: xp.sin(n * x) * a)
            f.defjvps(lambda dx, out, x: (made(n + 1, a)(x) - made(n + 2, a)(x)) * dx)
            return f

        f = t.custom_jvp(lambda n, x: xp.sin(n * x), nondiff_argnums=(0,))
        f.defjvp(lambda n, p, d: (f(n, *p), (f(n + 1, *p) - f(n + 2, *p)) * d[0]))
        return (
            t.jit(lambda a: t.grad(made(1, a))(0.3))(2.0),
            t.grad(made(1, jnp.float32(2.0)))(0.3),
            t.grad(t.grad(lambda x: f(1, x)))(0.3),
        )

    both(program)


def test_other_arrays_of_the_same_type_need_no_new_program() -> None:
    def loss(target: Any) -> Any:
        @tr.custom_vjp
        def f(x: Any) -> Any:
            return tnp.sum((x - target) ** 2)

        f.defvjp(lambda x: (f(x), x), lambda x, ct: (20 * ct * (x - target),))
        return f

    z = jnp.zeros(5000)
    tr.grad(loss(jnp.full(5000, 0.5)))(z)
    before = len(PROGRAMS)
    for i in range(5):
        assert_close(tr.grad(loss(jnp.full(5000, float(i))))(z), np.full(5000, -20.0 * i, np.float32))
    assert len(PROGRAMS) == before


def test_compiled_programs_hold_no_arrays_of_rules() -> None:
    import gc
    import weakref

    class Held:
        def __init__(self, value: Any) -> None:
            self.value = value

    def run() -> Any:
        held = Held(jnp.full(5000, 2.0))
        f = tr.custom_vjp(lambda x: tnp.sum(x * held.value))
        f.defvjp(lambda x: (f(x), None), lambda r, ct: (ct * held.value,))
        tr.grad(f)(jnp.zeros(5000))
        return weakref.ref(held)

    alive = run()
    gc.collect()
    assert alive() is None


# Rules written for JAX ---------------------------------------------------------------------------------


def of_jax(part: str, xp: Any, t: Any) -> Any:
    """sin(x), one part of whose rules calls `jax.numpy`."""
    used = lambda name: jnp if part == name else xp
    if part == "jvp":
        f = t.custom_jvp(lambda x: xp.sin(x))
        f.defjvp(lambda primals, tangents: (f(*primals), 3.0 * tangents[0] * jnp.cos(primals[0])))
        return f
    f = t.custom_vjp(lambda x: xp.sin(x))

    def fwd(x: Any) -> Any:
        if part == "print":
            jax.debug.callback(lambda _: None, x)
        return used("fwd").sin(x), (x, None, 3.0)

    def bwd(r: Any, ct: Any) -> Any:
        if part == "print":
            jax.debug.callback(lambda _: None, ct)
        return (ct * used("bwd").cos(r[0]) * r[2],)

    f.defvjp(fwd, bwd)
    return f


@pytest.mark.parametrize("part", ["jvp", "fwd", "bwd", "print"])
def test_rules_that_call_jax(part: str) -> None:
    def program(xp: Any, t: Any) -> Any:
        f = of_jax(part, xp, t)
        return (
            t.grad(f)(1.0),
            t.jit(t.grad(f))(1.0),
            t.grad(t.jit(f))(1.0),
            t.vmap(t.grad(f))(V),
            t.grad(lambda x: t.vmap(f)(x).sum())(V),
            t.grad(t.grad(f))(1.0),
        )

    both(program)


def test_rules_that_call_jax_may_return_nothing_for_an_argument() -> None:
    def program(xp: Any, t: Any) -> Any:
        f = t.custom_vjp(lambda x, y: xp.sin(x) * y)
        f.defvjp(lambda x, y: (f(x, y), x), lambda r, ct: (ct * jnp.cos(r), None))
        return t.grad(f, (0, 1))(V[0], V[1]), t.jit(t.grad(f, (0, 1)))(V[0], V[1])

    both(program)


@pytest.mark.parametrize("part", ["result", "cotangent"])
def test_what_wrong_rules_that_call_jax_are_told(part: str) -> None:
    def cube(x: Any) -> Any:
        return x**3

    f = tr.custom_vjp(cube)
    wrong = lambda x, where: jnp.sum(x) if part == where else jnp.sin(x)
    f.defvjp(lambda x: (wrong(x, "result"), x), lambda r, ct: (wrong(r, "cotangent"),))
    with raises(errors.CustomRuleError, "cube", part, "f32[]", "f32[4]", located=False):
        tr.grad(lambda x: f(x).sum())(V)


# Residuals -------------------------------------------------------------------------------------------


def test_residuals_that_are_no_values_of_the_program() -> None:
    def program(xp: Any, t: Any) -> Any:
        f = t.custom_vjp(lambda x: xp.sum(x * 2))

        def fwd(x: Any) -> Any:
            return f(x), {"shape": x.shape, "twice": True, "axis": 0, "scale": 1.5, "none": None, "x": x}

        def bwd(r: Any, ct: Any) -> Any:
            out = xp.zeros(r["shape"]) + ct * r["scale"] + xp.sum(r["x"], axis=r["axis"])
            return (out * 2 if r["twice"] else out,)

        f.defvjp(fwd, bwd)
        return (
            t.grad(f)(V),
            t.jit(t.grad(f))(V),
            t.grad(t.jit(f))(V),
            t.vmap(t.grad(f))(A),
            t.grad(lambda x: t.vmap(f)(x).sum())(A),
            t.grad(lambda x: t.grad(f)(x).sum())(V),
        )

    both(program)


def test_residuals_may_be_any_objects_and_change() -> None:
    mode = ["double"]
    f = tr.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, mode[0]), lambda r, ct: (ct * {"double": 2.0, "triple": 3.0}[r],))
    for name, factor in (("double", 2.0), ("triple", 3.0), ("double", 2.0)):
        mode[0] = name
        assert float(tr.grad(f)(1.0)) == factor
        assert float(tr.jit(tr.grad(lambda x: f(x)))(1.0)) == factor
        assert_close(tr.vmap(tr.grad(f))(jnp.ones(2)), np.full(2, factor))


def test_residuals_keep_weak_types() -> None:
    def program(xp: Any, t: Any) -> Any:
        f = t.custom_vjp(lambda x, y: x * y)
        f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda r, ct: (ct * r[1], None))
        half = V.astype(np.float16)
        return t.grad(lambda x: f(x, 2.0).sum())(half), t.jit(t.grad(lambda x: f(x, 2.0).sum()))(half)

    both(program)


# Rules are compiled once, and never stale --------------------------------------------------------------


def test_rules_do_not_recompile() -> None:
    f, g = scaled_jvp(tnp, tr, 0.321), scaled_vjp(tnp, tr, 0.321)
    for h in (f, g):
        run = lambda h=h: tr.grad(lambda x: h(x, x).sum())(V)
        run()
        before = len(PROGRAMS)
        for _ in range(3):
            run()
        assert len(PROGRAMS) == before


def test_what_a_rule_reads_may_change() -> None:
    factor = [2.0]

    @tr.custom_jvp
    def f(x: Any) -> Any:
        return x

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return primals[0], tangents[0] * factor[0]

    @tr.custom_vjp
    def g(x: Any) -> Any:
        return x

    g.defvjp(lambda x: (x, x * factor[0]), lambda r, ct: (r * ct,))
    for h in (f, g):
        for value in (2.0, 3.0, 2.0):
            factor[0] = value
            assert float(tr.grad(h)(1.0)) == value
            assert_close(tr.vmap(tr.grad(h))(jnp.ones(3)), np.full(3, value))
            assert float(tr.jit(tr.grad(lambda x, h=h: h(x)))(1.0)) == value


def test_a_rule_may_be_replaced() -> None:
    f = scaled_jvp(tnp, tr)
    assert_close(tr.grad(f)(1.0, 1.0), 10 * np.cos(np.float32(1)))
    f.defjvp(lambda p, t: (f(*p), t[0] * 7.0))
    assert float(tr.grad(f)(1.0, 1.0)) == 7.0


def test_recursive_rules_to_high_order() -> None:
    def program(xp: Any, t: Any) -> Any:
        @t.custom_jvp
        def sin(x: Any) -> Any:
            return xp.sin(x)

        @t.custom_jvp
        def cos(x: Any) -> Any:
            return xp.cos(x)

        sin.defjvps(lambda dx, out, x: cos(x) * dx)
        cos.defjvps(lambda dx, out, x: -sin(x) * dx)
        out = []
        f: Any = sin
        for _ in range(5):
            f = t.grad(f)
            out.append(f(0.3))
        return out

    both(program)


# Wrong rules -----------------------------------------------------------------------------------------


def jvp_of(rule: Any) -> Any:
    def cube(x: Any) -> Any:
        return {"y": x**3}

    f = tr.custom_jvp(cube)
    f.defjvp(rule)
    return lambda x: f(x)["y"].sum()


WRONG_JVP: dict[str, tuple[Any, tuple[str, ...]]] = {
    "not a pair": (lambda p, t: p[0], ("(result, tangent)", "Tensor")),
    "three": (lambda p, t: (1, 2, 3), ("(result, tangent)", "3 of them")),
    "structure": (lambda p, t: (p[0] ** 3, t[0]), ("structure", "'y'")),
    "tangent structure": (lambda p, t: ({"y": p[0] ** 3}, t[0]), ("structure", "'y'")),
    "result shape": (lambda p, t: ({"y": p[0][:2]}, {"y": t[0]}), ("result", "f32[2]", "f32[4]")),
    "tangent shape": (lambda p, t: ({"y": p[0]}, {"y": t[0].sum()}), ("tangent", "f32[]", "f32[4]")),
    "result dtype": (lambda p, t: ({"y": p[0].astype(int)}, {"y": t[0]}), ("result", "i32[4]", "f32[4]")),
    "tangent dtype": (
        lambda p, t: ({"y": p[0]}, {"y": t[0].astype(np.float16)}),
        ("tangent", "f16[4]", "f32[4]"),
    ),
    "tangent float0": (
        lambda p, t: ({"y": p[0]}, {"y": np.zeros(4, jax.dtypes.float0)}),
        ("tangent", "float0", "f32[4]"),
    ),
    "no array": (lambda p, t: ({"y": p[0]}, {"y": "text"}), ("tangent", "str", "f32[4]")),
}


@pytest.mark.parametrize("name", WRONG_JVP)
def test_wrong_jvp_rules(name: str) -> None:
    rule, parts = WRONG_JVP[name]
    f = jvp_of(rule)
    for run in (
        lambda: tr.grad(f)(V),
        lambda: tr.jit(tr.grad(f))(V),
        lambda: tr.jvp(f, (V,), (V,)),
        lambda: tr.vmap(tr.grad(f))(array(2, 4)),
    ):
        with raises(errors.CustomRuleError, "cube", "expected", f"at {__file__}:", *parts, located=False):
            run()
    assert_close(tr.jit(f)(V), (V**3).sum())


def vjp_of(fwd: Any, bwd: Any) -> Any:
    def cube(x: Any, p: Any) -> Any:
        return {"y": x**3 * p["a"]}

    f = tr.custom_vjp(cube)
    f.defvjp(fwd, bwd)
    return lambda x: f(x, {"a": x})["y"].sum()


def good_fwd(x: Any, p: Any) -> Any:
    return {"y": x**3 * p["a"]}, x


WRONG_VJP: dict[str, tuple[Any, Any, tuple[str, ...]]] = {
    "fwd not a pair": (
        lambda x, p: x,
        lambda r, ct: (ct["y"], None),
        ("forward", "(result, residuals)", "Tensor"),
    ),
    "fwd structure": (lambda x, p: (x, x), lambda r, ct: (ct["y"], None), ("forward", "structure", "'y'")),
    "fwd shape": (
        lambda x, p: ({"y": x[:1]}, x),
        lambda r, ct: (ct["y"], None),
        ("forward", "f32[1]", "f32[4]"),
    ),
    "fwd dtype": (
        lambda x, p: ({"y": x.astype(np.float16)}, x),
        lambda r, ct: (ct["y"], None),
        ("forward", "f16[4]", "f32[4]"),
    ),
    "bwd not a tuple": (good_fwd, lambda r, ct: ct["y"], ("backward", "2 cotangents", "Tensor")),
    "bwd too few": (good_fwd, lambda r, ct: (ct["y"],), ("backward", "2 cotangents", "1 of them")),
    "bwd structure": (good_fwd, lambda r, ct: (ct["y"], ct["y"]), ("backward", "structure")),
    "bwd keys": (good_fwd, lambda r, ct: (ct["y"], {"b": ct["y"]}), ("backward", "structure", "'b'")),
    "bwd nesting": (good_fwd, lambda r, ct: ((ct["y"], ct["y"]), None), ("backward", "structure")),
    "bwd shape": (good_fwd, lambda r, ct: (ct["y"].sum(), None), ("backward", "f32[]", "f32[4]")),
    "bwd dtype": (good_fwd, lambda r, ct: (ct["y"].astype(np.int32), None), ("backward", "i32[4]", "f32[4]")),
    "bwd float0": (
        good_fwd,
        lambda r, ct: (np.zeros(4, jax.dtypes.float0), None),
        ("backward", "float0", "f32[4]"),
    ),
    "bwd no array": (good_fwd, lambda r, ct: (object(), None), ("backward", "object", "f32[4]")),
}


@pytest.mark.parametrize("name", WRONG_VJP)
def test_wrong_vjp_rules(name: str) -> None:
    fwd, bwd, parts = WRONG_VJP[name]
    f = vjp_of(fwd, bwd)
    for run in (
        lambda: tr.grad(f)(V),
        lambda: tr.jit(tr.grad(f))(V),
        lambda: tr.vmap(tr.grad(f))(array(2, 4)),
    ):
        with raises(errors.CustomRuleError, "cube", "expected", f"at {__file__}:", *parts, located=False):
            run()
    assert_close(tr.jit(f)(V), (V**4).sum())


def test_missing_rules() -> None:
    for make, word in ((tr.custom_jvp, "defjvp"), (tr.custom_vjp, "defvjp")):

        def cube(x: Any) -> Any:
            return x**3

        f = make(cube)
        for run in (lambda: f(V), lambda: tr.jit(f)(V), lambda: tr.grad(lambda x: f(x).sum())(V)):
            with raises(errors.CustomRuleError, "cube", word):
                run()


def test_wrong_numbers_of_rules_and_arguments() -> None:
    @tr.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return x * y

    f.defjvps(lambda dx, out, x, y: dx)
    with raises(errors.CustomRuleError, "f", "2", "1"):
        tr.grad(f)(1.0, 2.0)
    with raises(errors.ArgumentTypeError, "f", "missing"):
        tr.grad(lambda x: f(x))(1.0)
    with raises(errors.ArgumentTypeError, "f", "unexpected"):
        tr.grad(lambda x: f(x, 1.0, z=2))(1.0)
    with raises(errors.ArgumentError, "nondiff_argnums", "[3]"):
        g = tr.custom_jvp(lambda x: x, nondiff_argnums=(3,))
        g.defjvps(None)
        g(1.0)
    with raises(errors.ArgumentTypeError, "keyword-only"):
        h = tr.custom_jvp(lambda x, *, y: x)
        h.defjvps(None)
        h(1.0, y=2.0)


# stop_gradient ---------------------------------------------------------------------------------------


def test_stop_gradient() -> None:
    stop = lambda t: tr.stop_gradient if t is tr else jax.lax.stop_gradient
    both(lambda xp, t: t.grad(lambda x: (stop(t)(x) * x).sum())(V))
    both(lambda xp, t: t.grad(lambda x: t.grad(lambda y: stop(t)(y) * y**2)(x))(1.5))
    both(
        lambda xp, t: t.grad(lambda p: (stop(t)({"a": p["a"], "n": 3})["a"] * p["b"]).sum())({"a": V, "b": V})
    )
    both(lambda xp, t: t.vmap(t.grad(lambda x: stop(t)(x) ** 2 + x))(V))
    both(lambda xp, t: t.jvp(lambda x: stop(t)(x) * x, (V,), (V,)))
    both(lambda xp, t: stop(t)({"a": V, "n": np.arange(2)}))
    assert_same(jax.grad(tr.jit(lambda x: (tr.stop_gradient(x) * x).sum()))(V), V)
    assert_same(jax.grad(lambda x: (tr.stop_gradient(x) * x).sum())(V), V)


# Rules that compute results and tangents together -------------------------------------------------------


def together(t: Any, xp: Any, body: Callable[..., Any]) -> Callable[..., Any]:
    """`body` with a rule that is its own derivative; loops of it then hold both."""
    lib = t if t is tr else lax
    plain = lambda x: body(t, lib, xp, x)
    f = t.custom_jvp(lambda x: plain(x))
    f.defjvp(lambda primals, tangents: t.jvp(plain, primals, tangents))
    return f  # type: ignore[no-any-return]


def nested(t: Any, lib: Any, xp: Any, x: Any) -> Any:
    def step(c: Any, y: Any) -> Any:
        c = lib.cond(y > 0, lambda c: xp.sin(c) * y, lambda c: c * c + y, c)
        return t.checkpoint(lambda c: xp.cos(c) * c)(c), c

    return xp.sum(lib.scan(step, x[0], x)[1])


TOGETHER: dict[str, Callable[..., Any]] = {
    "scan": lambda t, lib, xp, x: lib.scan(lambda c, y: (xp.sin(c) * y, c * y), x[0], x)[1].sum(),
    "fori_loop": lambda t, lib, xp, x: lib.fori_loop(0, 3, lambda i, c: xp.sin(c) * c, x).sum(),
    "cond": lambda t, lib, xp, x: lib.cond(x[0] > 0, lambda x: xp.sin(x) * x, lambda x: x**2, x).sum(),
    "checkpoint": lambda t, lib, xp, x: t.checkpoint(lambda x: xp.sin(x) * x)(x).sum(),
    "jit": lambda t, lib, xp, x: t.jit(lambda x: lib.scan(lambda c, y: (xp.sin(c) * y, c), x[0], x)[0])(x),
    "nested": nested,
    "rule in rule": lambda t, lib, xp, x: (
        xp.sum(x) * (together(t, xp, nested)(x) if t is tr else nested(t, lib, xp, x))
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_rules_that_compute_results_and_tangents_together(name):
    ours, theirs = together(tr, tnp, TOGETHER[name]), together(jax, jnp, TOGETHER[name])
    x = array(4, low=0.1)
    for of in (
        lambda t, f: t.value_and_grad(f),
        lambda t, f: t.jit(t.hessian(f)),
        lambda t, f: t.jit(t.grad(lambda x: t.vmap(f)(xpair(x)).sum())),
    ):
        want = of(jax, lambda x: TOGETHER[name](jax, lax, jnp, x))(x)
        assert_same(of(tr, ours)(x), want, 1e-4, weak=False)
        assert_same(of(tr, theirs)(x), want, 1e-4, weak=False)


def xpair(x: Any) -> Any:
    return jnp.array([[1.0], [0.5]]) * x[None]


def test_a_while_loop_that_computes_results_and_tangents_together():
    plain = lambda x: tr.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, tnp.sin(c[1]) * c[1]), (0, x))[1]
    f = tr.custom_jvp(lambda x: plain(x))
    f.defjvp(lambda primals, tangents: tr.jvp(plain, primals, tangents))
    bounded = lambda x: lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * c, x)
    for of in (lambda t, f: t.value_and_grad(f), lambda t, f: t.jit(t.hessian(f))):
        assert_same(of(tr, f)(1.5), of(jax, bounded)(1.5), weak=False)


def test_a_rule_whose_result_is_of_an_equation_that_has_the_tangent_too():
    def made(t: Any) -> Any:
        @t.custom_jvp
        def both(x: Any, dx: Any) -> Any:
            return x * x, 2 * x * dx

        @both.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (x, a), (dx, da) = primals, tangents
            return both(x, a), (2 * x * dx, 2 * a * dx + 2 * x * da)

        f = t.custom_jvp(lambda x: x * x)
        f.defjvp(lambda primals, tangents: both(primals[0], tangents[0]))
        return f

    for of in (
        lambda t: t.value_and_grad(made(t)),
        lambda t: t.hessian(made(t)),
        lambda t: t.jit(t.grad(made(t))),
    ):
        assert_same(of(tr)(1.5), of(jax)(1.5))


def test_rules_that_look_at_tangents_stay_as_they_are():
    f = tr.custom_jvp(lambda x: A @ x)
    zero = lambda t: jnp.zeros(3)
    f.defjvp(lambda p, t: (A @ p[0], lax.cond(jnp.any(t[0] != 0), lambda t: A @ t, zero, t[0])))
    assert_same(tr.linearize(f, V)[1](V), A @ V, weak=False)
    assert_same(tr.jacfwd(f)(V), A, weak=False)
    with pytest.raises(errors.TracerError):
        tr.grad(lambda x: f(x).sum())(V)


def test_a_linear_function_whose_rule_calls_it_on_the_tangent():
    for t in (tr, jax):
        f = t.custom_jvp(lambda x: 2 * x)
        f.defjvp(lambda p, dp, f=f: (f(*p), f(*dp)))
        for got in (
            tr.grad(lambda x: f(x).sum())(V),
            tr.linearize(lambda x: f(x).sum(), V)[1](jnp.ones(4)) * jnp.ones(4) / 4,
            tr.grad(lambda x: tr.custom_linear_solve(f, x, lambda _, b: b / 2, lambda _, b: b / 2).sum())(V)
            * 4,
        ):
            assert_same(got, jnp.full(4, 2.0), weak=False)


def test_a_rule_with_a_loop_over_the_tangent_alone():
    f = tr.custom_jvp(lambda x: jnp.sin(x))
    body = lambda p: lambda c: (c[0] + 1, c[1] * jnp.cos(p))
    f.defjvp(lambda p, t: (f(*p), lax.while_loop(lambda c: c[0] < 3, body(p[0]), (0, t[0]))[1]))
    assert_same(tr.linearize(f, V)[1](V), V * jnp.cos(V) ** 3, weak=False)
