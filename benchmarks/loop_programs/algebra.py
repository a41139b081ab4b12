"""Linear algebra, polynomials, iterations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.loop_programs.core import Program, f32, normal, uniform


def matmul(xp: Any, n: int, a: Any, b: Any) -> Any:
    """A product of matrices by three loops."""
    rows = []
    for i in range(a.shape[0]):
        row = []
        for j in range(b.shape[1]):
            total = 0.0
            for k in range(b.shape[0]):
                total = total + a[i, k] * b[k, j]
            row.append(total)
        rows.append(xp.stack(row))
    return xp.sum(xp.sin(xp.stack(rows)))


def matmul_expert(n: int, a: Any, b: Any) -> Any:
    return jnp.sum(jnp.sin(a @ b))


def convolution(xp: Any, n: int, image: Any, kernel: Any) -> Any:
    """A filtered image by four loops."""
    size = kernel.shape[0]
    loss = 0.0
    for i in range(image.shape[0] - size + 1):
        for j in range(image.shape[1] - size + 1):
            total = 0.0
            for k in range(size):
                for l in range(size):
                    total = total + image[i + k, j + l] * kernel[k, l]
            loss = loss + xp.tanh(total)
    return loss


def convolution_expert(n: int, image: Any, kernel: Any) -> Any:
    size = kernel.shape[0]
    rows, columns = image.shape[0] - size + 1, image.shape[1] - size + 1
    shifted = [image[k : k + rows, l : l + columns] * kernel[k, l] for k in range(size) for l in range(size)]
    return jnp.sum(jnp.tanh(sum(shifted)))


def moving_window(xp: Any, n: int, x: Any, kernel: Any) -> Any:
    """A filtered series, a window at a time, collected in a list."""
    size = kernel.shape[0]
    out = []
    for i in range(n):
        out.append(xp.sum(x[i : i + size] * kernel))
    return xp.sum(xp.tanh(xp.stack(out)))


def moving_window_expert(n: int, x: Any, kernel: Any) -> Any:
    windows = np.arange(n)[:, None] + np.arange(kernel.shape[0])
    return jnp.sum(jnp.tanh(x[windows] @ kernel))


def horner(xp: Any, n: int, coefficients: Any, x: Any) -> Any:
    """A polynomial at many points."""
    y = 0.0 * x
    for k in range(n):
        y = y * x + coefficients[k]
    return xp.sum(y * y)


def horner_expert(n: int, coefficients: Any, x: Any) -> Any:
    y, _ = jax.lax.scan(lambda y, c: (y * x + c, None), jnp.zeros_like(x), coefficients)
    return jnp.sum(y * y)


def kepler_step(xp: Any, e: Any, m: Any, x: Any) -> Any:
    return x - (x - e * xp.sin(x) - m) / (1.0 - e * xp.cos(x))


def newton(xp: Any, n: int, e: Any, m: Any) -> Any:
    """Newton's method for Kepler's equation, so many steps."""
    x = m
    for _ in range(n):
        x = kepler_step(xp, e, m, x)
    return xp.sum(x * x)


def newton_expert(n: int, e: Any, m: Any) -> Any:
    x, _ = jax.lax.scan(lambda x, _: (kepler_step(jnp, e, m, x), None), m, None, length=n)
    return jnp.sum(x * x)


def sinkhorn(xp: Any, n: int, costs: Any, a: Any, b: Any) -> Any:
    """The regularised cost of transport from one histogram to another (Cuturi 2013)."""
    kernel = xp.exp(-2.0 * costs)
    v = b
    for _ in range(n):
        u = a / (kernel @ v)
        v = b / (kernel.T @ u)
    return xp.sum(u[:, None] * kernel * v * costs)


def sinkhorn_expert(n: int, costs: Any, a: Any, b: Any) -> Any:
    kernel = jnp.exp(-2.0 * costs)

    def step(state: Any, _: Any) -> Any:
        u = a / (kernel @ state[1])
        return (u, b / (kernel.T @ u)), None

    (u, v), _ = jax.lax.scan(step, (a, b), None, length=n)
    return jnp.sum(u[:, None] * kernel * v * costs)


def power_iteration(xp: Any, n: int, a: Any, v: Any) -> Any:
    """The largest eigenvalue of a symmetric matrix."""
    for _ in range(n):
        v = a @ v
        v = v / xp.sqrt(xp.sum(v * v))
    return v @ (a @ v)


def power_iteration_expert(n: int, a: Any, v: Any) -> Any:
    def step(v: Any, _: Any) -> Any:
        v = a @ v
        return v / jnp.sqrt(jnp.sum(v * v)), None

    v, _ = jax.lax.scan(step, v, None, length=n)
    return v @ (a @ v)


def spline(xp: Any, n: int, knots: Any, seen: Any) -> Any:
    """A fit of a piecewise cubic (Catmull and Rom 1974) through equidistant knots to n points."""
    pieces = knots.shape[0] - 3
    loss = 0.0
    for k in range(n):
        t = k * pieces / n
        i = int(t)
        t = t - i
        a, b, c, d = knots[i], knots[i + 1], knots[i + 2], knots[i + 3]
        y = b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
        loss = loss + (y - seen[k]) ** 2
    return loss / n


def spline_expert(n: int, knots: Any, seen: Any) -> Any:
    t = np.arange(n) * (knots.shape[0] - 3) / n
    i = t.astype(np.int32)
    t = (t - i).astype(np.float32)
    a, b, c, d = (knots[i + k] for k in range(4))
    y = b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
    return jnp.sum((y - seen) ** 2) / n


def gram_schmidt(xp: Any, n: int, a: Any, weights: Any) -> Any:
    """Orthogonal columns, one after the other."""
    basis: list[Any] = []
    for i in range(n):
        v = a[:, i]
        for q in basis:
            v = v - (q @ v) * q
        basis.append(v / xp.sqrt(xp.sum(v * v)))
    return xp.sum(weights * xp.stack(basis))


def gram_schmidt_expert(n: int, a: Any, weights: Any) -> Any:
    q, r = jnp.linalg.qr(a)
    return jnp.sum(weights.T * q * jnp.sign(jnp.diag(r)))


def cholesky(xp: Any, n: int, a: Any) -> Any:
    """The logarithm of a determinant by Cholesky's factors, an entry at a time."""
    rows: list[list[Any]] = []
    loss = 0.0
    for i in range(n):
        row: list[Any] = []
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total = total - row[k] * (rows[j][k] if j < i else row[k])
            row.append(total / rows[j][j] if j < i else xp.sqrt(total))
        rows.append(row)
        loss = loss + 2.0 * xp.log(row[i])
    return loss


