"""`scan` against `jax.lax.scan`: carries, inputs, captures, derivatives, batches and nesting."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_close, assert_same, count_ops, raises, x64

NAMES = "grad value_and_grad jvp vjp linearize jacfwd jacrev hessian vmap jit checkpoint".split()
JAX = SimpleNamespace(scan=jax.lax.scan, **{name: getattr(jax, name) for name in NAMES})

XS = array(5, 3)
V = array(3, seed=1)
W = array(3, 3, seed=2, low=-0.7, high=0.7)


def both(program: Callable[[Any, Any], Any]) -> Any:
    """`program(xp, transforms)` in both worlds, compared; `transforms.scan` is that of either."""
    got = program(tnp, tr)
    assert_same(got, program(jnp, JAX))
    return got


def both_compiled(program: Callable[[Any, Any], Any]) -> None:
    """`both` with the reference compiled as one program."""
    assert_same(program(tnp, tr), jax.jit(lambda: program(jnp, JAX))())


def cell(xp: Any, w: Any) -> Callable[[Any, Any], Any]:
    """A recurrent step with a captured matrix."""

    def step(h: Any, x: Any) -> Any:
        new = xp.tanh(w @ h + x)
        return new, new * x

    return step


# Values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unroll", [1, 2, 5, 9, True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_reverse_and_unroll(reverse: bool, unroll: Any) -> None:
    got, want = (
        s(lambda c, x: (c * 0.5 + x, c - x), V, XS, reverse=reverse, unroll=unroll)
        for s in (tr.scan, jax.lax.scan)
    )
    assert_same(got, want)


def test_pytrees() -> None:
    def program(xp: Any, t: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            total = c["sum"] + x["a"] * x["b"][0]
            return {"sum": total, "none": None, "n": (c["n"][0] + 1,)}, {"y": total, "z": (None, x["b"][1])}

        init = {"sum": V, "none": None, "n": (0,)}
        return t.scan(step, init, {"a": XS, "b": (array(5), np.arange(5)), "c": None})

    both(program)


def test_without_inputs() -> None:
    both(lambda xp, t: t.scan(lambda c, x: (c * 2, c), 1.0, None, length=4))
    both(lambda xp, t: t.scan(lambda c, x: (c * 2, None), V, None, 3))
    both(lambda xp, t: t.scan(lambda c, x: (c, (c, x)), (), (), length=2))
    both(lambda xp, t: t.scan(lambda c, x: (c, 1), None, None, length=2))
    both(lambda xp, t: t.scan(lambda c, x: (c + x, x), V, XS, length=5))


def test_without_a_carry() -> None:
    both(lambda xp, t: t.scan(lambda c, x: (c, xp.sin(x)), None, XS))
    both(lambda xp, t: t.scan(lambda c, x: ((), {}), (), XS))


def test_no_steps() -> None:
    empty = XS[:0]
    both_compiled(lambda xp, t: t.scan(cell(xp, W), V, empty))
    both_compiled(lambda xp, t: t.scan(lambda c, x: (c + 1, c), 0, None, length=0))
    both_compiled(lambda xp, t: t.grad(lambda h: t.scan(cell(xp, W), h, empty)[0].sum())(V))
    both_compiled(lambda xp, t: t.grad(lambda w: t.scan(cell(xp, w), V, empty)[0].sum())(W))
    both_compiled(lambda xp, t: t.vmap(lambda h: t.scan(cell(xp, W), h, empty))(XS))
    both_compiled(lambda xp, t: t.jit(lambda h: t.scan(cell(xp, W), h, empty, reverse=True, unroll=True))(V))


def test_one_step_and_empty_slices() -> None:
    both(lambda xp, t: t.scan(lambda c, x: (c, x), array(0), array(3, 0)))
    both(lambda xp, t: t.scan(cell(xp, W), V, XS[:1]))
    both(lambda xp, t: t.grad(lambda w: t.scan(cell(xp, w), V, XS[:1])[1].sum())(W))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "bfloat16", "complex64", "float64"])
def test_dtypes_of_the_carry(dtype: str) -> None:
    with x64(dtype == "float64"):
        x = array(4, 2, dtype=np.float32 if "float" in dtype else dtype).astype(dtype)
        add = (lambda c, x: (c ^ x, c)) if dtype == "bool" else (lambda c, x: (c + x, c * x))
        both(lambda xp, t: t.scan(add, x[0], x))


def test_keys_as_carry_and_inputs() -> None:
    keys = jax.random.split(jax.random.key(0), 4)

    def program(xp: Any, t: Any) -> Any:
        return t.scan(lambda c, k: (k, (c, xp.float32(1.0))), keys[0], keys[1:])

    got, want = program(tnp, tr), program(jnp, JAX)
    assert got[0].dtype == want[0].dtype
    assert jax.tree_util.tree_all(
        jax.tree_util.tree_map(
            lambda a, b: bool(
                jnp.all(jax.random.key_data(a) == jax.random.key_data(b))
                if jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
                else jnp.all(a == b)
            ),
            got,
            want,
        )
    )


def test_weakly_typed_first_carries() -> None:
    with x64():
        both(lambda xp, t: t.scan(lambda c, x: (c + x, c), 0.0, XS[:, 0]))
        both(lambda xp, t: t.scan(lambda c, x: (c + x, c), 0, XS[:, 0]))
        both(lambda xp, t: t.scan(lambda c, x: (c + 1, c), 0, XS[:, 0]))
        both(lambda xp, t: t.scan(lambda c, x: (c * 2.0, c), 1.0, None, length=3))
        both(lambda xp, t: t.scan(lambda c, x: (x, c), 0, np.arange(3, dtype=np.int16)))
        both(lambda xp, t: t.scan(lambda c, x: (x, c), 0.0, array(3).astype(jnp.bfloat16)))
        both(lambda xp, t: t.grad(lambda a: t.scan(lambda c, x: (c * a + x, c), 0.0, XS[:, 0])[0])(2.0))


def test_a_weakly_typed_first_carry_is_promoted_and_never_cut() -> None:
    """0.5 is no integer, 1j has an imaginary part, 3 is no bool."""
    for first, xs in ((0.5, np.arange(3)), (1j, np.arange(3.0)), (3, np.array([True])), (0.5, XS[:, 0] > 0)):
        with raises(tr.errors.ArgumentTypeError, "to keep the type of the carry"):
            tr.scan(lambda c, x: (x, c), first, xs)
        with pytest.raises(TypeError):
            jax.lax.scan(lambda c, x: (x, c), first, xs)
    both(lambda xp, t: t.scan(lambda c, x: (c * 1.5 + x, c), 3, np.arange(3)))


def test_weakly_typed_carries_that_settle_one_after_the_other() -> None:
    """Here JAX refuses, as it looks once only; ours are what strongly typed first carries give."""
    with x64():
        zero = np.float32(0)
        for step, first in (
            (lambda c, x: ((x, c[0], c[1]), c[2]), (0.0, 0.0, 0.0)),
            (lambda c, x: ((c[1], c[0] + x), c[0]), (0.0, 0)),
        ):
            want = jax.lax.scan(step, (zero,) * len(first), XS[:, 0])
            assert_same(tr.scan(step, first, XS[:, 0]), want, weak=False)


def test_results_that_do_not_depend_on_the_loop() -> None:
    both_compiled(lambda xp, t: t.scan(lambda c, x: (c, 1.0), V, XS))
    both_compiled(lambda xp, t: t.scan(lambda c, x: (c, (V, np.arange(2), c, x)), V, XS))
    both_compiled(lambda xp, t: t.scan(lambda c, x: (V * 2, c), V, XS))
    both_compiled(lambda xp, t: t.scan(lambda c, x: ((c[1], c[0]), c[0]), (V, V * 2), XS))
    both_compiled(lambda xp, t: t.scan(lambda c, x: (c, (x, x)), V, XS, reverse=True))


def test_the_step_may_return_a_list_and_be_any_callable() -> None:
    class Step:
        def __call__(self, c: Any, x: Any) -> Any:
            return c + x, c

    assert_same(tr.scan(Step(), V, XS), jax.lax.scan(Step(), V, XS))
    assert_same(tr.scan(lambda c, x: [c + x, c], V, XS), jax.lax.scan(lambda c, x: (c + x, c), V, XS))


# Captured values -------------------------------------------------------------------------------------


def test_captured_values() -> None:
    large = array(60, 60, low=-0.1, high=0.1)
    both(lambda xp, t: t.scan(lambda c, _: (large @ c, c[0]), array(60), None, length=2))
    both(lambda xp, t: t.jit(lambda w: t.scan(cell(xp, w), V, XS))(W))
    both(lambda xp, t: t.jit(lambda w, b: t.scan(lambda c, x: (w @ c * b + c[0] * b, x), V, XS))(W, V))
    both(
        lambda xp, t: t.jit(
            lambda a: t.grad(lambda b: t.scan(lambda c, x: (c * a * b + x, None), V, XS)[0].sum())(a)
        )(0.5)
    )


def test_captured_values_of_jax() -> None:
    f = lambda xp, t: lambda w: t.scan(cell(xp, w), V, XS)[0].sum()
    programs = [
        lambda g: jax.jit(g)(W),
        lambda g: jax.grad(g)(W),
        lambda g: jax.jit(jax.vmap(g))(jnp.stack([W, -W])),
    ]
    for program in programs:
        assert_same(program(f(tnp, tr)), program(f(jnp, JAX)))


# Derivatives -----------------------------------------------------------------------------------------


def loss(xp: Any, t: Any, **options: Any) -> Callable[..., Any]:
    def of(w: Any, h: Any, xs: Any) -> Any:
        last, ys = t.scan(cell(xp, w), h, xs, **options)
        return (last * xp.arange(1.0, 4.0)).sum() + (ys**2).sum()

    return of


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"unroll": 2}], ids=str)
def test_gradients_of_constants_carry_and_inputs(options: Any) -> None:
    both_compiled(lambda xp, t: t.value_and_grad(loss(xp, t, **options), argnums=(0, 1, 2))(W, V, XS))
    both_compiled(lambda xp, t: t.jvp(loss(xp, t, **options), (W, V, XS), (W * 2, V + 1, XS - 1)))


def test_second_order() -> None:
    xs = XS[:3]
    args = (W, V, xs)
    both_compiled(lambda xp, t: t.hessian(lambda h: loss(xp, t)(W, h, xs))(V))
    both_compiled(lambda xp, t: t.jvp(t.grad(loss(xp, t), (0, 1, 2)), args, args))
    both_compiled(lambda xp, t: t.grad(lambda w: (t.grad(loss(xp, t))(w, V, xs) ** 2).sum())(W))
    both_compiled(lambda xp, t: t.grad(lambda w: t.jvp(lambda w: loss(xp, t)(w, V, xs), (w,), (W,))[1])(W))


def test_high_orders_of_a_scalar_recurrence() -> None:
    def program(xp: Any, t: Any) -> Any:
        f = lambda a: t.scan(lambda c, _: (c * a, None), a, None, length=3)[0]
        out = [f(1.2)]
        for _ in range(4):
            f = t.grad(f)
            out.append(f(1.2))
        return out

    with x64():
        both_compiled(program)


def test_only_part_of_the_carry_is_differentiated() -> None:
    def program(xp: Any, t: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            n, h, fixed = c
            return (n + 1, h * fixed + x * n, fixed), (n, h > 0, h)

        f = lambda h: t.scan(step, (0, h, V), XS)
        return (
            t.grad(lambda h: f(h)[0][1].sum() + f(h)[1][2].sum())(V),
            t.jvp(lambda h: f(h)[1][2], (V,), (V,)),
            t.vjp(lambda h: f(h)[0][1], V)[1](V),
        )

    both_compiled(program)


def test_integer_and_boolean_carries_have_no_derivative() -> None:
    def loss(xp: Any, t: Any) -> Any:
        def f(x: Any) -> Any:
            step = lambda c, _: ((c[0] * x, c[1] + 1, c[1] > 1), c[0] * c[1])
            (v, n, flag), ys = t.scan(step, (x, 0, False), None, 4)
            return (v * n).sum() + ys.sum() + xp.where(flag, x, 0).sum()

        return f

    both_compiled(lambda xp, t: t.value_and_grad(loss(xp, t))(V))
    both_compiled(lambda xp, t: t.vmap(t.grad(loss(xp, t)))(XS))


def test_a_tangent_that_enters_late() -> None:
    """The carry's tangent is zero at first and moves from one carry to the next, a step at a time."""
    step = lambda c, x: ((x, c[0], c[1]), c[2])
    both_compiled(
        lambda xp, t: t.grad(lambda xs: (t.scan(step, (0.0, 0.0, 0.0), xs)[1] * XS[:, 0]).sum())(XS[:, 1])
    )
    both_compiled(lambda xp, t: t.jvp(lambda xs: t.scan(step, (0.0, 0.0, 0.0), xs), (XS[:, 1],), (XS[:, 2],)))
    both_compiled(lambda xp, t: t.grad(lambda c: t.scan(step, (c, 1.0, 1.0), XS[:, 0])[1].sum())(2.0))


