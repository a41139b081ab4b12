"""Products of triangular matrices, and of matrices with their own transposes, by panels: half of each is known.

    l = tril(a); c = dot_general(l, b)      becomes    c = concatenate(l[:p, :p] @ b[:p], l[p:, :] @ b)
    c = dot_general(a, a) {contract 1, 1}   becomes    d = a[p:] @ a';  c = [[a[:p] @ a[:p]', d[:, :p]'], d]

With k panels (k + 1) / 2k of the operations are left, as in BLAS' `trmm` and `syrk`, of which XLA has none. Parts are
cut out and put together, so that the model of the machine decides, and takes small products as they are.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable

from ir.core import Eqn, Function, Value
from ir.machine import Machine, current
from ir.op import Builder, building
from ir.ops.contraction import dot_general
from ir.ops.shape import concatenate, slice_axis, transpose
from ir.passes.nested import deep
from ir.passes.replacing import Write, replaced
from ir.passes.selections.forms import Reader
from ir.passes.selections.triangles import is_lower
from ir.remarks import remark

# Numbers of panels that are tried; with more, measured, small products and copies take what is saved.
_COUNTS = (2, 3, 4)
# By panels has to be quicker by this factor, and by so many seconds.
_QUICKER, _SECONDS = 0.85, 2e-5

Span = tuple[int, int]


@deep
def multiply_panels(function: Function) -> Function:
    """Leave out what is zero, or known by symmetry, where that pays."""
    made = {v: e for e in function.eqns for v in e.results}
    reader = Reader(made.get, lambda v: v)
    writes: dict[Value, Write] = {}
    for eqn in function.eqns:
        if eqn.op is not dot_general:
            continue
        with building(Builder()):  # (the reader writes what it reads from; nothing of it is used)
            product = _read(eqn, reader)
        plan = None if product is None else product.best(current())
        if product is not None and plan is not None:
            writes[eqn.results[0]] = functools.partial(product.write, plan)
            remark("multiply_panels", eqn.source, f"{product.what} in {len(plan)} panels")
    return replaced(function, writes) if writes else function


def _read(eqn: Eqn, reader: Reader) -> _Triangular | _Gram | None:
    """A product half of which is known."""
    attrs, (left, right) = eqn.attrs, eqn.operands
    if attrs["lhs_batch"] or len(attrs["lhs_contract"]) != 1 or left.type.dtype is not right.type.dtype:
        return None
    contract = attrs["lhs_contract"][0], attrs["rhs_contract"][0]
    if left is right:
        return _Gram(eqn, contract[0]) if left.type.rank == 2 and contract[0] == contract[1] else None
    for side, matrix in enumerate(eqn.operands):
        shape = matrix.type.shape
        if matrix.type.rank == 2 and shape[0] == shape[1] and eqn.operands[1 - side].type.rank > 1:
            lower = is_lower(reader, matrix)
            if lower is not None:
                return _Triangular(eqn, side, contract, lower)
    return None


def _spans(size: int, count: int) -> list[Span]:
    """Places along an axis, in panels."""
    return list(itertools.pairwise([size * k // count for k in range(count + 1)]))


class _Halved:
    """A product of which panels are computed."""

    what = ""

    def __init__(self, eqn: Eqn, size: int) -> None:
        self.eqn, self.size = eqn, size
        self.itemsize = eqn.results[0].type.nbytes / max(1, eqn.results[0].type.size)

    def best(self, machine: Machine) -> list[Span] | None:
        """The panels that are quickest, if that is quicker than the product as it stands."""
        whole = self.seconds([(0, self.size)], machine)
        plans = [_spans(self.size, count) for count in _COUNTS if count <= self.size]
        if not plans:
            return None
        plan = min(plans, key=lambda spans: self.seconds(spans, machine))
        seconds = self.seconds(plan, machine)
        return plan if seconds < _QUICKER * whole and whole - seconds > _SECONDS else None

    def seconds(self, spans: list[Span], machine: Machine) -> float:
        raise NotImplementedError

    def _seconds(self, products: Iterable[tuple[int, int, int]], copied: float, machine: Machine) -> float:
        """Of products of so many rows, columns and terms, and of elements that are copied besides."""
        total, largest = 0.0, self.eqn.results[0].type.nbytes
        for m, n, k in products:
            nbytes = self.itemsize * (m * k + k * n + m * n)
            total += 2 * m * n * k / machine.flops + machine.moving(nbytes, largest) + machine.launch
        return total + machine.moving(2 * copied * self.itemsize, largest)

    def _dot(self, left: Value, right: Value) -> Value:
        return dot_general(left, right, **self.eqn.attrs)  # type: ignore[no-any-return]


class _Triangular(_Halved):
    """A triangular matrix times something.

    Args:
      side: which operand the matrix is.
      contract: axes that are summed over.
      lower: zero above the diagonal; otherwise below.
    """

    what = "a triangular product"

    def __init__(self, eqn: Eqn, side: int, contract: tuple[int, int], lower: bool) -> None:
        super().__init__(eqn, eqn.operands[side].type.shape[0])
        self.side, self.summed, self.other_summed = side, contract[side], contract[1 - side]
        # Whether rows of the result take the first terms, up to their own; otherwise the last ones.
        self.first = lower == (self.summed == 1)

    def _terms(self, span: Span) -> Span:
        return (0, span[1]) if self.first else (span[0], self.size)

    def seconds(self, spans: list[Span], machine: Machine) -> float:
        other = self.eqn.operands[1 - self.side].type.size // max(1, self.size)
        parts = [(b - a, other, end - start) for a, b in spans for start, end in [self._terms((a, b))]]
        copied = 0
        if len(spans) > 1:
            copied = self.eqn.results[0].type.size + sum(
                m * k + (k * n if k < self.size else 0) for m, n, k in parts
            )
        return self._seconds(parts, copied, machine)

    def write(self, spans: list[Span], env: dict[Value, Value]) -> Value:
        operands = [env.get(v, v) for v in self.eqn.operands]
        matrix, other = operands[self.side], operands[1 - self.side]
        parts = []
        for span in spans:
            terms = self._terms(span)
            panel = _cut(_cut(matrix, 1 - self.summed, span), self.summed, terms)
            rest = _cut(other, self.other_summed, terms)
            parts.append(self._dot(rest, panel) if self.side else self._dot(panel, rest))
        axis = parts[0].type.rank - 1 if self.side else 0
        return concatenate(*parts, axis=axis)  # type: ignore[no-any-return]


class _Gram(_Halved):
    """A matrix times its own transpose.

    Args:
      summed: the axis that is summed over.
    """

    what = "a symmetric product"

    def __init__(self, eqn: Eqn, summed: int) -> None:
        super().__init__(eqn, eqn.operands[0].type.shape[1 - summed])
        self.summed, self.depth = summed, eqn.operands[0].type.shape[summed]

    def seconds(self, spans: list[Span], machine: Machine) -> float:
        parts = [(b - a, b, self.depth) for a, b in spans]
        copied = 0
        if len(spans) > 1:
            copied = self.size**2 + sum((m + (n if n < self.size else 0)) * k for m, n, k in parts)
        return self._seconds(parts, copied, machine)

    def write(self, spans: list[Span], env: dict[Value, Value]) -> Value:
        matrix, axis = env.get(self.eqn.operands[0], self.eqn.operands[0]), 1 - self.summed
        below = [self._dot(_cut(matrix, axis, (a, b)), _cut(matrix, axis, (0, b))) for a, b in spans]
        rows = []
        for i, span in enumerate(spans):
            above = [transpose(_cut(panel, 1, span), perm=(1, 0)) for panel in below[i + 1 :]]
            rows.append(concatenate(below[i], *above, axis=1) if above else below[i])
        return concatenate(*rows, axis=0)  # type: ignore[no-any-return]


def _cut(value: Value, axis: int, span: Span) -> Value:
    if span == (0, value.type.shape[axis]):
        return value
    return slice_axis(value, axis, *span)


__all__ = ["multiply_panels"]
