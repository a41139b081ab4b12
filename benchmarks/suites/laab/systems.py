"""Linear systems. LAAB has none; these are of the kind that its authors' compiler is given.

H. Barthels, C. Psarras, P. Bientinesi, "Linnea: automatic generation of efficient linear algebra programs", ACM TOMS
47(3), 2021. May import: NumPy; what is spelled for one library, that library, where it is called.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.laab.core import Program, Test, column, normal, square

_SOURCE = (
    "of the kind in H. Barthels, C. Psarras, P. Bientinesi, Linnea, ACM TOMS 47(3), 2021, arXiv:1912.12924"
)
# In single precision, of well-conditioned systems.
_TOLERANCE = 1e-3


def _regular(n: int) -> Any:
    """A matrix of small condition."""
    return np.random.default_rng(9).normal(size=(n, n)) / n**0.5 + 3 * np.eye(n)


def _with(*shapes: Any) -> Any:
    """A regular matrix, and others."""
    return lambda n: (_regular(n), *normal(*shapes)(n))


def _definite(n: int) -> tuple[Any, Any]:
    A, b = normal(square, column)(n)
    return A @ A.T + np.eye(n), b


def _triangular(n: int) -> tuple[Any, Any]:
    return np.tril(_regular(n)), *normal(column)(n)


def _jax_substituted(lib: Any, L: Any, b: Any) -> Any:
    from jax.scipy.linalg import solve_triangular

    return solve_triangular(L, b, lower=True)


def _tracer_substituted(lib: Any, L: Any, b: Any) -> Any:
    import tracer as tr

    return tr.linalg.solve_triangular(L, b, lower=True)


def _jax_cholesky(lib: Any, S: Any, b: Any) -> Any:
    from jax.scipy.linalg import cho_factor, cho_solve

    return cho_solve(cho_factor(S, lower=True), b)


def _tracer_cholesky(lib: Any, S: Any, b: Any) -> Any:
    import tracer as tr

    return tr.linalg.cho_solve(tr.linalg.cho_factor(S, lower=True), b)


def _assumed_definite(lib: Any, S: Any, b: Any) -> Any:
    import tracer as tr

    return lib.np.linalg.solve(tr.assume(S, "positive_definite"), b)


def _solved(lib: Any, A: Any, b: Any) -> Any:
    return lib.np.linalg.solve(A, b)


def _inverted(lib: Any, A: Any, b: Any) -> Any:
    return lib.np.linalg.inv(A) @ b


def _test(name: str, inputs: Any, forms: dict[str, Program], by_hand: Program, **more: Any) -> Test:
    return Test(name, inputs, forms, by_hand, tolerance=_TOLERANCE, source=_SOURCE, **more)


SYSTEMS = (
    _test("inv(A) b", _with(column), {"inverse": _inverted}, _solved),
    _test("inv(A) B", _with(square), {"inverse": _inverted}, _solved),
    _test(
        "B inv(A)",
        _with(square),
        {"inverse": lambda lib, A, B: B @ lib.np.linalg.inv(A)},
        lambda lib, A, B: lib.np.linalg.solve(A.T, B.T).T,
    ),
    _test(
        "inv(A) B x",
        _with(square, column),
        {
            "inverse": lambda lib, A, B, x: lib.np.linalg.inv(A) @ B @ x,
            "solve": lambda lib, A, B, x: lib.np.linalg.solve(A, B) @ x,
        },
        lambda lib, A, B, x: lib.np.linalg.solve(A, B @ x),
    ),
    _test(
        "y' inv(A) B",
        _with(square, column),
        {"inverse": lambda lib, A, B, y: y.T @ lib.np.linalg.inv(A) @ B},
        lambda lib, A, B, y: lib.np.linalg.solve(A.T, y).T @ B,
    ),
    _test(
        "inv(A) b, inv(A) c",
        _with(column, column),
        {
            "inverse": lambda lib, A, b, c: (lib.np.linalg.inv(A) @ b, lib.np.linalg.inv(A) @ c),
            "solve": lambda lib, A, b, c: (lib.np.linalg.solve(A, b), lib.np.linalg.solve(A, c)),
        },
        lambda lib, A, b, c: _parted(lib.np.linalg.solve(A, lib.np.concatenate([b, c], axis=1))),
    ),
    _test(
        "inv(L) b",
        _triangular,
        {
            "solve": _solved,
            "said": lambda lib, L, b: lib.np.linalg.solve(lib.np.tril(L), b),
            "said, inverse": lambda lib, L, b: lib.np.linalg.inv(lib.np.tril(L)) @ b,
        },
        _solved,
        spelled={"by hand": {"jax": _jax_substituted, "tracer": _tracer_substituted}},
    ),
    _test(
        "inv(S) b",
        _definite,
        {"inverse": _inverted, "solve": _solved},
        _solved,
        spelled={
            "solve": {"tracer": _assumed_definite},
            "by hand": {"jax": _jax_cholesky, "tracer": _tracer_cholesky},
        },
    ),
    _test(
        "inv(D) B",
        lambda n: (1 + np.random.default_rng(8).uniform(size=n), *normal(square)(n)),
        {
            "inverse": lambda lib, d, B: lib.np.linalg.inv(lib.np.diag(d)) @ B,
            "solve": lambda lib, d, B: lib.np.linalg.solve(lib.np.diag(d), B),
        },
        lambda lib, d, B: B / d[:, None],
    ),
)


def _parted(both: Any) -> tuple[Any, Any]:
    return both[:, :1], both[:, 1:]


__all__ = ["SYSTEMS"]
