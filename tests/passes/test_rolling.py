"""Re-rolling: loops are found, whatever their operands are, and mean what they meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.op import build
from ir.ops import elementwise as ops
from ir.ops import shape
from ir.passes.pipeline import optimize
from ir.passes.rolling import dead, roll, roll_exact
from ir.types import TensorType, f64
from tests.tracer.helpers import assert_close, x64

Program = Callable[[Any, Any], Any]


def rng(seed: int = 0) -> Any:
    return np.random.default_rng(seed)


def vector(n: int) -> Any:
    return rng(n).uniform(0.3, 1.2, n)


def matrix(n: int, m: int) -> Any:
    return rng(n + m).uniform(-1, 1, (n, m))


# Programs as they are first written, with an argument of size n. ---------------------------------------


def accumulated(xp: Any, x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0] - 1):
        total = total + 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


def subtracted(xp: Any, x: Any) -> Any:
    total = x[0]
    for i in range(1, x.shape[0]):
        total = total - xp.sin(x[i]) + x[i] * x[i]
    return total


def multiplied(xp: Any, x: Any) -> Any:
    product = 1.0
    for i in range(x.shape[0]):
        product = product * xp.cos(x[i])
    return product


def largest(xp: Any, x: Any) -> Any:
    best = x[0]
    for i in range(1, x.shape[0]):
        best = xp.maximum(best, xp.sin(3 * x[i]))
    return best


def strided(xp: Any, x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0] // 2):
        total = total + x[2 * i] * xp.sin(x[2 * i + 1])
    return total


def backwards(xp: Any, x: Any) -> Any:
    n = x.shape[0]
    total = 0.0
    for i in range(n):
        total = total + x[n - 1 - i] * xp.tanh(x[i])
    return total


def windows(xp: Any, x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0] - 3):
        total = total + xp.sum(xp.sin(x[i : i + 3]) * x[i + 1])
    return total


def constants(xp: Any, x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        total = total + x[i] * (i * i + 1) / (i + 2.5)
    return total


def collected(xp: Any, x: Any) -> Any:
    out, m = [], 0.0
    for t in range(x.shape[0]):
        m = 0.9 * m + 0.1 * x[t]
        out.append(xp.tanh(m))
    return xp.sum(xp.stack(out) ** 2)


def listed(xp: Any, x: Any) -> Any:
    terms = [xp.exp(-x[i]) * x[i] for i in range(x.shape[0])]
    return sum(terms)


def two_back(xp: Any, x: Any) -> Any:
    a, b = x[0], x[1]
    for _ in range(x.shape[0]):
        a, b = b, xp.sin(a) + 0.5 * b
    return a * b


def stepped(xp: Any, x: Any) -> Any:
    q = x[:4]
    for _ in range(x.shape[0]):
        acc = -9.81 * xp.sin(q[0]) - 0.1 * q[2] * xp.cos(q[1])
        q = xp.stack([q[0] + 0.01 * q[2], q[1] + 0.01 * q[3], q[2] + 0.01 * acc, q[3] - 0.01 * q[1] * q[0]])
    return xp.sum(q**2)


def two_sums(xp: Any, x: Any) -> Any:
    a, b = 0.0, 1.0
    for i in range(x.shape[0]):
        y = xp.sin(x[i])
        a = a + y
        b = b * (1 + 0.01 * y)
    return a * b


def prefix(xp: Any, x: Any) -> Any:
    total, out = 0.0, 0.0
    for i in range(x.shape[0]):
        total = total + x[i]
        out = out + xp.sin(total) * total
    return out


def previous_term(xp: Any, x: Any) -> Any:
    out, before = 0.0, x[0]
    for i in range(1, x.shape[0]):
        now = xp.sin(x[i])
        out = out + now * before
        before = now
    return out


def rows(xp: Any, m: Any) -> Any:
    total = 0.0
    for i in range(m.shape[0]):
        total = total + xp.sum(m[i] * xp.roll(m[i], 1)) ** 2
    return total


def pairs(xp: Any, m: Any) -> Any:
    energy = 0.0
    for i in range(m.shape[0]):
        for j in range(i):
            r2 = xp.sum((m[i] - m[j]) ** 2) + 0.1
            energy = energy + 1.0 / r2**3 - 1.0 / r2
    return energy


def product(xp: Any, m: Any) -> Any:
    out = []
    for i in range(m.shape[0]):
        row = []
        for j in range(m.shape[0]):
            total = 0.0
            for k in range(m.shape[1]):
                total = total + m[i, k] * m[j, k]
            row.append(total)
        out.append(xp.stack(row))
    return xp.sum(xp.sin(xp.stack(out)))


def grid(xp: Any, m: Any) -> Any:
    energy = 0.0
    for i in range(m.shape[0] - 1):
        for j in range(m.shape[1] - 1):
            energy = energy + m[i, j] * (m[i + 1, j] + m[i, j + 1])
    return energy


def horner(xp: Any, x: Any) -> Any:
    y = xp.linspace(-1.0, 1.0, 7)
    out = xp.zeros(7)
    for i in range(x.shape[0]):
        out = out * y + x[i]
    return xp.sum(out**2)


def forward_filter(xp: Any, m: Any) -> Any:
    """The forward pass of a hidden Markov model."""
    n = m.shape[1]
    step = 0.5 * xp.eye(n) + 0.5 / n
    alpha, log_likelihood = xp.ones(n) / n, 0.0
    for t in range(m.shape[0]):
        alpha = (alpha @ step) * xp.exp(m[t])
        scale = xp.sum(alpha)
        alpha = alpha / scale
        log_likelihood = log_likelihood + xp.log(scale)
    return log_likelihood


def polynomial(xp: Any, x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        total = total + xp.cos(1.0 * i) * x[0] ** i
    return total


def discounted(xp: Any, x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        total = total + x[i] * (1 + x[1]) ** -i
    return total


def ring(xp: Any, x: Any) -> Any:
    """Diffusion, the cells in a list: a step takes from the one before all around."""
    u = [x[i] for i in range(12)]
    for _ in range(x.shape[0] // 10):
        u = [u[i] + 0.1 * (u[i - 1] - 2 * u[i] + u[(i + 1) % len(u)]) for i in range(len(u))]
    return xp.sum(xp.sin(xp.stack(u)))


def sweeps(xp: Any, x: Any) -> Any:
    """Relaxation by Gauss and Seidel: a cell takes what its neighbour has just become."""
    u = [x[i] for i in range(6)]
    for _ in range(x.shape[0] // 10):
        for i in range(1, len(u) - 1):
            u[i] = 0.5 * (u[i - 1] + u[i + 1]) + 0.01 * x[i]
    return xp.sum(xp.stack(u) ** 2)


def others(xp: Any, m: Any) -> Any:
    """Every body but itself."""
    out = []
    for i in range(m.shape[0]):
        force = xp.zeros(m.shape[1])
        for j in range(m.shape[0]):
            if i != j:
                d = m[j] - m[i]
                force = force + d / (xp.sum(d**2) + 0.1) ** 1.5
        out.append(force)
    return xp.sum(xp.stack(out) ** 2)


# Arrays that shrink. -----------------------------------------------------------------------------------


def differences(xp: Any, x: Any) -> Any:
    for _ in range(x.shape[0] - 20):
        x = 0.5 * (x[1:] - x[:-1])
    return xp.sum(xp.sin(x))


def divided_differences(xp: Any, x: Any) -> Any:
    """Newton's."""
    n = x.shape[0]
    y = xp.sin(x)
    out = y[0]
    for k in range(1, n):
        y = (y[1:] - y[:-1]) / (n * (x[k:] + 0.7 * k - x[:-k]))
        out = out + y[0] * 0.9**k
    return out


