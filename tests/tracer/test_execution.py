"""Un-jitted transforms: compiled once for equal programs, bounded, safe in threads, Python semantics kept."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from lowering import execute
from lowering.execute import EXACT, PROGRAMS, Cache
from tests.tracer.helpers import array, assert_close, assert_same, both
from tracer.state import state

V = array(4)
A = array(3, 4, seed=1)


def compiles(run: Callable[[], Any]) -> int:
    """How many XLA programs a call compiles."""
    found: list[str] = []

    def listen(name: str, *_: Any, **__: Any) -> None:
        if name == "/jax/core/compile/backend_compile_duration":
            found.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.block_until_ready(run())
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(found)


# The cache -------------------------------------------------------------------------------------------


def test_equal_programs_are_compiled_once() -> None:
    for transform in (
        lambda f: tr.grad(f),
        lambda f: tr.value_and_grad(f),
        lambda f: tr.vmap(f),
        lambda f: lambda x: tr.jvp(f, (x,), (x,)),
        lambda f: tr.hessian(f),
        lambda f: tr.jit(tr.grad(f)),
    ):

        def run(c: float = 0.123, transform: Any = transform) -> Any:
            return transform(lambda x: (tnp.sin(x) * c * x).sum())(V)

        if "vmap" in (transform.__code__.co_names):
            run = lambda transform=transform: transform(lambda x: tnp.sin(x) * 0.123)(V)
        before = len(PROGRAMS)
        run()
        assert len(PROGRAMS) <= before + 1
        again = len(PROGRAMS)
        if "jit" not in transform.__code__.co_names:
            assert compiles(run) == 0
        assert len(PROGRAMS) == again


def test_another_shape_structure_or_transform_is_another_program() -> None:
    f = lambda x: (tnp.sin(x) * 0.456).sum()
    before = len(PROGRAMS)
    for run in (
        lambda: tr.grad(f)(V),
        lambda: tr.grad(f)(A),
        lambda: tr.value_and_grad(f)(V.astype(np.float16)),
        lambda: tr.grad(lambda x: (tnp.cos(x) * 0.456).sum())(V),
        lambda: tr.jvp(f, (V,), (V,)),
    ):
        run()
        before += 1
        assert len(PROGRAMS) == before


def test_a_cache_is_bounded_by_the_arrays_in_its_programs() -> None:
    cache: Cache[int] = Cache(100, nbytes=4000)

    def program(value: float, count: int) -> Any:
        return tr.trace(lambda x: x + np.full(count, value, np.float32))(jnp.zeros(count))

    for i in range(20):
        cache.get(("key", program(float(i), 200)), lambda i=i: i)
    assert len(cache) == 5
    assert cache.find(("key", program(19.0, 200))) == 19
    assert cache.find(("key", program(14.0, 200))) is None
    large = ("key", program(0.0, 1000))
    assert cache.get(large, lambda: -1) == -1
    assert len(cache) == 1
    cache.drop(large)
    for i in range(10):
        cache.get(i, lambda i=i: i)
    assert len(cache) == 10


def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    cache: Cache[int] = Cache(3)
    for k in range(4):
        cache.get(k, lambda k=k: k)
        cache.get(0, lambda: 99)
    assert len(cache) == 3
    assert cache.find(0) == 0
    assert cache.find(1) is None
    cache.drop(0)
    cache.drop(7)
    assert cache.find(0) is None
    cache.clear()
    assert len(cache) == 0


def test_programs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PROGRAMS, "size", 5)
    before = [PROGRAMS.find(k) for k in ()]
    for n in range(1, 9):
        tr.grad(lambda x: (x**2).sum())(array(n))
        assert len(PROGRAMS) <= max(5, len(before))
    assert_close(tr.grad(lambda x: (x**2).sum())(V), 2 * V)


def test_arrays_are_not_kept_alive() -> None:
    def run() -> weakref.ref[Any]:
        big = jnp.ones(5000) * 3
        tr.grad(lambda x: (x * big).sum())(2.0)
        return weakref.ref(big)

    ref = run()
    gc.collect()
    assert ref() is None


# Numbers that change from call to call ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grad", "jvp", "vmap", "vjp", "hessian", "nested"])
def test_changing_numbers_do_not_compile_without_bound(kind: str) -> None:
    def run(scale: float, shift: int) -> Any:
        f = lambda x: tnp.sin(x * scale) * 3.25 + shift + scale
        match kind:
            case "grad":
                return tr.grad(lambda x: f(x).sum())(V)
            case "jvp":
                return tr.jvp(f, (V,), (V,))
            case "vmap":
                return tr.vmap(f)(V)
            case "vjp":
                return tr.vjp(f, V)[1](V)
            case "hessian":
                return tr.hessian(lambda x: f(x).sum())(V)
            case _:
                return tr.grad(lambda x: tr.grad(lambda y: f(y).sum())(x).sum())(V)

    def reference(scale: float, shift: int) -> Any:
        f = lambda x: jnp.sin(x * scale) * 3.25 + shift + scale
        match kind:
            case "grad":
                return jax.grad(lambda x: f(x).sum())(V)
            case "jvp":
                return jax.jvp(f, (V,), (V,))
            case "vmap":
                return jax.vmap(f)(V)
            case "vjp":
                return jax.vjp(f, V)[1](V)
            case "hessian":
                return jax.hessian(lambda x: f(x).sum())(V)
            case _:
                return jax.grad(lambda x: jax.grad(lambda y: f(y).sum())(x).sum())(V)

    values = [(0.5 + 0.1 * k, k) for k in range(12)]
    counts = [compiles(lambda s=s: run(*s)) for s in values]
    assert sum(counts[EXACT + 3 :]) == 0, counts
    for s in values:
        assert_same(run(*s), reference(*s))


def test_numbers_that_do_not_change_stay_constants() -> None:
    """Only what was seen to change becomes an operand."""
    before = len(PROGRAMS)
    for k in range(8):
        tr.grad(lambda x, k=k: (x**2 * 0.111 + tnp.where(x > 0.222, x, k * 1.5)).sum())(V)
    general = [key for key in list(PROGRAMS._held)[before - len(PROGRAMS) :] if key[0] == "numbers"]
    assert len(general) == 1
    numbers = [e.attrs["value"].item() for e in general[0][2].eqns if e.op.name == "constant"]
    assert any(abs(n - 0.222) < 1e-6 for n in numbers)


def test_two_numbers_that_are_equal_by_chance() -> None:
    f = lambda a, b: tr.grad(lambda x: (x * a + tnp.sin(x) * b).sum())(V)
    for a, b in [(1.5, 2.5), (2.5, 2.5), (3.5, 2.5), (2.5, 3.5), (4.5, 4.5), (5.5, 1.5), (5.5, 5.5)]:
        assert_close(f(a, b), a + b * jnp.cos(V))


def test_signed_zeros_and_nans_as_numbers() -> None:
    f = lambda c: tr.grad(lambda x: x * c)(1.0)
    for c in (1.0, 0.0, -0.0, float("nan"), 2.0, -0.0, float("inf"), 0.0):
        got = float(f(c))
        assert np.array_equal(got, c, equal_nan=True)
        assert np.signbit(got) == np.signbit(c)


# Python semantics ------------------------------------------------------------------------------------


def test_control_flow_on_values() -> None:
    def f(xp: Any, x: Any) -> Any:
        y = x
        while y.sum() < 9 and not (y > 15).all():
            y = y * 1.2 + 1
        for _ in range(int(y[0]) % 2 + 1):
            y = xp.sin(y) * x
        if y.sum() > 0:
            return (y * x).sum()
        return (y - x).sum()

    for x in (V, -V, V * 10):
        both(lambda xp, t, x=x: t.value_and_grad(lambda x: f(xp, x))(x))
        both(lambda xp, t, x=x: t.grad(lambda x: t.grad(lambda y: f(xp, y))(x).sum())(x))
        both(lambda xp, t, x=x: t.jvp(lambda x: f(xp, x), (x,), (x,)))
        both(
            lambda xp, t, x=x: (
                t.vjp(lambda x: f(xp, x), x)[1](2.0) if False else t.grad(lambda x: f(xp, x))(x)
            )
        )
    both(lambda xp, t: t.grad(lambda x, n: x * n if n else x)(2.0, 0))
    both(lambda xp, t: t.grad(lambda x: x**2 if x > 0 else -x)(-3.0))
    both(lambda xp, t: t.grad(lambda x, c: x * float(c) * int(c))(2.0, np.float32(2.5)))
    both(lambda xp, t: t.grad(lambda x: x * int(x))(2.5))
    both(lambda xp, t: t.grad(lambda x: (x * [1.0, 5.0][(x[0] > 0).astype(int)]).sum())(V))


def test_newton_iterations_compile_nothing_per_step() -> None:
    def root(xp: Any, a: Any) -> Any:
        x, steps = a, 0
        while abs(x * x - a) > 1e-4 and steps < 50:
            x = 0.5 * (x + a / x)
            steps += 1
        return x

    both(lambda xp, t: t.value_and_grad(lambda a: root(xp, a))(7.0))
    assert compiles(lambda: tr.value_and_grad(lambda a: root(tnp, a))(1e4)) <= 4


def test_each_equation_is_run_once_for_conditions() -> None:
    begin = time.perf_counter()

    def f(x: Any) -> Any:
        for _ in range(100):
            if x > 0:
                x = tnp.sin(x) + 1
        return x

    tr.grad(f)(1.0)
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    tr.grad(f)(2.0)
    assert time.perf_counter() - begin < max(2.0, first)


def test_a_condition_on_what_is_not_known() -> None:
    with pytest.raises(tr.errors.ConcretizationError):
        tr.vmap(lambda x: x if x > 0 else -x)(V)
    with pytest.raises(tr.errors.ConcretizationError):
        tr.grad(lambda y: tr.vmap(lambda x: x * y if x > 0 else -x)(V).sum())(1.0)
    with pytest.raises(tr.errors.ConcretizationError):
        jax.jit(tr.grad(lambda x: x if x > 0 else -x))(1.0)
    both(lambda xp, t: t.vmap(lambda x, y: x if y > 0 else -x, (0, None))(V, 1.0))
    both(lambda xp, t: t.grad(lambda y: t.vmap(lambda x: x * y if y > 0 else -x)(V).sum())(1.0))
    both(lambda xp, t: jax.grad(lambda x: t.grad(lambda y: y**2 * x if y > 0 else -y)(x))(1.5))


def test_globals_are_read_at_every_call() -> None:
    scale = [2.0]
    f = tr.grad(lambda x: x**2 * scale[0])
    assert float(f(1.0)) == 4.0
    scale[0] = 3.0
    assert float(f(1.0)) == 6.0


# Threads ---------------------------------------------------------------------------------------------


def in_threads(work: Callable[[int], Any], count: int = 8) -> list[Any]:
    barrier = threading.Barrier(count)
    out: list[Any] = [None] * count

    def run(k: int) -> None:
        barrier.wait()
        try:
            out[k] = work(k)
        except BaseException as error:  # noqa: BLE001 (raised again below)
            out[k] = error

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in out:
        if isinstance(result, BaseException):
            raise result
    return out


def test_equal_functions_in_many_threads() -> None:
    f = lambda x: (tnp.sin(x) * tnp.tanh(x) * 0.789).sum()
    want = jax.grad(lambda x: (jnp.sin(x) * jnp.tanh(x) * 0.789).sum())(V)
    for got in in_threads(lambda k: [tr.grad(f)(V) for _ in range(5)]):
        for g in got:
            assert_close(g, want)


def test_different_functions_in_many_threads() -> None:
    @tr.custom_jvp
    def cube(x: Any) -> Any:
        return x**3

    @cube.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return cube(primals[0]), 3 * primals[0] ** 2 * tangents[0]

    def work(k: int) -> Any:
        x = array(k + 1, seed=k)
        out = []
        for n in range(1, 4):
            f = lambda x, n=n: (cube(tnp.sin(x) + k) * n).sum()
            for _ in range(2):
                out.append(
                    (tr.grad(f)(x), tr.jit(tr.grad(f))(x), tr.vmap(tr.grad(lambda y, n=n: f(y[None], n)))(x))
                )
            assert state.trace is None
        return out

    for k, results in enumerate(in_threads(work, 6)):
        x = array(k + 1, seed=k)
        for i, triple in enumerate(results):
            n = i // 2 + 1
            want = 3 * (jnp.sin(x) + k) ** 2 * jnp.cos(x) * n
            for got in triple:
                assert_close(got, want, 1e-4)


def test_a_trace_belongs_to_its_thread() -> None:
    inside, outside = threading.Event(), threading.Event()
    seen: dict[str, Any] = {}

    def other() -> None:
        inside.wait()
        seen["state"] = state.trace
        seen["eager"] = tnp.sin(1.0)
        seen["grad"] = tr.grad(tnp.sin)(1.0)
        outside.set()

    thread = threading.Thread(target=other)
    thread.start()

    def f(x: Any) -> Any:
        y = x * 2
        inside.set()
        outside.wait()
        return y * x

    assert float(tr.grad(f)(3.0)) == 12.0
    thread.join()
    assert seen["state"] is None
    assert isinstance(seen["eager"], jax.Array)
    assert_close(seen["grad"], np.cos(1.0, dtype=np.float32))


def test_one_jitted_function_in_many_threads() -> None:
    calls: list[int] = []
    f = tr.jit(lambda x: (calls.append(1), tnp.cumsum(x) * 2)[1])
    for got in in_threads(lambda k: f(V)):
        assert_close(got, np.cumsum(V) * 2)


# Speed -----------------------------------------------------------------------------------------------


def test_a_cached_gradient_is_cheap() -> None:
    """About 0.1 ms; the bound leaves room for a busy machine."""
    f = tr.grad(lambda x: (tnp.tanh(x) ** 2 + tnp.sin(x) * x).sum())
    f(V)
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        f(V)
        times.append(time.perf_counter() - begin)
    assert min(times) < 2e-3


def test_module_has_one_cache() -> None:
    assert execute.PROGRAMS is PROGRAMS


def test_arrays_that_change_from_call_to_call_compile_once() -> None:
    """Small arrays of NumPy that a function closes over are operands of un-jitted transforms."""
    x, rng = jnp.arange(4.0), np.random.default_rng(0)

    def at(w: Any, t: Any, xp: Any) -> Any:
        f = lambda x: (xp.sin(x * w) + w[::-1]).sum()
        step = lambda c, _: (c * w, None)
        fold = lambda x: (
            t.scan(step, x, None, length=3)[0].sum() if t is tr else jax.lax.scan(step, x, None, 3)[0].sum()
        )
        return (
            t.grad(f)(x), t.vmap(lambda y: y * w)(x), t.jvp(f, (x,), (x,)), t.grad(fold)(x),
            t.jacfwd(lambda x: x * w)(x), t.grad(lambda x: t.grad(f)(x * w).sum())(x),
        )  # fmt: skip

    counts = []
    for _ in range(3):
        w = rng.uniform(size=4).astype(np.float32)
        assert_same(at(w, tr, tnp), at(w, jax, jnp))
        counts.append(len(PROGRAMS))
    assert counts[0] == counts[2]


def test_arrays_written_while_a_function_is_traced() -> None:
    """Each use has what the array held then; what is written later does not show."""
    x, w = jnp.arange(3.0), np.zeros(3, np.float32)

    def f(x: Any) -> Any:
        out = 0.0
        for i in range(1, 4):
            w[:] = i
            out = out + (x * w).sum() * w[0]
        return out

    assert_same(tr.grad(f)(x), jnp.full(3, 14.0, jnp.float32))
    assert_same(tr.vmap(f)(x[None]), f(x)[None])
    out, pull = tr.vjp(lambda x: x * w, x)
    w[:] = 9
    assert_same((out, pull(x)), (3 * x, (3 * x,)))


def test_known_indices_stay_known() -> None:
    """Of un-jitted transforms, too: they are part of the program."""
    index = np.array([0, 2])
    x = jnp.arange(3.0)
    for f in (
        lambda x: x[index].sum(),
        lambda x: x.at[index].set(x[0]).sum(),
        lambda x: x[index, None].sum(),
    ):
        assert_same(tr.grad(f)(x), jax.grad(f)(x))


def test_the_program_used_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PROGRAMS, "size", 4)
    used, other = lambda x: tnp.sum(tnp.sin(x) * x), lambda x: tnp.sum(tnp.cos(x) * x)
    made: list[str] = []
    compiled = execute._compiled
    monkeypatch.setattr(execute, "_compiled", lambda f, *rest: (made.append(f.name), compiled(f, *rest))[1])
    for n in range(1, 12):
        tr.grad(used)(jnp.ones(3))
        tr.grad(other)(jnp.ones(n + 3))
    assert len(made) == 12
