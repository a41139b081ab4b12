"""Samples of `ir.ops.linalg`.

Matrices are diagonally dominant, so that they are well conditioned in every precision.
"""

from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from tests.ops.sample import INEXACT, Draw, Sample

LAPACK = ("f32", "f64", "c64", "c128")
ROUNDING = {"f32": 2e-5, "c64": 2e-5, "f64": 1e-12, "c128": 1e-12}


def well_conditioned(d: Draw, *shape: int) -> Any:
    """Matrices with entries in [-1, 1) and 3 more on the diagonal."""
    return d.array(*shape, low=-1, high=1) + np.asarray(3 * np.eye(*shape[-2:])).astype(d.dtype)


def hermitian_part(a: Any) -> Any:
    return ((a + a.conj().swapaxes(-1, -2)) / 2).astype(a.dtype)


def hermitian(d: Draw, *shape: int) -> Any:
    return hermitian_part(d.array(*shape, low=-1, high=1))


# cholesky -----------------------------------------------------------------------------------------------


def _positive(d: Draw, *shape: int) -> Any:
    return hermitian(d, *shape) + np.asarray((2 + shape[-1]) * np.eye(shape[-1])).astype(d.dtype)


def _junk_above(d: Draw) -> Any:
    """The upper triangle is not read."""
    a = _positive(d, 3, 3)
    return np.where(np.triu(np.ones((3, 3), np.bool_), 1), np.asarray(np.nan, d.dtype), a)


def _cholesky(*shape: int) -> Sample:
    def special(d: Draw) -> list[Any]:
        indefinite = np.stack([_positive(d, 3, 3), -_positive(d, 3, 3)])
        return [(_junk_above(d),), (indefinite,), (np.zeros((2, 2), d.dtype),)]

    return Sample(
        "cholesky",
        lambda d: (_positive(d, *shape),),
        lambda x: jnp.tril(lax.linalg.cholesky_p.bind(x)),
        dtypes=LAPACK,
        label="x".join(map(str, shape)),
        special=special if shape == (3, 3) else None,
        rtol=ROUNDING,
        tangent=hermitian_part,
    )


# Solves -------------------------------------------------------------------------------------------------


def _triangular(
    a: tuple[int, ...],
    b: tuple[int, ...],
    dtypes: tuple[str, ...] = LAPACK,
    **flags: bool,
) -> Sample:
    attrs = {"left_side": False, "lower": False, "transpose_a": False, "conjugate_a": False}
    attrs |= {"unit_diagonal": False} | flags

    def reference(x: Any, y: Any) -> Any:
        n = x.shape[-1]
        if not jnp.issubdtype(x.dtype, jnp.complexfloating) and x.dtype.itemsize < 4:
            return lax.linalg.triangular_solve(x, y, **attrs)
        x = jnp.tril(x) if attrs["lower"] else jnp.triu(x)
        if attrs["unit_diagonal"]:
            x = jnp.where(jnp.eye(n, dtype=bool), jnp.ones((), x.dtype), x)
        x = jnp.swapaxes(x, -1, -2) if attrs["transpose_a"] else x
        x = x.conj() if attrs["conjugate_a"] else x
        if attrs["left_side"]:
            return jnp.linalg.solve(x, y)
        return jnp.swapaxes(jnp.linalg.solve(jnp.swapaxes(x, -1, -2), jnp.swapaxes(y, -1, -2)), -1, -2)

    return Sample(
        "triangular_solve",
        lambda d: (well_conditioned(d, *a), d.array(*b)),
        reference,
        attrs=attrs,
        dtypes=dtypes,
        label=f"{a}{b} {' '.join(k for k, v in attrs.items() if v)}",
        rtol=ROUNDING | {"f16": 5e-3, "bf16": 4e-2},
        why="narrow types round in each step of XLA's solve, but once in the evaluator",
    )


def _tridiagonal_solve(m: int, n: int, *batch: int) -> Sample:
    def reference(dl: Any, d: Any, du: Any, b: Any) -> Any:
        i = jnp.arange(m)
        a = jnp.zeros((*batch, m, m), d.dtype).at[..., i, i].set(d)
        a = a.at[..., i[1:], i[:-1]].set(dl[..., 1:]).at[..., i[:-1], i[1:]].set(du[..., :-1])
        return jnp.linalg.solve(a, b)

    return Sample(
        "tridiagonal_solve",
        lambda d: (
            d.array(*batch, m, low=-1, high=1),
            d.array(*batch, m, low=3, high=4),
            d.array(*batch, m, low=-1, high=1),
            d.array(*batch, m, n),
        ),
        reference,
        dtypes=LAPACK,
        label="x".join(map(str, (*batch, m, n))),
        rtol=ROUNDING,
    )


