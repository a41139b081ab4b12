"""Factors of which only a determinant is read.

    f, p, q = lu(tril(a))       becomes      f = tril(a), with no rows exchanged
    f, p, q = lu(kron(a, b))    becomes      g = lu(a), h = lu(b), and diag(f) = kron(diag(g), diag(h))
    f, p, q = lu(tril(a) b)     becomes      g = lu(b), and diag(f) = diag(a) diag(g)
    f, p, q = lu([[a, 0], [c, d]])     becomes     g = lu(a), h = lu(d), and diag(f) = [diag(g), diag(h)]

A determinant is the product of the diagonal of the factors, with the sign of the order of the rows. What is read of
them decides: the elements of the diagonal in any order (their product, whether one is zero, how many are negative, the
sum of the logarithms), and of the exchanges of rows whether they are even or odd. Factors of which more is read stay.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ir.core import Eqn, Function, Value
from ir.ops.cond import cond
from ir.ops.convert import convert
from ir.ops.elementwise import abs as abs_op
from ir.ops.elementwise import add, div, eq, log, lt, mul, ne, or_, rem
from ir.ops.indexing import gather
from ir.ops.linalg import lu
from ir.ops.matrix import diagonal
from ir.ops.reduce import reduce_or, reduce_prod, reduce_sum
from ir.ops.shape import broadcast_in_dim, concatenate, full_like, iota, reshape_to
from ir.passes.nested import deep
from ir.passes.replacing import Written, rewritten
from ir.passes.selections.factored import Costs, Factor, factored, number_of, repeated
from ir.passes.selections.forms import Reader
from ir.passes.selections.kronecker import kronecker, matrix
from ir.passes.selections.rows import known
from ir.passes.selections.triangles import is_lower
from ir.passes.selections.triangular_blocks import Blocks, diagonal_parts, taken_apart
from ir.passes.solves import is_identity
from ir.remarks import remark
from ir.rewriter import constant_number, index_axis
from ir.types import i32


@deep
def read_determinants(function: Function) -> Function:
    """Find determinants of triangular matrices and of products of several kinds without factors of these."""
    if not any(e.op is lu for e in function.eqns):
        return function
    return _Determinants(function).function()


@dataclass(frozen=True)
class Reading:
    """What is read of factors for a determinant.

    Attributes:
      diagonals: equations whose results are the diagonal.
      exchanges: equations whose results are where rows were exchanged.
    """

    diagonals: tuple[Eqn, ...]
    exchanges: tuple[Eqn, ...]


class Readers:
    """Who reads what in a function."""

    def __init__(self, whole: Function) -> None:
        self.made = {v: e for e in whole.eqns for v in e.results}
        self.kept = set(whole.results)
        self.users: dict[Value, list[Eqn]] = {}
        for eqn in whole.eqns:
            for v in dict.fromkeys(eqn.operands):
                self.users.setdefault(v, []).append(eqn)

    def determinant(self, factors: Eqn) -> Reading | None:
        """What is read of the factors of a matrix, if it is a determinant alone."""
        whole, pivots, order = factors.results
        if whole.type.rank != 2 or whole.type.shape[0] != whole.type.shape[1] or whole.type.dtype.is_complex:
            return None
        if not self.kept.isdisjoint(factors.results) or self.users.get(order):
            return None
        diagonals, exchanges = self.users.get(whole, []), self.users.get(pivots, [])
        if not all(self._is_diagonal(e, whole) for e in diagonals):
            return None
        if not all(self._compares(e, ne, pivots) for e in exchanges):
            return None
        negative = self._negative([e.results[0] for e in diagonals])
        if negative is None or not self._is_sign(negative, [e.results[0] for e in exchanges]):
            return None
        return Reading(tuple(diagonals), tuple(exchanges))

    # The diagonal ---------------------------------------------------------------------------------

    def _is_diagonal(self, eqn: Eqn, matrix: Value) -> bool:
        """Whether the result is the diagonal of a matrix, in its order."""
        if len(eqn.results) != 1 or eqn.results[0].type.shape != matrix.type.shape[:1]:
            return False
        if eqn.op is gather:
            return _takes_diagonal(eqn, self.made)
        if eqn.op is not cond or eqn.attrs["lanes"] or eqn.operands[1:].count(matrix) != 1:
            return False
        place = eqn.operands[1:].index(matrix)
        return all(self._gives_diagonal(branch, place, eqn.operands[1:]) for branch in eqn.attrs["branches"])

    def _gives_diagonal(self, branch: Function, place: int, operands: Sequence[Value]) -> bool:
        matrix, (out,) = branch.params[place], branch.results
        made = {v: e for e in branch.eqns for v in e.results}
        users = [e for e in branch.eqns if matrix in e.operands]
        if len(users) != 1:
            return False
        (eqn,) = users
        if eqn.op is gather:
            return out is eqn.results[0] and eqn.operands[0] is matrix and _takes_diagonal(eqn, made)
        last = made.get(out)
        if eqn.op is not mul or last is None or last.op is not reduce_sum or last.operands != eqn.results:
            return False
        other = eqn.operands[1 if eqn.operands[0] is matrix else 0]
        given = operands[branch.params.index(other)] if other in branch.params else None
        return given is not None and is_identity(given, self.made.get)

    def _negative(self, diagonals: Sequence[Value]) -> list[Value] | None:
        """Where elements are negative, if nothing else is read of them that depends on their order or signs."""
        flags: list[Value] = []
        for elements in diagonals:
            if elements in self.kept:
                return None
            for eqn in self.users.get(elements, []):
                if eqn.op is lt and constant_number(self.made.get(eqn.operands[1])) == 0:
                    flags += eqn.results
                elif not self._is_size(eqn):
                    return None
        return flags

    def _is_size(self, eqn: Eqn) -> bool:
        """Whether only a product of sizes is read by an equation, or whether it is zero."""
        if eqn.op is reduce_prod:
            return self._ends_in(eqn.results[0], abs_op)
        if eqn.op is eq and self._zero_besides(eqn):
            return self._ends_in(eqn.results[0], reduce_or)
        if eqn.op is not abs_op or eqn.results[0] in self.kept:
            return False
        readers = self.users.get(eqn.results[0], [])
        return all(e.op is log and self._ends_in(e.results[0], reduce_sum) for e in readers)

    def _zero_besides(self, eqn: Eqn) -> bool:
        return any(constant_number(self.made.get(v)) == 0 for v in eqn.operands)

    def _ends_in(self, value: Value, op: object) -> bool:
        """Whether nothing reads a value but one op; which reduces all of it, if it is a vector."""
        readers = self.users.get(value, [])
        return value not in self.kept and all(
            e.op is op and (not value.type.rank or e.attrs["axes"] == (0,)) for e in readers
        )

    # The order of the rows ------------------------------------------------------------------------

    def _compares(self, eqn: Eqn, op: object, value: Value) -> bool:
        """Whether a vector is compared with its indices."""
        return eqn.op is op and any(
            a is value and index_axis(b, self.made.get) == 0 for a, b in (eqn.operands, eqn.operands[::-1])
        )

    def _is_sign(self, negative: Sequence[Value], exchanged: Sequence[Value]) -> bool:
        """Whether of two vectors of flags it only matters if as many are set, together, as an even number."""
        counts = [self._counts(flags) for flags in (negative, exchanged)]
        if counts[0] is None or counts[1] is None:
            return False
        pairs = {frozenset([a, b]) for a in counts[0] for b in counts[1]}
        for count in (*counts[0], *counts[1]):
            for eqn in self.users.get(count, []):
                if eqn.op is not add or frozenset(eqn.operands) not in pairs or eqn.results[0] in self.kept:
                    return False
                if not all(self._halves(e, eqn.results[0]) for e in self.users.get(eqn.results[0], [])):
                    return False
        return True

    def _counts(self, flags: Sequence[Value]) -> list[Value] | None:
        """How many flags are set, if nothing else is read of them."""
        numbers = [e.results[0] for v in flags for e in self.users.get(v, []) if e.op is convert]
        if sum(len(self.users.get(v, [])) for v in flags) > len(numbers):
            return None
        if not all(v.type.dtype.is_integer and self._ends_in(v, reduce_sum) for v in numbers):
            return None
        counts = [e.results[0] for v in numbers for e in self.users.get(v, [])]
        return None if not self.kept.isdisjoint([*flags, *counts]) else counts

    def _halves(self, eqn: Eqn, value: Value) -> bool:
        """Whether the rest of a number by two is taken."""
        two = eqn.op is rem and eqn.operands[0] is value
        return two and constant_number(self.made.get(eqn.operands[1])) == 2


def _takes_diagonal(eqn: Eqn, made: dict[Value, Eqn]) -> bool:
    """Whether a gather takes the elements of a matrix whose indices are equal."""
    a, (x, indices) = eqn.attrs, eqn.operands
    if x.type.rank != 2 or a["offset_dims"] or a["slice_sizes"] != (1, 1):
        return False
    if a["operand_batching_dims"]:  # the index of the other axis, for each place of this one
        along = len(a["start_index_map"]) == 1 and a["start_indices_batching_dims"] == (0,)
    else:
        along = sorted(a["start_index_map"]) == [0, 1]
    numbers = known(indices, made.get) if along else None
    if numbers is None or numbers.ndim != 2 or len(numbers) != x.type.shape[0]:
        return False
    return bool((numbers == np.arange(len(numbers))[:, None]).all())


class _Determinants:
    def __init__(self, whole: Function) -> None:
        self.whole = whole
        self.readers = Readers(whole)
        self.env: dict[Value, Value] = {}
        self.reader = Reader(self.readers.made.get, lambda v: self.env.get(v, v))
        # Written when the factors would be: the diagonal, and where rows were exchanged.
        self.vectors: dict[Eqn, Value] = {}
        self.costs = Costs(whole)

    def function(self) -> Function:
        return rewritten(self.whole, self._written, self.env)

    def _written(self, eqn: Eqn) -> Written:
        if eqn.op is lu:
            reading = self.readers.determinant(eqn)
            return None if reading is None else self._factors(eqn, reading)
        return self.vectors.get(eqn)

    def _factors(self, eqn: Eqn, reading: Reading) -> Written:
        (given,) = eqn.operands
        if is_lower(self.reader, given):
            remark("read_determinants", eqn.source, "the diagonal of a triangular matrix")
            order: Value = iota(shape=given.type.shape[:1], dtype=i32, axis=0)
            return self.reader.now(given), order, order
        pair = kronecker(given, self.readers.made.get)
        if pair is not None:
            remark("read_determinants", eqn.source, "the determinants of the factors of a Kronecker product")
            diagonals, exchanged = self._of_product([matrix(self.reader.now(f)) for f in pair[0]])
        elif (factors := factored(self.reader, given)) is not None and self._pays(eqn, factors, reading):
            remark("read_determinants", eqn.source, "the determinants of the factors of a product")
            return self._of_factors(given, factors, reading)
        elif (apart := taken_apart(self.reader, given)) is not None:
            remark("read_determinants", eqn.source, "the determinants of blocks on the diagonal")
            diagonals, exchanged = self._of_blocks(apart[0])
        else:
            return None
        self.vectors.update(dict.fromkeys(reading.diagonals, diagonals))
        return self._without_factors(given, reading, exchanged)

    def _without_factors(self, given: Value, reading: Reading, exchanged: Value) -> Written:
        self.vectors.update(dict.fromkeys(reading.exchanges, exchanged))
        order = iota(shape=given.type.shape[:1], dtype=i32, axis=0)
        # (Nothing else is read of these.)
        return self.reader.now(given), order, order

    def _pays(self, eqn: Eqn, factors: Sequence[Factor], reading: Reading) -> bool:
        """Whether factors are no more work; those of the product may be there for systems already.

        Nor for a product of sizes: of a product it may be in range where those of its factors are not.
        """
        if self._is_apart(factors) and any(e.op is reduce_prod for e in self._read(reading)):
            return False
        root = self.costs.root(eqn.operands[0])
        others = [e for e in self.costs.factored.get(root, ()) if self.readers.determinant(e) is None]
        return (sum(f.is_full for f in factors) < 2 or not others) and self.costs.pays(root, factors)

    def _read(self, reading: Reading) -> list[Eqn]:
        """What reads the diagonal."""
        return [e for made in reading.diagonals for e in self.readers.users.get(made.results[0], ())]

    def _is_apart(self, factors: Sequence[Factor]) -> bool:
        """Whether diagonals of factors may not be multiplied: of more than one, without numbers for all elements."""
        numbers = [f for f in factors if f.is_diagonal and number_of(self.reader, f) is not None]
        return len(factors) - len(numbers) > 1

    def _of_factors(self, given: Value, factors: Sequence[Factor], reading: Reading) -> Written:
        """Of matrices that are multiplied; elements of their diagonals are not, which are in any order.

        With 1e25 and 1e-25 in other places of two diagonals, products overflow and vanish; logarithms are added.
        """
        size = factors[0].matrix.type.shape[0]
        places: Value = iota(shape=(size,), dtype=i32, axis=0)
        exchanged: Value = ne(places, places)
        parts: list[Value] = []
        for each in factors:
            if each.is_diagonal:
                part = repeated(self.reader, each, (size,), 0)
            elif each.lower is not None:
                part = diagonal(self.reader.now(each.matrix))
            else:
                whole, pivots, _ = lu(self.reader.now(each.matrix))
                part, exchanged = diagonal(whole), ne(exchanged, ne(pivots, places))
            parts.append(div(full_like(part, 1), part) if each.is_inverse else part)
        if not self._is_apart(factors):
            self.vectors.update(dict.fromkeys(reading.diagonals, functools.reduce(mul, parts)))
            return self._without_factors(given, reading, exchanged)
        for eqn in self._read(reading):
            if eqn.op is abs_op:
                logarithms = functools.reduce(add, [log(abs_op(p)) for p in parts])
                self.vectors.update(dict.fromkeys(self.readers.users[eqn.results[0]], logarithms))
            else:  # whether elements are negative, as evenly; or whether one is zero
                join = ne if eqn.op is lt else or_
                self.vectors[eqn] = functools.reduce(join, [eqn.op(p, full_like(p, 0)) for p in parts])
        return self._without_factors(given, reading, exchanged)

    def _of_blocks(self, blocks: Blocks) -> tuple[Value, Value]:
        """As `_of_product`, of matrices that stand on the diagonal."""
        diagonals, exchanged = [], []
        for each in diagonal_parts(blocks):
            block, value = each.write(self.reader.now), each.block()
            places: Value = iota(shape=block.type.shape[:1], dtype=i32, axis=0)
            pivots = places
            if value is None or is_lower(self.reader, value) is None:
                block, pivots, _ = lu(block)
            diagonals.append(diagonal(block))
            exchanged.append(ne(pivots, places))
        return concatenate(*diagonals, axis=0), concatenate(*exchanged, axis=0)

    def _of_product(self, matrices: Sequence[Value]) -> tuple[Value, Value]:
        """The diagonal of factors of a Kronecker product; and flags, set as evenly as rows were exchanged."""
        size = 1
        for each in matrices:
            size *= each.type.shape[0]
        whole: Value | None = None
        odd: Value | None = None
        for each in matrices:
            factors, pivots, _ = lu(each)
            n = each.type.shape[0]
            part = diagonal(factors)
            whole = part if whole is None else _outer(whole, part)
            if (size // n) % 2:  # each exchange is one of that many rows
                flags = convert(ne(pivots, iota(shape=(n,), dtype=i32, axis=0)), dtype=i32)
                count = reduce_sum(flags, axes=(0,))
                odd = count if odd is None else add(odd, count)
        assert whole is not None
        places = iota(shape=(size,), dtype=i32, axis=0)
        if odd is None:
            return whole, ne(places, places)
        even = rem(odd, full_like(odd, 2))
        # The first flag, if the number is odd.
        first = add(places, full_like(places, 1))
        return whole, eq(first, broadcast_in_dim(even, shape=(size,), dims=()))


def _outer(a: Value, b: Value) -> Value:
    """The products of all elements of two vectors, those of the second one side by side."""
    shape = a.type.shape[0], b.type.shape[0]
    left, right = (broadcast_in_dim(v, shape=shape, dims=(d,)) for d, v in enumerate((a, b)))
    return reshape_to(mul(left, right), (shape[0] * shape[1],))


__all__ = ["Reading", "Readers", "read_determinants"]
