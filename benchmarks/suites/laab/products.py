"""Products of two matrices: general, and of matrices with a structure.

As in LAAB, structured matrices are given as data (`operator`, `matmul`), and nothing in the program says what they are:
no compiler can know. `said` is the same product where the program itself says it, as their users would. May import:
NumPy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.suites.laab.core import Program, Test, normal, square

# Panels of a triangular or symmetric product: (k + 1) / 2k of the operations of a general one.
_PANELS = 4


def _masked(mask: Callable[[Any], Any]) -> Callable[[int], tuple[Any, ...]]:
    """Two matrices of which the first one is zero outside a mask."""

    def inputs(n: int) -> tuple[Any, ...]:
        A, B = normal(square, square)(n)
        return mask(A), B

    return inputs


def _banded(A: Any, width: int) -> Any:
    return np.triu(np.tril(A, width), -width)


def _cuts(n: int) -> list[tuple[int, int]]:
    """Where panels begin and end."""
    bounds = [n * k // _PANELS for k in range(_PANELS + 1)]
    return list(itertools.pairwise(bounds))


def _triangular(lib: Any, L: Any, B: Any) -> Any:
    """Each panel of rows of L by the columns that it has."""
    return lib.np.concatenate([L[a:b, :b] @ B[:b] for a, b in _cuts(len(L))])


def _symmetric(lib: Any, A: Any) -> Any:
    """What is on and below the diagonal, and above it the transposes."""
    cuts = _cuts(len(A))
    below = {
        (i, j): A[a:b] @ A[c:d].T for i, (a, b) in enumerate(cuts) for j, (c, d) in enumerate(cuts[: i + 1])
    }
    rows = [
        lib.np.concatenate([below[i, j] if j <= i else below[j, i].T for j in range(_PANELS)], axis=1)
        for i in range(_PANELS)
    ]
    return lib.np.concatenate(rows)


def _tridiagonal(lib: Any, T: Any, B: Any) -> Any:
    xp = lib.np
    above, below = xp.diag(T, 1)[:, None] * B[1:], xp.diag(T, -1)[:, None] * B[:-1]
    none = xp.zeros_like(B[:1])
    return xp.diag(T)[:, None] * B + xp.concatenate([above, none]) + xp.concatenate([none, below])


def _three_diagonals(lib: Any, T: Any) -> Any:
    xp = lib.np
    return xp.diag(xp.diag(T, 1), 1) + xp.diag(xp.diag(T)) + xp.diag(xp.diag(T, -1), -1)


_OPERATORS: dict[str, Program] = {
    "operator": lambda lib, A, B: A @ B,
    "matmul": lambda lib, A, B: lib.np.matmul(A, B),
}

PRODUCTS = (
    Test(
        "A'B",
        normal(square, square),
        {"operator": lambda lib, A, B: A.T @ B, "matmul": lambda lib, A, B: lib.np.matmul(A.T, B)},
        lambda lib, A, B: lib.np.dot(A.T, B),
    ),
    Test(
        "LB",
        _masked(np.tril),
        {**_OPERATORS, "said": lambda lib, L, B: lib.np.tril(L) @ B},
        _triangular,
    ),
    Test(
        "AA'",
        normal(square),
        {"operator": lambda lib, A: A @ A.T, "matmul": lambda lib, A: lib.np.matmul(A, A.T)},
        _symmetric,
    ),
    Test(
        "TB",
        _masked(lambda A: _banded(A, 1)),
        {**_OPERATORS, "said": lambda lib, T, B: _three_diagonals(lib, T) @ B},
        _tridiagonal,
    ),
    Test(
        "DB",
        _masked(lambda A: _banded(A, 0)),
        {**_OPERATORS, "said": lambda lib, D, B: lib.np.diag(lib.np.diag(D)) @ B},
        lambda lib, D, B: lib.np.diag(D)[:, None] * B,
    ),
)

__all__ = ["PRODUCTS"]