def test_a_carry_that_is_overwritten_or_ignored_has_no_gradient() -> None:
    both_compiled(lambda xp, t: t.grad(lambda h: t.scan(lambda c, x: (x, x), h, XS)[0].sum())(V))
    both_compiled(lambda xp, t: t.grad(lambda h: t.scan(lambda c, x: (x, c), h, XS)[1].sum())(V))
    both_compiled(lambda xp, t: t.grad(lambda xs: t.scan(lambda c, x: (c * 2, c), V, xs)[0].sum())(XS))
    both_compiled(lambda xp, t: t.grad(lambda w: t.scan(lambda c, x: (c, w * 0 + x), V, XS)[0].sum())(W[0]))


def test_complex_recurrence() -> None:
    z = array(4, 2, dtype=np.complex64)
    f = lambda xp, t: lambda w, xs: xp.abs(t.scan(lambda c, x: (c * w + x, c), xs[0], xs)[0]).sum()
    both_compiled(lambda xp, t: t.grad(f(xp, t), (0, 1))(z[1], z))


def test_indexing_in_the_step() -> None:
    table = array(6, 3, seed=4)
    index = np.array([3, 0, 5, 3])
    lookup = lambda t: lambda table: t.scan(lambda c, i: (c * 0.5 + table[i], c[0]), V, index)
    both_compiled(lambda xp, t: t.grad(lambda a: lookup(t)(a)[0].sum() + lookup(t)(a)[1].sum())(table))
    write = lambda t: lambda v: t.scan(lambda c, i: (c.at[i].add(v * i), None), table, index)[0]
    both_compiled(lambda xp, t: t.vjp(write(t), V)[1](table))