def poles(xp: Any, x: Any) -> Any:
    """Where elements are equal, a slope is infinite; none of them are, but what follows them might be."""
    x = xp.cumsum(x)
    out = 0.0
    while x.shape[0] > 20:
        d = x[1:] - x[:-1]
        w = 1.0 / d
        out = out + w[0] + xp.sum((w * xp.log(d))[2:4]) + xp.sqrt(d)[-1]
        x = x[1:] + 0.01 * w + xp.cbrt(d)
    return out + xp.sum(x)


def directions(xp: Any, m: Any) -> Any:
    """Another axis is put together by slices that start at 0 along the one that shrinks."""
    p = xp.cumsum(m + 2.0, axis=0)
    while p.shape[0] > 12:
        d = p[1:] - p[:-1]
        p = p[:-1] + 0.1 * d / xp.sqrt((d * d)[:, 0:1] + (d * d)[:, 1:2])
    return xp.sum(p)


def dropped(xp: Any, x: Any) -> Any:
    """An element that overflows in the step that drops it."""
    x = xp.where(xp.arange(x.shape[0]) == 2, 1e200, x)
    while x.shape[0] > 14:
        y = (x * x)[1:]
        x = y * (1.0 - y) + 0.3
    return xp.sum(x)


def integers(xp: Any, x: Any) -> Any:
    count = xp.where(x > 0.6, 1, 3)
    while x.shape[0] > 20:
        count = count[1:] + count[:-1] % 5
        x = xp.where(count > 4, x[1:], 0.5 * x[:-1])
    return xp.sum(x * count)


def casteljau(xp: Any, m: Any) -> Any:
    """A point of a Bezier curve."""
    while m.shape[0] > 1:
        m = 0.7 * m[:-1] + 0.3 * m[1:]
    return xp.sum(m**3)


def option(xp: Any, x: Any) -> Any:
    """Early exercise on a tree; sizes fall by two."""
    prices, values = x, xp.maximum(0.8 - x, 0.0)
    while prices.shape[0] > 30:
        prices = prices[2:] * 1.01
        values = xp.maximum(0.98 * (0.6 * values[2:] + 0.4 * values[:-2]), 0.8 - prices)
    return values[0] + values[3]


def logarithms(xp: Any, x: Any) -> Any:
    while x.shape[0] > 12:
        y = xp.log(1.0 + x)
        x = xp.sqrt(y[1:] * y[:-1]) + x[1:] / y[:-1]
    return xp.sum(x)


def tridiagonal(xp: Any, x: Any) -> Any:
    """Elimination (Thomas 1949): the way back has two equations an iteration, and a list of unknowns."""
    slopes, values = [1.0 / x[0]], [x[0]]
    for i in range(1, x.shape[0]):
        pivot = 2.0 + x[i] - x[i] * slopes[i - 1]
        slopes.append(x[i] / pivot)
        values.append((x[i] - x[i - 1] * values[i - 1]) / pivot)
    unknowns = [values[-1]]
    for i in range(x.shape[0] - 2, -1, -1):
        unknowns.append(values[i] - slopes[i] * unknowns[-1])
    return xp.sum(xp.stack(unknowns) ** 2)


SHRINKING: list[Program] = [differences, divided_differences, poles, dropped, integers, option, logarithms]

VECTORS: list[Program] = [
    accumulated, subtracted, multiplied, largest, strided, backwards, windows, constants, collected, listed,
    two_back, stepped, two_sums, prefix, previous_term, horner, ring, sweeps,
]  # fmt: skip


# (program, argument of size n, two sizes)
CASES = [
    *[(f, vector, (90, 180)) for f in VECTORS],
    *[(f, vector, (60, 120)) for f in SHRINKING],
    *[(f, lambda n: matrix(n, 2), (40, 80)) for f in (casteljau, directions)],
    *[(f, vector, (70, 120)) for f in (polynomial, discounted)],  # exponents of seven digits
    (tridiagonal, vector, (40, 80)),
    *[(f, lambda n: matrix(n, 9), (30, 60)) for f in (rows, grid, forward_filter)],
    *[(f, lambda n: matrix(n, 9), (8, 16)) for f in (pairs, product, others)],
]


