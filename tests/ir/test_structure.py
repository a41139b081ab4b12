"""Equality of functions that nest deeply: as much work as there are functions, and no recursion."""

from __future__ import annotations

import copy
import gc
import sys
import threading
from typing import Any

import jax
import numpy as np
import pytest

import ir
from ir import cost, structure
from ir.ops.calls import call
from ir.ops.checkpoint import checkpoint
from ir.ops.elementwise import add, sin
from ir.passes.pipeline import DEFAULT, optimize, simplify_inner
from ir.passes.rolling import roll
from lowering.emit import emit

SCALAR = ir.TensorType((), ir.dtype_named("f32"))
X = np.float32(0.5)


def nest(depth: int, *, width: int = 1, op: Any = call, **attrs: Any) -> ir.Function:
    """A function that holds the next one `width` times, and so on, `depth` deep."""
    function = ir.build([SCALAR], lambda x: sin(x), "leaf")
    for _ in range(depth):
        function = ir.build([SCALAR], lambda x: _sum(function, width, op, x, attrs), "f")
    return function


def _sum(function: ir.Function, width: int, op: Any, x: Any, attrs: Any) -> Any:
    out = x
    for _ in range(width):
        out = add(out, _first(op(x, function=function, **attrs)))
    return out


def _first(out: Any) -> Any:
    return out[0] if isinstance(out, tuple) else out


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[ir.Function]:
    """The functions whose equations are gone through, as often as they are."""
    seen: list[ir.Function] = []
    parts = structure._parts

    def counted(function: ir.Function) -> Any:
        seen.append(function)
        return parts(function)

    monkeypatch.setattr(structure, "_parts", counted)
    return seen


@pytest.mark.parametrize("depth", [50, 100, 200, 400])
def test_each_function_is_looked_at_once(depth: int, looked_at: list[ir.Function]) -> None:
    a, b = nest(depth, width=2), nest(depth, width=2)
    assert a == b
    assert hash(a) == hash(b)
    assert len(looked_at) == 2 * (depth + 1)
    assert a == b
    assert len({a, b}) == 1
    assert len(looked_at) == 2 * (depth + 1), "looked at again"
    assert a != nest(depth, width=3)
    assert nest(depth - 1, width=2) != a


def test_a_function_around_known_ones_is_one_more(looked_at: list[ir.Function]) -> None:
    inner = nest(100, width=2)
    hash(inner)
    del looked_at[:]
    hash(ir.build([SCALAR], lambda x: _sum(inner, 2, call, x, {})))
    assert len(looked_at) == 1


def test_what_is_equal_inside_may_differ_in_identity() -> None:
    shared = nest(3)
    apart = [nest(3), nest(3)]
    a = ir.build([SCALAR], lambda x: add(call(x, function=shared), call(x, function=shared)))
    b = ir.build([SCALAR], lambda x: add(call(x, function=apart[0]), call(x, function=apart[1])))
    c = ir.build([SCALAR], lambda x: add(call(x, function=apart[0]), call(x, function=nest(4))))
    assert a == b != c


def test_structures_go_with_their_functions() -> None:
    gc.collect()
    before = len(structure._STRUCTURES)
    function = nest(20)
    again = nest(20)
    hash(function), hash(again)
    assert len(structure._STRUCTURES) - before in (20, 21)
    del function
    gc.collect()
    kept = again.key()
    assert again == nest(20)
    del again
    gc.collect()
    assert nest(20).key() is kept, "what is referred to is not forgotten"
    del kept
    gc.collect()
    assert len(structure._STRUCTURES) <= before


def test_threads_agree() -> None:
    made: list[list[structure.Structure]] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        made.append([nest(depth).key() for depth in range(30)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(keys == made[0] for keys in made)


def test_copies_are_equal() -> None:
    function = nest(5)
    assert copy.copy(function) == function
    assert function.replace(name="other") == function


# No recursion ---------------------------------------------------------------------------------------

DEPTH = 500


@pytest.mark.parametrize("op", ["call", "checkpoint"])
def test_nothing_recurses_over_nested_functions(op: str) -> None:
    deep = nest(DEPTH) if op == "call" else nest(DEPTH, op=checkpoint, barrier=False)
    assert deep == (nest(DEPTH) if op == "call" else nest(DEPTH, op=checkpoint, barrier=False))
    assert sys.getrecursionlimit() <= 2 * DEPTH
    ir.verify(deep)
    assert str(deep).count("def ") == DEPTH + 1
    assert cost.flops(deep) >= DEPTH
    assert cost.summary(deep).equations == 2 * DEPTH + 1
    assert simplify_inner(deep) == deep
    assert len(optimize(deep).eqns) < DEPTH or op == "checkpoint"  # the sum is a loop
    passed = optimize(deep, [each for each in DEFAULT if each is not roll])
    ir.verify(passed)
    if op == "call":
        assert [eqn.op for eqn in passed.eqns] == [sin, *[add] * DEPTH]
        (got,) = jax.jit(lambda x: emit(passed, [x]))(X)
        want = X
        for inner in passed.eqns:
            want = np.sin(X) if inner.op is sin else np.float32(X + want)
        np.testing.assert_allclose(got, want, rtol=1e-5)
