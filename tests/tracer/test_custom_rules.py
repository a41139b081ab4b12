"""custom_jvp and custom_vjp: the user's rules hold under every transform, of tracer and of JAX."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_same, raises
from tracer import errors

SPACES = [(tr, tnp), (jax, jnp)]
VECTOR = array(4)


def in_both(program, *args):
    """`program(lib, xp)(*args)` in tracer, compared with JAX; returns the result."""
    got, want = (program(lib, xp)(*args) for lib, xp in SPACES)
    assert_same(got, want, weak=False)
    return got


def tripled_sin(lib, xp):
    """sin, whose rule gives three times the derivative, so that a use of the rule is seen."""

    @lib.custom_jvp
    def f(x):
        return xp.sin(x)

    @f.defjvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), 3 * t * xp.cos(x)

    return f


def reversed_sin(lib, xp):
    """The same with a reverse rule."""

    @lib.custom_vjp
    def f(x):
        return xp.sin(x)

    f.defvjp(lambda x: (f(x), xp.cos(x)), lambda cosine, ct: (3 * ct * cosine,))
    return f


RULES = [tripled_sin, reversed_sin]


@pytest.mark.parametrize("make", RULES)
@pytest.mark.parametrize(
    "transform",
    [
        lambda lib, f: lib.grad(f),
        lambda lib, f: lib.jit(lib.grad(f)),
        lambda lib, f: lib.grad(lib.jit(f)),
        lambda lib, f: lib.grad(lib.grad(f)),
        lambda lib, f: lib.grad(lib.grad(lib.grad(f))),
        lambda lib, f: lib.grad(lambda x: f(f(x)) * x),
        lambda lib, f: lib.grad(lib.checkpoint(f)),
        lambda lib, f: lambda x: lib.vjp(f, x)[1](1.0)[0],
    ],
)
def test_rule_is_used(make, transform):
    in_both(lambda lib, xp: transform(lib, make(lib, xp)), 0.7)


@pytest.mark.parametrize("make", RULES)
@pytest.mark.parametrize(
    "transform",
    [
        lambda lib, f: lib.vmap(lib.grad(f)),
        lambda lib, f: lib.grad(lambda x: lib.vmap(f)(x).sum()),
        lambda lib, f: lib.jacrev(f),
        lambda lib, f: lib.jit(lib.vmap(lib.grad(lib.grad(f)))),
        lambda lib, f: lib.grad(lambda x: lib.grad(lambda y: lib.vmap(f)(y).sum())(x).sum()),
    ],
)
def test_rule_is_used_on_arrays(make, transform):
    in_both(lambda lib, xp: transform(lib, make(lib, xp)), VECTOR)


@pytest.mark.parametrize("make", RULES)
@pytest.mark.parametrize(
    ("outer", "x"),
    [
        (jax.grad, 0.7),
        (lambda f: jax.grad(jax.grad(f)), 0.7),
        (lambda f: jax.jit(jax.grad(f)), 0.7),
        (lambda f: lambda x: jax.vjp(f, x)[1](jnp.ones_like(x))[0], VECTOR),
        (lambda f: jax.vmap(jax.grad(f)), VECTOR),
        (lambda f: jax.grad(lambda x: jax.vmap(f)(x).sum()), VECTOR),
        (lambda f: jax.grad(jax.checkpoint(f)), 0.7),
    ],
)
@pytest.mark.parametrize(
    ("inner", "same"),
    [
        (lambda f: f, lambda f: f),
        (tr.jit, lambda f: f),
        (lambda f: tr.jit(lambda x: f(x) * x), lambda f: lambda x: f(x) * x),
    ],
)
def test_rule_is_used_by_jax(make, outer, x, inner, same):
    """JAX's transforms of a compiled function, and of the bare function, see the rule too."""
    assert_same(outer(inner(make(tr, tnp)))(x), outer(same(make(jax, jnp)))(x), weak=False)


def test_forward_mode():
    in_both(lambda lib, xp: lambda x: lib.jvp(tripled_sin(lib, xp), (x,), (2.0,)), 0.7)
    in_both(lambda lib, xp: lib.jacfwd(lambda x: lib.vmap(tripled_sin(lib, xp))(x)), VECTOR)
    in_both(lambda lib, xp: lib.hessian(lambda x: lib.vmap(tripled_sin(lib, xp))(x).sum()), VECTOR)


