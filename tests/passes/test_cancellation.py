"""Sums are multiplied out only where their terms do not cancel: errors beside those of programs as written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.passes.pipeline import optimize
from ir.passes.products.terms import Kind, Term, may_distribute
from ir.types import f32

N = 160
RNG = np.random.default_rng(0)
FAR = {"x": 1e6 + RNG.normal(size=N), "A": RNG.normal(size=(N, N)), "B": RNG.normal(size=(N, N))}
FAR |= {"y": FAR["x"] + RNG.normal(size=N), "z": RNG.normal(size=N), "p": RNG.permutation(N).astype(np.int32)}
FAR |= {"E": 1e6 * np.eye(N) + FAR["A"], "f": np.arange(N) % 3 > 0, "v": 1e3 * RNG.normal(size=N)}
FAR |= {"K": 3e5 + FAR["A"], "w": np.ones(N)}
GIVEN: dict[str, Any] = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in FAR.items()}


def _pairs(x: Any, y: Any) -> Any:
    return x[:, None] - y[None, :]


def _columns(xp: Any, x: Any, y: Any) -> Any:
    return xp.stack([x, y], 1)


# What is lost where a sum is multiplied out.
PROGRAMS: dict[str, tuple[str, Callable[..., Any]]] = {
    "differences, twice": ("xA", lambda xp, x, A: _pairs(x, x) @ (_pairs(x, x) @ A)),
    "differences": ("xA", lambda xp, x, A: _pairs(x, x) @ A),
    "differences between": ("xAB", lambda xp, x, A, B: A @ _pairs(x, x) @ B),
    "differences and a vector": ("xz", lambda xp, x, z: _pairs(x, x) @ z),
    "sums of opposite signs": ("xyA", lambda xp, x, y, A: (x[:, None] + (-y)[None, :]) @ A),
    "weighted differences": ("xA", lambda xp, x, A: xp.sum(_pairs(x, x) * A, 1)),
    "sum of differences": ("xy", lambda xp, x, y: xp.sum(_pairs(x, y))),
    "squares of differences": ("xy", lambda xp, x, y: xp.sum(_pairs(x, y) ** 2)),
    "differences of outer products": ("xyzA", lambda xp, x, y, z, A: (xp.outer(x, z) - xp.outer(y, z)) @ A),
    "an array less its mean": ("Kz", lambda xp, K, z: (K - xp.mean(K, 0)) @ z),
    "an array less rows of flags": (
        "Kfz", lambda xp, K, f, z: (K - xp.outer(f.astype(K.dtype), K[1])) @ z,
    ),
    "an array less its mean in every row": (
        "KwA", lambda xp, K, w, A: (K - xp.outer(w, xp.mean(K, 0))) @ A,
    ),
    "rows that may be chosen, less rows": ("xwA", lambda xp, x, w, A: (x[:, None] * w - x) @ A),
    "features with a one beside them": (
        "xwA",
        lambda xp, x, w, A: (
            _columns(xp, x, w) @ _columns(xp, w, w).T - _columns(xp, w, w) @ _columns(xp, x, w).T
        ) @ A,
    ),
    "a few features, less rows": (
        "xwA", lambda xp, x, w, A: (_columns(xp, x, w) @ _columns(xp, w, 0 * w).T - x) @ A,
    ),
    "an array less nearly itself": ("Ez", lambda xp, E, z: (E - 1e6 * xp.eye(N, dtype=E.dtype)) @ z),
    "an array less its diagonal": ("Ez", lambda xp, E, z: (E - xp.diag(xp.diagonal(E))) @ z),
    "diagonals": ("xyA", lambda xp, x, y, A: (xp.diag(x) - xp.diag(y)) @ A),
    "a diagonal less a number": ("xA", lambda xp, x, A: (xp.diag(x) - x[0] * xp.eye(N, dtype=x.dtype)) @ A),
    "diagonals and a number": (
        "xyA", lambda xp, x, y, A: (xp.diag(x) - xp.diag(y) + xp.asarray(1e-2, x.dtype)) @ A,
    ),
    "weighted permutations": (
        "xypA",
        lambda xp, x, y, p, A: (
            ((p[:, None] == xp.arange(N)) * x[:, None] - (p[::-1][::-1][:, None] == xp.arange(N)) * y[:, None]) @ A
        ),
    ),
    "residual of rank one, squared": (
        "vz", lambda xp, v, z: xp.sum((xp.outer(v, z) * xp.asarray(1.001, v.dtype) - xp.outer(v, z)) ** 2),
    ),
}  # fmt: skip


def _error(got: Any, want: Any) -> float:
    return float(np.max(np.abs(np.asarray(got, np.float64) - want)) / np.max(np.abs(want)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_digits_are_lost(name: str) -> None:
    names, f = PROGRAMS[name]
    args = [GIVEN[k] for k in names]
    want = f(np, *[a.astype(np.float64) if a.dtype == np.float32 else a for a in args])
    as_written = _error(tr.jit(lambda *a: f(tnp, *a), opt=0)(*args), want)
    assert _error(tr.jit(lambda *a: f(tnp, *a))(*args), want) <= 4 * as_written + 1e-6


def _reflection(xp: Any, v: Any) -> Any:
    return xp.eye(N, dtype=v.dtype) - 2 * xp.outer(v, v) / (v @ v)


# What is multiplied out, and loses nothing by that, however large the terms are.
LIGHT: dict[str, tuple[str, Callable[..., Any]]] = {
    "a reflection": ("vA", lambda xp, v, A: _reflection(xp, v) @ A),
    "an identity and a large outer product": (
        "vA", lambda xp, v, A: (xp.eye(N, dtype=v.dtype) - 2 * xp.outer(v, v)) @ A,
    ),
    "a diagonal and an outer product": ("xvA", lambda xp, x, v, A: (xp.diag(x) + xp.outer(v, v)) @ A),
    "centring": ("K", lambda xp, K: (xp.eye(N, dtype=K.dtype) - xp.asarray(1 / N, K.dtype)) @ K),
}  # fmt: skip


@pytest.mark.parametrize("name", LIGHT)
def test_light_sums_are_multiplied_out(name: str) -> None:
    names, f = LIGHT[name]
    args = [GIVEN[k] for k in names]
    want = f(np, *[a.astype(np.float64) for a in args])
    before = tr.trace(lambda *a: f(tnp, *a))(*args)
    after = optimize(before)
    assert ir.flops(after) < ir.flops(before) / 10
    as_written = _error(tr.jit(lambda *a: f(tnp, *a), opt=0)(*args), want)
    assert _error(tr.jit(lambda *a: f(tnp, *a))(*args), want) <= 4 * as_written + 1e-6


def test_what_terms_may_be() -> None:
    diagonal, identity = (Term(k, frozenset((0, 1))) for k in (Kind.DIAGONAL, Kind.IDENTITY))
    number, rows, outer = (
        Term(Kind.REPEATED),
        Term(Kind.REPEATED, frozenset((1,))),
        Term(Kind.OUTER, frozenset((0, 1))),
    )
    one, other = (functools.partial(frozenset, [ir.Value(ir.TensorType((), f32))]) for _ in range(2))
    array, product = Term(Kind.ARRAY, sources=one), Term(Kind.CONTRACTION)
    for terms in ((identity, outer), (diagonal, number), (diagonal, rows)):
        assert may_distribute(terms) and (may_distribute(terms, bounded=True))
    for terms in (
        (diagonal, outer),
        (product, product),
        (array, product),
        (array, replace(outer, sources=other)),
        (array, Term(Kind.SHALLOW, sources=other)),
        (identity, product),
    ):
        assert may_distribute(terms) and not may_distribute(terms, bounded=True)
    for terms in (
        (rows, number),
        (outer, outer),
        (rows, outer),
        (array, array),
        (array, outer),
        (array, replace(outer, sources=one)),
        (outer, Term(Kind.SHALLOW, sources=other)),
        (diagonal, identity),
        (identity, array),
    ):
        assert not may_distribute(terms)


def test_sums_that_are_read_elsewhere_too() -> None:
    """They are not written anew, and neither are sums with them."""

    def f(x: Any, B: Any) -> Any:
        M = tnp.diag(x) + tnp.eye(N, dtype=x.dtype)
        return M, (M + 3 * tnp.eye(N, dtype=x.dtype)) @ B

    x, B = GIVEN["z"], GIVEN["B"]
    for got, want in zip(tr.jit(f)(x, B), tr.jit(f, opt=0)(x, B), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-5)


def test_bounds_hold() -> None:
    """max |T1| + max |T2| <= 3 max |T1 + T2|, also where a diagonal cancels."""
    rng = np.random.default_rng(1)
    for n in (2, 3, 7):
        for _ in range(50):
            row = rng.normal(size=n) * 10.0 ** rng.integers(-6, 6, n)
            for d in (-row, rng.normal(size=n), -row * (1 + 1e-9)):
                whole = np.diag(d) + row
                assert np.all(np.abs(d) + np.abs(row) <= (3 + 1e-9) * np.abs(whole).max(0))
            u, v, c = rng.normal(size=n), rng.normal(size=n) * 10.0 ** rng.integers(-6, 6), rng.normal()
            for w in (v, -c * u / (u @ u)):
                whole = c * np.eye(n) + np.outer(u, w)
                assert abs(c) + np.linalg.norm(np.outer(u, w), 2) <= (3 + 1e-9) * np.linalg.norm(whole, 2)


def test_gradients_lose_no_digits() -> None:
    f = lambda xp, x, A: xp.sum((_pairs(x, x) @ A) ** 2)
    x, A = GIVEN["x"], GIVEN["A"]
    as_written = np.asarray(tr.jit(tr.grad(lambda A: f(tnp, x, A)), opt=0)(A))
    d = np.float64(x)[:, None] - np.float64(x)
    want = 2 * d.T @ (d @ np.float64(A))
    assert _error(as_written, want) < 1e-5
    assert _error(tr.jit(tr.grad(lambda A: f(tnp, jnp.asarray(x), A)))(A), want) < 1e-5
