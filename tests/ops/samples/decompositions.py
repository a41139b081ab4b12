"""Samples of `ir.ops.decompositions`.

Vectors are unique up to signs or phases only: where these may differ between the evaluator and LAPACK
under JAX, `compare` keeps the products that they define.
"""

from typing import Any

import numpy as np
from jax import lax

from tests.ops.sample import Draw, Sample
from tests.ops.samples.linalg import LAPACK, ROUNDING, hermitian, hermitian_part, well_conditioned

UP_TO_PHASE = "vectors are unique up to a sign or a phase only"
REAL, COMPLEX = ("f32", "f64"), ("c64", "c128")


def adjoint(x: Any) -> Any:
    return np.asarray(x).conj().swapaxes(-1, -2)


def _name(*shape: int) -> str:
    return "x".join(map(str, shape))


def _spread(d: Draw, *shape: int) -> Any:
    """Matrices of singular values that lie well apart."""
    a = d.array(*shape, low=-0.3, high=0.3)
    scale = np.zeros(shape[-2:])
    np.fill_diagonal(scale, 1.0 + np.arange(min(shape[-2:])))
    return (a + scale).astype(d.dtype)


def _qr(full_matrices: bool, *shape: int) -> Sample:
    return Sample(
        "qr",
        lambda d: (well_conditioned(d, *shape),),
        lambda x: lax.linalg.qr(x, full_matrices=full_matrices),
        attrs={"full_matrices": full_matrices},
        dtypes=LAPACK,
        label=f"{_name(*shape)}{' full' if full_matrices else ''}",
        rtol=ROUNDING,
    )


def _svd(full_matrices: bool, compute_uv: bool, dtypes: tuple[str, ...], *shape: int) -> Sample:
    attrs = {"full_matrices": full_matrices, "compute_uv": compute_uv}

    def products(u: Any, s: Any, vh: Any) -> Any:
        k = s.shape[-1]
        product = (u[..., :k] * s[..., None, :]) @ vh[..., :k, :]
        return s, product, adjoint(u) @ u, vh @ adjoint(vh)

    return Sample(
        "svd",
        lambda d: (_spread(d, *shape),),
        lambda x: lax.linalg.svd(x, **attrs),
        attrs=attrs,
        dtypes=dtypes,
        label=" ".join([_name(*shape), dtypes[0], *[k for k, v in attrs.items() if v]]),
        compare=products if compute_uv else None,
        why=UP_TO_PHASE,
        rtol=ROUNDING,
        derivative_rtol=np.inf if compute_uv and dtypes == COMPLEX else 1e-6,
    )


def _eigh(lower: bool, dtypes: tuple[str, ...], *shape: int) -> Sample:
    def products(v: Any, w: Any) -> Any:
        return w, (v * w[..., None, :]) @ adjoint(v), adjoint(v) @ v

    def draw(d: Draw) -> Any:
        return (hermitian(d, *shape) + np.diag(4.0 * np.arange(shape[-1])).astype(d.dtype),)

    return Sample(
        "eigh",
        draw,
        lambda x: lax.linalg.eigh(x, lower=lower, symmetrize_input=False),
        attrs={"lower": lower},
        dtypes=dtypes,
        label=f"{_name(*shape)} {'lower' if lower else 'upper'} {dtypes[0][0]}",
        compare=products,
        why=UP_TO_PHASE,
        rtol=ROUNDING,
        derivative_rtol=np.inf if dtypes == COMPLEX else 1e-6,
        tangent=hermitian_part,
    )


def _eig(left: bool, right: bool, *shape: int) -> Sample:
    def draw(d: Draw) -> Any:
        # Eigenvalues and the components of each eigenvector lie well apart.
        return (d.array(*shape, low=-0.3, high=0.3) + np.diag(1.0 + np.arange(shape[-1])).astype(d.dtype),)

    def products(w: Any, *vectors: Any) -> Any:
        order = np.argsort(w.real, axis=-1)
        columns = [np.take_along_axis(v, order[..., None, :], -1) for v in vectors]
        # |v|^2 and v v^H are free of the phase.
        outer = [v[..., :, None, :] * v[..., None, :, :].conj() for v in columns]
        return np.take_along_axis(w, order, -1), *outer

    return Sample(
        "eig",
        draw,
        lambda x: lax.linalg.eig(x, compute_left_eigenvectors=left, compute_right_eigenvectors=right),
        attrs={"left": left, "right": right, "eigenvector_derivatives": True},
        dtypes=LAPACK,
        label=f"{_name(*shape)}{' left' if left else ''}{' right' if right else ''}",
        compare=products,
        why="eigenvalues have no order, and " + UP_TO_PHASE,
        rtol={k: 20 * v for k, v in ROUNDING.items()},
    )


def _schur(vectors: bool, *shape: int) -> Sample:
    def products(t: Any, *q: Any) -> Any:
        below = np.tril(t, -2)
        values = np.sort(np.linalg.eigvals(t), axis=-1)
        return (values, below, *(x for v in q for x in (v @ t @ adjoint(v), adjoint(v) @ v)))

    return Sample(
        "schur",
        lambda d: (_eig(False, False, *shape).operands(d)[0],),
        lambda x: lax.linalg.schur(x, compute_schur_vectors=vectors),
        attrs={"vectors": vectors},
        dtypes=LAPACK,
        label=f"{_name(*shape)}{'' if vectors else ' form'}",
        compare=products,
        why="eigenvalues have no order, and " + UP_TO_PHASE,
        rtol={k: 20 * v for k, v in ROUNDING.items()},
    )


_SHAPES: list[tuple[int, ...]] = [
    (3, 3),
    (2, 4, 2),
    (2, 3),
    (1, 1),
    (3, 1),
    (1, 3),
    (0, 2),
    (2, 0),
    (0, 2, 2),
]
_BOOLS = (True, False)

SAMPLES = [
    *(_qr(full, *shape) for shape in _SHAPES for full in _BOOLS),
    *(_svd(False, True, dtypes, *shape) for shape in _SHAPES for dtypes in (REAL, COMPLEX)),
    *(_svd(False, False, LAPACK, *shape) for shape in ((2, 4, 2), (2, 3), (0, 2, 2))),
    *(
        _svd(True, True, dtypes, *shape)
        for shape in ((3, 3), (2, 4, 2), (2, 3))
        for dtypes in (REAL, COMPLEX)
    ),
    *(
        _eigh(lower, dtypes, *shape)
        for shape in ((3, 3), (2, 4, 4), (1, 1), (0, 0))
        for lower in _BOOLS
        for dtypes in (REAL, COMPLEX)
    ),
    *(_eig(left, right, 3, 3) for left in _BOOLS for right in _BOOLS),
    *(_eig(True, True, *shape) for shape in ((2, 2, 2), (1, 1))),
    *(_schur(vectors, *shape) for shape in ((3, 3), (2, 4, 4), (1, 1)) for vectors in _BOOLS),
]
