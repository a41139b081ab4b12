"""`vmap` with a named axis: collectives, their derivatives and where they stand, beside `jax.lax`."""

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
from ir.types import TensorType, f32, i32
from tests.tracer.helpers import array, assert_same, x64
from tracer.errors import (
    ArgumentError,
    BatchingError,
    EvaluationError,
    IRTypeError,
    LoweringError,
    UnboundAxisError,
)

X = array(3, 3)

# (namespace of collectives, namespace of NumPy) -> a function of one example, f32[3].
Case = Callable[[Any, Any], Callable[[Any], Any]]
FUNCTIONS: dict[str, Case] = {
    "psum": lambda t, n: lambda x: t.psum(x, "i") * x,
    "psum of a tree": lambda t, n: lambda x: t.psum({"a": x, "b": (2 * x,)}, "i")["b"][0],
    "psum of bools": lambda t, n: lambda x: t.psum(x > 0, "i") * x,
    "psum of a number": lambda t, n: lambda x: t.psum(1, "i") * x,
    "psum of what is the same": lambda t, n: lambda x: t.psum(n.arange(3.0), "i") * x,
    "pmean": lambda t, n: lambda x: t.pmean(x, "i"),
    "all_gather": lambda t, n: lambda x: t.all_gather(x, "i"),
    "all_gather, axis 1": lambda t, n: lambda x: t.all_gather(x, "i", axis=1),
    "all_gather, tiled": lambda t, n: lambda x: t.all_gather(x, "i", tiled=True),
    "ppermute": lambda t, n: lambda x: t.ppermute(x, "i", [(0, 1), (1, 2), (2, 0)]),
    "ppermute, reversed": lambda t, n: lambda x: t.ppermute(x, "i", [(2, 0), (1, 1), (0, 2)]),
    "all_to_all": lambda t, n: lambda x: t.all_to_all(x, "i", 0, 0),
    "all_to_all, tiled": lambda t, n: lambda x: t.all_to_all(n.outer(x, x * x), "i", 1, 0, tiled=True),
    "psum_scatter": lambda t, n: lambda x: t.psum_scatter(x, "i"),
    "psum_scatter, tiled": lambda t, n: lambda x: t.psum_scatter(n.concatenate([x, x * x]), "i", tiled=True),
    "axis_index": lambda t, n: lambda x: t.axis_index("i") * x + t.axis_index("i"),
    "axis_size": lambda t, n: lambda x: t.axis_size("i") * x,
    "scan": lambda t, n: (
        lambda x: t.scan(lambda c, y: (c + t.pmean(c * y, "i"), t.axis_index("i") * c), 1.0, x)
    ),
    "number in a carry": lambda t, n: (
        lambda x: t.scan(lambda c, y: (c + t.axis_index("i"), y * t.psum(c, "i")), 0, x)[1]
    ),
    "fori_loop": lambda t, n: lambda x: t.fori_loop(0, 4, lambda i, c: c * 0.5 + t.pmean(n.sin(c), "i"), x),
    "unrolled": lambda t, n: lambda x: sum(n.sin(t.psum(x[k % 3] * k, "i")) for k in range(30)),
}


def both(f: Callable[[Any, Any, Any], Any]) -> None:
    """`f(transforms, collectives, namespace)` in both worlds, compared."""
    assert_same(f(tr, tr, tnp), f(jax, lax, jnp), 1e-4, weak=False)