def traced(f: Program, x: Any) -> ir.Function:
    return tr.trace(lambda x: f(tnp, x))(x)


@pytest.mark.parametrize(("f", "argument", "sizes"), CASES, ids=[f.__name__ for f, *_ in CASES])
def test_found_and_equal(f: Program, argument: Callable[[int], Any], sizes: tuple[int, int]) -> None:
    """The rolled program has one size, however long the loop, and the same value and gradient."""
    with x64():
        lengths = []
        for n in sizes:
            x = argument(n)
            function = traced(f, x)
            for rolled in (roll(function), roll_exact(function)):
                ir.verify(rolled)
                (want,), (got,) = ir.evaluate(function, x), ir.evaluate(rolled, x)
                assert_close(got, want, 1e-12)
            lengths.append(len(optimize(function).eqns))
        assert lengths[0] == lengths[1] < 84, lengths
        x = argument(sizes[0])
        both = ir.transforms.value_and_grad(traced(f, x), [True])  # as it was written
        got = tr.jit(tr.value_and_grad(lambda x: f(tnp, x)))(jnp.asarray(x))
        for a, b in zip(got, ir.evaluate(both, x), strict=True):
            assert_close(a, b, 1e-11)


@pytest.mark.parametrize("n", [6, 1000])
def test_outer_products_are_one_product(n: int) -> None:
    """However large: a product of matrices holds no terms."""
    x, y = np.random.default_rng(0).normal(size=(2, 12, n)).astype(np.float32)

    def f(x: Any, y: Any) -> Any:
        return sum(tnp.outer(x[k], y[k]) for k in range(12))

    program = tr.jit(f).ir(x, y)
    assert [e.op.name for e in program.eqns if e.op.name != "constant"] == ["dot_general"]
    assert_close(ir.evaluate(program, x, y)[0], x.T @ y, 1e-5)
    assert "dot_general" not in {e.op.name for e in roll_exact(tr.trace(f)(x, y)).eqns}


@pytest.mark.parametrize(("step", "apart"), [(1, False), (24, False), (25, True), (30, True)])
def test_slices_that_overlap_are_not_called_apart(step: int, apart: bool) -> None:
    """An accelerator would add only one of the gradients of an element of several slices."""
    x = np.arange(50.0 + 30 * step, dtype=np.float32)
    starts = [step * ((7 * i) % 30) for i in range(30)]
    rolled = roll(tr.trace(lambda x: tnp.stack([tnp.sin(x[i : i + 25]) for i in starts]))(x))
    (found,) = [eqn for eqn in rolled.eqns if eqn.op.name == "gather"]
    assert found.attrs["unique_indices"] == apart


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "int32"])
@pytest.mark.parametrize("last", [3, 30])
def test_powers_of_tables(dtype: str, last: int) -> None:
    """Long tables of exponents are one power of floats; short ones, and those of other numbers, squares."""
    with x64():
        x = np.array([0, 1, -1, 2, -0.5, 0.75] if dtype != "int32" else [0, 1, -1, 2, -2, 3], dtype)
        function = tr.trace(lambda x: sum(x ** (7 * k % (last + 1)) * (k + 1) for k in range(31)))(x)
        for each in (roll, roll_exact):
            rolled = each(function)
            assert len(rolled.eqns) < 60 < len(function.eqns)
            is_table = each is roll and last > 3 and np.dtype(dtype).kind == "f"
            assert ("pow" in str(rolled)) == is_table
            (want,), (got,) = ir.evaluate(function, x), ir.evaluate(rolled, x)
            assert_close(got, want, 5e-2 if dtype == "float16" else 1e-5 if dtype == "complex64" else 1e-6)


def test_powers_of_few_digits_are_not_rounded_as_exponents() -> None:
    """257 is no bfloat16: what is raised to it is squared."""
    x = jnp.ones(300, jnp.bfloat16) * jnp.bfloat16(0.99)
    rolled = roll(tr.trace(lambda x: tnp.stack([x[i] ** i for i in range(300)]))(x))
    assert "pow" not in [eqn.op.name for eqn in rolled.eqns]


def test_powers_that_nothing_asks_for_have_no_derivative() -> None:
    """Whatever overflows on the way to other exponents leaves the gradient alone; so does zero."""
    for sign in (1, -1):
        with x64():
            x = np.full(40, 1.1)
            x[1] = 1e300  # to the power of one
            if sign > 0:
                x[[0, 2, 3]] = 0.0

            def f(x: Any, sign: int = sign) -> Any:
                return sum(x[i] ** (sign * i) * (1 + i) for i in range(40))

            function = tr.trace(f)(x)
            for each in (roll, roll_exact):
                rolled = each(function)
                ir.verify(rolled)
                assert (len(rolled.eqns) < 90) == (each is roll or sign > 0)
                both = ir.evaluate(ir.transforms.value_and_grad(rolled, [True]), x)
                want = jax.value_and_grad(f)(x)
                for a, b in zip(both, want, strict=True):
                    assert_close(a, b, 1e-12)


def test_what_is_cheap_and_large_is_computed_in_the_scan() -> None:
    with x64():
        function = optimize(traced(horner, vector(90)))
        (loop,) = [eqn for eqn in function.eqns if eqn.op.name == "scan"]
        stacked = loop.operands[loop.attrs["num_consts"] + loop.attrs["num_carry"] :]
        assert [v.type.shape for v in stacked] == [(90,)]


