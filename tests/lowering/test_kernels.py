"""Small loops become one kernel on CPUs: which do, that XLA compiles them, and that nothing else changes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.machine import ACCELERATOR, answer
from ir.ops.loops import scan
from ir.passes.inlining import inline_calls
from ir.types import f32
from lowering import kernels
from lowering.boundary import emit_differentiable
from lowering.device import machine
from lowering.emit import emit
from tests.ops.harness import BY_NAME, Case, as_tuple, case, disagreement, on_device, on_host
from tests.tracer.helpers import x64

MARK = 'xla_cpu_small_call = "true"'
LENGTH = 5
NUMBER = ir.TensorType((), f32)

pytestmark = pytest.mark.skipif(jax.__version_info__ >= (0, 12), reason="XLA marks small loops itself")


@pytest.fixture(autouse=True)
def whatever_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_SMALLEST", 0)


def marks(f: Callable[..., Any], *args: Any) -> int:
    return str(tr.jit(f).lower(*args).as_text()).count(MARK)


# What XLA has to compile --------------------------------------------------------------------------------


def repeated(c: Case) -> ir.Function:
    """The op in every iteration of a loop, applied to the operands of that iteration."""
    body = ir.build(
        (NUMBER, *c.function.in_types),
        lambda carry, *xs: (carry, *as_tuple(c.op(*xs, **c.sample.attrs))),
        "body",
    )
    types = [t.with_shape((LENGTH, *t.shape)) for t in c.function.in_types]
    attrs = {"num_consts": 0, "num_carry": 1, "length": LENGTH, "reverse": False, "unroll": 1}
    return ir.build((NUMBER, *types), lambda *xs: scan(*xs, function=body, **attrs), "program")


@pytest.mark.parametrize("name", BY_NAME)
def test_ops_that_are_let_in(name: str) -> None:
    """XLA compiles each of them, for each element type, and computes what it does in other loops."""
    for dtype in BY_NAME[name].dtypes:
        c = case(name, dtype)
        function = repeated(c)
        if not kernels.has_small_loops(function):
            continue
        draws = [c.draw(seed) for seed in range(LENGTH)]
        stacks = [np.stack([np.asarray(x) for x in xs]) for xs in zip(*draws, strict=True)]
        operands = [np.float32(0), *[on_device(x, t.dtype) for x, t in zip(stacks, c.types, strict=True)]]
        with jax.enable_x64(c.wide):
            lowered = jax.jit(lambda *xs, f=function: emit_differentiable(f, inline_calls, xs)).lower(
                *operands
            )
            assert MARK in lowered.as_text()
            got = lowered.compile()(*operands)
            want = jax.jit(lambda *xs, f=function: emit(f, xs))(*operands)
        for g, w, t in zip(got, want, function.out_types, strict=True):
            assert (wrong := disagreement(on_host(g), on_host(w), rtol=c.rtol(t.dtype))) is None, wrong


def carried(step: Callable[..., Any], x: Any, length: int = 6) -> Any:
    return tr.scan(lambda c, _: (step(c),) * 2, x, None, length=length)


LARGE = np.asarray(np.random.default_rng(1).uniform(-1, 1, 2048))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int32", "bool"])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "argmin", "any", "cumsum", "cumprod", "flip"])
def test_the_largest_arrays(name: str, dtype: str) -> None:
    """A reduction over more elements may be left to a library."""
    with x64():
        x = LARGE.astype(dtype)
        function = functools.partial(getattr(tnp, name), **({"axis": 0} if name.startswith("cum") else {}))
        f = lambda x: carried(lambda c: tnp.roll(c, 1) + (function(c) * 1e-3).astype(c.dtype), x)
        if name in ("max", "argmin") and dtype == "complex64":
            return
        for shape in ((2048,), (32, 64), (64, 8, 4)):
            given = x.reshape(shape)
            assert marks(f, given) == 1
            assert_allclose(tr.jit(f)(given)[1], tr.jit(f, opt=0)(given)[1], rtol=2e-5, atol=1e-5)


A = np.asarray(np.random.default_rng(0).standard_normal((64, 64)), np.float32) / 64
v = A[0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: carried(lambda c: tnp.tanh(A[:8, :8] @ c), x[:8]),
        lambda x: carried(lambda c: tnp.tanh(A @ c), x),  # (a large constant)
        lambda x: carried(lambda c: tnp.tanh(A @ c) + tnp.cos(A @ (c * x)), x),  # products that could be one
        lambda x: carried(lambda c: tnp.tanh(c @ A[:4, :4]), A[:4, :4]),
        lambda x: carried(lambda c: c + tnp.outer(x[:5], c[0]) * 0.1, A[:5, :5]),
        lambda x: carried(lambda c: c * tnp.dot(c, x), x),
        lambda x: carried(lambda c: tnp.einsum("bij,bj->bi", A[:12].reshape(3, 16, 16), c), A[:3, :16]),
        lambda x: carried(lambda c: tr.cond(c[0] > 0, lambda c: c * 0.5, lambda c: c - 1, c), x),
        lambda x: tr.scan(lambda c, t: (c + t, tnp.sum(carried(tnp.sin, t * c, 4)[0])), x * 0, A),
        lambda x: tr.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] * 0.9 + x), (0, x)),
        lambda x: tr.scan(lambda c, t: (c + t[0] * t[1], c), tnp.zeros(()), (x, x)),  # an operand twice
        lambda x: tr.scan(lambda c, t: (c + t[0], t[1]), x[0], (x, tnp.zeros((64, 3)))),
        lambda x: tr.scan(lambda c, i: (c + tnp.asarray(A)[i, 3], c), x, tnp.arange(9)),
        lambda x: tr.scan(
            lambda c, k: (c + tr.random.normal(k, (4,)), c), x[:4], tr.random.split(tr.random.key(0), 9)
        ),
    ],
)
def test_programs(f: Callable[..., Any]) -> None:
    """Against the same program without a mark; as it is traced, too."""
    assert marks(f, v) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_MARKS", False)
        want = tr.jit(f, opt=0)(v)
    for got in (tr.jit(f)(v), tr.jit(f, opt=0)(v)):
        for g, w in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
            assert_allclose(g, w, rtol=2e-5, atol=1e-6)


def test_an_operand_that_is_simplified_to_no_use() -> None:
    f = tr.jit(lambda x: tr.scan(lambda c, t: (c + 0 * t.astype(int), c), 1, x), opt=0)
    assert MARK in f.lower(v).as_text()
    assert_array_equal(f(v)[1], np.ones(64))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: carried(lambda c: tnp.tanh(A[:8, :8] @ c), A[:8, :8]),  # a product of matrices
        lambda x: carried(lambda c: tnp.sort(c) * 0.5, x),
        lambda x: carried(lambda c: c.at[tnp.argmax(c)].set(0.5), x),  # a scatter
        lambda x: carried(lambda c: tnp.linalg.cholesky(tnp.eye(3) + c), A[:3, :3]),
        lambda x: carried(tnp.sin, x.astype(tnp.bfloat16)),
        lambda x: carried(lambda c: tnp.sin(c) * 0.5, tnp.zeros(2049) + x[0]),
        lambda x: carried(lambda c: tnp.sin(c) * 0.5, x, length=3),
        lambda x: carried(lambda c: c * 0.5, x[:0]),
        lambda x: carried(lambda c: tnp.roll(c, 1, 0) + c, tnp.outer(x[:16], x[:16])),  # a stencil on a grid
        lambda x: carried(lambda c: functools.reduce(lambda c, _: tnp.sin(c) * c, range(12), c), tnp.tile(x, 32)),
        lambda x: carried(lambda c: tr.jit(lambda c: tr.debug.print("{}", c) or c)(c), x),  # a call of Python
    ],
)  # fmt: skip
def test_programs_that_are_left_alone(f: Callable[..., Any]) -> None:
    assert marks(f, v) == 0


def test_what_is_known_of_it_beforehand() -> None:
    def first(f: Callable[..., Any]) -> bool:
        return next(kernels.is_one_kernel(e) for e in tr.trace(f)(v).eqns if e.op.name == "scan")

    assert first(lambda x: carried(tnp.sin, x))
    assert first(lambda x: carried(tnp.sin, x[0]))  # XLA's own
    assert not first(lambda x: carried(tnp.sort, x))


def test_a_large_carry_is_updated_in_place() -> None:
    def f(b: Any, v: Any) -> Any:
        put = tr.from_jax(lambda b, u, i: jax.lax.dynamic_update_slice(b, u[None], (i, 0)))
        return tr.fori_loop(0, 20, lambda i, b: put(b, tnp.sin(v) * i, i), b)

    compiled = tr.jit(f, donate_argnums=0).lower(np.zeros((2000, 64), np.float32), v)
    assert MARK not in compiled.as_text()
    assert compiled.compile().memory_analysis().temp_size_in_bytes < 10_000


def test_long_code_is_left_alone() -> None:
    def chain(count: int) -> Any:
        f = tr.jit(
            lambda x: carried(lambda c: functools.reduce(lambda c, k: tnp.sin(c) * k, range(count), c), x),
            opt=0,
        )
        return MARK in f.lower(v).as_text()

    assert chain(20)
    assert not chain(60)


def test_a_loop_inside_of_one_that_is_left_alone() -> None:
    def f(x: Any) -> Any:
        return carried(lambda c: tnp.sort(carried(lambda c: tnp.sin(c) * x, c)[0]), x)

    assert marks(f, v) == 1
    assert_allclose(tr.jit(f)(v)[1], tr.jit(f, opt=0)(v)[1], rtol=1e-5)


# Where the mark belongs ---------------------------------------------------------------------------------


def lorenz(library: Any, xp: Any) -> Callable[..., Any]:
    def slope(x: Any) -> Any:
        return xp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - x[2]])

    def step(x: Any, _: Any) -> Any:
        k = slope(x)
        x = x + 0.005 * (k + slope(x + 0.01 * k))
        return x, x

    return lambda x: xp.sum(library.scan(step, x, None, length=20)[1] ** 2)


START = np.asarray([1.0, 1.2, 0.7])


@pytest.mark.parametrize(
    "transform",
    [
        lambda g: g, jax.jit, jax.grad, lambda g: jax.jit(jax.grad(g)), jax.hessian, jax.jacfwd, jax.jacrev,
        lambda g: jax.jacrev(jax.grad(g)), lambda g: jax.grad(jax.checkpoint(g)), lambda g: jax.linearize(g, START)[1],
        lambda g: lambda x: jax.vjp(g, x)[1](x[0])[0],
        lambda g: lambda x: jax.linear_transpose(lambda v: jax.jvp(g, (START,), (v,))[1], START)(x[0])[0],
    ],
)  # fmt: skip
def test_transforms_of_jax(transform: Callable[..., Any]) -> None:
    """Around a compiled function, batches and batches of batches included; the mark is nowhere that JAX transforms."""
    with x64():
        ours, theirs = transform(tr.jit(lorenz(tr, tnp))), transform(lorenz(jax.lax, jnp))
        assert_allclose(ours(START), theirs(START), rtol=1e-10)
        batch = np.stack([START, START * 1.1])
        assert_allclose(jax.vmap(ours)(batch), jax.vmap(theirs)(batch), rtol=1e-10)
        assert_allclose(
            jax.vmap(jax.vmap(ours))(batch[None]), jax.vmap(jax.vmap(theirs))(batch[None]), rtol=1e-10
        )
        assert_allclose(
            jax.jacfwd(lambda b: jax.vmap(ours)(b))(batch), jax.jacfwd(lambda b: jax.vmap(theirs)(b))(batch),
            rtol=1e-10,
        )  # fmt: skip


def test_batches_of_jax_have_no_mark() -> None:
    f = tr.jit(lorenz(tr, tnp))
    x = START.astype(np.float32)

    def lowered(g: Callable[..., Any], x: Any) -> str:
        return str(jax.jit(lambda x: g(x)).lower(x).as_text())

    assert MARK in lowered(f, x)
    assert MARK in lowered(jax.grad(f), x)
    assert MARK not in lowered(jax.vmap(f), x[None])
    assert MARK not in lowered(jax.vmap(jax.grad(f)), x[None])


def test_transforms_of_ours() -> None:
    f, x = lorenz(tr, tnp), START.astype(np.float32)
    batch = np.stack([x, x * 1.1])
    assert marks(f, x) == 1
    assert marks(tr.grad(f), x) == 2
    assert_allclose(
        tr.jit(tr.vmap(tr.grad(f)))(batch), jax.vmap(jax.grad(lorenz(jax.lax, jnp)))(batch), rtol=1e-4
    )


def test_there_is_no_mark_for_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    f, x = lorenz(tr, tnp), START.astype(np.float32)
    exported = tr.export(f)(x)
    assert MARK not in exported.mlir_module()
    assert_allclose(exported.call(x), f(x), rtol=1e-5)
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert marks(f, x) == 0
    monkeypatch.undo()
    answer(lambda: ACCELERATOR)
    try:
        assert marks(f, x) == 0
    finally:
        answer(machine)


def test_there_is_no_mark_where_xla_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_SMALLEST", 512)
    assert marks(lambda x: carried(lambda c: c * 0.5, x), v[:3]) == 0
    assert marks(lambda x: carried(lambda c: c * 0.5, x), v) == 1
    monkeypatch.setattr(kernels, "_MARKS", False)
    assert marks(lambda x: carried(lambda c: c * 0.5, x), v) == 0
