"""Errors of exhausted memory name the lines that hold it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
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


def cube(x):
    return tnp.exp(x[:, None, None] + x[None, :, None] + x[None, None, :])


def mapped(x):
    return tr.vmap(lambda a: tnp.exp(a + x[:, None] + x[None, :]))(x)


LARGE = {
    "compiled": tr.jit(cube),
    "donated": tr.jit(lambda x: (cube(x), x + 1), donate_argnums=0),
    "two arguments": lambda x: tr.jit(lambda x, y: cube(x) + y)(x, f32(1)),
    "keywords": lambda x: tr.jit(cube)(x=x),
    "in a loop": tr.jit(lambda x: tr.scan(lambda c, a: (c, cube(x)[0] + a), 0.0, x)[1]),
    "checked": tr.jit(tr.checkify(cube)),
    "un-jitted": mapped,
    "a derivative": lambda x: tr.jvp(cube, (x,), (x,)),
    "at once": lambda x: tnp.broadcast_to(x[:, None, None], (20000, 20000, 20000)),
}


@pytest.mark.parametrize("call", LARGE.values(), ids=LARGE.keys())
def test_what_fails_while_it_runs(call: Any) -> None:
    """On a CPU, after the call would have returned: 32 TB."""
    with pytest.raises(OutOfMemoryError, match="RESOURCE_EXHAUSTED") as info:
        call(jnp.zeros(20000, f32))
    assert info.value.source.file == __file__


def test_blocks_of_what_would_not_fit_do() -> None:
    """Nothing is refused where the program never holds the large array, however long it takes."""
    x = jax.ShapeDtypeStruct((20000,), f32)
    whole = lambda x: cube(x) @ tnp.ones(20000, f32)
    for function in (whole, tr.grad(lambda x: tnp.sum(whole(x)))):
        assert tr.debug.memory(function)(x).bytes < 2 * 4 * 20000**2
        assert tr.jit(function).lower(x).compile().memory_analysis().temp_size_in_bytes < 2 * 4 * 20000**2


def test_calls_wait_for_large_programs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr("tracer.api.entry.wait", lambda outs: waited.append(outs) or outs)
    x = np.ones(64, f32)
    tr.jit(lambda x: cube(x))(x)
    assert not waited
    monkeypatch.setattr("lowering.late.LARGE", 2**19)
    tr.jit(lambda x: cube(x))(x)
    assert [y.shape for y in waited] == [(64, 64, 64)]


def test_memory_that_this_process_may_not_have() -> None:
    """A machine may have it and still refuse it: 5.3 GB where 6 GiB of addresses are allowed."""
    pytest.importorskip("resource")
    code = "\n".join(
        [
            "import resource, numpy as np, jax, tracer as tr, tracer.numpy as tnp",
            "resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))",
            "@tr.jit",
            "def f(x):",
            "    return tnp.exp(x[:, None, None] + x[None, :, None] + x[None, None, :])",
            "try:",
            "    f(np.zeros(1100, np.float32))",
            "except tr.errors.OutOfMemoryError as error:",
            "    print(error)",
        ]
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "f: 5.32 GB in" in run.stdout