def loss(case: Case, t: Any, n: Any) -> Callable[[Any], Any]:
    def of(x: Any) -> Any:
        leaves = jax.tree_util.tree_leaves(case(t, n)(x))
        return sum(n.sum(n.sin(y) * n.arange(1.0, 1 + y.size).reshape(y.shape)) for y in leaves)

    return of


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name: str) -> None:
    case = FUNCTIONS[name]
    both(lambda T, t, n: T.vmap(case(t, n), axis_name="i")(X))
    both(lambda T, t, n: T.vmap(T.grad(loss(case, t, n)), axis_name="i")(X))
    both(lambda T, t, n: T.jit(T.grad(lambda x: T.vmap(loss(case, t, n), axis_name="i")(x).sum()))(X))
    if name != "all_to_all":  # whose second derivative JAX fails to compute
        both(lambda T, t, n: T.vmap(T.hessian(loss(case, t, n)), axis_name="i", in_axes=1)(X))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_code_of_jax(name: str) -> None:
    case = FUNCTIONS[name]
    got = tr.vmap(case(lax, jnp), axis_name="i")(X)
    assert_same(got, jax.vmap(case(lax, jnp), axis_name="i")(X), 1e-4, weak=False)
    f = loss(case, lax, jnp)
    got = tr.jit(tr.vmap(tr.grad(f), axis_name="i"))(X)
    assert_same(got, jax.vmap(jax.grad(f), axis_name="i")(X), 1e-4, weak=False)


@pytest.mark.parametrize("name", ["psum", "all_gather, axis 1", "ppermute", "all_to_all", "psum_scatter"])
def test_another_axis_inside_and_outside(name: str) -> None:
    case, scales = FUNCTIONS[name], np.float32([1, 2])
    lanes = lambda T: lambda f: T.vmap(f, axis_name="i")
    both(lambda T, t, n: T.vmap(lambda c: lanes(T)(T.grad(lambda x: loss(case, t, n)(x * c)))(X))(scales))
    both(lambda T, t, n: lanes(T)(lambda x: T.vmap(lambda c: case(t, n)(x * c))(scales))(X))
    both(
        lambda T, t, n: lanes(T)(T.grad(lambda x: T.vmap(lambda c: loss(case, t, n)(x * c))(scales).sum()))(X)
    )


@pytest.mark.parametrize("name", ["pmax", "pmin"])
def test_extrema_have_derivatives(name: str) -> None:
    both(lambda T, t, n: T.vmap(lambda x: getattr(t, name)(x, "i"), axis_name="i")(X))
    reduce = {"pmax": jnp.max, "pmin": jnp.min}[name]
    got = tr.grad(lambda x: tr.vmap(lambda r: getattr(tr, name)(r, "i") * r, axis_name="i")(x).sum())(X)
    assert_same(got, jax.grad(lambda x: (reduce(x, 0) * x).sum())(X), weak=False)


def test_nested_axes() -> None:
    def each(t: Any, n: Any) -> Callable[[Any], Any]:
        return lambda x: (
            t.psum(x, ("i", "j")), t.psum(x, "j"), t.pmean(x, "i"), t.axis_index(("i", "j")), t.axis_size(("i", "j")),
            product(t, n)(x), t.pmax(x, ("j", "i")),
        )  # fmt: skip

    def product(t: Any, n: Any) -> Callable[[Any], Any]:
        return lambda x: n.sin(t.psum(x**2, ("i", "j"))) * t.psum(x**3, "j") * t.axis_index("i")

    nested = lambda T, f: T.vmap(T.vmap(f, axis_name="j"), axis_name="i")
    both(lambda T, t, n: nested(T, each(t, n))(X))
    both(lambda T, t, n: nested(T, T.grad(lambda x: product(t, n)(x)))(X))
    gathered = nested(tr, lambda x: tr.all_gather(x, ("i", "j")))(X)
    np.testing.assert_array_equal(gathered, np.broadcast_to(np.ravel(X), (3, 3, 9)))
    # The inner one of two axes of one name is meant.
    both(lambda T, t, n: T.vmap(lambda r: nested_sum(T, t, r) * t.psum(r, "i"), axis_name="i")(X))


def nested_sum(T: Any, t: Any, r: Any) -> Any:
    return T.vmap(lambda x: t.psum(x, "i"), axis_name="i")(r)


def test_an_axis_of_jax_inside_one_of_ours() -> None:
    def f(x: Any) -> Any:
        return jax.vmap(lambda y: lax.psum(x * y, ("i", "k")), axis_name="k")(jnp.arange(4.0)).sum()

    assert_same(
        tr.vmap(tr.grad(f), axis_name="i")(X), jax.vmap(jax.grad(f), axis_name="i")(X), 1e-4, weak=False
    )


