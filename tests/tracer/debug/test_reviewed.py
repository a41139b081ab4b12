"""What debugging must not change, and what it must say, in programs that were found to be hard."""

from __future__ import annotations

import time
from typing import Any

import jax
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tracer.errors import ArgumentError, CheckError, DifferentiationError, NonFiniteError


def test_effects_keep_their_order_where_selections_are_guarded(capfd: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        z = tnp.log(x)
        tr.debug.print("first {}", x[0], ordered=True)
        last, _ = tr.scan(lambda c, v: (c + v, tr.debug.print("step {}", v, ordered=True)), 0.0, z)
        tr.debug.print("last {}", last, ordered=True)
        return tnp.sum(tnp.where(z > last, z, 0))

    for g in (f, tr.grad(f), tr.jit(tr.grad(f))):
        jax.block_until_ready(g(np.array([1.0, 1.0], np.float32)))
        jax.effects_barrier()
        words = [line.split()[0] for line in capfd.readouterr().out.splitlines()]
        assert words == ["first", "step", "step", "last"]


def test_lines_are_those_of_the_function_that_was_called() -> None:
    def before(x: Any) -> Any:
        return tnp.log(x - 5).sum()

    def now(x: Any) -> Any:
        return tnp.log(x - 5).sum()

    tr.vjp(before, np.full(3, 7.0, np.float32))
    with pytest.raises(NonFiniteError) as raised, tr.debug.nans():
        tr.vjp(now, np.ones(3, np.float32))
    assert raised.value.source is not None
    assert raised.value.source.line == now.__code__.co_firstlineno + 1


def test_long_programs_are_searched_in_parts() -> None:
    def f(x: Any) -> Any:
        for _ in range(600):
            x = tnp.sin(x) * 1.01
        return tnp.arcsin(x + 2).sum()

    begin = time.perf_counter()
    with pytest.raises(NonFiniteError) as raised, tr.debug.nans():
        tr.jit(f)(np.ones(3, np.float32))
    assert raised.value.op == "asin"
    assert time.perf_counter() - begin < 60  # as one program: many minutes


def test_generator_functions_are_refused() -> None:
    def steps() -> Any:
        yield 1

    with pytest.raises(ArgumentError, match="returns when it is done"):
        tr.debug.nans()(steps)


def test_keys_are_shown() -> None:
    def f(key: Any, x: Any) -> Any:
        tr.check(x > 0, "of {}: {}", key, x)
        return x

    error, _ = tr.checkify(f)(jax.random.key(3), np.float32(-1))
    with pytest.raises(CheckError, match=r"of \[0 3\]: -1.0"):
        error.throw()


def test_a_check_of_a_derivative_is_not_lost_in_silence() -> None:
    @tr.custom_vjp
    def double(x: Any) -> Any:
        return x * 2

    def backward(_: Any, ct: Any) -> Any:
        tr.check(ct > 10, "small: {}", ct)
        return (ct * 2,)

    double.defvjp(lambda x: (double(x), None), backward)
    error, _ = tr.checkify(tr.grad(lambda x: double(double(x))))(np.float32(1))
    with pytest.raises(CheckError, match=r"small: 1.0"):
        error.throw()
    with pytest.raises(DifferentiationError, match="check outside the loop"):
        tr.checkify(tr.grad(lambda x: tr.while_loop(lambda s: s < 100, double, x)))(np.float32(1))
