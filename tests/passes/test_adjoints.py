"""Products that are only summed up are read from the other side, if that is there; and polynomials, which tell it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function, Value
from ir.op import build
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add, integer_pow, mul, neg, one_minus_square, square, sub, tanh
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, constant, full_like, pad
from ir.ops.shape import slice as slice_op
from ir.passes.cse import cse
from ir.passes.pipeline import optimize
from ir.passes.products import share_adjoints
from ir.passes.products.polynomials import Polynomials, ratio
from ir.types import TensorType, f16, f64

RNG = np.random.default_rng(0)
N = 5
VECTOR, MATRIX = TensorType((N,), f64), TensorType((N, N), f64)


def dot(x: Value, y: Value, i: int = 0, j: int = 0, **attrs: Any) -> Value:
    """The sum over one axis of each."""
    return dot_general(x, y, lhs_contract=(i,), rhs_contract=(j,), **attrs)  # type: ignore[no-any-return]


def total(x: Value) -> Value:
    return reduce_sum(x, axes=tuple(range(x.type.rank)))  # type: ignore[no-any-return]


def products(function: Function) -> int:
    """How many there are, but of vectors."""
    found = [eqn for eqn in function.eqns if eqn.op is dot_general]
    return sum(any(v.type.rank > 1 for v in e.operands) and e.results[0].type.rank > 0 for e in found)


def drawn(function: Function, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=p.type.shape).astype(p.type.dtype.np) for p in function.params]


def checked(function: Function, left_out: int) -> Function:
    """The program with so many products fewer and the same results; itself if with none fewer."""
    function = cse(function)
    new = share_adjoints(function)
    ir.verify(new)
    assert products(function) - products(new) == left_out
    args = drawn(function)
    for got, want in zip(ir.evaluate(new, *args), ir.evaluate(function, *args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11)
    assert share_adjoints(new) is new
    if not left_out:
        assert new is function
    return new


def pair(b: Value, v: Value, u: Value, w: Value) -> tuple[Value, Value]:
    """B u, and <B'v, w>."""
    return dot(b, u, 1), total(mul(dot(v, b), w))


def element(starts: int, limits: int, b: Value, v: Value) -> tuple[Value, Value]:
    """B e, for the e that has ones there, and the same elements of B'v."""
    one, zero = (constant(value=ir.Dense(np.float64(k)), shape=()) for k in (1, 0))
    ones = broadcast_in_dim(one, shape=(limits - starts,), dims=())
    there = dot(b, pad(ones, zero, config=((starts, N - limits, 0),)), 1)
    return there, slice_op(dot(v, b), starts=(starts,), limits=(limits,), strides=(1,))


# What is left out -------------------------------------------------------------------------------------