def test_custom_vjp_has_no_forward_mode():
    f = reversed_sin(tr, tnp)
    for use in (
        lambda: tr.jvp(f, (1.0,), (1.0,)),
        lambda: tr.linearize(f, 1.0),
        lambda: tr.jacfwd(f)(1.0),
        lambda: tr.jit(lambda x: tr.jvp(f, (x,), (x,)))(1.0),
    ):
        with raises(TypeError, "custom_vjp", "reverse-mode", located=False):
            use()


class Pair(NamedTuple):
    a: object
    b: object


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_pytrees_and_batching(axes):
    def program(lib, xp):
        @lib.custom_vjp
        def f(p, y):
            return {"s": xp.sum(p.a * y), "p": p.b * y}

        def fwd(p, y):
            return f(p, y), (p, {"y": y})

        def bwd(saved, ct):
            p, y = saved[0], saved[1]["y"]
            return Pair(5 * ct["s"] * y, xp.sum(ct["p"] * y)), ct["s"] * p.a

        f.defvjp(fwd, bwd)

        def loss(p, y):
            out = f(p, y)
            return out["s"] + xp.sum(xp.sin(out["p"]))

        return lib.vmap(lib.grad(loss, argnums=(0, 1)), in_axes=axes)

    p = Pair(array(3, 4), array(3)) if axes[0] == 0 else Pair(array(4), array())
    in_both(program, p, array(3, 4) if axes[1] == 0 else array(4))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_batching_of_custom_jvp(axes):
    def program(lib, xp):
        @lib.custom_jvp
        def f(x, y):
            return xp.sum(x) * y, x

        @f.defjvp
        def _(primals, tangents):
            (x, y), (dx, dy) = primals, tangents
            return f(x, y), (2 * xp.sum(dx) * y + xp.sum(x) * dy, 4 * dx)

        def loss(x, y):
            s, z = f(x, y)
            return s + xp.sum(z**2)

        return lambda x, y: lib.grad(lambda x, y: lib.vmap(loss, in_axes=axes)(x, y).sum(), argnums=(0, 1))(
            x, y
        )

    in_both(program, array(*[(4,), (3, 4)][axes[0] == 0]), array(*[(), (3,)][axes[1] == 0]))


def test_integer_arguments():
    def with_jvp(lib, xp):
        @lib.custom_jvp
        def f(n, x):
            return x**2 * n

        @f.defjvp
        def _(primals, tangents):
            (n, x), (_, dx) = primals, tangents
            return f(n, x), 7 * dx * n

        return lib.grad(f, argnums=1)

    in_both(with_jvp, 3, 2.0)

    def with_vjp(lib, xp):
        @lib.custom_vjp
        def f(n, x):
            return x**2 * n

        f.defvjp(lambda n, x: (f(n, x), (n, x)), lambda res, ct: (None, 7 * ct * res[0]))
        return lib.grad(f, argnums=1)

    in_both(with_vjp, 3, 2.0)


def test_nondiff_argnums():
    def with_jvp(lib, xp):
        @functools.partial(lib.custom_jvp, nondiff_argnums=(0, 2))
        def f(g, x, power):
            return g(x) ** power

        @f.defjvp
        def _(g, power, primals, tangents):
            (x,), (t,) = primals, tangents
            return f(g, x, power), 10 * t * g(x) * power

        return lib.grad(lambda x: f(xp.sin, x, 3))

    in_both(with_jvp, 0.7)

    def with_vjp(lib, xp):
        @functools.partial(lib.custom_vjp, nondiff_argnums=(1,))
        def f(x, scale):
            return x * scale

        f.defvjp(lambda x, scale: (f(x, scale), x), lambda scale, x, ct: (ct * x * scale,))
        return lib.grad(lambda x: f(x, 4.0))

    in_both(with_vjp, 0.7)


def test_defjvps():
    def program(lib, xp):
        @lib.custom_jvp
        def f(x, y):
            return x * y

        f.defjvps(lambda dx, out, x, y: 2 * dx * y, None)
        return lib.grad(f, argnums=(0, 1))

    in_both(program, 2.0, 3.0)