def test_the_program_is_one_loop() -> None:
    forward = tr.jit(lambda w: tr.scan(cell(tnp, w), V, XS)[0]).ir(W)
    assert count_ops(forward, "scan") == 1
    backward = tr.jit(tr.grad(lambda w: loss(tnp, tr)(w, V, XS))).ir(W)
    assert count_ops(backward, "scan") == 2


def test_gradient_with_checkpoint() -> None:
    both_compiled(lambda xp, t: t.grad(t.checkpoint(loss(xp, t)))(W, V, XS))

    def inner(xp: Any, t: Any) -> Any:
        step = t.checkpoint(cell(xp, W))
        return t.grad(lambda h: t.scan(step, h, XS)[0].sum())(V)

    both_compiled(inner)


# Batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [(w, h, x) for w in (0, None) for h in (0, None) for x in (0, None)][:-1])
def test_vmap_of_any_part(which: Any) -> None:
    args = [
        jnp.stack([a, -a]) if axis is not None else a for a, axis in zip((W, V, XS[:3]), which, strict=True)
    ]
    values = lambda xp, t: lambda w, h, x: t.scan(cell(xp, w), h, x)
    both_compiled(
        lambda xp, t: (
            t.vmap(values(xp, t), which)(*args),
            t.vmap(t.grad(loss(xp, t, reverse=True), (0, 1, 2)), which)(*args),
        )
    )