def check_derivatives(
    rolled: ir.Function, function: ir.Function, x: Any, along: Any, tolerance: float
) -> None:
    """Value, gradient, and the derivatives of both along a direction are equal."""
    found = []
    for each in (rolled, function):
        gradient = ir.transforms.value_and_grad(each, [True])
        second, _ = ir.transforms.jvp(gradient, [True])
        found.append(ir.evaluate(second, x, along))
    for a, b in zip(*found, strict=True):
        assert_close(a, b, tolerance)


@pytest.mark.parametrize("f", SHRINKING, ids=[f.__name__ for f in SHRINKING])
def test_what_follows_arrays_that_shrink_has_no_derivative(f: Program) -> None:
    """First and second derivatives of the rolled program are those of the program as it was written."""
    with x64():
        x = vector(60)
        function = traced(f, x)
        rolled = roll(function)
        assert len(rolled.eqns) < len(function.eqns) / 2
        check_derivatives(rolled, function, x, rng(3).uniform(-1, 1, x.shape), 1e-8)


def test_arrays_of_the_caller_are_not_copied_for_a_little() -> None:
    """Each would have a slice of the gradient, and a kernel for it, beside the kernel that all share."""

    def little(xs: Any) -> Any:
        return sum(tnp.sum(x**2) for x in xs)

    def more(xs: Any) -> Any:
        return sum(tnp.sum(tnp.tanh(3 * x) * tnp.exp(-x) / (1 + x * x)) for x in xs)

    xs = [np.full(7, 0.1 * i, np.float32) for i in range(30)]
    for f, is_rolled in ((little, False), (more, True)):
        function = tr.trace(f)(xs)
        rolled = roll(function)
        assert (rolled is function) is not is_rolled
        assert_close(ir.evaluate(rolled, *xs)[0], ir.evaluate(function, *xs)[0], 1e-6)


@pytest.mark.parametrize("size", [5, 100])
def test_arrays_of_the_caller_are_copied_where_one_product_takes_them_all(size: int) -> None:
    """The inputs of a recurrent network become one matrix product; weights of layers stay where they are."""

    def recurrent(xp: Any, xs: Any, w: Any) -> Any:
        h = xp.zeros(w.shape[1])
        for x in xs:
            h = xp.tanh(x @ w + 0.5 * h)
        return xp.sum(h**2)

    def layers(xp: Any, ws: Any, x: Any) -> Any:
        for w in ws:
            x = xp.tanh(x @ w)
        return xp.sum(x**2)

    with x64():
        lengths = {}
        for f, shapes in ((recurrent, ((size,), (size, 7))), (layers, ((size, size), (3, size)))):
            for n in (30, 60):
                many = [rng(k).uniform(-1, 1, shapes[0]) / size for k in range(n)]
                other = rng(n).uniform(-1, 1, shapes[1])
                function = tr.trace(lambda many, other, f=f: f(tnp, many, other))(many, other)
                rolled = roll(function)
                ir.verify(rolled)
                assert_close(*(ir.evaluate(each, *many, other)[0] for each in (rolled, function)), 1e-12)
                lengths[f, n] = len(
                    [e for e in rolled.eqns if e.op.name not in ("reshape", "broadcast_in_dim")]
                )
        assert lengths[recurrent, 30] == lengths[recurrent, 60]
        assert lengths[layers, 60] > 100


# Arrays and lists that grow --------------------------------------------------------------------------------


def lower(xp: Any, m: Any) -> Any:
    """Solves with a triangular matrix, an entry at a time."""
    x: list[Any] = []
    for i in range(m.shape[1] - 1):
        total = m[i, -1]
        for k in range(i):
            total = total - m[i, k] * x[k]
        x.append(total / (2.0 + m[i, i] ** 2))
    return xp.sum(xp.stack(x) ** 2)


def lower_by_rows(xp: Any, m: Any) -> Any:
    x = [m[0, 0]]
    for i in range(1, m.shape[0]):
        x.append(m[i, -1] - 0.5 * (m[i, :i] @ xp.stack(x)))
    return xp.sum(xp.sin(xp.stack(x)))


def memory(xp: Any, m: Any) -> Any:
    """Every state is a sum over all before, the last one first."""
    states = [m[0]]
    for t in range(1, m.shape[0]):
        s = 0.0
        for k in range(t):
            s = s + m[k, 0] * states[t - 1 - k]
        states.append(xp.tanh(s))
    return xp.sum(xp.stack(states) ** 2)


def causal(xp: Any, m: Any) -> Any:
    """Attention of every row to those before it."""
    out = []
    for i in range(m.shape[0]):
        scores = xp.stack([xp.sum(m[i] * m[j]) for j in range(i + 1)])
        weights = xp.exp(scores - xp.max(scores))
        weights = weights / xp.sum(weights)
        row = 0.0
        for j in range(i + 1):
            row = row + weights[j] * m[j, :3]
        out.append(row)
    return xp.sum(xp.stack(out) ** 2)


def levinson(xp: Any, m: Any) -> Any:
    """A list that is made anew from itself and its reverse (Durbin 1960)."""
    r = m[:, 0]
    a, error = xp.stack([0.1 * r[0]]), 4.0
    for i in range(1, m.shape[0] - 1):
        k = (r[i + 1] + xp.sum(a * r[1 : i + 1][::-1])) / error
        a = xp.concatenate([a - k * a[::-1], xp.stack([k])])
        error = error * (1.0 - 0.01 * k * k)
    return xp.sum(a**2) + error


def levinson_by_elements(xp: Any, m: Any) -> Any:
    r = m[:, 0]
    a, error = [0.1 * r[0]], 4.0
    for i in range(1, m.shape[0] - 1):
        total = r[i + 1]
        for j in range(i):
            total = total + a[j] * r[i - j]
        k = total / error
        a = [*[a[j] - k * a[i - 1 - j] for j in range(i)], k]
        error = error * (1.0 - 0.01 * k * k)
    return xp.sum(xp.stack(a) ** 2) + error


