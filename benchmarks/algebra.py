"""Linear algebra as it is first written: through tracer, through JAX, and as an expert writes it in JAX.

Expressions of the kind that Sankaran, Alam, Karlsson and Bientinesi ask of compilers ("Benchmarking the Linear
Algebra Awareness of TensorFlow and PyTorch", IPDPSW 2022). Medians, the three sides in turn in one process. Writes
`benchmarks/results/algebra.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

import tracer as tr
import tracer.numpy as tnp
from benchmarks.loop_programs.core import normal, steady, worst_error
from benchmarks.tables import markdown, table

RESULTS = Path(__file__).parent / "results" / "algebra.md"
COLUMNS = ("expression", "tracer, ms", "JAX, ms", "by hand, ms", "tracer / by hand", "JAX / by hand")


def _chain(x: Any, A: Any, B: Any) -> Any:
    return ((A @ B @ x) ** 2).sum()


# (operands, as it is first written, by hand)
PROGRAMS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "A'A x": ("Ax", lambda xp, A, x: A.T @ A @ x, lambda A, x: A.T @ (A @ x)),
    "A'B A'B y": (
        "ABy",
        lambda xp, A, B, y: A.T @ B @ A.T @ B @ y,
        lambda A, B, y: A.T @ (B @ (A.T @ (B @ y))),
    ),
    "A' y x' A": (
        "Axy",
        lambda xp, A, x, y: A.T @ xp.outer(y, x) @ A,
        lambda A, x, y: jnp.outer(A.T @ y, x @ A),
    ),
    "AB + AC": ("ABC", lambda xp, A, B, C: A @ B + A @ C, lambda A, B, C: A @ (B + C)),
    "(A - B'B) x": ("ABx", lambda xp, A, B, x: (A - B.T @ B) @ x, lambda A, B, x: A @ x - B.T @ (B @ x)),
    "trace(AB)": ("AB", lambda xp, A, B: xp.trace(A @ B), lambda A, B: jnp.sum(A * B.T)),
    "diag(AB)": ("AB", lambda xp, A, B: xp.diag(A @ B), lambda A, B: jnp.einsum("ij,ji->i", A, B)),
    "sum(AB)": ("AB", lambda xp, A, B: xp.sum(A @ B), lambda A, B: A.sum(0) @ B.sum(1)),
    "(AB)[7]": ("AB", lambda xp, A, B: (A @ B)[7], lambda A, B: A[7] @ B),
    "diag(x) A diag(y)": (
        "Axy",
        lambda xp, A, x, y: xp.diag(x) @ A @ xp.diag(y),
        lambda A, x, y: x[:, None] * A * y,
    ),
    "(A + x y') x": (
        "Axy",
        lambda xp, A, x, y: (A + xp.outer(x, y)) @ x,
        lambda A, x, y: A @ x + x * (y @ x),
    ),
    "one-hot' A": (
        "Ap",
        lambda xp, A, p: (p[:, None] == xp.arange(len(p))).astype(A.dtype).T @ A,
        lambda A, p: jnp.zeros_like(A).at[p].add(A),
    ),
    "rows p of I, times A": ("Ap", lambda xp, A, p: xp.eye(len(p), dtype=A.dtype)[p] @ A, lambda A, p: A[p]),
    "three diagonals times A": (
        "Axy",
        lambda xp, A, x, y: (xp.diag(x) + xp.diag(y[1:], 1) + xp.diag(x[1:], -1)) @ A,
        lambda A, x, y: (
            x[:, None] * A
            + jnp.pad(y[1:, None] * A[1:], ((0, 1), (0, 0)))
            + jnp.pad(x[1:, None] * A[:-1], ((1, 0), (0, 0)))
        ),
    ),
    "inv(diag(x)) A": ("Ax", lambda xp, A, x: xp.linalg.inv(xp.diag(x)) @ A, lambda A, x: A / x[:, None]),
    "inv(A) B x": (
        "ABx",
        lambda xp, A, B, x: xp.linalg.inv(A + 4 * xp.eye(len(x), dtype=A.dtype)) @ B @ x,
        lambda A, B, x: jnp.linalg.solve(A + 4 * jnp.eye(len(x), dtype=A.dtype), B @ x),
    ),
    "diagonal blocks A, B": (
        "AB",
        lambda xp, A, B: xp.block([[A, xp.zeros_like(A)], [xp.zeros_like(A), B]]) @ xp.concatenate([B, A]),
        lambda A, B: jnp.concatenate([A @ B, B @ A]),
    ),
    "tril(1) A": (
        "A",
        lambda xp, A: xp.tril(xp.ones(A.shape, A.dtype)) @ A,
        lambda A: jnp.cumsum(A, 0),
    ),
    "A^8": (
        "A",
        lambda xp, A: A @ A @ A @ A @ A @ A @ A @ A,
        lambda A: jnp.linalg.matrix_power(A, 8),
    ),
    "(I - 2 x x') A": (
        "Ax",
        lambda xp, A, x: (xp.eye(len(x), dtype=A.dtype) - 2 * xp.outer(x, x)) @ A,
        lambda A, x: A - 2 * jnp.outer(x, x @ A),
    ),
    "sum(x y' * A)": ("Axy", lambda xp, A, x, y: xp.sum(xp.outer(x, y) * A), lambda A, x, y: x @ (A @ y)),
    "A[p] x": ("Apx", lambda xp, A, p, x: A[p] @ x, lambda A, p, x: (A @ x)[p]),
    "kron(K, L) x": (
        "KLx",
        lambda xp, K, L, x: xp.kron(K, L) @ x,
        lambda K, L, x: (K @ x.reshape(len(K), len(L)) @ L.T).ravel(),
    ),
    "log abs det(triu(A))": (
        "A",
        lambda xp, A: xp.linalg.slogdet(xp.triu(A))[1],
        lambda A: jnp.sum(jnp.log(jnp.abs(jnp.diag(A)))),
    ),
    "gradient of (AB)[2, 2] in A": (
        "AB",
        lambda xp, A, B: (tr if xp is tnp else jax).grad(lambda A: (A @ B)[2, 2])(A),
        lambda A, B: jnp.zeros_like(A).at[2].set(B[:, 2]),
    ),
    "gradient of (ABx)'(ABx) in x": (
        "xAB",
        lambda xp, x, A, B: (tr if xp is tnp else jax).grad(_chain)(x, A, B),
        lambda x, A, B: 2 * (B.T @ (A.T @ (A @ (B @ x)))),
    ),
    "gradient of trace(AB) in A": (
        "AB",
        lambda xp, A, B: (tr if xp is tnp else jax).grad(lambda A: xp.trace(A @ B))(A),
        lambda A, B: B.T + 0,
    ),
}


def operands(n: int) -> dict[str, Any]:
    """Matrices of n rows and columns, vectors, a permutation, and two matrices whose Kronecker product is n by n."""
    made = {name: normal(k, n, n) / n**0.5 for k, name in enumerate("ABC")}
    made |= {name: normal(k, n) for k, name in enumerate("xy", 3)}
    rows = max(k for k in range(1, n + 1) if k * k <= n and n % k == 0)
    made |= {"K": normal(5, rows, rows) / rows**0.5, "L": normal(6, n // rows, n // rows) * (rows / n) ** 0.5}
    return made | {"p": jnp.asarray(np.random.default_rng(0).permutation(n))}


def compiled(name: str) -> tuple[Any, Any, Any]:
    """A program through tracer, through JAX, and by hand."""
    _, naive, best = PROGRAMS[name]
    return tr.jit(lambda *args: naive(tnp, *args)), jax.jit(lambda *args: naive(jnp, *args)), jax.jit(best)


def main(*, quick: bool = False) -> None:
    """Measure and print the table."""
    n = 100 if quick else 1200
    given = operands(n)
    rows = []
    for name in track(PROGRAMS, description=f"n = {n:,}"):
        args = tuple([given[operand] for operand in PROGRAMS[name][0]])
        sides = compiled(name)
        want = sides[2](*args)
        if worst_error(sides[0](*args), want) > 1e-3:
            raise ArithmeticError(f"{name}: tracer's result is not that of the expert")
        ours, naive, best = steady(sides, args, 0.05 if quick else 2.0)
        figures = [f"{1e3 * seconds:.3f}" for seconds in (ours, naive, best)]
        rows.append((name, *figures, f"{ours / best:.2f}", f"{naive / best:.2f}"))
    Console().print(table(f"Linear algebra, n = {n:,}, float32", COLUMNS, rows))
    if not quick:
        lines = ["# Linear algebra", "", __doc__.strip().splitlines()[0], f"n = {n:,}, float32.", ""]
        RESULTS.write_text("\n".join([*lines, *markdown(COLUMNS, rows), ""]))


if __name__ == "__main__":
    main()
