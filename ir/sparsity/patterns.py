"""Patterns of Jacobians and Hessians: which elements may differ from zero, whatever the inputs.

The pattern of a Jacobian is read off the program that computes its products with vectors, `jvp` of the function: each
of its tangents depends on those of the inputs linearly, by the derivative that is in fact computed, custom rules
included. A Hessian is the Jacobian of the gradient program. (Griewank and Walther 2008, Evaluating Derivatives, chapter
7; Hill and Dalle 2025, "Sparser, better, faster, stronger: sparsity detection for efficient automatic
differentiation", call patterns that hold for all inputs global.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ir.core import Array, Function, inner_first
from ir.errors import SparsityError
from ir.ops.calls import custom_vjp_tangent
from ir.passes.dce import dce
from ir.sparsity.propagate import Propagation
from ir.sparsity.sets import Ints, Pool, distinct
from ir.transforms.jvp import jvp
from ir.transforms.linearize import value_and_grad


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where a matrix may differ from zero, in compressed rows.

    Attributes:
      shape: of the matrix.
      indptr: row i has the columns `indices[indptr[i] : indptr[i + 1]]`.
      indices: columns, increasing in each row.
    """

    shape: tuple[int, int]
    indptr: Ints
    indices: npt.NDArray[np.int32]

    @staticmethod
    def of(shape: tuple[int, int], rows: Array, columns: Array) -> Pattern:
        """The pattern with these elements, in any order; an element may come twice.

        Raises:
          SparsityError: an element lies outside the matrix.
        """
        for what, index, size in (("rows", rows, shape[0]), ("columns", columns, shape[1])):
            if index.size and not 0 <= index.min() <= index.max() < size:
                raise SparsityError(
                    f"expected {what} of a pattern of shape {shape} below {size}, got {index.max()}"
                )
        keys = distinct(rows.astype(np.int64) * max(shape[1], 1) + columns)
        row, column = np.divmod(keys, max(shape[1], 1))
        return Pattern(shape, _offsets(np.bincount(row, minlength=shape[0])), column.astype(np.int32))

    @property
    def nnz(self) -> int:
        """How many elements may differ from zero."""
        return int(self.indices.size)

    @cached_property
    def rows(self) -> npt.NDArray[np.int32]:
        """The row of each element."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def transposed(self) -> Pattern:
        """The pattern of the transposed matrix."""
        order = np.argsort(self.indices, kind="stable")
        counts = np.bincount(self.indices, minlength=self.shape[1])
        return Pattern(self.shape[::-1], _offsets(counts), self.rows[order])

    def symmetric(self) -> Pattern:
        """The pattern together with its transpose."""
        rows, columns = np.concatenate([self.rows, self.indices]), np.concatenate([self.indices, self.rows])
        return Pattern.of(self.shape, rows, columns)

    def dense(self) -> npt.NDArray[np.bool_]:
        """The pattern as an array of bools."""
        out = np.zeros(self.shape, np.bool_)
        out[self.rows, self.indices] = True
        return out

    def __repr__(self) -> str:
        return f"Pattern({self.shape[0]} x {self.shape[1]}, {self.nnz} elements)"


def _offsets(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def jacobian_pattern(
    function: Function, nonzero: Sequence[bool], known: Sequence[Any] = (), results: int | None = None
) -> Pattern:
    """The pattern of the Jacobian, its rows all elements of the results, its columns those of the chosen params.

    Args:
      nonzero: by which params.
      known: values of params that may be taken for constants, `None` for the others.
      results: how many of the results count, the first ones; `None` for all.

    Raises:
      SparsityError: the pattern is too dense to be held.
    """
    count = len(function.results) if results is None else results
    program, present = jvp(
        function.replace(results=function.results[:count]), nonzero, instantiate=False, primals_out=False
    )
    return _pattern(program, present, function.out_types[:count], function.in_types, nonzero, known)


def needs_reverse(function: Function, nonzero: Sequence[bool]) -> bool:
    """Whether a rule that only has a reverse mode stands between the results and the chosen params."""
    program = dce(jvp(function, nonzero, instantiate=False, primals_out=False)[0])
    return any(eqn.op is custom_vjp_tangent for inner in inner_first(program) for eqn in inner.eqns)


def hessian_pattern(function: Function, nonzero: Sequence[bool], known: Sequence[Any] = ()) -> Pattern:
    """The pattern of the Hessian of the first result, a scalar, by the chosen params; symmetric.

    Args:
      nonzero: by which params.
      known: values of params that may be taken for constants, `None` for the others.

    Raises:
      SparsityError: the pattern is too dense to be held.
    """
    gradient = value_and_grad(function, nonzero)
    gradient = dce(gradient.replace(results=gradient.results[len(function.results) :]))
    program, present = jvp(gradient, nonzero, instantiate=False, primals_out=False)
    return _pattern(program, present, gradient.out_types, function.in_types, nonzero, known).symmetric()


def _pattern(
    program: Function,
    present: Sequence[bool],
    outs: Sequence[Any],
    ins: Sequence[Any],
    nonzero: Sequence[bool],
    known: Sequence[Any],
) -> Pattern:
    """What the results of a JVP program, tangents alone, depend on."""
    program = dce(program)
    chosen = [t for t, n in zip(ins, nonzero, strict=True) if n]
    sizes = [t.size for t in chosen]
    pool = Pool(sum(sizes))
    starts = np.cumsum([0, *sizes])
    seeds = [pool.singletons(int(s), t.shape) for s, t in zip(starts, chosen, strict=False)]
    values = [*known, *[None] * (len(ins) - len(known))]
    given = [*[None] * len(ins), *seeds]
    found = iter(Propagation(pool).run(program, given, [*values, *[None] * len(seeds)])[0])
    rows = []
    for there, t in zip(present, outs, strict=True):
        ids = next(found) if there else None
        rows.append(np.zeros(t.size, np.int32) if ids is None else ids.reshape(-1))
    every = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    lengths, members = pool.members(every)
    return Pattern((every.size, pool.size), _offsets(lengths), members)


__all__ = ["Pattern", "hessian_pattern", "jacobian_pattern", "needs_reverse"]
