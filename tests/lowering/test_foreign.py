"""What has no counterpart among our ops is kept whole, with types, values and rules that JAX gives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

import ir
import tracer as tr
from ir.errors import DifferentiationError, JaxprError
from ir.passes.pipeline import optimize
from lowering.emit import emit
from lowering.jaxprs.importer import import_jaxpr
from tests.lowering.test_round_trip import foreign_in

X = np.array([0.3, -0.7, 1.1], np.float32)

# A primitive that somebody else wrote: x, y -> x * sin(y), with all of its rules.
twist_p = Primitive("twist")
twist_p.def_impl(lambda x, y: x * np.sin(y))
twist_p.def_abstract_eval(lambda x, y: x)
mlir.register_lowering(twist_p, mlir.lower_fun(lambda x, y: x * jnp.sin(y), multiple_results=False))
ad.defjvp(twist_p, lambda t, x, y: twist_p.bind(t, y), lambda t, x, y: t * x * jnp.cos(y))
ad.primitive_transposes[twist_p] = lambda ct, x, y: (twist_p.bind(ct, y), None)
batching.defbroadcasting(twist_p)


def twist(x: Any, y: Any) -> Any:
    return twist_p.bind(x, y)


def plain(x: Any, y: Any) -> Any:
    return x * jnp.sin(y)


def loss(f: Any) -> Any:
    return lambda x: jnp.sum(f(x, x * 2) ** 2)


def close(got: Any, want: Any) -> None:
    jax.tree_util.tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want)


def test_every_transform_of_a_primitive_of_somebody_else() -> None:
    ours, theirs = loss(twist), loss(plain)
    function = tr.trace(ours)(X)
    assert foreign_in(function) == {"twist"}
    ir.verify(function)
    close(ir.evaluate(function, X), (theirs(X),))
    close(tr.jit(ours)(X), theirs(X))
    close(tr.grad(ours)(X), jax.grad(theirs)(X))
    close(tr.jit(tr.grad(ours))(X), jax.grad(theirs)(X))
    close(tr.jvp(ours, (X,), (X,)), jax.jvp(theirs, (X,), (X,)))
    close(tr.hessian(ours)(X), jax.hessian(theirs)(X))
    batch = np.stack([X, 2 * X])
    close(tr.vmap(tr.grad(ours))(batch), jax.vmap(jax.grad(theirs))(batch))
    close(tr.grad(lambda x: tr.vmap(ours)(x).sum())(batch), jax.vmap(jax.grad(theirs))(batch))


def test_equal_equations_share_their_operation() -> None:
    first, second = (tr.trace(loss(twist))(X) for _ in range(2))
    assert first == second
    assert optimize(tr.trace(lambda x: twist(x, x) + twist(x, x))(X)).eqns[0].op.name == "foreign"
    assert [e.op.name for e in optimize(tr.trace(lambda x: twist(x, x) + twist(x, x))(X)).eqns].count(
        "foreign"
    ) == 1


def test_references_are_kept_with_what_uses_them() -> None:
    def f(x: Any) -> Any:
        ref = jax.new_ref(x)
        ref[0] = 5.0
        return jnp.sin(ref[...]).sum()

    want = np.sin([5.0, *X[1:]]).sum()
    np.testing.assert_allclose(tr.jit(f)(X), want, rtol=1e-6)


def test_collectives_inside_shard_map() -> None:
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("i")

    @jax.shard_map(mesh=mesh, in_specs=spec, out_specs=spec)
    def normalized(x: Any) -> Any:
        return x / lax.psum(jnp.sum(x * x), "i")

    f = lambda x: jnp.sum(jnp.sin(normalized(x)))
    assert foreign_in(tr.trace(f)(X)) == {"shard_map"}
    close(tr.jit(f)(X), f(X))
    close(tr.grad(f)(X), jax.grad(f)(X))


def test_callbacks_with_a_rule_of_their_own() -> None:
    @jax.custom_jvp
    def sine(x: Any) -> Any:
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")

    sine.defjvp(lambda p, t: (sine(*p), jnp.cos(p[0]) * t[0]))
    close(tr.grad(lambda x: sine(x).sum())(X), np.cos(X))
    close(tr.vmap(tr.grad(lambda x: sine(x) * x))(X), np.cos(X) * X + np.sin(X))


def test_missing_rules_are_named() -> None:
    mute_p = Primitive("mute")
    mute_p.def_abstract_eval(lambda x: x)
    mlir.register_lowering(mute_p, mlir.lower_fun(lambda x: x + 1, multiple_results=False))
    f = lambda x: jnp.sum(mute_p.bind(x))
    close(tr.jit(f)(X), np.sum(X + 1))
    with pytest.raises(DifferentiationError, match="mute has no derivative") as caught:
        tr.grad(f)(X)
    assert caught.value.source is not None
    assert caught.value.source.file == __file__


def test_what_is_no_array_is_an_error_that_names_it() -> None:
    closed = jax.make_jaxpr(lambda ref: ref[...])(jax.new_ref(X))
    with pytest.raises(JaxprError, match=r"expected an array, got a value of type .*Ref"):
        import_jaxpr(closed)


def test_effects_are_kept_although_no_result_is_used() -> None:
    def f(x: Any) -> Any:
        jax.debug.callback(lambda _: None, x)
        return x * 2

    function = optimize(tr.trace(f)(X))
    assert [e.op.name for e in function.eqns if e.op.effect] == ["foreign_effect"]
    close(emit(function, (X,)), (X * 2,))
    looped = optimize(
        tr.trace(lambda x: lax.scan(lambda c, y: (f(y), None), x, jnp.stack([x, x]))[0] * 0 + x)(X)
    )
    assert any(e.op.name == "scan" for e in looped.eqns)
