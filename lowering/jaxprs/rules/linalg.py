"""Import of linear algebra and Fourier transforms."""

from __future__ import annotations

import functools
from typing import Any

import ir
from ir import transforms
from ir.core import Opaque, Value
from ir.op import inline, op_named
from ir.ops import decompositions as dc
from ir.ops import linalg as la
from ir.ops.calls import Rule, custom_jvp_call, stop_gradient
from ir.ops.elementwise import add, ge, mul, select
from ir.ops.fft import fft
from ir.ops.matrix import adjoint
from ir.ops.shape import full_like, iota
from ir.source import UNKNOWN
from ir.types import TensorType, i32
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.rules.shape import ints
from lowering.jaxprs.versions import NEWER_DERIVATIVES


def _only(eqn: Any, **expected: Any) -> None:
    """Unmapped where a parameter that our op does not have asks for anything but the usual."""
    for name, usual in expected.items():
        if eqn.params.get(name, usual) != usual:
            raise Unmapped


def _plain(name: str) -> Any:
    op = op_named(name)

    def rule(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
        if eqn.params:
            raise Unmapped
        return op(*operands)

    return rule


for _name in ("lu", "householder_product", "hessenberg"):
    imports(_name)(_plain(_name))


@imports("cholesky")
def _cholesky(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """JAX's primitive leaves what stands above the diagonal, without a derivative, and `tril` follows."""
    if eqn.params:
        raise Unmapped
    (x,) = operands
    rows, columns = (iota(shape=x.type.shape, dtype=i32, axis=x.type.rank - k) for k in (2, 1))
    below = ge(rows, columns)
    of = x
    if NEWER_DERIVATIVES:
        halved = select(ge(columns, rows), mul(x, full_like(x, 0.5)), x)  # the diagonal
        lower = select(below, halved, full_like(x, 0))
        of = add(lower, adjoint(lower))
    return select(below, la.cholesky(of), stop_gradient(x))


@imports("triangular_solve")
def _triangular_solve(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    names = ("left_side", "lower", "transpose_a", "conjugate_a", "unit_diagonal")
    return la.triangular_solve(*operands, **{name: bool(eqn.params[name]) for name in names})


@imports("tridiagonal_solve")
def _tridiagonal_solve(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    _only(eqn, perturb_singular=False)
    return la.tridiagonal_solve(*operands)


@imports("lu_pivots_to_permutation")
def _permutation(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return la.lu_pivots_to_permutation(operands[0], size=int(eqn.params["permutation_size"]))


@imports("tridiagonal")
def _tridiagonal(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return la.tridiagonal(operands[0], lower=bool(eqn.params["lower"]))


@imports("qr")
def _qr(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    _only(eqn, pivoting=False, use_magma=None)
    return dc.qr(operands[0], full_matrices=bool(eqn.params["full_matrices"]))


@imports("svd")
def _svd(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """JAX's primitive gives the singular values first, ours where mathematics writes them."""
    _only(eqn, subset_by_index=None, algorithm=None)
    full, vectors = bool(eqn.params["full_matrices"]), bool(eqn.params["compute_uv"])
    out = dc.svd(operands[0], full_matrices=full, compute_uv=vectors)
    return (out[1], out[0], out[2]) if vectors else out


@imports("eigh")
def _eigh(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """From one triangle; JAX's derivative is that at the Hermitian part, which reads both."""
    _only(eqn, sort_eigenvalues=True, subset_by_index=None, algorithm=None, implementation=None)
    lower = bool(eqn.params["lower"])
    body = _eigh_body(operands[0].type, lower)
    rule = Opaque("eigh", _eigh_rule(operands[0].type, lower))
    return custom_jvp_call(operands[0], function=body, jvp=rule)


@functools.cache
def _eigh_body(type_: TensorType, lower: bool) -> ir.Function:
    return ir.build([type_], lambda x: dc.eigh(x, lower=lower), "eigh", source=UNKNOWN)


@functools.cache
def _eigh_rule(type_: TensorType, lower: bool) -> Rule:
    """The same object for a type, so that equal programs compare equal."""
    pushed, _ = transforms.jvp(_eigh_body(type_, lower), [True])

    def at_hermitian_part(x: Value, dx: Value) -> Any:
        half = full_like(x, 0.5)
        return inline(pushed, (mul(add(x, adjoint(x)), half), dx))

    rule = ir.build([type_, type_], at_hermitian_part, "jvp_eigh", source=UNKNOWN)
    return Rule("eigh", lambda types: rule)


@imports("eig")
def _eig(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    _only(eqn, implementation=None)
    return dc.eig(
        operands[0],
        left=bool(eqn.params["compute_left_eigenvectors"]),
        right=bool(eqn.params["compute_right_eigenvectors"]),
        eigenvector_derivatives=bool(eqn.params.get("enable_eigvec_derivs", True)),
    )


@imports("schur")
def _schur(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    _only(eqn, sort_eig_vals=False, select_callable=None)
    return dc.schur(operands[0], vectors=bool(eqn.params["compute_schur_vectors"]))


@imports("fft")
def _fft(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    kind = getattr(eqn.params["fft_type"], "name", str(eqn.params["fft_type"])).lower()
    return fft(operands[0], kind=kind, lengths=ints(eqn.params["fft_lengths"]))