def test_vmap_of_a_carry_that_becomes_mapped_late() -> None:
    step = lambda c, x: ((x, c[0], c[1]), c[2])
    both_compiled(lambda xp, t: t.vmap(lambda xs: t.scan(step, (0.0, 0.0, 0.0), xs))(XS))
    both_compiled(
        lambda xp, t: t.vmap(lambda a: t.scan(lambda c, x: ((c[1], c[1] * a), c[0]), (1.0, 1.0), XS))(V)
    )


def test_vmap_axes_and_nesting() -> None:
    f = lambda xp, t: lambda h, xs: t.scan(cell(xp, W), h, xs)
    both_compiled(lambda xp, t: t.vmap(f(xp, t), (1, -1), (1, 2))(array(3, 2), array(4, 3, 2)))
    both_compiled(lambda xp, t: t.vmap(t.vmap(f(xp, t), (None, 0)), (0, None))(array(2, 3), array(4, 5, 3)))


# Nesting ---------------------------------------------------------------------------------------------


def test_nested_loops() -> None:
    def outer(xp: Any, t: Any, w: Any, h: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            inner, ys = t.scan(lambda d, y: (xp.sin(w @ d) + y * x[0] + c, d.sum()), c, XS[:2], reverse=True)
            return inner, ys

        return t.scan(step, h, XS[:3])

    both_compiled(lambda xp, t: outer(xp, t, W, V))
    both_compiled(lambda xp, t: t.grad(lambda w, h: outer(xp, t, w, h)[0].sum(), (0, 1))(W, V))
    both_compiled(lambda xp, t: t.jvp(lambda w: outer(xp, t, w, V), (W,), (W,)))
    both_compiled(lambda xp, t: t.vmap(lambda h: outer(xp, t, W, h)[1])(XS))


def test_transforms_inside_the_step() -> None:
    def descend(xp: Any, t: Any) -> Any:
        energy = lambda w: lambda h: (xp.sin(w @ h) ** 2).sum()
        return lambda w: t.scan(
            lambda h, _: (h - 0.1 * t.grad(energy(w))(h), energy(w)(h)), V, None, length=3
        )

    both_compiled(lambda xp, t: t.jit(descend(xp, t))(W))
    both_compiled(lambda xp, t: t.grad(lambda w: descend(xp, t)(w)[1].sum())(W))
    both_compiled(
        lambda xp, t: t.scan(lambda c, x: (c + t.vmap(lambda a, b: a * b)(c, x), t.jit(xp.sin)(x)), V, XS)
    )


def test_loop_inside_what_jax_transforms() -> None:
    f = lambda xp, t: lambda h: t.scan(cell(xp, W), h, XS)[0].sum()
    for run in (jax.grad, jax.jit, jax.jacfwd, lambda g: jax.jit(jax.hessian(g))):
        assert_same(run(f(tnp, tr))(V), run(f(jnp, JAX))(V))


# Errors ----------------------------------------------------------------------------------------------


def test_a_carry_that_changes_its_type_is_named() -> None:
    with raises(tr.errors.ArgumentTypeError, "['a'][1]", "f32[3]", "i32[3]"):
        tr.scan(lambda c, _: ({"a": (c["a"][0], c["a"][1] * 1.5)}, None), {"a": (V, np.arange(3))}, None, 2)
    with raises(tr.errors.ArgumentTypeError, "carry", "f32[3]", "f32[]"):
        tr.scan(lambda c, x: (c.sum(), None), V, XS)
    with raises(tr.errors.ArgumentTypeError, "f32[]", "f32[3]"):
        tr.scan(lambda c, x: (c + x, None), 0.0, XS)
    with raises(tr.errors.ArgumentTypeError, "f16[3]", "f32[3]"):
        tr.scan(lambda c, x: (c + x, None), V.astype(np.float16), XS)


# Properties ------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(steps=st.integers(0, 4), reverse=st.booleans(), unroll=st.integers(1, 5), seed=st.integers(0, 99))
def test_equals_a_python_loop(steps: int, reverse: bool, unroll: int, seed: int) -> None:
    xs = np.asarray(array(steps, 2, seed=seed))

    def unrolled(a: Any) -> Any:
        c, total = tnp.ones(2), 0.0
        for x in xs[::-1] if reverse else xs:
            c = tnp.sin(c * a) + x
            total = total + c[0]
        return (c**2).sum() + total

    def looped(a: Any) -> Any:
        step = lambda c, x: ((new := tnp.sin(c * a) + x), new[0])
        c, ys = tr.scan(step, tnp.ones(2), xs, reverse=reverse, unroll=unroll)
        return (c**2).sum() + ys.sum()

    for got, want in zip(tr.value_and_grad(looped)(0.7), tr.value_and_grad(unrolled)(0.7), strict=True):
        assert_close(got, want, 1e-4)


@pytest.mark.parametrize("reverse", [False, True])
def test_what_a_loop_does_not_use_has_no_cotangent(reverse: bool) -> None:
    """A cotangent of zeros would be nan behind a square root at zero."""

    def program(xp: Any, t: Any) -> Any:
        scan = t.scan if t is tr else jax.lax.scan

        def loss(x: Any) -> Any:
            unused, carried = xp.sqrt(x * 0), xp.sqrt(x.sum() * 0)
            step = lambda c, xs: ((c[0] * 2 + xs[0], c[1] * 3, c[1]), (xs[0] * c[0], xs[1] * c[1], c[2]))
            (out, _, _), (ys, _, _) = scan(step, (x[0] * 1.0, carried, carried), (x, unused), reverse=reverse)
            return out + ys.sum()

        return t.grad(loss)(V)

    both(program)
