"""Expressions of several products: common subexpressions, chains, rewrites, code motion. May import: NumPy."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.laab.core import Test, column, normal, square

_TRIPS = 3


def _squared(S: Any) -> Any:
    return S.T @ S


COMMON = (
    Test(
        "A'B + A'B",
        normal(square, square),
        {"operator": lambda lib, A, B: A.T @ B + A.T @ B},
        lambda lib, A, B: 2 * (A.T @ B),
    ),
    Test(
        "(A'B)'(A'B)",
        normal(square, square),
        {"operator": lambda lib, A, B: (A.T @ B).T @ (A.T @ B)},
        lambda lib, A, B: _squared(A.T @ B),
    ),
    Test(
        "(A'B)'A'B",
        normal(square, square),
        {"operator": lambda lib, A, B: (A.T @ B).T @ A.T @ B},
        lambda lib, A, B: _squared(A.T @ B),
    ),
    Test(
        "A'BA'By",
        normal(square, square, column),
        {"operator": lambda lib, A, B, y: A.T @ B @ A.T @ B @ y},
        lambda lib, A, B, y: A.T @ (B @ (A.T @ (B @ y))),
    ),
)

CHAINS = (
    Test(
        "H'Hx",
        normal(square, column),
        {
            "operator": lambda lib, H, x: H.T @ H @ x,
            "multi_dot": lambda lib, H, x: lib.np.linalg.multi_dot([H.T, H, x]),
        },
        lambda lib, H, x: H.T @ (H @ x),
    ),
    Test(
        "y'H'H",
        normal(square, column),
        {
            "operator": lambda lib, H, y: y.T @ H.T @ H,
            "multi_dot": lambda lib, H, y: lib.np.linalg.multi_dot([y.T, H.T, H]),
        },
        lambda lib, H, y: (y.T @ H.T) @ H,
    ),
    Test(
        "H'yx'H",
        normal(square, column, column),
        {
            "operator": lambda lib, H, x, y: H.T @ y @ x.T @ H,
            "multi_dot": lambda lib, H, x, y: lib.np.linalg.multi_dot([H.T, y, x.T, H]),
        },
        lambda lib, H, x, y: (H.T @ y) @ (x.T @ H),
    ),
)


def _blocks(A: Any) -> tuple[Any, Any]:
    """On the diagonal."""
    half = len(A) // 2
    return A[:half, :half], A[half:, half:]


def _block_diagonal(n: int) -> tuple[Any, Any]:
    A, B = normal(square, square)(n)
    A[: n // 2, n // 2 :] = A[n // 2 :, : n // 2] = 0
    return A, B


def _put_together(lib: Any, A: Any, B: Any) -> Any:
    (one, other), xp = _blocks(A), lib.np
    none = xp.zeros_like(one)
    return xp.concatenate([xp.concatenate([one, none], axis=1), xp.concatenate([none, other], axis=1)]) @ B


def _by_blocks(lib: Any, A: Any, B: Any) -> Any:
    one, other = _blocks(A)
    return lib.np.concatenate([one @ B[: len(one)], other @ B[len(one) :]])


REWRITES = (
    Test(
        "AB + AC",
        normal(square, square, square),
        {"operator": lambda lib, A, B, C: A @ B + A @ C},
        lambda lib, A, B, C: A @ (B + C),
    ),
    Test(
        "(A - H'H)x",
        normal(square, square, column),
        {"operator": lambda lib, A, H, x: (A - H.T @ H) @ x},
        lambda lib, A, H, x: A @ x - H.T @ (H @ x),
    ),
    Test(
        "B'AA'B",
        normal(square, square),
        {"operator": lambda lib, A, B: B.T @ A @ A.T @ B},
        lambda lib, A, B: _squared(A.T @ B),
    ),
    Test(
        "diagonal blocks A, times B",
        _block_diagonal,
        {
            "operator": lambda lib, A, B: A @ B,
            "matmul": lambda lib, A, B: lib.np.matmul(A, B),
            "said": _put_together,
        },
        _by_blocks,
    ),
)


def _in_loop(lib: Any, A: Any, B: Any, V: Any) -> Any:
    out = A
    for i in range(_TRIPS):
        out = A @ B + lib.np.outer(V[i], V[i])
    return out


def _all_in_loop(lib: Any, A: Any, B: Any, V: Any) -> Any:
    out = []
    for i in range(_TRIPS):
        out.append(A @ B + lib.np.outer(V[i], V[i]))
    return tuple(out)


def _in_scan(lib: Any, A: Any, B: Any, V: Any) -> Any:
    return lib.scan(lambda out, v: (A @ B + lib.np.outer(v, v), None), A, V)[0]


def _all_before_loop(lib: Any, A: Any, B: Any, V: Any) -> Any:
    S = A @ B
    return tuple([S + lib.np.outer(V[i], V[i]) for i in range(_TRIPS)])


def _three(n: int) -> tuple[int, int]:
    return _TRIPS, n


MOTION = (
    Test(
        "AB + vv' in a loop",
        normal(square, square, _three),
        {"operator": _in_loop, "scan": _in_scan},
        lambda lib, A, B, V: A @ B + lib.np.outer(V[_TRIPS - 1], V[_TRIPS - 1]),
    ),
    Test(
        "AB + vv' in a loop that keeps all",
        normal(square, square, _three),
        {"operator": _all_in_loop},
        _all_before_loop,
    ),
    Test(
        "(A + B)[2, 2]",
        normal(square, square),
        {"operator": lambda lib, A, B: (A + B)[2, 2]},
        lambda lib, A, B: A[2, 2] + B[2, 2],
    ),
    Test(
        "(AB)[2, 2]",
        normal(square, square),
        {"operator": lambda lib, A, B: (A @ B)[2, 2]},
        lambda lib, A, B: A[2] @ B[:, 2],
    ),
)

EXPRESSIONS = (*COMMON, *CHAINS, *REWRITES, *MOTION)

__all__ = ["CHAINS", "COMMON", "EXPRESSIONS", "MOTION", "REWRITES"]