def test_while_loops_whose_condition_exchanges() -> None:
    def f(t: Any) -> Callable[[Any], Any]:
        more = lambda s: t.psum(s[1], "i") < 30.0
        return lambda x: t.while_loop(
            more, lambda s: (s[0] + 1, s[1] + abs(x[0]) + t.axis_index("i")), (0, 0.0)
        )

    both(lambda T, t, n: T.vmap(f(t), axis_name="i")(X))
    own = lambda t: lambda x: t.while_loop(lambda s: s < 2 * t.axis_index("i"), lambda s: s + 1, 0) + x
    both(lambda T, t, n: T.vmap(own(t), axis_name="i")(X))


def test_examples_that_rest_count_for_others() -> None:
    """Where some take another branch, or have left the loop, what they have is part of the sums of others.

    JAX loses some of the derivatives of branches: the reference computes both.
    """

    def halved(t: Any) -> Callable[[Any], Any]:
        return lambda x: t.while_loop(lambda s: abs(s[0]) > 0.3, lambda s: s * 0.5 + 0.01 * t.psum(s, "i"), x)

    def chosen(t: Any, n: Any, cond: Any) -> Callable[[Any], Any]:
        some = lambda x: t.psum(n.sin(x), "i")
        return lambda x: n.cos(
            cond(x[1] > 0, some, lambda x: cond(x[0] > 0, lambda x: t.pmean(x**3, "i"), some, x), x)
        )

    by_select = lambda pred, f, g, x: jnp.where(pred, f(x), g(x))
    ours, theirs = chosen(tr, tnp, tr.cond), chosen(lax, jnp, by_select)
    for derived in (
        lambda T, f: f,
        lambda T, f: T.grad(lambda x: f(x).sum()),
        lambda T, f: T.jacrev(f),
        lambda T, f: T.jacfwd(f),
        lambda T, f: T.hessian(lambda x: f(x).sum()),
    ):
        got = tr.vmap(derived(tr, ours), axis_name="i")(X)
        assert_same(got, jax.vmap(derived(jax, theirs), axis_name="i")(X), 1e-4, weak=False)
    got = tr.grad(lambda x: tr.vmap(ours, axis_name="i")(x).sum())(X)
    assert_same(got, jax.grad(lambda x: jax.vmap(theirs, axis_name="i")(x).sum())(X), 1e-4, weak=False)

    both(lambda T, t, n: T.vmap(halved(t), axis_name="i")(X))
    both(lambda T, t, n: T.vmap(lambda x: T.jvp(halved(t), (x,), (x * x,)), axis_name="i")(X))
    each = lambda T, t: lambda r: T.vmap(lambda c: halved(t)(c * r))(np.float32([1, 2, 3]))
    both(lambda T, t, n: T.vmap(each(T, t), axis_name="i")(X))
    with pytest.raises(BatchingError, match="in which examples exchange and whose number of trips differs"):
        tr.vmap(tr.jacrev(halved(tr)), axis_name="i")(X)


def test_checkpoints_and_custom_rules() -> None:
    def checkpointed(T: Any, t: Any, n: Any) -> Any:
        inner = T.checkpoint(lambda x: n.sin(t.psum(n.sin(x), "i")))
        return T.vmap(T.grad(lambda x: inner(x).sum()), axis_name="i")(X)

    def forward(T: Any, t: Any, n: Any) -> Any:
        @T.custom_jvp
        def f(x: Any) -> Any:
            return t.psum(n.sin(x), "i")

        f.defjvp(lambda p, d: (f(p[0]), t.psum(d[0] * n.cos(p[0]), "i") * 2))
        return T.vmap(T.hessian(lambda x: (f(x) ** 2).sum()), axis_name="i")(X)

    def reverse(T: Any, t: Any, n: Any) -> Any:
        @T.custom_vjp
        def f(x: Any) -> Any:
            return t.psum(n.sin(x), "i")

        f.defvjp(lambda x: (f(x), x), lambda x, g: (t.psum(g * n.cos(x), "i") * 2,))
        return T.vmap(T.grad(lambda x: (f(x) ** 2).sum()), axis_name="i")(X)

    for f in (checkpointed, forward, reverse):
        both(f)


