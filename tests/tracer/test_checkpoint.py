"""`checkpoint`: right to second order, and it does recompute instead of keeping."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

import tracer as tr
import tracer.numpy as tnp
from lowering.differentiable import every_eqn
from tests.tracer.helpers import array, assert_close, assert_same, both, count_ops, raises
from tracer.errors import ArgumentTypeError

V = array(4)
A = array(4, 4, seed=1)


def block(xp: Any) -> Any:
    return lambda x, w: {"y": xp.sin(xp.sin(x @ w["w"])) * w["s"], "n": 3}


W = {"w": A, "s": 1.5}
USES = {
    "value": lambda t, f: f(V, W),
    "grad": lambda t, f: t.grad(lambda x, w: f(x, w)["y"].sum(), (0, 1))(V, W),
    "jit": lambda t, f: t.jit(t.grad(lambda x: f(x, W)["y"].sum()))(V),
    "jvp": lambda t, f: t.jvp(lambda x: f(x, W)["y"], (V,), (V,)),
    "vjp": lambda t, f: t.vjp(lambda x: f(x, W)["y"], V)[1](V),
    "linearize": lambda t, f: t.linearize(lambda x: f(x, W)["y"], V)[1](V),
    "vmap": lambda t, f: t.vmap(t.grad(lambda x: f(x, W)["y"].sum()))(A),
    "vmap of a weight": lambda t, f: t.vmap(t.grad(lambda w: f(V, {"w": w, "s": 2.0})["y"].sum()))(
        array(2, 4, 4)
    ),
    "grad of vmap": lambda t, f: t.grad(lambda w: t.vmap(lambda x: f(x, w)["y"])(A).sum())(W),
    "hessian": lambda t, f: t.hessian(lambda x: f(x, W)["y"].sum())(V),
    "grad of grad": lambda t, f: t.grad(lambda x: t.grad(lambda y: f(y, W)["y"].sum())(x).sum())(V),
    "grad of jvp": lambda t, f: t.grad(lambda x: t.jvp(lambda y: f(y, W)["y"], (x,), (V,))[1].sum())(V),
    "inside itself": lambda t, f: t.grad(t.checkpoint(lambda x: f(f(x, W)["y"], W)["y"].sum()))(V),
    "a closure": lambda t, f: t.grad(
        lambda w: t.checkpoint(lambda x: f(x, {"w": w, "s": 1.0})["y"].sum())(V)
    )(A),
    "of a part": lambda t, f: t.grad(lambda s: f(V, {"w": A, "s": s})["y"].sum())(2.0),
    "not used": lambda t, f: t.grad(lambda x: (f(x, W)["n"] * x).sum())(V),
}


@pytest.mark.parametrize("use", USES)
def test_values_and_derivatives(use: str) -> None:
    both(lambda xp, t: USES[use](t, t.checkpoint(block(xp))))


def test_keywords_and_python_results() -> None:
    both(lambda xp, t: t.grad(lambda x: t.checkpoint(lambda y, *, k: (y * k).sum())(x, k=3.0))(V))
    assert_same(
        tr.jit(lambda x: tr.checkpoint(lambda y: (y, None, 2.0))(x))(V), jax.jit(lambda x: (x, None, 2.0))(V)
    )


def test_integers_and_several_results() -> None:
    f = lambda xp: lambda x, n: (x ** n[0] * n, n + 1, x.sum())
    n = np.array([2, 3, 1, 0], np.int32)
    both(lambda xp, t: t.grad(lambda x: t.checkpoint(f(xp))(x, n)[0].sum())(V))
    both(lambda xp, t: t.jit(t.checkpoint(f(xp)))(V, n))


def sines(text: str) -> int:
    return len(re.findall(r"= sine|stablehlo\.sine|\bsin\b", text))


def test_it_recomputes() -> None:
    body = lambda xp: lambda x: xp.sin(xp.sin(xp.sin(x)))
    plain = tr.jit(tr.grad(lambda x: body(tnp)(x).sum()))
    kept = tr.jit(tr.grad(lambda x: tr.checkpoint(body(tnp))(x).sum()))
    # The last sine is not needed for the gradient; three cosines are in both programs.
    assert count_ops(plain.ir(V), "sin") == 2
    program = kept.ir(V)
    assert count_ops(program, "checkpoint") >= 1
    assert count_ops(program, "sin") >= 2
    text = kept.lower(V).as_text()
    assert "optimization_barrier" in text
    assert "optimization_barrier" not in plain.lower(V).as_text()
    two = tr.jit(tr.value_and_grad(lambda x: tr.checkpoint(body(tnp))(x).sum()))
    assert sines(two.lower(V).as_text()) >= 5, "three for the value, two again for the gradient"
    once = tr.jit(tr.value_and_grad(lambda x: body(tnp)(x).sum()))
    assert sines(once.lower(V).as_text()) == 3


def test_the_barrier_survives_compilation() -> None:
    f = tr.jit(tr.value_and_grad(lambda x: tr.checkpoint(lambda y: tnp.sin(tnp.sin(tnp.sin(y))))(x).sum()))
    text = f.lower(V).compile().as_text()
    assert len(re.findall(r"sine\(", text)) >= 5


def test_it_needs_less_memory() -> None:
    layers, size = 16, 512
    weights = jnp.ones((layers, 8, 8)) / 8
    x = jnp.ones((size, 8))

    def loss(layer: Any) -> Any:
        def f(ws: Any) -> Any:
            return tr.scan(lambda h, w: (layer(h, w), None), x, ws)[0].sum()

        return tr.jit(tr.grad(f)).lower(weights).compile().memory_analysis().temp_size_in_bytes

    def layer(h: Any, w: Any) -> Any:
        for _ in range(6):
            h = tnp.tanh(tnp.sin(h @ w) * h)
        return h

    assert loss(tr.checkpoint(layer)) < 0.4 * loss(layer)


def test_gradients_are_those_without() -> None:
    f = lambda x: tnp.tanh(x @ A).prod() + (x**3).sum()
    assert_close(tr.grad(tr.checkpoint(f))(V), tr.grad(f)(V))
    assert_close(tr.hessian(tr.checkpoint(f))(V), tr.hessian(f)(V))


def test_inside_scan() -> None:
    def program(xp: Any, t: Any) -> Any:
        scan = tr.scan if t is tr else jax.lax.scan
        body = t.checkpoint(lambda c, w: (xp.tanh(c @ w), (c**2).sum()))
        loss = lambda c, ws: sum(y.sum() for y in jax.tree_util.tree_leaves(scan(body, c, ws)))
        ws = array(3, 4, 4, seed=3)
        return (
            t.value_and_grad(loss, (0, 1))(V, ws),
            t.grad(lambda c: t.grad(loss)(c, ws).sum())(V),
            t.vmap(t.grad(loss), (0, None))(A, ws),
        )

    both(program)


# Differentiated by JAX from outside --------------------------------------------------------------------


def _identity(t: Any) -> Any:
    return lambda x: x


def _by_jvp(t: Any) -> Any:
    same = t.custom_jvp(lambda x: x * 1.0)
    same.defjvp(lambda primals, tangents: (primals[0], -2 * tangents[0]))
    return same


def _by_vjp(t: Any) -> Any:
    same = t.custom_vjp(lambda x: x * 1.0)
    same.defvjp(lambda x: (x, None), lambda _, ct: (-2 * ct,))
    return same


def _two_blocks(xp: Any, t: Any, rule: Any, wrap: Any) -> Any:
    """Two layers, each keeping what `wrap` makes it keep; results are given to the second."""
    inner = rule(t)

    def layer(x: Any, w: Any) -> Any:
        for _ in range(4):
            x = xp.sin(inner(xp.sin(x @ w)))
        return x

    f = wrap(layer)
    return t.jit(lambda x, w: f(f(x, w), w).sum())


def residual_elements(f: Any, *args: Any) -> int:
    """Elements of the arrays that JAX keeps from the forward to the backward pass."""
    _, pull = jax.vjp(f, *args)
    return sum(x.size for x in jax.tree_util.tree_leaves(pull))


RULES = [_identity, _by_jvp, _by_vjp]


@pytest.mark.parametrize("rule", RULES)
def test_jax_keeps_the_operands_only(rule: Any) -> None:
    x, w = jnp.ones((32, 8)), jnp.ones((8, 8)) / 8
    recomputed = residual_elements(_two_blocks(tnp, tr, rule, tr.checkpoint), x, w)
    assert recomputed == residual_elements(_two_blocks(jnp, jax, rule, jax.checkpoint), x, w)
    assert recomputed == 2 * x.size + w.size
    assert residual_elements(_two_blocks(tnp, tr, rule, lambda f: f), x, w) > 10 * recomputed


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("order", ["grad", "grad of grad", "jvp of grad", "vmap of grad"])
def test_jax_differentiates_it(rule: Any, order: str) -> None:
    uses = {
        "grad": lambda f: jax.grad(f, (0, 1))(A, A),
        "grad of grad": lambda f: jax.grad(lambda x: jax.grad(f)(x, A).sum())(A),
        "jvp of grad": lambda f: jax.jvp(jax.grad(f, (0, 1)), (A, A), (A, A)),
        "vmap of grad": lambda f: jax.vmap(jax.grad(f), (0, None))(array(2, 4, 4), A),
    }
    ours, theirs = (uses[order](_two_blocks(xp, t, rule, t.checkpoint)) for xp, t in ((tnp, tr), (jnp, jax)))
    assert_same(ours, theirs)


@pytest.mark.parametrize("rule", RULES)
def test_values_of_a_rule_are_differentiated_as_the_rule_computes_them(rule: Any) -> None:
    """A rule may compute the value another way than the function, with other derivatives."""
    x = jnp.float32(0.7)

    def second(xp: Any, t: Any) -> Any:
        block = t.checkpoint(lambda y: xp.sin(rule(t)(xp.sin(y))))
        return t.grad(t.grad(lambda y: block(block(y))))(x)

    assert_same(second(tnp, tr), second(jnp, jax))


def test_undifferentiated_it_costs_nothing() -> None:
    f = tr.jit(tr.checkpoint(block(tnp)))
    text = f.lower(V, W).as_text()
    assert "optimization_barrier" not in text
    assert sines(text) == 2


# Policies -------------------------------------------------------------------------------------------------

SAVE_SINES = jax.checkpoint_policies.save_only_these_names("sine")
POLICIES = {
    name: getattr(jax.checkpoint_policies, name)
    for name in (
        "dots_saveable", "nothing_saveable", "everything_saveable", "dots_with_no_batch_dims_saveable",
    )
} | {
    "names": SAVE_SINES,
    "any names but": jax.checkpoint_policies.save_any_names_but_these("sine"),
    "of one's own": lambda prim, *_, **__: prim.name == "sin",
}  # fmt: skip


def layers(t: Any, xp: Any, name: Any, policy: Any, x: Any) -> Any:
    """Three layers whose products have and have no batch axes, in a nested call too."""
    inner = t.jit(lambda x: xp.cos(name(xp.sin(x), "sine") * x))
    for _ in range(3):
        x = t.checkpoint(
            lambda x: xp.exp(-inner(x @ A)) * xp.einsum("bi,bi->b", x, x)[:, None], policy=policy
        )(x)
    return xp.sum(x)


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_keep_what_they_keep_in_jax(policy: str) -> None:
    x = array(3, 4)
    of = lambda t, xp, name: lambda x: layers(t, xp, name, POLICIES[policy], x)
    theirs, ours = of(jax, jnp, checkpoint_name), of(tr, tnp, tr.checkpoint_name)
    want = jax.grad(theirs)
    for f in (theirs, ours):
        assert_close(tr.jit(tr.grad(f))(x), want(x), 1e-5)
    direction = jnp.ones_like(x)
    second = lambda t, f: t.grad(lambda x: (t.grad(f)(x) * direction).sum())(x)
    assert_close(second(tr, ours), second(jax, theirs), 1e-4)
    assert_close(second(tr, theirs), second(jax, theirs), 1e-4)
    kept = [len(saved(tr.trace(tr.grad(f))(x))) for f in (theirs, ours)]
    assert bool(kept[0]) == bool(kept[1]) == (policy not in ("nothing_saveable", "any names but"))
    assert kept[0] == kept[1] or policy == "everything_saveable"  # the equations themselves differ


def saved(function: Any) -> list[Any]:
    """Equations whose results are kept."""
    return [eqn for eqn in every_eqn(function) if eqn.op.name == "checkpoint_name" and eqn.attrs["saved"]]


def test_what_is_kept_is_not_computed_again() -> None:
    f = lambda policy: (
        lambda x: tr.checkpoint(lambda x: tnp.sum(tnp.exp(tnp.sin(x @ A) * x)), policy=policy)(x)
    )
    policies = jax.checkpoint_policies
    products = {None: 3, policies.dots_saveable: 2, policies.nothing_saveable: 3, SAVE_SINES: 3}
    for policy, wanted in products.items():
        # The value as well: what it needs would not be computed otherwise.
        assert count_ops(tr.jit(tr.value_and_grad(f(policy))).ir(V), "dot_general") == wanted
    kept = lambda x: tr.checkpoint(
        lambda x: tnp.sum(tnp.exp(tr.checkpoint_name(tnp.sin(x @ A), "sine") * x)), policy=SAVE_SINES
    )(x)
    assert count_ops(tr.jit(tr.value_and_grad(kept)).ir(V), "sin") == 1
    assert count_ops(tr.jit(tr.value_and_grad(f(None))).ir(V), "sin") == 2


def test_static_arguments() -> None:
    def f(n: int, x: Any, word: str, *, scale: float = 1.0) -> Any:
        return (x**n).sum() * scale if word == "power" else x.sum()

    for run in (
        lambda t: t.grad(lambda x: t.checkpoint(f, static_argnums=(0, 2))(3, x, "power", scale=2.0))(V),
        lambda t: t.grad(lambda x: t.checkpoint(f, static_argnums=(0, -1))(3, x, "sum"))(V),
        lambda t: t.checkpoint(f, static_argnums=(0, 2), policy=SAVE_SINES)(2, V, "power"),
    ):
        assert_same(run(tr), run(jax), weak=False)
    with raises(ArgumentTypeError, "static_argnums", "3 positional"):
        tr.grad(lambda x: tr.checkpoint(f, static_argnums=5)(3, x, "power"))(V)


def test_names_mean_nothing_elsewhere() -> None:
    f = lambda x: tr.checkpoint_name({"a": tnp.sin(x), "b": x}, "sine")["a"].sum()
    assert_same(tr.grad(f)(V), jnp.cos(V), weak=False)
    assert_same(tr.vmap(tr.grad(f))(A), jnp.cos(A), weak=False)
    assert_same(tr.checkpoint_name(V, "x"), V)
    assert not count_ops(tr.jit(f).ir(V), "checkpoint_name")