def test_keyword_arguments():
    def program(lib, xp):
        @lib.custom_jvp
        def f(x, y=2.0):
            return x * y

        f.defjvps(lambda dx, out, x, y: 3 * dx * y, lambda dy, out, x, y: dy * x)
        return lib.grad(lambda x: f(x, y=x) + f(x))

    in_both(program, 2.0)


def test_inside_scan():
    def program(lib, xp):
        f = tripled_sin(lib, xp)
        scan = tr.scan if lib is tr else jax.lax.scan
        return lib.grad(lambda x: scan(lambda c, v: (f(c) * v, None), x, VECTOR)[0])

    in_both(program, 0.7)


def test_a_rule_is_compiled_once():
    """Retracing gives the same rule objects, so un-jitted derivatives find their compiled program."""
    from lowering.execute import PROGRAMS

    f = tripled_sin(tr, tnp)
    tr.grad(f)(0.5)
    before = len(PROGRAMS)
    for x in (0.6, 0.7):
        tr.grad(f)(x)
    assert len(PROGRAMS) == before


def test_one_function_at_several_types():
    f = tripled_sin(tr, tnp)
    for x in (jnp.ones(2), jnp.ones((2, 3)), jnp.ones(2, jnp.float16)):
        got = tr.grad(lambda x: tnp.sum(f(x)))(x)
        assert_same(got, (3 * jnp.cos(x)).astype(x.dtype), weak=False)


# Wrong rules ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        (lambda p, t: p[0], ["(result, tangent)"]),
        (lambda p, t: (p[0], (t[0], t[0])), ["structure"]),
        (lambda p, t: ((p[0],), (t[0],)), ["structure"]),
        (lambda p, t: (p[0], t[0][:1]), ["tangent", "f32[1]", "f32[4]"]),
        (lambda p, t: (p[0], tnp.ones(4, int)), ["tangent", "i32[4]", "f32[4]"]),
        (lambda p, t: (p[0][:1], t[0]), ["result", "f32[1]", "f32[4]"]),
    ],
)
def test_wrong_jvp_rule(rule, parts):
    f = tr.custom_jvp(lambda x: x * 2)
    f.defjvp(rule)
    with raises(errors.CustomRuleError, "the JVP rule of", *parts, located=False):
        tr.grad(lambda x: tnp.sum(f(x)))(VECTOR)
    f.defjvp(lambda p, t: (p[0] * 2, t[0] * 9))
    assert_same(tr.grad(lambda x: tnp.sum(f(x)))(VECTOR), 9 * jnp.ones(4))


@pytest.mark.parametrize(
    ("fwd", "bwd", "parts"),
    [
        (lambda x: x, lambda r, c: (c,), ["forward rule", "(result, residuals)"]),
        (lambda x: ((x, x), x), lambda r, c: (c,), ["forward rule", "structure"]),
        (lambda x: (x[:1], x), lambda r, c: (c,), ["forward rule", "f32[1]"]),
        (lambda x: (x, x), lambda r, c: c, ["backward rule", "tuple of 1"]),
        (lambda x: (x, x), lambda r, c: (c, c), ["backward rule", "tuple of 1", "got 2"]),
        (lambda x: (x, x), lambda r, c: (c[:1],), ["backward rule", "f32[1]", "f32[4]"]),
        (lambda x: (x, x), lambda r, c: ((c, c),), ["backward rule", "structure"]),
    ],
)
def test_wrong_vjp_rule(fwd, bwd, parts):
    f = tr.custom_vjp(lambda x: x * 2)
    f.defvjp(fwd, bwd)
    with raises(errors.CustomRuleError, *parts, located=False):
        tr.grad(lambda x: tnp.sum(f(x)))(VECTOR)


def test_missing_rules():
    for make in (tr.custom_jvp, tr.custom_vjp):
        with raises(errors.CustomRuleError, "no rule"):
            make(lambda x: x)(1.0)


def test_captured_traced_value():
    def outer(y):
        f = tr.custom_jvp(lambda x: x * y)
        f.defjvps(lambda dx, out, x: dx * y)
        return f(y)

    with raises(errors.CustomRuleError, "from outside", "argument"):
        tr.grad(outer)(2.0)