def running(xp: Any, m: Any) -> Any:
    """Reductions over all that has been seen; what is seen later is 0, where their slopes are infinite."""
    x = xp.where(xp.arange(m.shape[0]) < m.shape[0] - 2, xp.abs(m[:, 0]) + 0.1, 0.0)
    total = 0.0
    for i in range(1, m.shape[0] - 1):
        seen = x[:i]
        total = total + xp.sum(xp.sqrt(seen)) * xp.prod(xp.cos(seen)) + xp.max(xp.log(seen)) / xp.min(seen)
        total = total + xp.where(xp.any(seen > 0.9), seen[0], seen[-1])
    return total


def reduced_first(xp: Any, m: Any) -> Any:
    """What is reduced first is larger than all that the loop makes."""
    x, total = m[:, 0], 0.0
    for _ in range(m.shape[0] - 4):
        total = total + xp.max(x) * xp.sum(x)
        x = xp.tanh(x[:-1] - x[0] * x[1:])
    return total + xp.sum(x)


def outer_sums(xp: Any, m: Any) -> Any:
    """A growing axis that a product keeps, sums of the other, and one that is turned."""
    total = 0.0
    for i in range(1, m.shape[0]):
        part = m[:i] @ m[0]
        total = total + xp.sum(part * xp.sum(m[:i], axis=1)) + xp.sum(m[:i].T[::-1, ::-1][0] * part)
    return total


def two_a_step(xp: Any, m: Any) -> Any:
    """Two are appended each time."""
    kept = [m[0, 0], m[0, 1]]
    for i in range(1, m.shape[0]):
        past = xp.stack(kept)
        kept.append(xp.sin(xp.sum(past * m[i, 0])))
        kept.append(xp.cos(xp.sum(past**2)) * m[i, 1])
    return xp.sum(xp.stack(kept))


def lists_of_lists(xp: Any, m: Any) -> Any:
    """The first list has one element, which becomes a matrix at once."""
    kept, s = [], 0.3
    for i in range(m.shape[0]):
        kept.append(xp.sin(m[i, 0] + s))
        s = xp.sum(xp.stack([xp.stack(kept), m[i, 0] * xp.stack(kept)]) ** 2) / (i + 1.0)
        s = s + xp.sum(xp.stack([xp.stack(kept)]))
    return s


def elimination(xp: Any, m: Any) -> Any:
    """Gauss', an entry at a time, in place."""
    n = m.shape[1]
    a = [[m[i, j] + (4.0 if i == j else 0.0) for j in range(n)] for i in range(n)]
    for k in range(n):
        for i in range(k + 1, n):
            factor = a[i][k] / a[k][k]
            for j in range(k, n):
                a[i][j] = a[i][j] - factor * a[k][j]
    return sum([xp.log(xp.abs(a[k][k])) for k in range(n)])