def cholesky_expert(n: int, a: Any) -> Any:
    a = jnp.tril(a) + jnp.tril(a, -1).T  # the loop reads the lower triangle
    return 2.0 * jnp.sum(jnp.log(jnp.diag(jnp.linalg.cholesky(a))))


def substitution(xp: Any, n: int, a: Any, b: Any) -> Any:
    """A triangular system, an unknown at a time."""
    x: list[Any] = []
    for i in range(n):
        total = b[i]
        for k in range(i):
            total = total - a[i, k] * x[k]
        x.append(total / a[i, i])
    return xp.sum(xp.stack(x) ** 2)


def substitution_expert(n: int, a: Any, b: Any) -> Any:
    return jnp.sum(jax.scipy.linalg.solve_triangular(a, b, lower=True) ** 2)


def causal_attention(xp: Any, n: int, queries: Any, keys: Any, values: Any) -> Any:
    """Every position attends to those before it."""
    out = []
    for i in range(n):
        weights = xp.exp(xp.stack([xp.sum(queries[i] * keys[j]) for j in range(i + 1)]))
        weights = weights / xp.sum(weights)
        row = 0.0
        for j in range(i + 1):
            row = row + weights[j] * values[j]
        out.append(row)
    return xp.sum(xp.stack(out) ** 2)


def causal_attention_expert(n: int, queries: Any, keys: Any, values: Any) -> Any:
    weights = jnp.tril(jnp.exp(queries @ keys.T))
    return jnp.sum((weights / jnp.sum(weights, axis=1, keepdims=True) @ values) ** 2)


def _triangular(n: int) -> Any:
    return jnp.tril(0.2 * normal(0, n, n)) + 2.0 * jnp.eye(n, dtype=jnp.float32)


def _symmetric(n: int) -> Any:
    a = normal(0, n, n)
    return a @ a.T / n + jnp.eye(n)


PROGRAMS = (
    Program("triple-loop matmul", 6, matmul, matmul_expert, lambda n: (normal(0, n, 8), normal(1, 8, 8))),
    Program("convolution", 6, convolution, convolution_expert, lambda n: (normal(0, n, 10), normal(1, 3, 3))),
    Program(
        "moving window", 160, moving_window, moving_window_expert, lambda n: (normal(0, n + 24), normal(1, 25))
    ),
    Program(
        "Horner", 120, horner, horner_expert, lambda n: (normal(0, n), uniform(1, 64, low=-0.98, high=0.98))
    ),
    Program("Newton", 60, newton, newton_expert, lambda n: (uniform(0, 64, high=0.7), uniform(1, 64, high=3.0))),
    Program(
        "Sinkhorn", 100, sinkhorn, sinkhorn_expert,
        lambda n: (uniform(0, 24, 20), f32(np.full(24, 1 / 24)), f32(np.full(20, 1 / 20))),
        tolerance=1e-4,
    ),
    Program(
        "power iteration", 90, power_iteration, power_iteration_expert,
        lambda n: (_symmetric(32), normal(1, 32)), tolerance=1e-4,
    ),
    Program("spline", 40, spline, spline_expert, lambda n: (normal(0, 16), normal(1, n))),
    Program(
        "Gram-Schmidt", 16, gram_schmidt, gram_schmidt_expert,
        lambda n: (normal(0, 96, n), normal(1, n, 96)),
        tolerance=1e-4,  # the value is a sum that cancels: the expert's own error is 3e-5 of it at n = 64
    ),
    Program("Cholesky", 9, cholesky, cholesky_expert, lambda n: (_symmetric(n),)),
    Program(
        "substitution", 25, substitution, substitution_expert, lambda n: (_triangular(n), normal(1, n)),
    ),
    Program(
        "causal attention", 12, causal_attention, causal_attention_expert,
        lambda n: (0.3 * normal(0, n, 8), 0.3 * normal(1, n, 8), normal(2, n, 8)),
    ),
)  # fmt: skip