def test_batch_norm_in_double_precision() -> None:
    def run(T: Any, t: Any, n: Any) -> Any:
        def norm(x: Any) -> Any:
            mean = t.pmean(x, "batch")
            return (x - mean) / n.sqrt(t.pmean(x * x, "batch") - mean**2 + 1e-5)

        each = T.vmap(lambda w, x: norm(n.tanh(x @ w)), in_axes=(None, 0), axis_name="batch")
        return T.jit(T.value_and_grad(lambda w, x: (each(w, x) ** 3).sum()))(
            n.eye(3) * 0.3, jnp.asarray(wide)
        )

    wide = np.random.default_rng(0).normal(size=(5, 3))
    with x64():
        assert_same(run(tr, tr, tnp), run(jax, lax, jnp), 1e-9, weak=False)


def test_results_that_are_the_same_for_all_need_no_axis() -> None:
    both(lambda T, t, n: T.vmap(lambda x: t.psum(x, "i"), axis_name="i", out_axes=None)(X))
    both(lambda T, t, n: T.vmap(lambda: t.axis_index("i"), axis_name="i", axis_size=4)())
    both(lambda T, t, n: T.vmap(lambda x: 2 * x, in_axes=None, axis_size=4)(X))


def test_axes_that_jax_maps_over() -> None:
    f = lambda t, n: lambda x: n.sin(t.psum(n.sin(x), "i")).sum()
    over = lambda g: jax.vmap(g, axis_name="i")(X)
    assert_same(over(tr.jit(f(tr, tnp))), over(f(lax, jnp)), weak=False)
    assert_same(over(tr.jit(tr.grad(f(tr, tnp)))), over(jax.grad(f(lax, jnp))), weak=False)
    assert_same(over(jax.grad(tr.jit(f(tr, tnp)))), over(jax.grad(f(lax, jnp))), weak=False)


def test_what_does_not_fit_is_said() -> None:
    named = lambda f: tr.vmap(f, axis_name="i")(X)
    for call in (
        lambda: named(lambda x: tr.psum(x, "j")),
        lambda: named(lambda x: tr.psum(x, ("i", "j"))),
        lambda: tr.jit(lambda x: tr.psum(x, "j"))(X),
        lambda: tr.axis_size("j"),
    ):
        with pytest.raises(UnboundAxisError, match="no axis is named 'j' here"):
            call()
    with pytest.raises(ArgumentError, match="expected pairs of different examples from 0 to 2"):
        named(lambda x: tr.ppermute(x, "i", [(0, 1), (0, 2)]))
    with pytest.raises(IRTypeError, match=r"expected axis 0 of f32\[2\] to have 3 elements"):
        named(lambda x: tr.all_to_all(x[:2], "i", 0, 0))
    with pytest.raises(BatchingError, match=r"axis_size is 4, x \(f32\[3,3\], axis 0\) has 3"):
        tr.vmap(lambda x: x, axis_size=4)(X)
    with pytest.raises(BatchingError, match="give axis_size where that is meant"):
        tr.vmap(lambda x: x, in_axes=None)(X)


def test_outside_their_vmap_the_ops_say_so() -> None:
    from ir.ops.collectives import all_gather

    x, index = ir.Value(TensorType((2,), f32)), ir.Value(TensorType((), i32))
    builder = ir.Builder()
    with ir.building(builder):
        out = all_gather(x, index, axis="i", lanes=3)
    function = ir.Function((x, index), tuple(builder.eqns), (out,), "f")
    assert ir.parse(str(function)) == function
    with pytest.raises(EvaluationError, match="all_gather over the axis 'i' has no meaning outside the vmap"):
        ir.evaluate(function, np.zeros(2, np.float32), np.int32(0))
    with pytest.raises(LoweringError, match="outside the vmap"):
        tr.to_jax(function)(np.zeros(2, np.float32), np.int32(0))