# (program, its argument at a size, whether the program is as long at twice the size)
GROWING: list[tuple[Program, Callable[[int], Any], bool]] = [
    (lower, lambda n: matrix(n, n + 1), True),
    (lower_by_rows, lambda n: matrix(n, n), True),
    (memory, lambda n: matrix(n, 2), True),
    (causal, lambda n: matrix(n, 5), True),
    (levinson, lambda n: matrix(n, 1), True),
    (levinson_by_elements, lambda n: matrix(n, 1), True),
    (running, lambda n: matrix(n, 1), True),
    (outer_sums, lambda n: matrix(n, 4), True),
    (reduced_first, lambda n: matrix(n, 1), True),
    (two_a_step, lambda n: matrix(n, 2), True),
    (lists_of_lists, lambda n: matrix(n, 1), True),
    (elimination, lambda n: matrix(n // 2, n // 2), False),
]


@pytest.mark.parametrize(("f", "at", "is_level"), GROWING, ids=[f.__name__ for f, _, _ in GROWING])
def test_arrays_and_lists_that_grow(f: Program, at: Callable[[int], Any], is_level: bool) -> None:
    """First and second derivatives are those of the program as it was written, which is as long for larger ones."""
    with x64():
        x = at(20)
        function = traced(f, x)
        rolled = roll(function)
        ir.verify(rolled)
        check_derivatives(rolled, function, x, rng(3).uniform(-1, 1, x.shape), 1e-9)
        longer = traced(f, at(40))
        if is_level:
            assert len(roll(longer).eqns) <= len(rolled.eqns) + 8, (len(rolled.eqns), len(roll(longer).eqns))
        else:
            assert len(roll(longer).eqns) < len(longer.eqns) / 4


def test_the_first_iterations_of_a_list_that_grows_are_in_the_loop() -> None:
    """The element that is there before, and iterations whose inner loops are short."""
    for n in (20, 40):
        rolled = roll(tr.trace(lambda m: memory(tnp, m))(matrix(n, 2)))
        (loop,) = [eqn for eqn in rolled.eqns if eqn.op.name == "scan"]
        assert loop.attrs["length"] == n - 2
        assert len(rolled.eqns) < 36


# Planted loops -------------------------------------------------------------------------------------------

# Statements of a body: they read and write the variables of a loop. `v` are carried values, `x` an array that is
# indexed, `c` values from outside, `out` a list, `i` the iteration, `n` how many there are.
STATEMENTS: dict[str, Callable[..., None]] = {
    "carry": lambda v, x, c, out, i, n: v.__setitem__(0, tnp.sin(v[0]) * 0.9 + v[1] * c[0]),
    "swap": lambda v, x, c, out, i, n: v.__setitem__(slice(None), [v[1], v[0] * 0.5 + c[1], *v[2:]]),
    "add": lambda v, x, c, out, i, n: v.__setitem__(2, v[2] + x[i] * x[i + 1] - tnp.cos(x[i])),
    "add carried": lambda v, x, c, out, i, n: v.__setitem__(3, v[3] + v[0] * x[2 * i]),
    "multiply": lambda v, x, c, out, i, n: v.__setitem__(4, v[4] * (1 + 0.1 * tnp.sin(x[n - i]))),
    "literal": lambda v, x, c, out, i, n: v.__setitem__(2, v[2] + (0.3 * i - 1) * tnp.tanh(x[i])),
    "irregular": lambda v, x, c, out, i, n: v.__setitem__(2, v[2] - x[(7 * i * i + 3) % n] * c[0]),
    "collect": lambda v, x, c, out, i, n: out.append(tnp.exp(-x[i]) * c[1] + v[1]),
    "collect alone": lambda v, x, c, out, i, n: out.append(x[i] / (1 + x[i + 1] ** 2)),
    "window": lambda v, x, c, out, i, n: v.__setitem__(2, v[2] + tnp.sum(x[i : i + 3] ** 2)),
    "branch": lambda v, x, c, out, i, n: v.__setitem__(2, v[2] + (x[i] if i % 2 else 2 * x[i] * c[0])),
    "first": lambda v, x, c, out, i, n: v.__setitem__(3, x[0] * c[0] if i == 0 else v[3] + tnp.sin(v[3])),
}
LOOP_FREE = {
    "squares": lambda v, x, c: v.__setitem__(1, v[1] + x[3] * x[3]),
    "waves": lambda v, x, c: v.__setitem__(0, tnp.sin(v[0]) + tnp.cos(x[1]) * v[1]),
    "whole": lambda v, x, c: v.__setitem__(2, v[2] + tnp.sum(x * c[0])),
}


@st.composite
def planted(draw: st.DrawFn) -> tuple[list[Any], list[int], bool]:
    """Loops, nested loops, and what stands between them; the carries that are used at the end; a flag."""
    names = st.lists(st.sampled_from(sorted(STATEMENTS)), min_size=1, max_size=4)
    blocks: list[Any] = []
    for _ in range(draw(st.integers(1, 2))):
        between = draw(st.lists(st.sampled_from(sorted(LOOP_FREE)), max_size=2))
        body, inner = draw(names), draw(st.none() | names)
        # What stands before an inner loop may not be one more iteration of it.
        assume(inner is None or body[-len(inner) :] != inner)
        blocks.append((between, body, inner, draw(st.integers(5, 9))))
    used = draw(st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True))
    return blocks, used, draw(st.booleans())


def run_planted(blocks: list[Any], used: list[int], x: Any, trips: int) -> Any:
    c = [0.7 * x[0], 0.2 + x[1]]
    v = [x[0], x[1], 0.0, 0.0, 1.0]
    out: list[Any] = []
    for between, names, inner, inner_trips in blocks:
        for name in between:
            LOOP_FREE[name](v, x, c)
        outer = trips if inner else 8 * trips
        for i in range(outer):
            for name in names:
                STATEMENTS[name](v, x, c, out, i, outer)
            turns = inner_trips(i) if callable(inner_trips) else inner_trips
            for j in range(turns if inner else 0):
                for name in inner:
                    STATEMENTS[name](v, x, c, out, j, turns)
    return sum([v[k] for k in used]) + (tnp.sum(tnp.stack(out) ** 2) if out else 0.0)


@given(planted(), st.booleans())
def test_triangular_loops(program: tuple[list[Any], list[int], bool], falls: bool) -> None:
    """Inner loops that get longer, or shorter, with every iteration of the outer one: value and gradient stay."""
    blocks, used, exact = program
    with x64():
        x = rng(1).uniform(0.2, 1.0, 400)
        n = 14
        trips: Callable[[int], int] = (lambda i: n - i) if falls else (lambda i: i)
        shape = [(between, names, inner, trips) for between, names, inner, _ in blocks]
        function = traced(lambda xp, x: run_planted(shape, used, x, n), x)
        rolled = (roll_exact if exact else roll)(function)
        ir.verify(rolled)
        want = ir.evaluate(ir.transforms.value_and_grad(function, [True]), x)
        got = ir.evaluate(ir.transforms.value_and_grad(rolled, [True]), x)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, 1e-11)


@given(planted())
def test_planted_loops(program: tuple[list[Any], list[int], bool]) -> None:
    """Value and gradient stay; the program is as long for twice the trips."""
    blocks, used, exact = program
    with x64():
        x = rng(1).uniform(0.2, 1.0, 2 * 8 * 2 * 16 + 3)
        lengths = []
        for trips in (16, 32):
            function = traced(lambda xp, x, trips=trips: run_planted(blocks, used, x, trips), x)
            rolled = (roll_exact if exact else roll)(function)
            ir.verify(rolled)
            lengths.append((len(function.eqns), len(rolled.eqns)))
            if trips == 16:
                want = ir.evaluate(ir.transforms.value_and_grad(function, [True]), x)
                got = ir.evaluate(ir.transforms.value_and_grad(rolled, [True]), x)
                for a, b in zip(got, want, strict=True):
                    assert_close(a, b, 1e-11)
        (_, short), (unrolled, long) = lengths
        assert long <= short + 8 or long < 0.2 * unrolled, (lengths, blocks, used)


# Equations that repeat, with whatever operands -----------------------------------------------------------