FOUND: dict[str, Callable[[Value, Value, Value, Value], Any]] = {
    "as it stands": lambda b, v, u, w: pair(b, v, u, u),
    "transposed": lambda b, v, u, w: (dot(u, b, 0, 1), total(mul(dot(b, v), u))),
    "as a product of vectors": lambda b, v, u, w: (dot(b, u, 1), dot(dot(v, b), u)),
    "as a product of vectors, exchanged": lambda b, v, u, w: (dot(b, u, 1), dot(u, dot(v, b))),
    "factors in another order": lambda b, v, u, w: pair(
        b, v, mul(mul(u, w), tanh(w)), mul(tanh(w), mul(w, u))
    ),
    "factors on the way": lambda b, v, u, w: (
        dot(b, mul(tanh(u), w), 1),
        total(mul(mul(dot(v, b), w), neg(tanh(u)))),
    ),
    "a number": lambda b, v, u, w: (
        dot(b, mul(u, full_like(u, 0.5)), 1),
        total(mul(mul(dot(v, b), full_like(u, -3.0)), u)),
    ),
    "a sum": lambda b, v, u, w: pair(b, v, add(mul(u, w), square(u)), mul(add(w, u), u)),
    "a difference": lambda b, v, u, w: pair(b, v, sub(u, mul(u, square(u))), mul(one_minus_square(u), u)),
    "a power": lambda b, v, u, w: pair(b, v, integer_pow(u, y=3), mul(u, square(u))),
    "beside others": lambda b, v, u, w: (dot(b, u, 1), total(mul(sub(mul(w, w), add(dot(v, b), w)), u))),
    "subtracted": lambda b, v, u, w: (dot(b, u, 1), total(sub(mul(u, w), mul(dot(v, b), u)))),
    "used twice": lambda b, v, u, w: (
        dot(b, add(w, u), 1),
        total((lambda d: add(mul(d, u), mul(w, d)))(dot(v, b))),
    ),
    "an element": lambda b, v, u, w: element(2, 3, b, v),
}
LEFT: dict[str, Callable[[Value, Value, Value, Value], Any]] = {
    "another factor": lambda b, v, u, w: pair(b, v, u, w),
    "another number beside": lambda b, v, u, w: pair(b, v, add(u, w), add(u, add(w, w))),
    "the same side": lambda b, v, u, w: (dot(u, b), total(mul(dot(v, b), u))),
    "another matrix": lambda b, v, u, w: (dot(tanh(b), u, 1), total(mul(dot(v, b), u))),
    "a result": lambda b, v, u, w: (lambda there, d: (there, total(mul(d, u)), d))(dot(b, u, 1), dot(v, b)),
    "used otherwise": lambda b, v, u, w: (lambda there, d: (there, total(mul(d, u)), tanh(d)))(
        dot(b, u, 1), dot(v, b)
    ),
    "not a sum of it": lambda b, v, u, w: (dot(b, u, 1), total(tanh(dot(v, b)))),
    "its square": lambda b, v, u, w: (lambda there, d: (there, total(mul(d, d))))(dot(b, u, 1), dot(v, b)),
    "computed after it": lambda b, v, u, w: (total(mul(dot(v, b), u)), dot(b, u, 1)),
    "another precision": lambda b, v, u, w: (dot(b, u, 1, precision="highest"), total(mul(dot(v, b), u))),
    "what cancels may be infinite": lambda b, v, u, w: pair(b, v, u, sub(add(u, w), w)),
    "nothing may be infinite": lambda b, v, u, w: pair(b, v, u, add(u, mul(w, full_like(w, 0.0)))),
    "two elements": lambda b, v, u, w: element(2, 4, b, v),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_other_side_is_read(name: str) -> None:
    checked(build([MATRIX, VECTOR, VECTOR, VECTOR], FOUND[name]), 1)


@pytest.mark.parametrize("name", LEFT)
def test_others_stay(name: str) -> None:
    checked(build([MATRIX, VECTOR, VECTOR, VECTOR], LEFT[name]), 0)


def test_two_that_could_be_read_from_each_other() -> None:
    def f(b: Value, v: Value, u: Value) -> Any:
        back, forth = dot(v, b), dot(b, u, 1)
        return total(add(mul(back, u), mul(forth, v)))

    checked(build([MATRIX, VECTOR, VECTOR], f), 1)


def test_half_precision_stays() -> None:
    matrix, vector = TensorType((N, N), f16), TensorType((N,), f16)
    function = build([matrix, vector, vector], lambda b, v, u: (total(mul(dot(v, b), u)), dot(b, u, 1)))
    assert share_adjoints(function) is function


def test_a_chain_of_layers_is_read_from_end_to_end() -> None:
    """<A'B'C'v, u> with C B A u computed: nothing is left of the way back."""

    def f(a: Value, b: Value, c: Value, v: Value, u: Value) -> Any:
        forth = dot(c, dot(b, dot(a, u, 1), 1), 1)
        return total(mul(dot(dot(dot(v, c), b), a), u)), forth

    checked(build([MATRIX, MATRIX, MATRIX, VECTOR, VECTOR], f), 3)


@given(st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_any_axes(seed: int) -> None:
    """Arrays of some axes, the product over one of them, and its adjoint, in any layout."""
    rng = np.random.default_rng(seed)
    batch, free, summed, new = (int(n) for n in rng.integers(1, 4, 4))
    has_batch = bool(rng.integers(2))
    of, by = {"f": free, "s": summed}, {"s": summed, "n": new}
    if has_batch:
        of["b"] = by["b"] = batch
    ours, theirs = ("".join(rng.permutation(list(names))) for names in (of, by))
    is_left = bool(rng.integers(2))

    def product(x: Value, xs: str, y: Value, ys: str, over: str) -> tuple[Value, str]:
        first, second = ((x, xs), (y, ys)) if is_left else ((y, ys), (x, xs))
        made = dot_general(
            first[0], second[0],
            lhs_contract=(first[1].index(over),), rhs_contract=(second[1].index(over),),
            lhs_batch=tuple(first[1].index(n) for n in "b" * has_batch),
            rhs_batch=tuple(second[1].index(n) for n in "b" * has_batch),
        )  # fmt: skip
        return made, "b" * has_batch + "".join(
            n for _, s in (first, second) for n in s if n not in ("b", over)
        )

    axes = {"b": batch, "f": free, "s": summed, "n": new}
    out = "b" * has_batch + ("fn" if is_left else "nf")
    kept = [n for n in out if n != "n" and rng.integers(2)]
    types = [TensorType(tuple(axes[n] for n in names), f64) for names in (ours, theirs, out)]

    def f(v: Value, b: Value, u: Value) -> Any:
        there, _ = product(u, out, b, theirs, "n")
        back, names = product(v, ours, b, theirs, "s")
        assert names == out
        return reduce_sum(mul(back, u), axes=tuple(d for d, n in enumerate(out) if n not in kept)), there

    function = build(types, f)
    in_order = [n for n in ours if n in kept] == kept
    # (A product may be its own partner where both sides of an array are alike.)
    checked(function, int(in_order))


def test_rows_of_a_batch() -> None:
    """What `vmap` makes of a derivative along one direction: the sum is a product with the direction."""
    rows, directions = TensorType((7, N), f64), TensorType((N,), f64)

    def f(b: Value, v: Value, u: Value) -> Any:
        wide = broadcast_in_dim(u, shape=(7, N), dims=(1,))
        return dot(wide, b, 1, 1), dot(dot(v, b, 1), u, 1)

    checked(build([MATRIX, rows, directions], f), 2)  # (that with the direction is a sum now)


# Programs ---------------------------------------------------------------------------------------------

A, B, C = RNG.normal(size=N), RNG.normal(size=(N, N)), RNG.normal(size=N)


def nested(lib: Any, xp: Any, order: int) -> Callable[[Any], Any]:
    g = lambda t: xp.tanh(B @ xp.tanh(A * t)) @ C
    for _ in range(order):
        g = lib.grad(g)
    return g


@pytest.mark.parametrize("order", range(1, 7))
def test_a_derivative_of_order_n_has_n_plus_1_products(order: int) -> None:
    """As many as a Taylor series has, with every derivative by reverse mode."""
    with jax.enable_x64(True):
        program = optimize(tr.trace(nested(tr, tnp, order))(0.3))
        assert sum(
            eqn.op is dot_general and max(v.type.rank for v in eqn.operands) == 2 for eqn in program.eqns
        ) == max(2, order + 1)
        want = nested(jax, jnp, order)(0.3)
        np.testing.assert_allclose(tr.jit(nested(tr, tnp, order))(0.3), want, rtol=1e-9)
        exact = tr.jit(nested(tr, tnp, order), exact=True)(0.3)
        np.testing.assert_allclose(exact, want, rtol=1e-9)


def field(p: Any, x: Any, t: Any, xp: Any) -> Any:
    y = xp.stack([x, t])
    for w in p[:-1]:
        y = xp.tanh(y @ w)
    return (y @ p[-1])[0]


def burgers(lib: Any, xp: Any) -> Callable[..., Any]:
    """Mean square of u_t + u u_x - u_xx / 100 (Raissi et al. 2019)."""
    u = functools.partial(field, xp=xp)

    def residual(p: Any, x: Any, t: Any) -> Any:
        first = lib.grad(u, 1)
        return lib.grad(u, 2)(p, x, t) + u(p, x, t) * first(p, x, t) - 0.01 * lib.grad(first, 1)(p, x, t)

    return lambda p, at: xp.mean(lib.vmap(residual, (None, 0, 0))(p, at[:, 0], at[:, 1]) ** 2)


def test_a_residual_and_its_gradient() -> None:
    sizes = (2, 6, 7, 1)
    p = [RNG.normal(size=pair) * 0.6 for pair in itertools.pairwise(sizes)]
    at = RNG.normal(size=(9, 2))
    with jax.enable_x64(True):
        for ours, theirs in (
            (burgers(tr, tnp), burgers(jax, jnp)),
            (tr.grad(burgers(tr, tnp)), jax.grad(burgers(jax, jnp))),
        ):
            got, want = tr.jit(ours)(p, at), theirs(p, at)
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        # One way forward and one back for u, one of each for u_x and u_xx together, through each hidden layer.
        program = optimize(tr.trace(burgers(tr, tnp))(p, at))
        hidden = [
            e for e in program.eqns if e.op is dot_general and {v.type.shape for v in e.operands} & {(6, 7)}
        ]
        assert len(hidden) == 3


def test_derivatives_of_what_was_shared() -> None:
    """Third derivatives of a function of which second ones were written anew, against JAX and by complex steps."""

    def curvature(lib: Any, xp: Any, x: Any) -> Any:
        f = lambda s: xp.sum(xp.tanh(B @ xp.tanh(x + s * A)) * C)
        return lib.grad(lib.grad(f))(0.0)

    with jax.enable_x64(True):
        x = RNG.normal(size=N)
        got = tr.grad(lambda x: curvature(tr, tnp, x))(x)
        np.testing.assert_allclose(got, jax.grad(lambda x: curvature(jax, jnp, x))(x), rtol=1e-9)
        h = 1e-6
        for k in range(N):
            e = np.eye(N)[k] * h
            by_differences = (curvature(jax, jnp, x + e) - curvature(jax, jnp, x - e)) / (2 * h)
            np.testing.assert_allclose(got[k], by_differences, rtol=1e-6, atol=1e-8)


# Polynomials ------------------------------------------------------------------------------------------

UNARY = (neg, square, one_minus_square)
BINARY = (add, sub, mul)


@given(st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_what_is_a_multiple_has_its_values(seed: int) -> None:
    """Of a random program, every two values that are said to be proportional are; and some are."""
    rng = np.random.default_rng(seed)

    def f(x: Value, y: Value) -> Any:
        values = [x, y, full_like(x, 2.0)]
        for _ in range(12):
            if rng.integers(3):
                a, b = rng.integers(len(values), size=2)
                values.append(BINARY[rng.integers(3)](values[a], values[b]))
            else:
                values.append(UNARY[rng.integers(3)](values[rng.integers(len(values))]))
        return tuple(values[2:])

    function = build([VECTOR, VECTOR], f)
    made = {v: e for e in function.eqns for v in e.results}
    polynomials = Polynomials(made.get)
    arrays = ir.evaluate(function, *(rng.uniform(0.5, 1.5, N) for _ in range(2)))
    found = [polynomials.of(v) for v in function.results]
    for p, a in zip(found, arrays, strict=True):
        for q, b in zip(found, arrays, strict=True):
            number = ratio(p, q)
            if number is not None:
                np.testing.assert_allclose(a, number * b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


@given(st.permutations(range(4)), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_sums_and_products_in_any_order_are_equal(order: list[int], seed: int) -> None:
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], 4)

    def f(*values: Value) -> Any:
        shuffled = [values[k] for k in order]
        product = functools.reduce(mul, values), functools.reduce(lambda a, b: mul(b, a), shuffled)
        terms = [mul(v, full_like(v, s)) for v, s in zip(values, signs, strict=True)]
        sums = functools.reduce(add, terms), functools.reduce(add, [terms[k] for k in order])
        return *product, *sums

    function = build([VECTOR] * 4, f)
    made = {v: e for e in function.eqns for v in e.results}
    first, second, third, fourth = (Polynomials(made.get).of(v) for v in function.results)
    assert ratio(first, second) == 1.0
    assert ratio(third, fourth) == 1.0


def test_what_is_too_long_is_itself() -> None:
    """(x1 + ... + x8)(y1 + ... + y8) has more products than are kept."""
    function = build(
        [VECTOR] * 16,
        lambda *v: mul(functools.reduce(add, v[:8]), functools.reduce(add, v[8:])),
    )
    made = {v: e for e in function.eqns for v in e.results}
    (value,) = function.results
    assert Polynomials(made.get).of(value) == {frozenset({(value, 1)}): 1.0}
