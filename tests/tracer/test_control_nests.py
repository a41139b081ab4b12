"""Random nests of loops and branches against the same program run by Python, differentiated by JAX.

A program is a tree of statements over a small vector. `Structured` writes it with `while_loop`, `scan`,
`cond` and the rest; `Plain` runs it with Python's `while`, `for` and `if`, one example at a time, so that JAX
sees straight-line code only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import assert_close, x64

SIZE = 3
# Each example compiles programs of its own.
few = settings(max_examples=settings.default.max_examples // 3)


@dataclass(frozen=True)
class Node:
    """A statement: what it is, its numbers, and the statements inside."""

    kind: str
    numbers: tuple[float, ...] = ()
    inner: tuple[Node, ...] = ()


# Smooth maps of a vector that keep it of moderate size; `c` is a vector of the outer program.
MAPS: list[Callable[[Any, Any, Any, float], Any]] = [
    lambda xp, v, c, a: xp.sin(v) + a * c,
    lambda xp, v, c, a: v * xp.cos(a + c),
    lambda xp, v, c, a: v[::-1] * (0.5 + 0.3 * a) + xp.tanh(v),
    lambda xp, v, c, a: xp.tanh(v * v) + c[0] * v,
    lambda xp, v, c, a: v - 0.2 * a * xp.sum(v * c),
    lambda xp, v, c, a: xp.sqrt(1 + v * v) - 0.7 * a,
]


def large(xp: Any, v: Any, a: float) -> Any:
    """A condition on values, which random numbers do not meet with equality."""
    return xp.sum(v * v) > 0.4 + a


class Structured:
    """Statements as the constructs of `tracer`."""

    xp: Any = tnp

    def run(self, nodes: tuple[Node, ...], v: Any, c: Any) -> Any:
        for node in nodes:
            v = getattr(self, node.kind)(node, v, c)
        return v

    def map(self, node: Node, v: Any, c: Any) -> Any:
        return MAPS[int(node.numbers[0])](self.xp, v, c, node.numbers[1])

    def branch(self, node: Node, v: Any, c: Any) -> Any:
        yes, no = node.inner
        inside = lambda which: lambda v, c: self.run(which.inner, v, c)
        return tr.cond(large(tnp, v, node.numbers[0]), inside(yes), inside(no), v, c)

    def switch(self, node: Node, v: Any, c: Any) -> Any:
        index = (3 * tnp.abs(v[0])).astype("int32")
        return tr.switch(index, [lambda v, b=b: self.run(b.inner, v, c) for b in node.inner], v)

    def count(self, node: Node, v: Any, c: Any) -> Any:
        trips = (tnp.abs(c[1]) * 2 + node.numbers[0]).astype("int32")
        body = lambda i, v: self.run(node.inner, v, c) * (1 + 0.1 * i)
        return tr.fori_loop(0, trips, body, v)

    def until(self, node: Node, v: Any, c: Any) -> Any:
        def body(s: Any) -> Any:
            return s[0] + 1, self.run(node.inner, s[1], c) * 0.8

        return tr.while_loop(lambda s: large(tnp, s[1], node.numbers[0]) & (s[0] < 4), body, (0, v))[1]

    def scan(self, node: Node, v: Any, c: Any) -> Any:
        def body(s: Any, x: Any) -> Any:
            new = self.run(node.inner, s + x * c, c)
            return new, new * x

        xs = tnp.sin(tnp.arange(4) * v[0] + node.numbers[0])
        last, each = tr.scan(body, v, xs, reverse=node.numbers[0] < 0)
        return last + tnp.cumsum(each, axis=0)[2]

    def lanes(self, node: Node, v: Any, c: Any) -> Any:
        rows = tnp.stack([v, c, v * c])
        return tr.vmap(lambda row: self.run(node.inner, row, c))(rows).sum(0) * 0.4

    def slope(self, node: Node, v: Any, c: Any) -> Any:
        return v + 0.1 * tnp.tanh(tr.grad(lambda v: tnp.sum(tnp.sin(self.run(node.inner, v, c))))(v))


class Plain(Structured):
    """Statements run by Python; conditions are bools, so nothing may be traced without its values."""

    xp = jnp

    def branch(self, node: Node, v: Any, c: Any) -> Any:
        return self.run(node.inner[0 if large(jnp, v, node.numbers[0]) else 1].inner, v, c)

    def switch(self, node: Node, v: Any, c: Any) -> Any:
        index = min(int(3 * abs(v[0])), len(node.inner) - 1)
        return self.run(node.inner[index].inner, v, c)

    def count(self, node: Node, v: Any, c: Any) -> Any:
        for i in range(int(abs(c[1]) * 2 + node.numbers[0])):
            v = self.run(node.inner, v, c) * (1 + 0.1 * i)
        return v

    def until(self, node: Node, v: Any, c: Any) -> Any:
        trips = 0
        while large(jnp, v, node.numbers[0]) and trips < 4:
            v, trips = self.run(node.inner, v, c) * 0.8, trips + 1
        return v

    def scan(self, node: Node, v: Any, c: Any) -> Any:
        xs = jnp.sin(jnp.arange(4) * v[0] + node.numbers[0])
        order = range(3, -1, -1) if node.numbers[0] < 0 else range(4)
        each: dict[int, Any] = {}
        for i in order:
            v = self.run(node.inner, v + xs[i] * c, c)
            each[i] = v * xs[i]
        return v + each[0] + each[1] + each[2]

    def lanes(self, node: Node, v: Any, c: Any) -> Any:
        return sum(self.run(node.inner, row, c) for row in (v, c, v * c)) * 0.4

    def slope(self, node: Node, v: Any, c: Any) -> Any:
        return v + 0.1 * jnp.tanh(jax.grad(lambda v: jnp.sum(jnp.sin(self.run(node.inner, v, c))))(v))


number = st.floats(-0.9, 0.9).map(lambda x: round(x, 2))
maps = st.builds(lambda k, a: Node("map", (float(k), a)), st.integers(0, len(MAPS) - 1), number)


def nests(depth: int) -> st.SearchStrategy[tuple[Node, ...]]:
    """One to three statements, nested at most so deep."""
    if depth == 0:
        return st.lists(maps, min_size=1, max_size=2).map(tuple)
    inside = nests(depth - 1)
    block = st.builds(lambda nodes: Node("block", (), nodes), inside)
    nested = st.one_of(
        st.builds(lambda a, yes, no: Node("branch", (a,), (yes, no)), number, block, block),
        st.builds(lambda blocks: Node("switch", (), tuple(blocks)), st.lists(block, min_size=2, max_size=3)),
        *[
            st.builds(lambda a, nodes, kind=kind: Node(kind, (a,), nodes), number, inside)
            for kind in ("count", "until", "scan", "lanes", "slope")
        ],
    )
    return st.tuples(nested, st.lists(maps, max_size=1)).map(lambda both: (both[0], *both[1]))


vectors = st.lists(number.map(lambda x: x + 0.003), min_size=SIZE, max_size=SIZE).map(np.asarray)


def loss(world: Structured, program: tuple[Node, ...]) -> Callable[[Any, Any], Any]:
    return lambda v, c: world.xp.sum(world.run(program, v, c) ** 2)


@few
@given(nests(3), vectors, vectors)
def test_first_derivatives(program: tuple[Node, ...], v: Any, c: Any) -> None:
    with x64():
        v, c = jnp.asarray(v), jnp.asarray(c)
        got = tr.jit(tr.value_and_grad(loss(Structured(), program), argnums=(0, 1)))(v, c)
        want = jax.value_and_grad(loss(Plain(), program), argnums=(0, 1))(v, c)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert_close(a, b, 1e-9)
        push = tr.jvp(loss(Structured(), program), (v, c), (c, v))[1]
        assert_close(push, jnp.vdot(want[1][0], c) + jnp.vdot(want[1][1], v), 1e-9)


@few
@given(nests(2), vectors, vectors)
def test_second_derivatives_and_examples_of_a_batch(program: tuple[Node, ...], v: Any, c: Any) -> None:
    with x64():
        v, c = jnp.asarray(v), jnp.asarray(c)
        got = tr.jit(tr.grad(lambda v, c: tnp.vdot(tr.grad(loss(Structured(), program))(v, c), c)))(v, c)
        want = jax.grad(lambda v, c: jnp.vdot(jax.grad(loss(Plain(), program))(v, c), c))(v, c)
        assert_close(got, want, 1e-8)
        rows = jnp.stack([v, c, v + c])
        each = [jax.grad(loss(Plain(), program))(row, c) for row in rows]
        assert_close(tr.vmap(tr.grad(loss(Structured(), program)), in_axes=(0, None))(rows, c), each, 1e-9)


@pytest.mark.parametrize("kind", ["count", "until", "scan", "lanes", "branch", "switch", "slope"])
def test_each_statement_in_each(kind: str) -> None:
    """Every pair of statements, one in the other, at one point."""
    leaf = (Node("map", (1.0, 0.3)), Node("map", (3.0, -0.2)))

    def around(kind: str, nodes: tuple[Node, ...]) -> Node:
        if kind == "branch":
            return Node(kind, (0.1,), (Node("block", (), nodes), Node("block", (), leaf)))
        if kind == "switch":
            return Node(
                kind, (), (Node("block", (), leaf), Node("block", (), nodes), Node("block", (), nodes))
            )
        return Node(kind, (0.7,), nodes)

    with x64():
        v, c = jnp.asarray([0.8, -0.5, 0.6]), jnp.asarray([0.4, 0.9, -0.7])
        for inner in ("count", "until", "scan", "lanes", "branch", "switch", "slope"):
            program = (around(kind, (around(inner, leaf),)),)
            got = tr.grad(loss(Structured(), program), argnums=(0, 1))(v, c)
            want = jax.grad(loss(Plain(), program), argnums=(0, 1))(v, c)
            for a, b in zip(got, want, strict=True):
                assert_close(a, b, 1e-10)
