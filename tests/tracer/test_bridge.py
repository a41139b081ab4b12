"""Code written for JAX, inside tracer: recognised, imported, differentiated by our rules; and back again."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import export, lax

import ir
import tracer as tr
import tracer.numpy as tnp
from lowering.execute import PROGRAMS
from lowering.jaxprs.importer import import_jaxpr
from tests.lowering.test_round_trip import foreign_in
from tests.tracer.helpers import assert_same
from tracer.errors import TracerError

X = jnp.array([0.3, -0.7, 1.1])


def close(got: Any, want: Any, rtol: float = 1e-5) -> None:
    jax.tree_util.tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), got, want)


# Recognition --------------------------------------------------------------------------------------------

PROGRAMS_OF_JAX = {
    "jax.numpy": lambda x: jnp.sum(jnp.sin(x) * jnp.where(x > 0, x, x**2)),
    "jax.nn": lambda x: jnp.sum(jax.nn.softmax(jax.nn.gelu(x)) * jax.nn.relu(x)),
    "jax.lax": lambda x: lax.reduce(lax.sin(x), np.float32(0), lax.add, (0,)),
    "jit": lambda x: jax.jit(lambda y: jnp.vdot(y, y))(x),
    "vmap": lambda x: jax.vmap(lambda y: jnp.tanh(y * x).sum())(x).sum(),
    "grad": lambda x: jax.grad(lambda y: jnp.prod(jnp.sin(y)))(x).sum(),
    "linalg": lambda x: jnp.linalg.slogdet(jnp.outer(x, x) + 2 * jnp.eye(3))[1],
    "cholesky": lambda x: jnp.linalg.cholesky(jnp.outer(x, x) + jnp.eye(3)).sum(),
    "eigh": lambda x: jnp.linalg.eigh(jnp.diag(x) + 0.1)[0].prod(),
    "scan": lambda x: lax.scan(lambda c, y: (jnp.tanh(c * y), c * c), x[0], x)[1].sum(),
    "fori_loop": lambda x: lax.fori_loop(0, 4, lambda i, c: jnp.sin(c) + x, x).sum(),
    "cond": lambda x: lax.cond(x[0] > 0, lambda y: jnp.sin(y).sum(), lambda y: (y**3).sum(), x),
    "switch": lambda x: lax.switch(1, [jnp.sum, lambda y: (y * y).sum(), jnp.prod], x),
    "checkpoint": lambda x: jax.checkpoint(lambda y: jnp.sin(jnp.sin(y)).sum())(x),
    "gather": lambda x: (x[jnp.array([2, 0, 0])] * jnp.arange(3.0)).sum(),
    "scatter": lambda x: (x.at[jnp.array([1, 1])].set(x[:2]) ** 2).sum(),
    "sort": lambda x: (jnp.sort(x) * jnp.arange(3.0)).sum(),
    "random": lambda x: (jax.random.normal(jax.random.key(0), (3,)) * x).sum(),
    "fft": lambda x: jnp.abs(jnp.fft.rfft(x)).sum(),
    "convolve": lambda x: jnp.convolve(x, x).sum(),
    "einsum": lambda x: jnp.einsum("i,j,ij->", x, x, jnp.ones((3, 3))),
    "special": lambda x: jax.scipy.special.betainc(2.0, 0.5, x**2 / 2).sum(),
    "logsumexp": jax.scipy.special.logsumexp,
    "python scalar": lambda x: jnp.sum(x * 2 + 1),
}


@pytest.mark.parametrize("name", PROGRAMS_OF_JAX)
def test_functions_that_call_jax_are_recognised(name: str) -> None:
    f = PROGRAMS_OF_JAX[name]
    close(tr.jit(f)(X), f(X))
    want = jax.grad(f)(X)
    close(tr.grad(f)(X), want)
    close(tr.jit(tr.grad(f))(X), want)
    close(tr.grad(tr.from_jax(f))(X), want)


@pytest.mark.parametrize("name", ["jax.numpy", "scan", "cond", "scatter", "linalg", "checkpoint"])
def test_every_transform(name: str) -> None:
    f = PROGRAMS_OF_JAX[name]
    close(tr.jacfwd(f)(X), jax.jacfwd(f)(X))
    close(tr.hessian(f)(X), jax.hessian(f)(X), rtol=1e-4)
    close(tr.vmap(tr.grad(f))(jnp.stack([X, -X])), jax.vmap(jax.grad(f))(jnp.stack([X, -X])))
    close(tr.jvp(f, (X,), (X,)), jax.jvp(f, (X,), (X,)))


def test_imported_code_is_our_ops() -> None:
    function = tr.trace(lambda x: jax.nn.softmax(jnp.sin(x) @ jnp.ones((3, 2))).sum())(X)
    ir.verify(function)
    assert foreign_in(function) == set()
    assert ir.parse(str(tr.jit(PROGRAMS_OF_JAX["jax.numpy"]).ir(X)))


def test_mixing_both_kinds_of_code() -> None:
    def f(t: Any, n: Any) -> Any:
        def g(x: Any) -> Any:
            y = n.sin(x)

            def inner(z: Any) -> Any:  # closes over a traced value, and hands it to JAX
                return jnp.sum(z * y) * jnp.sum(jnp.where(y > 0, y, z)) + n.sum(z)

            return n.sum(t.grad(inner)(x) * n.cos(y))

        return g

    want = jax.grad(f(jax, jnp))(X)
    close(tr.grad(f(tr, tnp))(X), want)
    close(tr.jit(tr.grad(f(tr, tnp)))(X), want)


def test_our_transforms_loops_and_rules_inside_code_of_jax() -> None:
    @tr.custom_jvp
    def double(x: Any) -> Any:
        return 2 * x

    double.defjvp(lambda primals, tangents: (double(*primals), 10 * tangents[0]))

    def f(x: Any) -> Any:
        y = jnp.cumsum(x)
        inner = tr.grad(lambda z: tnp.sum(tnp.sin(z) * y))(x)
        looped = tr.while_loop(lambda c: jnp.sum(c) < 20, lambda c: c * 1.5, jnp.exp(y))
        return jnp.sum(inner) + jnp.sum(double(y)) + jnp.sum(looped)

    steps, c = 0, np.exp(np.cumsum(np.asarray(X)))
    while c.sum() < 20:
        steps, c = steps + 1, c * 1.5

    def reference(x: Any) -> Any:
        y = jnp.cumsum(x)
        return jnp.sum(jnp.cos(x) * y) + 10 * jnp.sum(y) + 1.5**steps * jnp.sum(jnp.exp(y))

    close(tr.grad(f)(X), jax.grad(reference)(X))
    close(tr.jit(tr.grad(f))(X), jax.grad(reference)(X))


def test_reverse_mode_through_a_while_loop_of_jax() -> None:
    def root(a: Any) -> Any:
        return lax.while_loop(
            lambda s: jnp.abs(s[0] * s[0] - a) > 1e-6 * a,
            lambda s: (0.5 * (s[0] + a / s[0]), s[1] + 1),
            (a, 0),
        )[0]

    for a in (2.0, 0.3):
        np.testing.assert_allclose(tr.grad(root)(a), 0.5 / np.sqrt(a), rtol=1e-4)
    batch = jnp.array([2.0, 0.3, 50.0])
    close(tr.vmap(tr.grad(root))(batch), 0.5 / jnp.sqrt(batch), rtol=1e-4)


# Custom rules ------------------------------------------------------------------------------------------


@jax.custom_jvp
def log1pexp(x: Any) -> Any:
    return jnp.log(1 + jnp.exp(x))


@log1pexp.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return log1pexp(*primals), (1 - 1 / (1 + jnp.exp(primals[0]))) * tangents[0]


@jax.custom_vjp
def scaled(x: Any, k: Any) -> Any:
    return jnp.sin(x) * k


scaled.defvjp(lambda x, k: (scaled(x, k), (x, k)), lambda res, ct: (ct * 7 * res[1], None))


def test_custom_rules_are_kept() -> None:
    assert tr.grad(lambda x: log1pexp(x))(100.0) == 1.0
    close(tr.grad(tr.grad(lambda x: log1pexp(x)))(1.0), jax.grad(jax.grad(log1pexp))(1.0))
    f = lambda x: scaled(x, 3).sum()
    close(tr.grad(f)(X), jnp.full(3, 21.0))
    close(tr.grad(lambda x: tr.vmap(lambda y: scaled(y, 3))(x).sum())(X), jnp.full(3, 21.0))
    with pytest.raises(TracerError, match="custom_vjp"):
        tr.jvp(f, (X,), (X,))


def own_rule(kind: str) -> Any:
    """sin, with a derivative `a` times too large that it does not close over but by its rule."""

    def f(x: Any, a: Any) -> Any:
        if kind == "jvp":
            g = jax.custom_jvp(lambda x: jnp.sin(x))
            g.defjvp(lambda p, t: (g(p[0]), t[0] * a * jnp.cos(p[0])))
        else:
            g = jax.custom_vjp(lambda x: jnp.sin(x))
            g.defvjp(lambda x: (g(x), x), lambda r, ct: (ct * a * jnp.cos(r),))
        return jnp.sum(g(x * g(x)))

    return f


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_rules_that_alone_close_over_a_traced_value(kind: str) -> None:
    f = own_rule(kind)
    for of in (
        lambda t: t.grad(f),
        lambda t: t.jit(t.value_and_grad(f)),
        lambda t: t.grad(lambda x, a: t.grad(f)(x, a).sum()),
        lambda t: t.jit(lambda x, a: t.vmap(t.grad(f), (0, None))(jnp.stack([x, -x]), a)),
    ):
        for a in (2.0, -3.0):
            close(of(tr)(X, a), of(jax)(X, a))
    with pytest.raises(TracerError, match="close over"):
        tr.grad(f, argnums=(0, 1))(X, 2.0)


def test_rules_of_functions_of_jax_are_traced_once() -> None:
    def rules(f: Any) -> list[Any]:
        return [e.attrs["jvp"].obj for e in tr.trace(f)(X).eqns if e.op.name == "custom_jvp_call"]

    first, second, *_ = rules(lambda x: jax.nn.relu(jax.nn.relu(x) * 2))
    assert first is second
    assert rules(lambda x: jax.nn.relu(x)) == [first]
    local = jax.custom_jvp(lambda x: jnp.sin(x))
    local.defjvp(lambda p, t: (local(p[0]), t[0]))
    one, two = rules(lambda x: local(local(x)))
    assert one is not two
    close(tr.grad(lambda x: jnp.sum(local(jax.nn.relu(x))))(X), jnp.where(X > 0, 1.0, 0.0))


def test_rules_that_are_compiled_themselves() -> None:
    @jax.custom_jvp
    def f(x: Any) -> Any:
        return jnp.exp(x)

    f.defjvp(jax.jit(lambda p, t: (f(p[0]), 3 * f(p[0]) * t[0])))
    close(tr.grad(lambda x: f(x).sum())(X), 3 * jnp.exp(X))
    close(tr.jit(tr.grad(lambda x: f(x).sum()))(X), 3 * jnp.exp(X))
    close(tr.grad(tr.grad(lambda x: f(x)))(0.5), jax.grad(jax.grad(f))(0.5))
    close(tr.grad(lambda x: jax.scipy.special.expi(x).sum())(X[:1]), jnp.exp(X[:1]) / X[:1])


def test_rules_may_ask_which_operands_have_tangents() -> None:
    """As those of Equinox and Diffrax do: a rule that refuses `k` serves where `k` has no tangent."""

    @jax.custom_vjp
    def f(x: Any, k: Any) -> Any:
        return jnp.sin(x) * k

    def fwd(x: Any, k: Any) -> Any:
        if k.perturbed:
            raise ValueError("k has no derivative")
        return f(x.value, k.value), (x.value, k.value, 5.0 if x.perturbed else 0.0)

    f.defvjp(fwd, lambda res, ct: (res[2] * res[1] * ct, None), symbolic_zeros=True)
    k = jnp.array(2.0)
    ten = jnp.full(3, 10.0)
    close(tr.grad(lambda x, k: f(x, k).sum())(X, k), ten)
    close(tr.jit(tr.grad(lambda x, k: f(x, k).sum()))(X, k), ten)
    close(tr.grad(lambda x, k: tr.vmap(lambda y: f(y, k))(x).sum())(X, k), ten)
    close(tr.vmap(tr.grad(f), (0, None))(X, k), ten)
    scanned = lambda x, k: lax.scan(lambda c, y: (c + f(y, k), None), 0.0, x)[0]
    close(tr.grad(scanned)(X, k), ten)
    with pytest.raises(ValueError, match="k has no derivative"):
        tr.grad(lambda x, k: f(x, k).sum(), argnums=(0, 1))(X, k)


def test_rules_of_forward_mode_may_ask_which_operands_have_tangents() -> None:
    @jax.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return x * y

    def rule(primals: Any, tangents: Any) -> Any:
        zero = [type(t) is jax.custom_derivatives.SymbolicZero for t in tangents]
        out = f(*primals)
        return out, (2.0 + zero[0] + 2 * zero[1]) * jnp.ones_like(out) * (
            tangents[1] if zero[0] else tangents[0]
        )

    f.defjvp(rule, symbolic_zeros=True)
    for argnums in (0, 1, (0, 1)):
        close(tr.grad(f, argnums)(3.0, 4.0), jax.grad(f, argnums)(3.0, 4.0))
        batched = lambda lib, xs, argnums=argnums: lib.vmap(lib.grad(f, argnums), (0, None))(xs, 4.0)
        close(batched(tr, X), batched(jax, X))


def test_retracing_finds_the_compiled_program() -> None:
    for g in (
        tr.grad(lambda x: jax.nn.relu(jax.nn.gelu(x)).sum()),
        tr.grad(lambda x: log1pexp(x).sum()),
        tr.grad(lambda x: tr.vmap(lambda y: scaled(y, 3))(x).sum()),
    ):
        g(X)
        held = len(PROGRAMS)
        g(X)
        assert len(PROGRAMS) == held


# Effects -----------------------------------------------------------------------------------------------


def test_effects_are_kept_and_in_order() -> None:
    seen: list[tuple[str, float]] = []

    def f(x: Any) -> Any:
        jax.debug.callback(lambda v: seen.append(("first", float(v))), x[0], ordered=True)

        def step(c: Any, y: Any) -> Any:
            jax.debug.callback(lambda v: seen.append(("step", float(v))), y, ordered=True)
            return c * y, None

        out = lax.scan(step, x[0], x)[0]
        jax.debug.callback(lambda v: seen.append(("last", float(v))), x[2], ordered=True)
        return out

    values = [("first", X[0]), *[("step", x) for x in X], ("last", X[2])]
    want = [(name, float(v)) for name, v in values]
    jax.block_until_ready(tr.jit(f)(X))
    jax.effects_barrier()
    assert seen == want
    seen.clear()
    close(tr.jit(tr.grad(f))(X), jax.grad(lambda x: x[0] * jnp.prod(x))(X))
    jax.effects_barrier()
    assert [s for s in seen if s[0] != "step"] == [want[0], want[-1]]
    assert [s for s in seen if s[0] == "step"] == want[1:4]


# Errors ------------------------------------------------------------------------------------------------


def test_the_error_is_that_of_the_cause() -> None:
    with pytest.raises(TypeError, match="contracting dimensions"):
        tr.jit(lambda x: jnp.dot(x, jnp.ones(4)))(X)
    with pytest.raises(TracerError, match=r"concrete value for a Python bool"):
        tr.jit(lambda x: tnp.sum(x) if x[0] > 0 else jnp.sum(x))(X)
    with pytest.raises(KeyError, match="mine"):
        tr.jit(lambda x: {}["mine"] + jnp.sum(x))(X)
    close(tr.jit(lambda x: jnp.sum(x))(X), X.sum())  # nothing is left behind


def test_callbacks_have_no_derivative() -> None:
    f = lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x).sum()
    close(tr.jit(f)(X), jnp.sin(X).sum())
    with pytest.raises(TracerError, match="pure_callback has no derivative"):
        tr.grad(f)(X)


# Optax ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adamw(optax.cosine_decay_schedule(0.1, 10)),
        optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1, momentum=0.9)),
        optax.MultiSteps(optax.adam(0.1), every_k_schedule=2),
        optax.lbfgs(),
    ],
    ids=["adamw", "clipped", "accumulated", "lbfgs"],
)
def test_a_training_step_is_one_function(optimizer: Any) -> None:
    def step(t: Any, n: Any) -> Any:
        def loss(p: Any) -> Any:
            return n.sum((p["w"] - 1.0) ** 2) + n.sum(p["b"] ** 4)

        def run(p: Any, s: Any) -> Any:
            value, gradient = t.value_and_grad(loss)(p)
            extra = {}
            if isinstance(optimizer, optax.GradientTransformationExtraArgs):
                extra = {"value": value, "grad": gradient, "value_fn": loss}
            updates, s = optimizer.update(gradient, s, p, **extra)
            return optax.apply_updates(p, updates), s, value

        return run

    p = {"w": jnp.zeros(3), "b": jnp.ones(2)}
    ours, theirs = tr.jit(step(tr, tnp)), jax.jit(step(jax, jnp))
    s = optimizer.init(p)
    a, b = (p, s), (p, s)
    for _ in range(3):
        *a, _ = ours(*a)
        *b, _ = theirs(*b)
    close(jax.tree_util.tree_leaves(a), jax.tree_util.tree_leaves(b), rtol=1e-4)
    assert foreign_in(ours.ir(p, s)) == set()


# There and back ------------------------------------------------------------------------------------------


def test_to_jax() -> None:
    function = tr.trace(lambda x: jax.nn.relu(x) * x)(X)
    call = tr.to_jax(function)
    close(jax.grad(lambda x: call(x)[0].sum())(X), jax.grad(lambda x: (jax.nn.relu(x) * x).sum())(X))
    close(jax.vmap(call)(jnp.stack([X, X]))[0], jnp.stack([jax.nn.relu(X) * X] * 2))
    with pytest.raises(TracerError, match=r"expected f32\[3\]"):
        call(X[:2])
    with pytest.raises(TracerError, match="expected 1 arguments"):
        call(X, X)


def test_export() -> None:
    f = lambda x: {"a": tnp.sin(x).sum(), "b": jnp.cos(x)}
    exported = tr.export(f)(X)
    assert "stablehlo" in str(exported.mlir_module())
    close(tr.deserialize(exported.serialize()).call(X), f(X))


def test_text_runs_elsewhere() -> None:
    text = str(tr.jit(tr.grad(PROGRAMS_OF_JAX["jax.nn"])).ir(X))
    (got,) = ir.evaluate(ir.parse(text), np.asarray(X))
    close(got, jax.grad(PROGRAMS_OF_JAX["jax.nn"])(X))


# Import ------------------------------------------------------------------------------------------------


def test_sources_are_the_users() -> None:
    function = tr.trace(lambda x: jnp.sin(x))(X)
    (eqn,) = function.eqns
    assert eqn.source.file == __file__
    assert "test_sources" in eqn.source.function


def test_equal_jaxprs_inside_are_imported_once() -> None:
    layer = jax.jit(lambda x: jnp.tanh(x) * 2)
    closed = jax.make_jaxpr(lambda x: layer(layer(layer(x))))(X)
    calls = [e.attrs["function"] for e in import_jaxpr(closed).function.eqns if e.op.name == "call"]
    assert len(calls) == 3
    assert calls[0] is calls[1] is calls[2]


def test_arrays_closed_over_are_captures() -> None:
    big, small = jnp.arange(5000.0), np.arange(3, dtype=np.float32)
    imported = import_jaxpr(jax.make_jaxpr(lambda x: (x * big[:3], x + small))(X))
    assert len(imported.captures) == 1
    assert imported.function.in_types[0].shape == (5000,)


def test_small_numpy_arrays_that_change_compile_nothing_anew() -> None:
    def slope(seed: int) -> tuple[Any, Any]:
        small = np.random.default_rng(seed).normal(size=3).astype(np.float32)
        f = lambda x: jnp.sum(jax.jit(lambda y: jnp.sin(y * small))(x) * small)
        got = tr.grad(f)(X)
        small += 1  # what was computed stays
        return got, jnp.cos(X * (small - 1)) * (small - 1) ** 2

    close(*slope(0))
    held = len(PROGRAMS)
    for seed in range(1, 4):
        close(*slope(seed))
    assert len(PROGRAMS) == held
    table = np.arange(3, dtype=np.float32)
    assert tr.jit(lambda x: jnp.sum(x * table)).ir(X).in_types == tr.jit(jnp.sum).ir(X).in_types  # a constant


@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_conversion_of_complex_numbers_to_bool() -> None:
    z = jnp.array([3j, 0, 1, -2j])
    for f in (lambda z: lax.convert_element_type(z, bool), lambda z: z.astype(bool), jnp.logical_not):
        np.testing.assert_array_equal(tr.jit(tr.from_jax(f))(z), jax.jit(f)(z))


def test_rounding_of_a_known_scalar() -> None:
    f = lambda x: lax.reduce_precision(jnp.float32(1.2345), 5, 3) + lax.reduce_precision(x, 5, 3)
    close(tr.jit(tr.from_jax(f))(1.7), f(jnp.float32(1.7)), 0)
    close(tr.jit(lambda x: tr.from_jax(lambda: f(jnp.float32(2.3)))() + x)(1.0), f(jnp.float32(2.3)) + 1, 0)


def test_same_result_types_as_jax() -> None:
    f = lambda x: (jnp.asarray(2.0) * 1, x + 1, jnp.int8(1) + x, jnp.sum(x) * 1.5)
    assert_same(tr.jit(f)(jnp.int32(3)), jax.jit(f)(jnp.int32(3)))


def test_operators_of_arrays_and_traced_values_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array on the left leaves the operation to the traced value: nothing is traced by JAX."""
    monkeypatch.setattr("tracer.bridge.through_jax", lambda *_, **__: pytest.fail("traced by JAX"))
    w = jnp.arange(9.0).reshape(3, 3)

    def f(x: Any) -> Any:
        return (w @ x + w[0] * x - w[1] / (1 + x * x)).sum()

    close(tr.grad(f)(X), jax.grad(f)(X))
    close(tr.jit(f)(X), f(X))