def repeated(seed: int) -> ir.Function:
    """Blocks of equations that repeat; most operands follow a pattern, some do not."""
    g = np.random.default_rng(seed)
    unary, binary = (ops.sin, ops.cos, ops.tanh, ops.neg), (ops.add, ops.sub, ops.mul, ops.max)
    scalar = TensorType((), f64)
    noise = g.choice([0.0, 0.0, 0.003, 0.03])

    def program(x: Any, a: Any, b: Any) -> Any:
        values = [a, b]

        def element(start: int) -> Any:
            return shape.reshape(shape.slice(x, starts=(start,), limits=(start + 1,), strides=(1,)), shape=())

        for _ in range(int(g.integers(1, 4))):
            block = []
            for _ in range(int(g.integers(1, 6))):
                kind = g.choice(["unary", "binary", "binary", "element"])
                back = [int(n) for n in g.integers(1, 9, 2)]
                fixed = [bool(n) for n in g.random(2) < 0.2]
                block.append(
                    (kind, g.integers(4), back, fixed, int(g.integers(0, 5)), int(g.integers(-2, 4)))
                )
            held = list(values)
            for trip in range(int(g.integers(3, 40))):
                for kind, which, back, fixed, start, step in block:
                    chosen = [
                        held[n % len(held)] if is_fixed else values[max(-n, -len(values))]
                        for n, is_fixed in zip(back, fixed, strict=True)
                    ]
                    if g.random() < noise:
                        chosen[0] = values[int(g.integers(len(values)))]
                    if kind == "unary":
                        values.append(unary[which](chosen[0]))
                    elif kind == "binary":
                        values.append(binary[which](*chosen))
                    else:
                        values.append(element((start + step * trip) % 60 if step < 3 else (trip * trip) % 60))
                    if len(values) % 3 == 0 and kind != "element":  # keeps numbers small
                        values[-1] = ops.tanh(values[-1])
        return [values[int(i)] for i in g.integers(0, len(values), 3)] + values[-2:]

    return build([TensorType((60,), f64), scalar, scalar], program)


@given(st.integers(0, 10**9))
def test_whatever_repeats_keeps_its_meaning(seed: int) -> None:
    function = repeated(seed)
    x = rng(seed % 97).uniform(-1, 1, 60)
    want = ir.evaluate(function, x, 0.3, -0.7)
    for each in (roll, roll_exact):
        rolled = each(function)
        ir.verify(rolled)
        for a, b in zip(ir.evaluate(rolled, x, 0.3, -0.7), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * max(1.0, float(np.max(np.abs(b)))))


# Infinite slopes and overflow ---------------------------------------------------------------------------


def last_but_one(xp: Any, x: Any) -> Any:
    held = [x]
    for i in range(20):
        held.append(held[-1] / xp.linalg.norm(x[0] - i))
    return xp.sum(held[-2])


def first_of_list(xp: Any, x: Any) -> Any:
    roots = [xp.sqrt(x[i]) for i in range(30)]
    return roots[0] + roots[1]


def one_of_list(xp: Any, x: Any) -> Any:
    return [xp.sqrt(x[i]) * x[i + 1] for i in range(29)][1]


def every_other(xp: Any, x: Any) -> Any:
    return sum([1 / (x[i] - 4) for i in range(30)][2::2])


def one_step_less(xp: Any, x: Any) -> Any:
    a, before = 1.5, 0.0
    for i in range(2, 30):
        before = a
        a = xp.sin(a) / (x[i] + (i < 29))
    return before


def filtered(xp: Any, x: Any) -> Any:
    """The last update is not used. It divides by the last element, and multiplies what that gives."""
    mean, loss = 0.5, 0.0
    for i in range(30):
        mean, spread = 0.9 * mean, xp.cos(mean)
        loss = loss + (mean - x[i]) ** 2 * spread
        gain = mean / (x[i] + (i < 29))
        mean = xp.tanh(mean + gain * xp.log(gain * gain + spread**2))
    return loss


def overflowing(xp: Any, x: Any) -> Any:
    """The numbers of the last update leave the range."""
    a, loss = x[0], 0.0
    for i in range(30):
        a, b = 0.5 * xp.sin(a), xp.cos(a)
        loss = loss + a * b
        c = xp.exp(0.1 * a + (0.01 if i < 29 else 80.0)) + b
        a = 0.5 * a * xp.cos(c * c * 0.1 * x[i])
    return loss


def turning(xp: Any, x: Any) -> Any:
    """Products of small matrices, the last two steps unused."""
    q = xp.stack([xp.stack([x[0], -x[1]]), xp.stack([x[1], x[0]])]) / 8.0
    v, held = x[:2], []
    for i in range(30):
        held.append(v)
        w = xp.sqrt(v[0] ** 2 + (i < 28)) + x[i]
        v = 0.1 * (q @ v) + q[0] * w + (q @ (q @ v)) / w
    return xp.sum(xp.stack(held[:-2]))


# (the first two are 4, the others 0; where the derivative of what is not used is infinite)
UNUSED = [
    last_but_one, first_of_list, one_of_list, every_other, one_step_less, filtered, overflowing, turning,
]  # fmt: skip


