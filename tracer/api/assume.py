"""`assume`: what the caller knows of a matrix."""

from __future__ import annotations

from typing import Any

from ir.errors import IRTypeError
from ir.ops import calls
from tracer.numpy.dispatch import lift
from tracer.state import state


def assume(a: Any, *properties: str) -> Any:
    """The identity, which says what a matrix is: systems are then solved in the way that suits it.

    Of `tnp.linalg.solve(a, b)` and `tnp.linalg.inv(a)` in a jitted function, forward and in derivatives: for a
    triangular matrix it is substituted, in O(n^2) a column; for a positive definite one Cholesky's factor is taken,
    half the work of LU, unless LU's factors are there for a determinant; for a diagonal one it is divided, for an
    orthogonal one multiplied by the conjugate transpose. What is said is not checked: if it is wrong, so are the
    results. Derivatives are those of a matrix of which nothing is known.

    Args:
      a: square matrices, `[..., n, n]`, floating point or complex.
      properties: of "lower_triangular", "upper_triangular", "diagonal", "positive_definite" (and Hermitian),
        "orthogonal" (or unitary).

    Returns:
      `a`.

    Raises:
      IRTypeError: of other properties, or of integers.
      ShapeError: `a` is not square.
    """
    if not properties or any(p not in calls.PROPERTIES for p in properties):
        known, got = ", ".join(calls.PROPERTIES), ", ".join(map(repr, properties)) or "none"
        raise IRTypeError(f"assume: expected properties of {known}, got {got}")
    trace = state.trace
    if trace is None:
        return a
    t = lift(a)
    return trace.emit1(calls.assume, (t.value,), {"properties": tuple(properties)}, t.weak)


__all__ = ["assume"]
