"""Sparse matrices as they come and go: BCOO, SciPy's CSR, arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import jax
import numpy as np

from ir.errors import ArgumentError, ArgumentTypeError, SparsityError
from ir.sparsity import Pattern
from tracer.api.sparse_plan import Block, Plan
from tracer.numpy.creation import zeros
from tracer.numpy.dispatch import lift
from tracer.state import state
from tracer.value import Tensor

if TYPE_CHECKING:
    from types import ModuleType

FORMATS: Final = ("bcoo", "csr", "dense")


def as_pattern(given: Any) -> Pattern | None:
    """A pattern as users give it; `None` where they give none.

    Raises:
      ArgumentTypeError: no matrix, or one without values.
      SparsityError: a matrix with batch or dense axes.
    """
    if given is None or isinstance(given, Pattern):
        return given
    if hasattr(given, "n_sparse") and hasattr(given, "n_batch"):  # BCOO
        if given.n_sparse != 2 or given.n_batch or given.n_dense:
            raise SparsityError(
                f"expected a sparsity pattern with two sparse axes and no others, got {given}"
            )
        at = np.asarray(given.indices)
        inside = (at < np.array(given.shape)).all(axis=1)  # padding lies outside
        return Pattern.of(tuple(given.shape), at[inside, 0], at[inside, 1])
    if hasattr(given, "tocoo"):  # SciPy
        coordinates = given.tocoo()
        return Pattern.of(tuple(given.shape), coordinates.row, coordinates.col)
    if isinstance(given, (Tensor, jax.core.Tracer)):
        raise ArgumentTypeError("expected a sparsity pattern with values, got a traced one")
    if not isinstance(given, (np.ndarray, jax.Array, list, tuple)):
        raise ArgumentTypeError(f"expected a matrix as a sparsity pattern, got {type(given).__name__}")
    array = np.asarray(given)
    if array.ndim != 2:
        raise SparsityError(f"expected a matrix as a sparsity pattern, got shape {array.shape}")
    return Pattern.of(array.shape, *np.nonzero(array))


def require_format(format: str) -> None:
    """ArgumentError where a format cannot be had here: SciPy is not installed, or there are no values."""
    if format == "csr":
        _scipy()


def _scipy() -> ModuleType:
    try:
        import scipy.sparse
    except ImportError as error:
        raise ArgumentError(
            "format='csr' needs SciPy, which is not installed: pip install scipy, or use format='bcoo'"
        ) from error
    return scipy.sparse  # type: ignore[no-any-return]


def assembled(block: Block, data: Any, format: str) -> Any:
    """The matrix of a block with these elements."""
    if format == "dense":
        return data
    if format == "csr":
        return _csr(block, data)
    from jax.experimental.sparse import BCOO

    shape = (*block.of, *block.by)
    if state.trace is None:
        return BCOO((data, block.indices), shape=shape, indices_sorted=True, unique_indices=True)
    # The constructor of BCOO wants arrays of JAX; its structure as a pytree takes traced values too.
    with jax.ensure_compile_time_eval():
        nothing = jax.numpy.zeros(0), jax.numpy.zeros((0, len(shape)), np.int32)
        empty = BCOO(nothing, shape=shape, indices_sorted=True, unique_indices=True)
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(empty), (data, block.indices))


def _csr(block: Block, data: Any) -> Any:
    if isinstance(data, (Tensor, jax.core.Tracer)):
        raise ArgumentError(
            "format='csr' makes a matrix of SciPy, which needs values: expected a call outside jit and other "
            "transforms; use format='bcoo' within"
        )
    shape = (math.prod(block.of), math.prod(block.by))
    counts = np.bincount(block.rows, minlength=shape[0])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return _scipy().csr_array((np.asarray(data), block.columns.copy(), offsets), shape=shape)


def densified(data: Any, plan: Plan) -> Any:
    """Elements of blocks as arrays of all elements, within a trace."""

    def dense(x: Any, block: Block) -> Any:
        where = tuple([block.indices[:, k] for k in range(len(block.of) + len(block.by))])
        if not where:
            return lift(x).sum()
        empty = zeros((*block.of, *block.by), x.dtype)
        return empty.at[where].set(x, mode="promise_in_bounds", unique_indices=True)

    return [
        [dense(x, b) for x, b in zip(xs, bs, strict=True)] for xs, bs in zip(data, plan.blocks, strict=True)
    ]


__all__ = ["FORMATS", "as_pattern", "assembled", "densified", "require_format"]
