"""`grad` and `value_and_grad` against JAX: arguments, pytrees, nesting, closures."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_close, assert_same, both, both_compiled, x64

V = array(4)
MATRIX = array(3, 4, seed=1)


def test_argnums() -> None:
    for argnums in (0, 1, -1, (0,), (1, 0), (0, 2), (-1, 0), [0, 1], np.int64(1)):
        both_compiled(
            lambda xp, t, a=argnums: t.grad(lambda x, y, z: (xp.sin(x) * y + z * x).sum(), a)(V, V * 2, 3.0)
        )
        both_compiled(
            lambda xp, t, a=argnums: t.value_and_grad(lambda x, y, z: (x * y + z).sum(), a)(V, V * 2, 3.0)
        )


def test_keyword_arguments() -> None:
    both_compiled(
        lambda xp, t: t.grad(lambda x, *, scale, p: (x * scale * p["a"]).sum())(V, scale=2.0, p={"a": V})
    )
    both_compiled(lambda xp, t: t.grad(lambda x, y=3.0: (x * y).sum())(V))
    both_compiled(lambda xp, t: t.grad(lambda *xs: xs[0] * xs[1], argnums=1)(2.0, 3.0))


def test_has_aux() -> None:
    def f(x: Any) -> Any:
        return (x**2).sum(), {"n": 3, "x": x * 2, "none": None, "flag": x > 0}

    both(lambda xp, t: t.value_and_grad(f, has_aux=True)(V))
    both(lambda xp, t: t.grad(f, has_aux=True)(V))
    both(lambda xp, t: t.grad(lambda x, y: (x * y, y), (0, 1), has_aux=True)(2.0, 3.0))


def test_allow_int() -> None:
    params = {"n": np.arange(3), "w": V[:3], "b": np.array(True), "i": 5}
    f = lambda p: (p["w"] * p["n"] * p["i"]).sum()
    got, want = (t.grad(f, allow_int=True)(params) for t in (tr, jax))
    assert_same(got, want)
    assert got["n"].dtype == jax.dtypes.float0
    both(lambda xp, t: t.grad(lambda x, n: x * n, (0, 1), allow_int=True)(2.0, 3))


class Layer(NamedTuple):
    weight: Any
    bias: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Model:
    layers: list[Any]
    scale: Any
    name: str = dataclasses.field(default="m", metadata={"static": True})


@jax.tree_util.register_pytree_node_class
class Checked:
    """A node that accepts arrays only."""

    def __init__(self, x: Any) -> None:
        if not hasattr(x, "shape"):
            raise TypeError("expected an array")
        self.x = x

    def tree_flatten(self) -> Any:
        return (self.x,), None

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Any:
        made = object.__new__(cls)
        made.x = children[0]
        return made


def test_pytrees() -> None:
    tree = {
        "layer": Layer(MATRIX, V),
        "none": None,
        "list": [1.5, (V, {})],
        "ordered": OrderedDict(b=V, a=2.0),
        "model": Model([V, None], 0.5),
        "checked": Checked(V),
    }

    def f(xp: Any) -> Callable[..., Any]:
        def loss(t: Any) -> Any:
            assert t["none"] is None
            assert t["model"].name == "m"
            h = (
                xp.tanh(t["layer"].weight @ t["list"][1][0] * t["list"][0]) @ t["layer"].weight
                + t["layer"].bias
            )
            return (h * t["ordered"]["b"] * t["model"].layers[0] * t["model"].scale + t["checked"].x).sum()

        return loss

    both_compiled(lambda xp, t: jax.tree_util.tree_leaves(t.value_and_grad(f(xp))(tree)))
    got = tr.grad(f(tnp))(tree)
    assert isinstance(got["layer"], Layer)
    assert isinstance(got["model"], Model)
    assert got["none"] is None


def test_empty_pytrees_and_no_leaves() -> None:
    both_compiled(lambda xp, t: t.grad(lambda p, x: x * 2, argnums=0)({}, 1.0))
    both_compiled(lambda xp, t: t.grad(lambda p, x: x * 2, argnums=(0, 1))(None, 1.0))
    both_compiled(lambda xp, t: t.grad(lambda x: 3.0)(1.0))
    both_compiled(lambda xp, t: t.grad(lambda x, y: y, argnums=0)(1.0, 2.0))


def test_empty_and_unit_axes() -> None:
    for shape in ((0,), (0, 3), (1,), (1, 1), (3, 0, 2), ()):
        x = array(*shape)
        both_compiled(lambda xp, t, x=x: t.grad(lambda x: (xp.sin(x) * x).sum())(x))
        both_compiled(
            lambda xp, t, x=x: t.grad(lambda x: xp.prod(x, axis=None) + x.mean() if x.size else x.sum())(x)
        )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"])
def test_dtypes(dtype: str) -> None:
    with x64():
        x = array(3, dtype=np.complex64 if "complex" in dtype else np.float32).astype(dtype)
        f = lambda xp: lambda x: (xp.abs(xp.sin(x)) * xp.abs(x) ** 2).sum()
        got = both_compiled(lambda xp, t: t.value_and_grad(f(xp))(x))
        assert got[1].dtype == x.dtype
        both_compiled(lambda xp, t: t.grad(lambda x, y: (x * y).real.sum(), (0, 1))(x, V[:3]))


def test_conversions_between_dtypes() -> None:
    with x64():
        for a in (np.float16, np.float32, np.float64):
            for b in (np.float32, np.float64, np.complex64):
                both_compiled(
                    lambda xp, t, a=a, b=b: t.grad(
                        lambda x: xp.real((x.astype(b) * 2j).imag ** 2).sum() * 1.0
                    )(V.astype(a))
                )


def test_weak_types_are_kept() -> None:
    with x64():
        both(lambda xp, t: t.value_and_grad(lambda x: x**2)(3.0))
        both(lambda xp, t: t.grad(lambda x, y: (x * y).sum(), (0, 1))(3.0, V))
        both(lambda xp, t: t.grad(lambda x: x * np.float32(2))(3.0))
        assert (tr.grad(lambda x: x**2)(3.0) * np.ones(2, np.float32)).dtype == np.float32


def test_python_scalars_and_numpy_arrays() -> None:
    both(lambda xp, t: t.grad(lambda x: x * x)(np.float32(2)))
    both(lambda xp, t: t.grad(lambda x: (x * x).sum())(np.arange(3.0)))
    both(lambda xp, t: t.grad(lambda x: x * x)(2.0))


def test_arguments_that_are_not_differentiated_stay_as_they_are() -> None:
    seen: list[Any] = []

    def f(x: Any, mode: str, n: int, fn: Any, flag: bool) -> Any:
        seen.append((mode, n, fn, flag))
        return (fn(x) ** n).sum() if flag and mode == "sum" else x.mean()

    args = (V, "sum", 3, abs, True)
    both(lambda xp, t: t.grad(f)(*args))
    assert all(s == args[1:] for s in seen)
    both(lambda xp, t: t.jit(lambda x: t.grad(f)(x, "sum", 2, abs, True))(V))
    both(lambda xp, t: t.jacfwd(lambda x, n: x[:n] ** 2)(V, 2))
    both(lambda xp, t: t.grad(lambda x, shape: x.reshape(shape).sum(0)[0])(V, (2, 2)))


# Nesting ---------------------------------------------------------------------------------------------


def nested(t: Any, f: Callable[..., Any], order: int) -> Callable[..., Any]:
    for _ in range(order):
        f = t.grad(f)
    return f


@pytest.mark.parametrize("order", range(6))
def test_derivatives_of_high_order(order: int) -> None:
    for name in ("sin", "tanh", "log", "exp", "sqrt"):
        both_compiled(lambda xp, t, n=name: nested(t, lambda x: getattr(xp, n)(x) * x**2, order)(0.7))


TRANSFORMS: dict[str, Callable[..., Any]] = {
    "grad": lambda t, f: t.grad(f),
    "jvp": lambda t, f: lambda x: t.jvp(f, (x,), (1.0,))[1],
    "vjp": lambda t, f: lambda x: t.vjp(f, x)[1](1.0)[0],
    "linearize": lambda t, f: lambda x: t.linearize(f, x)[1](1.0),
    "jit": lambda t, f: t.jit(f),
    "vmap": lambda t, f: lambda x: t.vmap(f)(jnp.ones(2) * x if t is jax else tnp.ones(2) * x).sum(),
    "checkpoint": lambda t, f: t.checkpoint(f),
    "jacfwd": lambda t, f: t.jacfwd(f),
    "jacrev": lambda t, f: t.jacrev(f),
}
TRIPLES = [(a, b, c) for a in TRANSFORMS for b in TRANSFORMS for c in ("grad", "vmap")]


@pytest.mark.parametrize("outer", TRANSFORMS)
def test_nesting_in_any_order(outer: str) -> None:
    """All transforms of all transforms of grad and vmap, in one program each."""
    chosen = [names for names in TRIPLES if names[0] == outer]

    def program(xp: Any, t: Any) -> Any:
        def of(names: tuple[str, ...]) -> Callable[..., Any]:
            f: Callable[..., Any] = lambda x: xp.sin(x) * x**3 + xp.exp(-x)
            for name in reversed(names):
                f = TRANSFORMS[name](t, f)
            return f

        return t.jit(lambda x: [of(names)(x) for names in chosen])(0.6)

    got, want = program(tnp, tr), program(jnp, jax)
    for names, a, b in zip(chosen, got, want, strict=True):
        assert_close(a, b, 1e-4), names


@pytest.mark.parametrize("names", [("grad", "jit", "vmap"), ("vmap", "grad", "jit"), ("jvp", "vjp", "grad")])
def test_nesting_outside_jit(names: tuple[str, ...]) -> None:
    def program(xp: Any, t: Any) -> Any:
        f: Callable[..., Any] = lambda x: xp.sin(x) * x**3
        for name in reversed(names):
            f = TRANSFORMS[name](t, f)
        return f(0.6)

    assert_same(program(tnp, tr), program(jnp, jax), weak=False)


def test_no_confusion_between_levels() -> None:
    """Perturbation confusion (Siskind and Pearlmutter 2005): d/dx (x * d/dy (x + y)) = 1 at any x."""
    both_compiled(lambda xp, t: t.grad(lambda x: x * t.grad(lambda y: x + y)(1.0))(1.0))
    both_compiled(lambda xp, t: t.grad(lambda x: x * t.grad(lambda y: x * y**2)(x))(3.0))
    both_compiled(
        lambda xp, t: t.grad(lambda x: t.grad(lambda y: t.grad(lambda z: x * y**2 * z**3)(x))(2.0) * x)(1.5)
    )


def test_grad_through_static_arguments() -> None:
    def program(xp: Any, t: Any) -> Any:
        f = t.jit(
            lambda x, n, *, mode: (x**n).sum() if mode == "sum" else x.mean(),
            static_argnums=1,
            static_argnames="mode",
        )
        return t.grad(lambda x: f(x, 3, mode="sum"))(V), t.grad(f)(V, 2, mode="mean")

    both(lambda xp, t: program(xp, t))


# Closures --------------------------------------------------------------------------------------------


def test_closures() -> None:
    large = np.arange(5000.0, dtype=np.float32) / 5000
    both_compiled(lambda xp, t: t.grad(lambda x: (x * MATRIX).sum())(V))
    both_compiled(lambda xp, t: t.grad(lambda x: (x * large).sum())(2.0))
    both_compiled(lambda xp, t: t.jit(lambda y: t.grad(lambda x: (x * y * MATRIX).sum())(V))(V))
    both_compiled(lambda xp, t: t.grad(lambda y: t.grad(lambda x: (x**2 * y).sum())(y).sum())(V))
    both_compiled(lambda xp, t: t.vmap(lambda y: t.grad(lambda x: (x**2 * y).sum())(V))(MATRIX))
    both_compiled(lambda xp, t: t.vmap(lambda y: t.grad(lambda x: x**2 * y)(3.0))(V))


def test_closures_over_traced_values_at_two_depths() -> None:
    """Each function uses its own argument and those of all that enclose it."""

    def program(xp: Any, t: Any) -> Any:
        def outer(a: Any) -> Any:
            b = xp.sin(a) * MATRIX[0]

            def middle(y: Any) -> Any:
                inner = lambda x: (x**2 * y * a + xp.cos(x) * b).sum()
                return (t.grad(inner)(y * a) * b).sum() + t.vmap(lambda r: (r * a * y).sum())(MATRIX).sum()

            return (t.grad(middle)(V * a) * b + t.jvp(middle, (b,), (a,))[1]).sum()

        return outer(V), t.grad(outer)(V), t.jvp(outer, (V,), (b,)), t.vmap(t.grad(outer))(MATRIX)

    b = array(4, seed=9)
    both_compiled(program)
    got = tr.jit(lambda: program(tnp, tr))()
    assert_same(got, program(tnp, tr))


def test_closures_over_values_traced_by_jax() -> None:
    def program(t: Any, xp: Any) -> Any:
        f = lambda y: t.grad(lambda x: (xp.sin(x) * y).sum())(V)
        return (
            jax.jit(f)(V),
            jax.grad(lambda y: f(y).sum())(V),
            jax.vmap(f)(MATRIX),
            jax.jvp(f, (V,), (V,)),
            jax.jacrev(f)(V),
        )

    assert_same(program(tr, tnp), program(jax, jnp))


def test_the_arguments_may_be_values_traced_by_jax() -> None:
    def program(t: Any, xp: Any) -> Any:
        f = t.grad(lambda x: (xp.sin(x) * x**2).sum())
        return (
            jax.jit(f)(V),
            jax.vmap(f)(MATRIX),
            jax.jacfwd(f)(V),
            jax.jacrev(f)(V),
            jax.jit(jax.vmap(jax.grad(lambda x: f(x).sum())))(MATRIX),
            jax.checkpoint(f)(V),
            jax.lax.scan(lambda c, _: (c + 0.1 * f(c), None), V, None, length=3)[0],
        )

    assert_same(program(tr, tnp), program(jax, jnp))


# Control flow ----------------------------------------------------------------------------------------


def newton(xp: Any) -> Callable[[Any], Any]:
    """Steps towards the root until near: how many depends on the value."""

    def root(a: Any) -> Any:
        x, steps = a * 1.0, 0
        while abs(x * x - a) > 1e-4 and steps < 30:
            x = 0.5 * (x + a / x)
            steps += 1
        return x if steps % 2 else x * 1.0

    return root


def test_python_control_flow_on_values() -> None:
    for a in (0.3, 2.0, 7.0):
        both(lambda xp, t, a=a: t.value_and_grad(newton(xp))(a))
    piecewise = lambda x: x**2 if x > 1 else (x**3 if x > 0 else -x)
    for x in (2.0, 0.5, -1.0, 0.0, 1.0):
        both(lambda xp, t, x=x: t.value_and_grad(piecewise)(x))
        both(lambda xp, t, x=x: t.grad(t.grad(piecewise))(x))
        both(lambda xp, t, x=x: t.grad(lambda y: t.grad(lambda z: piecewise(z * y) * z)(y))(x))

    def by_index(x: Any) -> Any:
        total = 0.0
        for k in range(int(x.argmax()) + 1):
            total = total + x[k] ** (k + 1)
        assert x.sum() < 100
        return total * [1.0, 2.0, 3.0, 4.0][x.argmin()]

    both(lambda xp, t: t.value_and_grad(by_index)(V))


def test_control_flow_on_a_value_of_the_outer_derivative() -> None:
    def outer(xp: Any, t: Any) -> Any:
        def f(a: Any) -> Any:
            g = lambda x: x * a if a > 0 and x * a > 1 else x * a**2
            return t.grad(g)(a) * a + t.vmap(lambda y: y * a if a > 1 else y)(V).sum()

        return [t.grad(f)(a) for a in (-2.0, 0.5, 2.0)]

    both(outer)


def test_a_closed_over_array_that_changes_is_seen() -> None:
    """An un-jitted gradient is traced again on each call."""
    held = {"c": 2.0, "n": 2}
    g = tr.grad(lambda x: held["c"] * x ** held["n"])
    assert float(g(3.0)) == 12.0
    held.update(c=5.0, n=3)
    assert float(g(3.0)) == 135.0
    held["c"] = np.float32(1)
    assert float(g(3.0)) == 27.0


# Training --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: optax.sgd(0.1, momentum=0.9), lambda: optax.adam(0.1)])
def test_optimiser_states_as_arguments(make: Callable[[], Any]) -> None:
    """Updates by optax outside the trace; the states pass through ours."""
    params = {"w": MATRIX, "b": V}

    def train(t: Any, xp: Any) -> Any:
        opt = make()
        p, s = params, opt.init(params)
        for _ in range(3):
            grads = t.grad(lambda p, s: ((xp.tanh(p["w"]) + p["b"]) ** 2).sum(), argnums=0)(p, s)
            updates, s = opt.update(grads, s, p)
            p = optax.apply_updates(p, updates)
        return p

    assert_same(train(tr, tnp), train(jax, jnp))


def test_per_example_gradients() -> None:
    def program(xp: Any, t: Any) -> Any:
        loss = lambda p, x, y: ((xp.tanh(p["w"] @ x) - y) ** 2).sum()
        params = {"w": MATRIX}
        xs, ys = array(5, 4), array(5, 3)
        per_example = t.vmap(t.value_and_grad(loss), in_axes=(None, 0, 0))(params, xs, ys)
        mean = t.grad(lambda p: t.vmap(loss, (None, 0, 0))(p, xs, ys).mean())(params)
        return per_example, mean

    got = both(program)
    assert_close(np.mean(got[0][1]["w"], axis=0), got[1]["w"])


# Identities ------------------------------------------------------------------------------------------

shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
functions = st.sampled_from(["sin", "cos", "tanh", "exp", "square", "arctan", "negative"])


@settings(max_examples=8)
@given(shape=shapes, names=st.lists(functions, min_size=1, max_size=4), seed=st.integers(0, 99))
def test_chains_of_functions(shape: tuple[int, ...], names: list[str], seed: int) -> None:
    x = array(*shape, seed=seed, low=-0.5, high=0.5)

    def f(xp: Any) -> Callable[..., Any]:
        def chain(x: Any) -> Any:
            y = x
            for name in names:
                y = getattr(xp, name)(y) * x
            return y.sum()

        return chain

    with x64():
        x = x.astype(np.float64)
        both_compiled(lambda xp, t: t.value_and_grad(f(xp))(x))


@settings(max_examples=8)
@given(a=st.floats(-2, 2), b=st.floats(-2, 2), seed=st.integers(0, 99))
def test_the_gradient_is_linear_in_the_function(a: float, b: float, seed: int) -> None:
    x = array(3, seed=seed)
    f, g = (lambda x: (tnp.sin(x) ** 2).sum()), (lambda x: tnp.prod(x))
    joint = tr.grad(lambda x: a * f(x) + b * g(x))(x)
    assert_close(joint, a * tr.grad(f)(x) + b * tr.grad(g)(x), 1e-5)


@settings(max_examples=8)
@given(seed=st.integers(0, 999))
def test_product_and_chain_rule(seed: int) -> None:
    x = float(np.random.default_rng(seed).uniform(0.1, 2))
    f, g = (lambda x: tnp.log(x) * x), (lambda x: tnp.tanh(x))
    df, dg = tr.grad(f), tr.grad(g)
    product = tr.grad(lambda x: f(x) * g(x))(x)
    assert_close(product, df(x) * g(x) + f(x) * dg(x), 1e-5)
    assert_close(tr.grad(lambda x: g(f(x)))(x), dg(f(x)) * df(x), 1e-5)