def test_functions_that_jax_keeps_and_that_close_over_a_traced_value() -> None:
    """JAX keeps what it traced by function: neither stand-ins nor tracers of another call may be in it."""

    def f(t: Any, n: Any, call: Any) -> Any:
        def g(x: Any) -> Any:
            y, z = n.sin(x), n.cos(x)
            body = lambda c, _: (c * y + z, None)
            inner = jax.jit(lambda v: v * y)
            scanned = lambda v: lax.scan(body, v, None, length=2)[0]
            chosen = lambda v: lax.cond(v[0] > 0, lambda w: w * z, lambda w: w + y, v)
            some = [call(h)(x + i) for h in (inner, scanned, chosen) for i in range(2)]
            return n.sum(sum(some))

        return g

    want, slope = jax.value_and_grad(f(jax, jnp, lambda h: h))(X)
    for _ in range(2):
        close(tr.jit(f(tr, tnp, tr.from_jax))(X), want)
        close(tr.jit(tr.grad(f(tr, tnp, tr.from_jax)))(X), slope)
        close(tr.grad(f(tr, tnp, tr.from_jax))(X), slope)


def test_errors_in_nested_functions_are_theirs() -> None:
    """An error that JAX raises too is not looked for again in every enclosing function."""
    x = 1.0
    for f in (
        lambda x: tr.cond(x > 0, lambda x: jnp.concatenate([]) + jnp.sin(x), lambda x: x, x),
        lambda x: tr.scan(lambda c, y: (jnp.concatenate([]) + jnp.sin(c), None), x, jnp.arange(3.0))[0],
        lambda x: tr.while_loop(lambda s: jnp.sum(s) > 0, lambda s: jnp.concatenate([]) + jnp.sin(s), x),
        lambda x: tr.vmap(lambda x: tr.checkpoint(lambda x: jnp.concatenate([]) + jnp.sin(x))(x))(X * x),
    ):
        for g in (f, tr.jit(f), tr.grad(f)):
            with pytest.raises(ValueError, match="at least one array"):
                g(x)


