"""Sums of matrices that have elements in the same places, such as diagonal ones, are one of that kind.

    select(i == j, x, 0) - c convert(i == j)      becomes      select(i == j, x - c, 0)

As a product with each they would be multiplied out, and cancel where their sum does not (`terms`).
"""

from __future__ import annotations

import functools

from ir.core import Eqn, Function, Value
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.elementwise import add, eq, neg, select, sub
from ir.ops.shape import full, full_like, transpose
from ir.passes.nested import deep
from ir.passes.products.reading import Reader
from ir.passes.replacing import Write, replaced
from ir.rewriter import constant_number

# What reads a sum is followed through so many values.
_READERS = 64


@deep
def add_masked(function: Function) -> Function:
    """Add what one comparison of indices keeps before it is kept."""
    if not any(e.op is eq for e in function.eqns):
        return function
    masked = _Masked(function)
    return replaced(function, masked.sums) if masked.sums else function


class _Masked:
    """What is zero but where indices are equal.

    Attributes:
      masks: where such a value is not; of sums, of those that are written anew.
      sums: writes sums of two of these.
      kept: what sums have where they are not zero, once they are written.
    """

    def __init__(self, function: Function) -> None:
        self.definitions = {v: eqn for eqn in function.eqns for v in eqn.results}
        self.reader = Reader(self.definitions, lambda value: False)
        self.results = set(function.results)
        self.readers: dict[Value, list[Eqn]] = {}
        for eqn in function.eqns:
            for v in set(eqn.operands):
                self.readers.setdefault(v, []).append(eqn)
        self.masks: dict[Value, Value] = {}
        self.sums: dict[Value, Write] = {}
        self.kept: dict[Value, Value] = {}
        for eqn in function.eqns:
            if len(eqn.results) == 1 and eqn.results[0].type.dtype.is_inexact:
                self._read(eqn)

    def _read(self, eqn: Eqn) -> None:
        (out,) = eqn.results
        masks = [self.masks.get(v) for v in eqn.operands]
        if eqn.op in (add, sub):
            if masks[0] is not None and masks[0] is masks[1] and self._is_multiplied(out):
                self.masks[out] = masks[0]
                self.sums[out] = functools.partial(self._write, eqn)
        elif eqn.op is neg or self.reader.is_multiple(eqn):
            mask = self.masks.get(self.reader.multiplied(eqn))
            if mask is not None:
                self.masks[out] = mask
        elif eqn.op in (convert, select):
            made = self.definitions.get(eqn.operands[0])
            is_zero = eqn.op is convert or constant_number(self.definitions.get(eqn.operands[2])) == 0
            if (
                made is not None
                and made.op is eq
                and is_zero
                and eqn.operands[0].type.shape == out.type.shape
            ):
                self.masks[out] = eqn.operands[0]

    def _is_multiplied(self, value: Value) -> bool:
        """Whether products alone read a value: of signs of zeros, and of 0 inf, they are not told."""
        stack, seen = [value], {value}
        while stack:
            v = stack.pop()
            if v in self.results or len(seen) > _READERS:
                return False
            for eqn in self.readers.get(v, ()):
                if eqn.op is dot_general:
                    continue
                if eqn.op not in (add, sub, neg, transpose) and not self.reader.is_multiple(eqn):
                    return False
                stack += [r for r in eqn.results if r not in seen]
                seen.update(eqn.results)
        return True

    def _write(self, eqn: Eqn, env: dict[Value, Value]) -> Value:
        (out,) = eqn.results
        kept = self.kept[out] = eqn.op(*[self._kept(v, env) for v in eqn.operands])
        mask = self.masks[out]
        return select(env.get(mask, mask), kept, full_like(kept, 0))  # type: ignore[no-any-return]

    def _kept(self, value: Value, env: dict[Value, Value]) -> Value:
        """What a value is where its mask holds."""
        steps: list[Eqn] = []
        while (eqn := self.definitions[value]).op not in (add, sub, convert, select):
            steps.append(eqn)
            value = self.reader.multiplied(eqn)
        if eqn.op is select:
            kept = env.get(eqn.operands[1], eqn.operands[1])
        else:
            kept = full(value.type.shape, 1, value.type.dtype) if eqn.op is convert else self.kept[value]
        for eqn in reversed(steps):
            inner = self.reader.multiplied(eqn)
            kept = eqn.op(*[kept if v is inner else env.get(v, v) for v in eqn.operands], **eqn.attrs)
        return kept


__all__ = ["add_masked"]