# Factorisations -----------------------------------------------------------------------------------------


def _lu(*shape: int) -> Sample:
    def draw(d: Draw) -> Any:
        # Row i has its largest entry in column -i, so that rows are exchanged, and by how much is clear.
        return (well_conditioned(d, *shape)[..., ::-1, :],)

    return Sample(
        "lu",
        draw,
        lax.linalg.lu,
        dtypes=LAPACK,
        label="x".join(map(str, shape)),
        special=lambda d: [(np.zeros(shape, d.dtype),)] if shape == (3, 3) else [],
        rtol=ROUNDING,
    )


def _permutation(pivots: list[Any], size: int) -> Sample:
    def reference(p: Any) -> Any:
        out = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), (*p.shape[:-1], size))
        for i in range(p.shape[-1]):
            other = jnp.take_along_axis(out, p[..., i, None], -1)
            here = out[..., i, None]
            out = jnp.put_along_axis(out, p[..., i, None], here, -1, inplace=False)
            out = out.at[..., i, None].set(other)
        return out

    return Sample(
        "lu_pivots_to_permutation",
        lambda d: (np.asarray(pivots, np.int32),),
        reference,
        attrs={"size": size},
        dtypes=("i32",),
        label=f"{np.shape(pivots)} to {size}",
    )


def _householder(k: int, *shape: int) -> Sample:
    def reference(a: Any, taus: Any) -> Any:
        m, n = a.shape[-2:]
        product = jnp.broadcast_to(jnp.eye(m, dtype=a.dtype), (*a.shape[:-2], m, m))
        for i in range(k):
            v = jnp.where(jnp.arange(m) > i, a[..., :, i], (jnp.arange(m) == i).astype(a.dtype))
            outer = taus[..., i, None, None] * v[..., :, None] * v[..., None, :].conj()
            product = product @ (jnp.eye(m, dtype=a.dtype) - outer)
        return product[..., :, :n]

    return Sample(
        "householder_product",
        lambda d: (d.array(*shape, low=-1, high=1), d.array(*shape[:-2], k, low=0.5, high=1)),
        reference,
        dtypes=LAPACK,
        label=f"{shape}, {k}",
        rtol=ROUNDING,
    )


def _reduction(op: str, *shape: int, **attrs: bool) -> Sample:
    return Sample(
        op,
        lambda d: (hermitian(d, *shape) if op == "tridiagonal" else well_conditioned(d, *shape),),
        lambda x: getattr(lax.linalg, op)(x, **attrs),
        attrs=attrs,
        dtypes=LAPACK,
        label=f"{'x'.join(map(str, shape))}{' '.join(f' {k}={v}' for k, v in attrs.items())}",
        rtol=ROUNDING,
    )


SAMPLES = [
    *(_cholesky(*shape) for shape in ((3, 3), (2, 4, 4), (1, 1), (0, 0), (0, 2, 2))),
    _triangular((3, 3), (3, 2), INEXACT, left_side=True, lower=True),
    _triangular((3, 3), (2, 3), INEXACT, transpose_a=True),
    _triangular((2, 3, 3), (2, 3, 4), left_side=True, transpose_a=True, conjugate_a=True),
    _triangular((2, 3, 3), (2, 4, 3), lower=True, unit_diagonal=True),
    _triangular((3, 3), (3, 5), left_side=True, conjugate_a=True, unit_diagonal=True),
    _triangular((3, 3), (1, 3), lower=True, transpose_a=True, conjugate_a=True),
    _triangular((1, 1), (1, 1), left_side=True),
    _triangular((2, 2), (2, 0), left_side=True),
    _triangular((0, 0), (0, 2), left_side=True),
    *(_tridiagonal_solve(*shape) for shape in ((4, 2), (3, 1, 2), (2, 3), (1, 2))),
    *(_lu(*shape) for shape in ((3, 3), (2, 4, 2), (2, 4), (1, 1), (3, 1), (0, 2), (2, 0), (0, 2, 2))),
    _permutation([2, 2, 3], 4),
    _permutation([[1, 1], [0, 2]], 3),
    _permutation([], 2),
    *(_householder(k, *shape) for k, shape in ((3, (4, 3)), (2, (2, 3, 3)), (1, (1, 1)), (0, (3, 2)))),
    *(_reduction("hessenberg", *shape) for shape in ((4, 4), (2, 3, 3), (1, 1))),
    *(_reduction("tridiagonal", *shape, lower=True) for shape in ((4, 4), (2, 3, 3), (1, 1))),
    *(_reduction("tridiagonal", *shape, lower=False) for shape in ((4, 4), (2, 2))),
]