# Programs of ours under JAX's tracing ---------------------------------------------------------------------


def test_a_step_that_calls_jax_keeps_the_lines_of_its_loss() -> None:
    """The gradient of a loss in tracer is charged to the loss's lines, not to that of `value_and_grad`."""
    optimiser = optax.adam(1e-2)

    def loss(p: Any, x: Any) -> Any:
        hidden = tnp.tanh(x @ p)
        return tnp.mean(hidden**2)

    def step(p: Any, s: Any, x: Any) -> Any:
        value, g = tr.value_and_grad(loss)(p, x)
        updates, s = optimiser.update(g, s, p)
        return optax.apply_updates(p, updates), s, value

    p, x = jnp.linspace(-1, 1, 12).reshape(4, 3), jnp.ones((5, 4))
    state = optimiser.init(p)
    function = tr.jit(step).ir(p, state, x)
    lines = {eqn.source.line for eqn in function.eqns if eqn.source.function == loss.__qualname__}
    first = loss.__code__.co_firstlineno
    assert lines == {first + 1, first + 2}
    value, g = jax.value_and_grad(lambda p: jnp.mean(jnp.tanh(x @ p) ** 2))(p)
    updates, _ = optimiser.update(g, state, p)
    for _ in range(2):  # as it was traced, and as it is kept
        got, _, got_value = tr.jit(step)(p, state, x)
        close(got, optax.apply_updates(p, updates))
        close(got_value, value)


