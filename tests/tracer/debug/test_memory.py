"""Errors of exhausted memory name the lines that hold it."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tracer.errors import OutOfMemoryError, TracerError

f32 = np.float32


def too_large(x):
    many = tnp.broadcast_to(x, (2**43,)) + 1
    return tnp.sort(many)


def with_loop(x):
    def step(carry, row):
        wide = row[:, None] * row[None, :]
        return carry + tnp.sum(tnp.linalg.inv(wide)), None

    return tr.scan(step, 0.0, x)[0]


def test_a_real_one() -> None:
    with pytest.raises(OutOfMemoryError) as info:
        tr.jit(too_large)(f32(1))
    error = info.value
    text = str(error)
    assert "RESOURCE_EXHAUSTED" in text
    assert "35.2 TB" in text
    assert "too_large" in text
    assert error.source.file == __file__
    assert isinstance(error, jax.errors.JaxRuntimeError)
    assert isinstance(error, TracerError)
    assert isinstance(error.__cause__, jax.errors.JaxRuntimeError)
    assert error.peak.bytes >= 2**45


def test_other_runtime_errors_are_left_alone() -> None:
    def fail(x):
        raise RuntimeError("no memory of it")

    with pytest.raises(RuntimeError, match="no memory of it") as info:
        tr.jit(fail)(1.0)
    assert not isinstance(info.value, OutOfMemoryError)


@pytest.mark.parametrize("transform", [lambda f: f, tr.grad])
def test_one_that_the_runtime_raises(transform: Any) -> None:
    """A compiled call that fails as a full device does."""

    def refuse(_: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes.")

    from tracer.api.entry import entry

    f = tr.jit(transform(with_loop))
    general = inspect.getclosurevars(f).nonlocals
    fails = entry(with_loop, refuse, general["general"], general["explained"], direct=True)
    with pytest.raises(OutOfMemoryError, match="allocating 7 bytes") as info:
        fails(np.ones((5, 64), f32))
    largest = info.value.peak.values[0]
    assert ("in scan" in str(largest)) == (transform is not tr.grad)  # which stacks it
    assert largest.type.shape[-2:] == (64, 64)
    assert largest.source.file == __file__


def test_un_jitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes.")

    monkeypatch.setattr("tracer.execution.run", refuse)
    with pytest.raises(OutOfMemoryError, match="allocating 7 bytes") as info:
        tr.grad(with_loop)(np.ones((5, 64), f32))
    assert info.value.peak.values[0].type.shape[-2:] == (64, 64)


def test_the_report() -> None:
    peak = tr.debug.memory(with_loop)(jax.ShapeDtypeStruct((5, 64), f32))
    lines, first = inspect.getsourcelines(with_loop)
    values = {(v.source.line - first if v.source else None) for v in peak.values if v.type.size == 64 * 64}
    assert values <= {2, 3}
    assert values
    assert [v.type.nbytes for v in peak.values] == sorted([v.type.nbytes for v in peak.values], reverse=True)
    argument = next(v for v in peak.values if v.source is None)
    assert (argument.name, argument.type.shape) == ("x", (5, 64))
    assert "an argument" in str(peak)
    assert peak.bytes == sum(v.type.nbytes for v in peak.values)
    assert lines[2].strip() in str(peak) or lines[3].strip() in str(peak)


def test_many_values_are_summed_up() -> None:
    def f(xs):
        return [tnp.cumsum(x) for x in xs]

    text = str(tr.debug.memory(f)([np.ones(4, f32)] * 12))
    assert "smaller ones" in text
    assert len(text.splitlines()) < 22


def test_what_is_fused_holds_nothing() -> None:
    """Neither factors of an outer product, which are written as broadcasts, nor the product itself."""

    def f(x):
        a = tnp.outer(x, x)
        return tnp.sin(a) @ a

    x = np.ones(256, f32)
    peak = tr.debug.memory(f)(x)
    compiled = tr.jit(f).lower(x).compile().memory_analysis()
    held = compiled.argument_size_in_bytes + compiled.output_size_in_bytes + compiled.temp_size_in_bytes
    assert peak.bytes == pytest.approx(held, rel=0.01)
    assert "broadcast_in_dim" not in str(peak)
    assert sum(v.bytes for v in peak.values) == peak.bytes