@pytest.fixture(params=[True, False], ids=["outside", "inside"])
def outside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether iterations of which a part is dead stay outside where they can."""
    if not request.param:
        monkeypatch.setattr(dead, "_SHORT", 0)
    return bool(request.param)


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("f", UNUSED, ids=lambda f: f.__name__)
def test_what_is_not_used_has_no_derivative(f: Callable[..., Any]) -> None:
    x = jnp.where(jnp.arange(30) < 2, 4.0, 0.0)
    x = jnp.full(30, 19.0) if f is last_but_one else x
    want = jax.grad(lambda x: f(jnp, x))(x)
    assert np.isfinite(want).all()
    for got in (tr.grad(lambda x: f(tnp, x))(x), tr.jit(tr.grad(lambda x: f(tnp, x)))(x)):
        np.testing.assert_allclose(got, want, rtol=1e-5)
    got = jax.grad(tr.jit(lambda x: f(tnp, x)))(x)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("f", [filtered, overflowing, turning, one_step_less], ids=lambda f: f.__name__)
def test_an_iteration_of_which_a_part_is_dead_is_in_the_loop(f: Callable[..., Any], outside: bool) -> None:
    """Or just beside it, where it would need harmless operands."""
    function = tr.trace(lambda x: f(tnp, x))(vector(30))
    rolled = roll(function)
    ir.verify(rolled)
    (loop,) = [eqn for eqn in rolled.eqns if eqn.op.name == "scan"]
    lengths = {filtered: (28, 29), overflowing: (29, 30), turning: (27, 30), one_step_less: (27, 28)}[f]
    assert loop.attrs["length"] == lengths[0 if outside else 1]
    assert len(rolled.eqns) < 60
    with x64():
        x = vector(30)
        function = traced(f, x)
        check_derivatives(roll(function), function, x, np.cos(x), 1e-8)


@pytest.mark.usefixtures("outside")
def test_what_is_dead_may_read_what_is_no_number() -> None:
    """A missing observation in the last step, which has no influence, in products and contractions."""

    def scaled(xp: Any, theta: Any, data: Any) -> Any:
        mean, loss = 0.5, 0.0
        for y, w in [(r[0], r[1]) for r in data]:
            mean, spread = 0.9 * mean, xp.cos(mean)
            loss = loss + (mean - y) ** 2 * spread
            gain = mean * w
            mean = xp.tanh(theta * mean + gain * (gain * gain + spread**2))
        return loss

    def contracted(xp: Any, theta: Any, data: Any) -> Any:
        h, loss = xp.ones(2), 0.0
        for b in list(data):
            h, c = 0.9 * theta * h, xp.cos(h)
            loss = loss + xp.sum(h**2 * c)
            h = xp.tanh(h + (h @ b) * c)
        return loss

    for missing in (np.nan, np.inf):
        data = np.linspace(0.1, 0.9, 60, dtype=np.float32).reshape(30, 2)
        data[-1, 1] = missing
        for f in (scaled, contracted):
            want = jax.grad(lambda t: f(jnp, t, data))(0.7)
            for got in (
                tr.grad(lambda t: f(tnp, t, data))(0.7),
                tr.jit(tr.grad(lambda t: f(tnp, t, data)))(0.7),
            ):
                np.testing.assert_allclose(got, want, rtol=1e-4)


def test_loops_over_arrays_of_which_the_first_is_empty_or_large() -> None:
    def summed(xp: Any, recent: Any, x: Any) -> Any:
        total = 0.0
        for i in range(1, 18):
            s = xp.sum(recent)
            recent = xp.sin(x[:i] * s * 0.1 + 0.1)
            total = total + s
        return total

    x = np.linspace(0.1, 1, 40, dtype=np.float32)
    for start in (0, 40):
        got = tr.jit(lambda x, start=start: summed(tnp, x[:start], x))(x)
        np.testing.assert_allclose(got, summed(jnp, x[:start], x), rtol=1e-5)


def test_what_is_only_returned_beside_has_no_derivative() -> None:
    """An auxiliary result, and what is held constant, are in no loop with what is differentiated."""
    x = jnp.where(jnp.arange(40) < 5, 4.0, 0.0)
    want = np.where(np.arange(40) < 5, 0.25, 0.0)

    def beside(x: Any) -> Any:
        roots = [tnp.sqrt(x[i]) for i in range(40)]
        return sum(roots[:5]), roots

    def held(x: Any) -> Any:
        roots = [tnp.sqrt(x[i]) for i in range(40)]
        return sum(roots[:5]) + sum([tr.stop_gradient(r) for r in roots])

    for wrap in (lambda f: f, tr.jit):
        np.testing.assert_allclose(wrap(tr.grad(beside, has_aux=True))(x)[0], want)
        np.testing.assert_allclose(wrap(tr.grad(held))(x), want)
        np.testing.assert_allclose(wrap(lambda x: tr.vjp(beside, x, has_aux=True)[1](1.0)[0])(x), want)
        tangent = jnp.ones(40)
        np.testing.assert_allclose(wrap(lambda x, t: tr.jvp(held, (x,), (t,))[1])(x, tangent), 1.25)
        np.testing.assert_allclose(wrap(tr.jacfwd(lambda x: beside(x)[0]))(x), want)
    roots = tr.grad(beside, has_aux=True)(x)[1]
    np.testing.assert_allclose(roots, np.sqrt(x), rtol=1e-6)


def test_selections_stay_with_what_they_select() -> None:
    def f(x: Any) -> Any:
        a = 0.0
        for i in range(30):
            a = tnp.where(x[i] > 0, tnp.log(x[i]), a * 0.5)
        return a

    x = jnp.where(jnp.arange(30) % 3 == 0, 2.0, 0.0)
    want = tr.jit(tr.grad(f), opt=0)(x)
    assert np.isfinite(want).all()
    for got in (tr.grad(f)(x), tr.jit(tr.grad(f))(x)):
        np.testing.assert_allclose(got, want)


@pytest.mark.parametrize("exact", [False, True])
def test_products_overflow_no_sooner_than_in_turn(exact: bool) -> None:
    def product(xp: Any, x: Any, start: Any = 1.0) -> Any:
        for i in range(x.shape[0]):
            start = start * x[i]
        return start

    ours = lambda f: tr.jit(f, exact=exact)
    large = jnp.full(30, 1e30, np.float32)
    assert ours(lambda x, s: product(tnp, x, s))(large, jnp.float32(0)) == 0
    assert ours(lambda x: product(tnp, x))(large.at[0].set(0)) == 0
    x = jnp.tile(jnp.array([1e25, 1e-25], np.float32), 20)
    want = jax.grad(lambda x: product(jnp, x))(x)
    assert np.isfinite(want).all()
    np.testing.assert_allclose(ours(tr.grad(lambda x: product(tnp, x)))(x), want, rtol=1e-5)