@pytest.mark.parametrize(
    "around",
    [
        lambda f, x: jax.vmap(f)(jnp.stack([x, 2 * x])).sum(0),
        lambda f, x: jax.vmap(f, axis_size=3)(jnp.stack([x, 2 * x, -x])).sum(0),  # of the sizes of no batch
        lambda f, x: jax.grad(lambda y: jnp.sum(f(y) * y))(x),
        lambda f, x: jax.jvp(f, (x,), (jnp.cos(x),))[1],
        lambda f, x: jax.vjp(f, x)[1](jnp.sin(x))[0],
        lambda f, x: jax.jit(f)(x) + jax.jit(f)(2 * x),
        lambda f, x: lax.scan(lambda c, _: (0.5 * f(c), None), x, None, length=3)[0],
        lambda f, x: jax.checkpoint(f)(x),
    ],
)
def test_what_jax_makes_of_our_programs_is_not_taken_for_them(around: Any) -> None:
    """Derivatives, batches and bodies of loops mean what JAX made of them, though their types be the same."""

    def ours(y: Any) -> Any:
        return tr.grad(lambda z: tnp.sum(tnp.sin(z) ** 3))(y)

    def theirs(y: Any) -> Any:
        return jax.grad(lambda z: jnp.sum(jnp.sin(z) ** 3))(y)

    close(tr.jit(lambda x: jnp.tanh(around(ours, x)))(X), jnp.tanh(around(theirs, X)))
    close(
        tr.jit(tr.grad(lambda x: jnp.sum(jnp.tanh(around(ours, x)))))(X),
        jax.grad(lambda x: jnp.sum(jnp.tanh(around(theirs, x))))(X),
    )


def test_a_linear_program_and_its_transpose_are_told_apart() -> None:
    """Their types are the same."""
    m = np.arange(9, dtype=np.float32).reshape(3, 3)

    def ours(y: Any) -> Any:
        return tr.jvp(lambda z: tnp.asarray(m) @ z, (tnp.zeros(3),), (y,))[1]

    def step(x: Any) -> Any:
        (back,) = jax.linear_transpose(ours, x)(x)
        return jnp.asarray(ours(x) + 10 * back)

    close(tr.jit(step)(X), m @ X + 10 * m.T @ X)


def test_functions_that_compute_at_once_take_shapes_with_names() -> None:
    """Where JAX traces around them; their sizes in bytes are expressions."""
    shape = export.symbolic_shape("a, b")
    exported = export.export(jax.jit(lambda x: tnp.sin(x) + 1))(jax.ShapeDtypeStruct(shape, jnp.float32))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(exported.call(x), np.sin(x) + 1, rtol=1e-6)
