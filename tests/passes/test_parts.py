"""What is read in part, or zero but for a part, is computed as that part, forward and backward, and is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.passes.cse import cse
from ir.passes.parts import compute_parts
from ir.passes.pipeline import optimize
from ir.remarks import remarks
from tests.tracer.helpers import x64

N = 40
RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, N, N)) / 4
T = RNG.normal(size=(3, N, N)) / 4
I = np.array([4, 0, 39, 4], np.int32)
ROW = 2 * N**2  # operations of a vector times a matrix

# Programs of A, B, C and an index, and the operations of their values and gradients at most, in products of a row.
PROGRAMS: dict[str, tuple[float, float, Callable[..., Any]]] = {
    "a row": (1.3, 4, lambda xp, a, b, c, i: xp.exp(a @ b)[3]),
    "a column": (1.3, 4, lambda xp, a, b, c, i: xp.exp(a @ b)[:, 3]),
    "an element": (0.1, 0.3, lambda xp, a, b, c, i: xp.exp(a @ b)[3, 4]),
    "some rows": (2.5, 8, lambda xp, a, b, c, i: xp.exp(a @ b)[3:5]),
    "every tenth row": (5, 16, lambda xp, a, b, c, i: xp.exp(a @ b)[1::10]),
    "rows at an index": (5, 16, lambda xp, a, b, c, i: xp.exp(a @ b)[i]),
    "columns at an index": (5, 16, lambda xp, a, b, c, i: xp.exp(a @ b)[:, i]),
    "rows at an index of two axes": (5, 16, lambda xp, a, b, c, i: xp.exp(a @ b)[i.reshape(2, 2)]),
    "a row at an index": (1.5, 4, lambda xp, a, b, c, i: xp.exp(a @ b)[i[0]]),
    "two rows at an index": (5.5, 16, lambda xp, a, b, c, i: xp.sin(xp.exp(a @ b)[i] + xp.exp(a @ b)[i] ** 2)),
    "two layers": (2.6, 8, lambda xp, a, b, c, i: xp.tanh(xp.tanh(a @ b) @ c)[-1]),
    "two layers, at an index": (10, 30, lambda xp, a, b, c, i: xp.tanh(xp.tanh(a @ b) @ c)[i]),
    "softmax": (1.5, 4.5, lambda xp, a, b, c, i: _softmax(xp, a @ b)[3]),
    "softmax at an index": (6, 18, lambda xp, a, b, c, i: _softmax(xp, a @ b)[i]),
    "attention": (70, 250, lambda xp, a, b, c, i: (_softmax(xp, (a @ b) @ (a @ c).T) @ a)[0]),
    "what is chosen by the program itself": (
        2 * N, 6 * N, lambda xp, a, b, c, i: xp.exp(a @ b)[xp.argmax((a @ b)[:, 0])]
    ),
    "a quotient": (1.5, 5, lambda xp, a, b, c, i: (c / (2 + (a @ b) ** 2))[3]),
    "a selection": (1.5, 5, lambda xp, a, b, c, i: xp.where(a @ b > 0, xp.exp(a @ b), 0.5)[3]),
    "sums along the other axis": (2.5, 8, lambda xp, a, b, c, i: xp.sum(xp.exp(a @ b), 1)[3:5]),
    "a transposed array": (1.5, 4, lambda xp, a, b, c, i: xp.exp((a @ b).T)[3]),
    "a running sum": (1.5, 5, lambda xp, a, b, c, i: xp.cumsum(xp.exp(a @ b), 1)[3]),
}  # fmt: skip


def _softmax(xp: Any, x: Any) -> Any:
    weights = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def _loss(xp: Any, f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b, c: xp.sum(xp.sin(f(xp, a, b, c, jnp.asarray(I) if xp is jnp else I)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_part_costs_a_part(name: str) -> None:
    forward, backward, f = PROGRAMS[name]
    with x64():
        value = tr.jit(lambda a, b, c, i: f(tnp, a, b, c, i))
        assert ir.flops(value.ir(A, B, C, I)) <= forward * ROW, value.ir(A, B, C, I)
        np.testing.assert_allclose(value(A, B, C, I), f(jnp, A, B, C, I), rtol=1e-11, atol=1e-12)
        gradient = tr.jit(tr.grad(lambda a, b, c, i: tnp.sum(tnp.sin(f(tnp, a, b, c, i))), (0, 1, 2)))
        program = gradient.ir(A, B, C, I)
        ir.verify(program)
        assert ir.flops(program) <= backward * ROW, program
        theirs = jax.grad(lambda a, b, c: jnp.sum(jnp.sin(f(jnp, a, b, c, I))), (0, 1, 2))(A, B, C)
        for mine, want in zip(gradient(A, B, C, I), theirs, strict=True):
            np.testing.assert_allclose(mine, want, rtol=1e-10, atol=1e-11)


STAYS: dict[str, Callable[..., Any]] = {
    "other parts": lambda a, b, i: (tnp.exp(a @ b)[3], tnp.exp(a @ b)[4]),
    "many rows": lambda a, b, i: tnp.exp(a @ b)[np.arange(N) // 3],
    "half of the rows": lambda a, b, i: tnp.exp(a @ b)[: N // 2],
    "no rows": lambda a, b, i: tnp.exp(a @ b)[i[:0]],
    "rows of two arrays that are there": lambda a, b, i: (a * b)[i],
    "rows of an argument": lambda a, b, i: a[i] @ b,
    "sums along the axis": lambda a, b, i: tnp.cumsum(tnp.exp(a @ b), 0)[3],
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
def test_what_is_needed_whole_stays(name: str) -> None:
    with x64():
        before = cse(tr.trace(STAYS[name])(A, B, I))
    after = compute_parts(before)
    assert name == "sums along the axis" or after is before
    assert ir.flops(after) >= 0.9 * ir.flops(before)


ODD: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "a batch": (lambda xp, t, b: xp.exp(t @ b)[1, 3], (T, B)),
    "complex numbers": (lambda xp, a, b: xp.exp(xp.conj(a + 1j * b) @ (b - 1j * a))[3], (A, B)),
    "one row": (lambda xp, a, b: xp.exp(a @ b)[0], (A[:1], B)),
    "no columns": (lambda xp, a, b: xp.exp(a @ b)[2], (A, B[:, :0])),
    "nothing to sum": (lambda xp, a, b: xp.exp(a @ b)[2], (A[:, :0], B[:0])),
    "half precision": (lambda xp, a, b: xp.exp(a @ b)[3], (A.astype(np.float16), B.astype(np.float16))),
    "integers": (lambda xp, a, b: (a @ b + 1)[3], (np.arange(1600).reshape(N, N) % 7, np.eye(N, dtype=int))),
    "an index out of bounds": (lambda xp, a, b: xp.take(xp.exp(a @ b), I + 30, axis=0, mode="clip"), (A, B)),
    "filled out of bounds": (
        lambda xp, a, b: xp.take(xp.exp(a @ b), 9 * I, axis=0, mode="fill", fill_value=2.0),
        (A, B),
    ),
    "nan out of bounds": (lambda xp, a, b: xp.take(xp.exp(a @ b), 9 * I, axis=1, mode="fill"), (A, B)),
    "both": (
        lambda xp, a, b: (
            xp.take(xp.exp(a @ b), 9 * I, axis=1, mode="fill", fill_value=0.5)
            + xp.take(xp.exp(a @ b), 9 * I, axis=1, mode="clip")
        ),
        (A, B),
    ),
    "negative numbers in the index": (lambda xp, a, b: xp.exp(a @ b)[-I], (A, B)),
    "a predicate for all": (lambda xp, a, b: xp.where(a[0, 0] > 0, xp.exp(a @ b), a)[3], (A, B)),
}


@pytest.mark.parametrize("name", ODD)
def test_shapes_and_types(name: str) -> None:
    f, args = ODD[name]
    tolerance = {"rtol": 2e-3 if args[0].dtype == np.float16 else 1e-11, "atol": 1e-11}
    with x64():
        got, want = tr.jit(lambda *x: f(tnp, *x))(*args), f(jnp, *map(jnp.asarray, args))
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, **tolerance)
        if args[0].dtype.kind == "f":
            ours = lambda *x: tnp.sum(tnp.abs(f(tnp, *x)) ** 2)
            theirs = lambda *x: jnp.sum(jnp.abs(f(jnp, *x)) ** 2)
            for mine, other in zip(
                tr.jit(tr.grad(ours, (0, 1)))(*args), jax.grad(theirs, (0, 1))(*args), strict=True
            ):
                np.testing.assert_allclose(mine, other, rtol=10 * tolerance["rtol"], atol=tolerance["rtol"])


def test_rows_that_are_not_read_have_no_part_in_derivatives() -> None:
    """The logarithm of row 0 is infinite, its derivative too, and it is not read."""
    a = np.abs(A)
    a[0] = 0
    with x64():
        for index in (3, np.array([3, 5, 3])):
            loss = lambda x: tnp.sum(tnp.log(x)[index] @ B)
            (got,) = (tr.jit(tr.grad(loss))(a),)
            want = jax.grad(lambda x: jnp.sum(jnp.log(x[index]) @ B))(a)
            np.testing.assert_allclose(got, want, rtol=1e-11)


def test_what_repeats_a_part_is_not_put_into_more_zeros() -> None:
    f = lambda g, i: tnp.broadcast_to(tnp.zeros((N, N)).at[i].add(g), (3, N, N))
    with x64():
        before = cse(tr.trace(f)(A[:4], I))
    assert compute_parts(before) is before


def test_elementwise_functions_of_arguments_stay() -> None:
    with x64():
        before = cse(tr.trace(lambda a, b: tnp.exp(a * b + 1)[3])(A, B))
    assert compute_parts(before) is before


def test_exact_programs_are_left_alone() -> None:
    f = lambda a, b: tnp.log(tnp.cumsum(a @ b, 1))[np.array([1, 5])]
    exact = tr.jit(f, exact=True).ir(A, B)
    assert ir.flops(exact) > 5 * ir.flops(tr.jit(f).ir(A, B))


def test_what_is_done_is_remarked() -> None:
    function = tr.trace(lambda a, b: tnp.exp(a @ b)[I])(A, B)
    with remarks() as found:
        compute_parts(function)
    assert {each.by for each in found} == {"compute_parts"}
    assert "test_parts.py" in str(found[0].source)


# Random programs ------------------------------------------------------------------------------------


@st.composite
def programs(draw: Any) -> Callable[..., Any]:
    """A function of two matrices and an index that computes, takes parts, and differentiates."""
    choices = draw(st.lists(st.integers(0, 10**6), min_size=4, max_size=14))
    is_gradient = draw(st.booleans())

    def f(a: Any, b: Any, i: Any) -> Any:
        pool = [a, b]
        for n, choice in enumerate(choices):
            x, y = pool[choice % len(pool)], pool[choice // 7 % len(pool)]
            made = _step(x, y, i, choice // 97 % 20, n)
            if made is not None and made.ndim and 0 < made.size <= 2000:
                pool.append(made)
        return sum(tnp.sum(tnp.sin(p)) for p in (pool[-1], pool[len(pool) // 2]))

    return tr.grad(f, (0, 1)) if is_gradient else f


def _step(x: Any, y: Any, i: Any, kind: int, n: int) -> Any:
    axis = n % x.ndim
    match kind:
        case 0 | 1 | 2:
            return x @ y / 4 if x.shape[-1] == y.shape[max(y.ndim - 2, 0)] else tnp.tanh(x)
        case 3:
            return x * y if x.shape == y.shape else x * 0.5
        case 4:
            return x + y if x.shape == y.shape else -x
        case 5:
            return x.T
        case 6:
            return tnp.take(x, i % x.shape[axis], axis=axis)
        case 7:
            return tnp.take(x, i[n % 3] % x.shape[axis], axis=axis)
        case 8:
            return x[n % x.shape[0]] if x.ndim > 1 else x[n % x.shape[0] :][:1]
        case 9:
            return x[..., n % x.shape[-1]] if x.ndim > 1 else None
        case 10:
            return x[:: 2 + n % 5]
        case 11:
            return tnp.sum(x, axis) if x.ndim > 1 else None
        case 12:
            return tnp.exp(-(x**2))
        case 13:
            return tnp.where(x > 0, x, 0.0)
        case 14:
            return tnp.zeros((12, *x.shape[1:]), x.dtype).at[i].add(x[:3]) if x.shape[0] > 2 else None
        case 15:
            return tnp.pad(x, [(1, 7)] + [(0, 0)] * (x.ndim - 1))
        case 16:
            return x / (1 + y**2) if x.shape == y.shape else tnp.cumsum(x, axis)
        case 17:
            return x.reshape(-1)
        case 18:
            return x - tnp.max(x, axis=axis, keepdims=True)
        case _:
            return tnp.zeros((12, *x.shape[1:]), x.dtype).at[i[0]].set(x[0])


@given(programs(), st.integers(0, 1000))
def test_random_programs(f: Callable[..., Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    args = [*rng.uniform(-1, 1, (2, 12, 12)), rng.integers(0, 12, 3).astype(np.int32)]
    with x64():
        before = cse(tr.trace(f)(*args))
    after = compute_parts(before)
    ir.verify(after)
    want = ir.evaluate(before, *args)
    for function in (after, optimize(before)):
        for a, b in zip(ir.evaluate(function, *args), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


def test_parts_that_are_added_to_an_array_leave_the_rest_of_it() -> None:
    a, g = np.arange(64.0, dtype=np.float32).reshape(8, 8), np.ones((3, 2), np.float32)
    rows = np.array([1, 4, 6])
    padded = np.pad(g, ((0, 0), (0, 6)))

    def added(a: Any, g: Any) -> Any:
        return a.at[rows].add(tnp.pad(g, ((0, 0), (0, 6))))

    want = a.copy()
    want[rows] += padded
    np.testing.assert_array_equal(tr.jit(added)(a, g), want)
    got = tr.jit(tr.grad(lambda a, g: tnp.sum(added(a, g) ** 2), (0, 1)))(a, g)
    np.testing.assert_allclose(got[0], 2 * want)
    np.testing.assert_allclose(got[1], 2 * want[rows][:, :2])
