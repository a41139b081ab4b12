"""`jit` against `jax.jit`: arguments of every kind, retracing, ahead of time, inside JAX, what can be looked at."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_close, assert_same, both, count_ops, raises

V = array(4)
A = array(3, 4, seed=1)


def counted(f: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    calls: list[int] = []

    @functools.wraps(f)
    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return f(*args, **kwargs)

    return counting, calls


# Arguments and results -------------------------------------------------------------------------------


def test_results() -> None:
    for f in (
        lambda x: x,
        lambda x: (x, x, x * 2, x),
        lambda x: None,
        lambda x: (None, {"a": x, "b": None}),
        lambda x: 3,
        lambda x: (1, 2.5, True, 1 + 2j, np.arange(3, dtype=np.int32), np.float32(2)),
        lambda x: [],
        lambda x: {"x": jnp.arange(3), "y": [x.sum()]},
        lambda x: x[0, 0],
    ):
        both(lambda xp, t, f=f: t.jit(f)(A))
        both(lambda xp, t, f=f: t.jit(lambda: f(A))())


def test_argument_kinds() -> None:
    f = lambda *args: [a * 2 for a in args]
    both(lambda xp, t: t.jit(f)(1, 2.5, True, 1j, np.float32(1), np.arange(3, dtype=np.int8), V))
    both(lambda xp, t: t.jit(lambda p: p["a"][0] + p["b"])({"a": (V, None), "b": 1.0}))
    both(
        lambda xp, t: t.jit(lambda x, y=2.0, *rest, z, **more: x * y * z * more["w"] + rest[0])(
            V, 3.0, 4.0, z=V, w=2.0
        )
    )
    both(lambda xp, t: t.jit(lambda: xp.zeros(3))())
    both(lambda xp, t: t.jit(lambda x: x.sum())(array(0, 3)))


def test_weak_types() -> None:
    for f in (
        lambda x: x,
        lambda x: x * 2,
        lambda x: x + np.float32(1),
        lambda x: x.astype(x.dtype),
        lambda x: -x,
    ):
        both(lambda xp, t, f=f: t.jit(f)(3.0))
        both(lambda xp, t, f=f: t.jit(f)(3))
        both(lambda xp, t, f=f: t.jit(t.jit(f))(jnp.asarray(2.0)))


def test_methods() -> None:
    class Model:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        @functools.partial(tr.jit, static_argnums=0)
        def scaled(self, x: Any) -> Any:
            return x * self.scale

        @staticmethod
        @tr.jit
        def double(x: Any) -> Any:
            return x * 2

    assert_same(Model(3.0).scaled(V), 3 * V)
    assert_same(Model(3.0).scaled(x=V), 3 * V)
    assert_same(Model.double(V), 2 * V)
    assert inspect.signature(Model.double).parameters.keys() == {"x"}
    assert Model.scaled.__name__ == "scaled"


def test_functions_of_any_kind() -> None:
    class Callable_:
        def __call__(self, x: Any) -> Any:
            return x * 2

    for f in (Callable_(), functools.partial(lambda s, x: x * s, 2), abs, lambda x: x * 2):
        assert_same(tr.jit(f)(V), jax.jit(f)(V))
        assert_same(tr.grad(lambda x, f=f: f(x).sum())(V), jax.grad(lambda x, f=f: f(x).sum())(V))


# Static arguments ------------------------------------------------------------------------------------


def power(x: Any, n: int, mode: str = "sum") -> Any:
    assert type(n) is int, "n is static"
    assert type(mode) is str, "mode is static"
    return getattr((x**n), mode)()


@pytest.mark.parametrize(
    "options",
    [
        {"static_argnums": (1, 2)},
        {"static_argnums": (-2, -1)},
        {"static_argnums": [1, 2]},
        {"static_argnames": ("n", "mode")},
        {"static_argnames": ["n", "mode"]},
        {"static_argnums": (1, 2), "static_argnames": ("n", "mode")},
    ],
    ids=str,
)
def test_static_arguments(options: dict[str, Any]) -> None:
    f, calls = counted(power)
    ours, theirs = tr.jit(f, **options), jax.jit(power, static_argnums=(1, 2))
    for g in (
        lambda j: j(V, 2, "sum"),
        lambda j: j(V, 3, mode="mean"),
        lambda j: j(V, n=2, mode="max"),
        lambda j: j(x=V, n=2, mode="min"),
        lambda j: j(V, 2),
        lambda j: j(V, n=3),
    ):
        assert_same(g(ours), g(theirs))
    before = len(calls)
    ours(V, 2, "sum")
    ours(V, n=2, mode="max")
    assert len(calls) == before
    assert_same(tr.jit(lambda x: ours(x, 2, mode="sum"))(V), theirs(V, 2, "sum"))
    assert_same(tr.grad(ours)(V, 2, "sum"), jax.grad(theirs)(V, 2, "sum"))


def test_both_kinds_of_static_given_are_not_completed() -> None:
    f = lambda x, n, mode: x * n
    options = {"static_argnums": 1, "static_argnames": "mode"}
    for g in (lambda j: j(V, 2, mode="a"), lambda j: j(V, n=2, mode="a")):
        assert_same(g(tr.jit(f, **options)), g(jax.jit(f, **options)))


def test_static_positions_of_variadic_functions() -> None:
    f = lambda *xs: xs[0] * len(xs[-1])
    assert_same(tr.jit(f, static_argnums=-1)(V, "ab"), 2 * V)
    assert_same(tr.jit(f, static_argnums=1)(V, "abc"), 3 * V)


def test_static_values_are_told_apart() -> None:
    seen = []
    f = tr.jit(lambda x, s: (seen.append(s), x * (2 if s else 3))[1], static_argnums=1)
    for s in (True, False, None, "a", ("a", 1), 1.5, int, np.float32):
        f(V, s)
        f(V, s)
    assert len(seen) == 8


# Retracing -------------------------------------------------------------------------------------------


def test_equal_types_are_traced_once() -> None:
    f, calls = counted(lambda x, p: x * p["a"])
    jitted = tr.jit(f)
    for k in range(3):
        jitted(V + k, {"a": 1.0 * k})
        jitted(np.asarray(V), {"a": 2.0})
    assert len(calls) == 1
    jitted(V, {"a": V})
    jitted(V.astype(np.float16), {"a": 1.0})
    jitted(array(2, 4), {"a": 1.0})
    jitted(V, {"a": np.float32(1)})
    assert len(calls) == 5
    jitted(V, {"a": 1.0})
    assert len(calls) == 5
    jitted.clear_cache()
    jitted(V, {"a": 1.0})
    assert len(calls) == 6


def test_closures_over_changing_globals_are_as_in_jax() -> None:
    scale = [2.0]
    for t in (tr, jax):
        scale[0] = 2.0
        f = t.jit(lambda x: x * scale[0])
        assert float(f(1.0)) == 2.0
        scale[0] = 3.0
        assert float(f(1.0)) == 2.0, "traced once"


def test_jit_in_jit_and_recursion() -> None:
    def program(t: Any) -> Any:
        @t.jit
        def inner(x: Any) -> Any:
            return x * 2 + 1

        def recursive(x: Any, n: int) -> Any:
            return x if n == 0 else t.jit(recursive, static_argnums=1)(x * 2, n - 1)

        return (
            t.jit(lambda x: inner(inner(x)) + inner(1.0))(V),
            recursive(V, 4),
            t.jit(recursive, static_argnums=1)(V, 3),
        )

    assert_same(program(tr), program(jax))


def test_inner_jit_sees_values_of_the_outer_trace() -> None:
    both(lambda xp, t: t.grad(lambda x: t.jit(lambda y: x * y)(2.0))(3.0))
    both(lambda xp, t: t.grad(lambda x: t.jit(lambda: xp.sin(x) * x)())(3.0))
    both(lambda xp, t: t.vmap(lambda x: t.jit(lambda y: x + y)(np.float32(1)))(V))


def test_concrete_arguments_of_an_inner_jit_are_arrays_there() -> None:
    both(
        lambda xp, t: t.jit(lambda x: t.jit(lambda y: y.at[0].set(1.0).sum())(np.ones(3, np.float32)) + x)(
            1.0
        )
    )
    both(lambda xp, t: t.jit(lambda x: t.jit(lambda n: n.astype(float) * x)(3))(1.0))


# Options ---------------------------------------------------------------------------------------------


def test_donation() -> None:
    f = tr.jit(lambda s, d: s + d, donate_argnums=0)
    s = V + 0
    assert_same(f(s, V), 2 * V)
    assert s.is_deleted()
    assert not V.is_deleted()


def test_shardings_on_one_device() -> None:
    device = jax.devices()[0]
    sharding = jax.sharding.SingleDeviceSharding(device)
    f = tr.jit(lambda x, y: (x @ y, x.sum()), in_shardings=(sharding, sharding), out_shardings=sharding)
    out = f(A, V)
    assert_same(out, (A @ V, A.sum()))
    assert out[0].sharding == sharding
    mesh = jax.sharding.Mesh(np.array([device]), ("d",))
    named = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("d"))
    assert_same(tr.jit(lambda x: x * 2, in_shardings=named, out_shardings=named)(A), 2 * A)


def test_passes_and_opt() -> None:
    f = lambda x: (x * 1 + tnp.sin(x) * 0 + tnp.sin(x)).sum()
    seen: list[ir.Function] = []

    def look(function: ir.Function) -> ir.Function:
        """A pass that changes nothing."""
        seen.append(function)
        return function

    want = f(V)
    assert_close(tr.jit(f, passes=[look])(V), want)
    assert len(seen) == 1
    assert [name for name, _ in tr.jit(f, passes=[look]).stages(V)] == ["trace", "look"]
    assert_close(tr.jit(f, passes=[])(V), want)
    assert_close(tr.jit(f, opt=0)(V), want)
    assert_close(tr.jit(f, exact=True)(V), want)
    assert_close(tr.jit(f, fast_math=True)(V), want)
    sins = lambda function: count_ops(function, "sin")
    assert sins(tr.jit(f, opt=0).ir(V)) == 2
    assert sins(tr.jit(f).ir(V)) == 1
    custom = tr.nn.relu
    assert_close(tr.jit(lambda x: custom(x).sum(), opt=0)(V), jax.nn.relu(V).sum())


# Ahead of time ---------------------------------------------------------------------------------------


def test_lower_and_compile() -> None:
    f = tr.jit(lambda p, n: (p["a"] @ p["b"]) ** n, static_argnums=1)
    lowered = f.lower({"a": A, "b": V}, 2)
    assert "stablehlo" in lowered.as_text() or "func.func" in lowered.as_text()
    compiled = lowered.compile()
    assert_same(compiled({"a": A, "b": V}), (A @ V) ** 2)
    assert compiled.cost_analysis()["flops"] > 0
    assert compiled.memory_analysis().output_size_in_bytes == 12
    shapes = {"a": jax.ShapeDtypeStruct((3, 4), np.float32), "b": jax.ShapeDtypeStruct((4,), np.float32)}
    assert_same(f.lower(shapes, 3).compile()({"a": A, "b": V}), (A @ V) ** 3)
    assert f.eval_shape(shapes, 3).shape == (3,)
    assert tr.jit(tr.grad(lambda x: (x**2).sum())).lower(V).compile().cost_analysis()


# Inside JAX ------------------------------------------------------------------------------------------


def model(xp: Any) -> Any:
    return lambda p, x: xp.tanh(p["w"] @ x + p["b"]).sum() * xp.exp(-p["b"]).mean()


PARAMS = {"w": A, "b": array(3, seed=2)}


def test_what_wraps_a_compiled_function_is_lowered_itself() -> None:
    f = tr.jit(lambda x: tnp.sum(x**3))
    x = np.float32([1, 2])
    for g in (jax.jit(jax.grad(f)), jax.jit(jax.vmap(jax.grad(f)))):
        given = x if g.lower(x).out_info.ndim == 1 else x[None]
        np.testing.assert_allclose(g.lower(given).compile()(given), 3 * given**2)
        assert g.eval_shape(given).shape == given.shape
    assert not hasattr(functools.wraps(f)(lambda x: f(x)), "lower")
    assert f.lower(x).compile()(x) == f(x)
    assert f.eval_shape(x).shape == ()


def test_under_the_transforms_of_jax() -> None:
    ours, theirs = tr.jit(model(tnp)), jax.jit(model(jnp))
    for use in (
        lambda f: jax.jit(f)(PARAMS, V),
        lambda f: jax.grad(f)(PARAMS, V),
        lambda f: jax.vmap(f, (None, 0))(PARAMS, array(5, 4)),
        lambda f: jax.jvp(f, (PARAMS, V), (PARAMS, V)),
        lambda f: jax.vjp(f, PARAMS, V)[1](jnp.float32(2)),
        lambda f: jax.hessian(f, argnums=1)(PARAMS, V),
        lambda f: jax.jacrev(f, argnums=1)(PARAMS, V),
        lambda f: jax.jacfwd(jax.jacrev(f))(PARAMS, V),
        lambda f: jax.linearize(f, PARAMS, V)[1](PARAMS, V),
        lambda f: jax.vmap(jax.grad(f), (None, 0))(PARAMS, array(5, 4)),
        lambda f: jax.lax.scan(lambda c, x: (c + f(PARAMS, x), c), jnp.float32(0), array(5, 4)),
        lambda f: jax.lax.cond(True, lambda x: f(PARAMS, x), lambda x: x.sum(), V),
        lambda f: jax.grad(jax.checkpoint(f))(PARAMS, V),
        lambda f: jax.eval_shape(f, PARAMS, V).shape,
    ):
        assert_same(use(ours), use(theirs))


def test_our_derivatives_under_the_transforms_of_jax() -> None:
    ours, theirs = tr.jit(tr.grad(model(tnp), argnums=1)), jax.jit(jax.grad(model(jnp), argnums=1))
    for use in (
        lambda f: jax.jit(f)(PARAMS, V),
        lambda f: jax.jacrev(f, argnums=1)(PARAMS, V),
        lambda f: jax.jvp(f, (PARAMS, V), (PARAMS, V)),
        lambda f: jax.vmap(f, (None, 0))(PARAMS, array(5, 4)),
    ):
        assert_same(use(ours), use(theirs))


def with_rules(t: Any, xp: Any, kind: str) -> Any:
    """A function whose custom rules are wrong on purpose, so that one can see whether they are used."""
    if kind == "jvp":

        @t.custom_jvp
        def f(x: Any, n: Any) -> Any:
            return xp.sin(x) * n

        @f.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (x, n), (dx, _) = primals, tangents
            return f(x, n), 10 * xp.cos(x) * n * dx

    else:

        @t.custom_vjp
        def f(x: Any, n: Any) -> Any:
            return xp.sin(x) * n

        f.defvjp(lambda x, n: (f(x, n), (x, n)), lambda r, ct: (10 * xp.cos(r[0]) * r[1] * ct, None))
    return lambda x: (f(x, 3) * x).sum()


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_custom_rules_hold_under_the_transforms_of_jax(kind: str) -> None:
    ours, theirs = tr.jit(with_rules(tr, tnp, kind)), jax.jit(with_rules(jax, jnp, kind))
    uses = [
        lambda f: f(V),
        lambda f: jax.grad(f)(V),
        lambda f: jax.vmap(f)(A),
        lambda f: jax.vmap(jax.grad(f))(A),
        lambda f: jax.jit(jax.grad(f))(V),
        lambda f: jax.jacrev(jax.grad(f))(V),
        lambda f: jax.grad(lambda x: jax.vmap(f)(x).sum())(A),
        lambda f: jax.grad(lambda x: jax.lax.scan(lambda c, r: (c + f(r), None), 0.0, x)[0])(A),
    ]
    if kind == "jvp":
        uses += [
            lambda f: jax.jvp(f, (V,), (V,)),
            lambda f: jax.hessian(f)(V),
            lambda f: jax.jacfwd(f)(V),
            lambda f: jax.jvp(jax.grad(f), (V,), (V,)),
        ]
    for use in uses:
        assert_same(use(ours), use(theirs))
        assert_same(use(with_rules(tr, tnp, kind)), use(with_rules(jax, jnp, kind)), weak=False)


def test_custom_rules_hold_in_our_derivatives_under_those_of_jax() -> None:
    for kind in ("jvp", "vjp"):
        ours = tr.jit(tr.value_and_grad(with_rules(tr, tnp, kind)))
        theirs = jax.jit(jax.value_and_grad(with_rules(jax, jnp, kind)))
        for use in (
            lambda f: f(V),
            lambda f: jax.vmap(f)(A),
            lambda f: jax.grad(lambda x: f(x)[0])(V),
            lambda f: jax.grad(lambda x: f(x)[1].sum())(V),
        ):
            assert_same(use(ours), use(theirs))


# Looking at it ---------------------------------------------------------------------------------------


def test_ir_and_stages() -> None:
    f = tr.jit(lambda x, n, *, c: tnp.sin(x) ** n * c, static_argnums=1, static_argnames="c")
    function = f.ir(V, 2, c=3.0)
    ir.verify(function)
    assert [str(t) for t in function.in_types] == ["f32[4]"]
    assert function.params[0].name == "x"
    assert count_ops(function, "sin") == 1
    assert_close(ir.evaluate(function, np.asarray(V))[0], np.sin(V) ** 2 * 3)
    stages = f.stages(V, 2, c=3.0)
    assert stages[0][0] == "trace"
    assert all(isinstance(name, str) for name, _ in stages)
    for _, stage in stages:
        ir.verify(stage)
        assert_close(ir.evaluate(stage, np.asarray(V))[0], np.sin(V) ** 2 * 3)


def test_ir_of_functions_with_closures() -> None:
    large = np.arange(5000, dtype=np.float32)
    for captured in (large, jnp.asarray(large), 2.0, np.float32(3)):
        function = tr.trace(lambda x, c=captured: x * c)(1.0)
        ir.verify(function)
        assert len(function.params) == 1
        assert_close(ir.evaluate(function, np.float32(2))[0], 2 * np.asarray(captured))
    with pytest.raises(tr.errors.ArgumentTypeError, match="enclosing JAX trace"):
        jax.jit(lambda y: (tr.trace(lambda x: x * y)(1.0), y)[1])(2.0)


def test_captured_keys_are_constants() -> None:
    for key in (jax.random.key(3), jax.random.split(jax.random.key(0, impl="rbg"))):
        function = tr.trace(lambda i, k=key: jax.random.key_data(k) + i)(jnp.uint32(1))
        ir.verify(function)
        assert ir.parse(str(function)) == function
        (words,) = ir.evaluate(function, np.uint32(1))
        np.testing.assert_array_equal(words, np.asarray(jax.random.key_data(key)) + np.uint32(1))


def test_names_of_arguments() -> None:
    function = tr.trace(lambda x, p, *rest, k: x)(1.0, {"w": V, "b": (V, V)}, V, V, k=1.0)
    assert [p.name for p in function.params] == ["x", "p_b_0", "p_b_1", "p_w", "rest0", "rest1", "k"]


def test_equations_know_their_lines() -> None:
    def f(x: Any) -> Any:
        y = tnp.sin(x)
        return (y * y).sum()

    line = f.__code__.co_firstlineno + 1
    for function in (tr.trace(f)(V), tr.jit(f).ir(V), tr.jit(tr.grad(f)).ir(V), tr.jit(tr.vmap(f)).ir(A)):
        for eqn in function.eqns:
            assert eqn.source.file == __file__ or eqn.op.name in ("constant", "broadcast_in_dim"), eqn
        assert any(e.source.line == line for e in function.eqns if e.op.name in ("sin", "cos"))


def test_python_values_in_the_body() -> None:
    both(lambda xp, t: t.jit(lambda x: x * math.sin(2.0) + sum([1, 2]) + max(1.0, 2.0))(V))
    both(lambda xp, t: t.jit(lambda x: sum(x[i] * i for i in range(4)))(V))
    both(lambda xp, t: t.jit(lambda x: [r.sum() for r in x])(A))
    both(lambda xp, t: t.jit(lambda x: (lambda a, b, c: a * b - c)(*x))(A))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_arguments_by_position_and_by_name(count: int) -> None:
    """Names that the wrapper uses itself are names like others."""
    names = ["compiled", "active", "error", "nothing"][:count]
    space: dict[str, Any] = {}
    exec(f"def f({', '.join(names)}): return {' - 2 * '.join(names)}", space)
    f, xs = space["f"], [np.float32(3 * k + 1) for k in range(count)]
    run = tr.jit(f)
    want = f(*xs)
    for given in range(count + 1):
        named = dict(zip(names[given:], xs[given:], strict=True))
        assert run(*xs[:given], **dict(reversed(named.items()))) == want
        inside = tr.jit(lambda given=given, **ks: run(*xs[:given], **ks))
        assert inside(**named) == want
    assert inspect.signature(run) == inspect.signature(f)
    with raises(tr.errors.ArgumentTypeError, "f:", "missing", names[-1]):
        run(*xs[:-1])
    with pytest.raises(TypeError, match=r"f\(\) takes|too many"):
        run(*xs, 1.0)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'other'"):
        run(*xs, other=1.0)
    assert run(*xs) == want


def test_functions_that_say_they_wrap_others() -> None:
    """A call takes what the function takes, not what it wraps."""

    def inner(key: Any, x: Any) -> Any:
        return x * key

    @functools.wraps(inner)
    def partial(x: Any) -> Any:
        return inner(2.0, x)

    def plain(x: Any) -> Any:
        return x * 1.0

    @functools.wraps(plain)
    def scaled(*args: Any, scale: float = 1.0) -> Any:
        return plain(*args) * scale

    class Model:
        def __call__(self, x: Any) -> Any:
            return x + 1

        def method(self, x: Any, y: Any) -> Any:
            return x - y

    assert tr.jit(partial)(3.0) == 6
    assert tr.jit(scaled)(3.0, scale=2.0) == 6
    assert tr.jit(Model())(3.0) == 4
    assert tr.jit(Model().method)(3.0, y=1.0) == 2
    assert tr.jit(functools.partial(inner, 2.0))(3.0) == 6
