"""Loops take a small array whole where they took several parts of it, and take it apart themselves.

    a = x[0]; b = x[1]                                  y = scan(x) {body(x): a = x[0]; b = x[1]; ...}
    y = scan(a, b) {body(a, b): ...}        becomes

Outside, each part is a kernel of its own, which takes longer than small loops do; inside, it is part of what uses
it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ir.core import Eqn, Function, Value
from ir.op import Builder, building
from ir.ops.loops import scan
from ir.ops.shape import reshape, slice
from ir.ops.while_loop import while_loop
from ir.passes.nested import deep
from ir.passes.replacing import renamed

# Larger parts, in elements, are left: what takes an array and not its elements would copy them each time.
_LARGEST: Final = 32
# The array has at most so many times the elements of its parts.
_WASTE: Final = 2


@dataclass(frozen=True, slots=True)
class _Part:
    """A value as a part of another: equations from that one on."""

    whole: Value
    chain: tuple[Eqn, ...]


@deep
def sink_slices(function: Function) -> Function:
    """Write slices of small arrays into the loops that take them; those outside go with `dce`."""
    parts: dict[Value, _Part] = {}
    eqns: list[Eqn] | None = None
    for i, eqn in enumerate(function.eqns):
        if eqn.op is slice or (eqn.op is reshape and eqn.operands[0] in parts):
            before = parts.get(eqn.operands[0], _Part(eqn.operands[0], ()))
            parts[eqn.results[0]] = _Part(before.whole, (*before.chain, eqn))
        elif eqn.op in (scan, while_loop) and not parts.keys().isdisjoint(eqn.operands):
            new = _with_wholes(eqn, parts)
            if new is not eqn:
                eqns = list(function.eqns) if eqns is None else eqns
                eqns[i] = new
    return function if eqns is None else function.replace(eqns=tuple(eqns))


def _with_wholes(eqn: Eqn, parts: dict[Value, _Part]) -> Eqn:
    attrs, operands = dict(eqn.attrs), list(eqn.operands)
    if eqn.op is scan:
        consts = attrs["num_consts"]
        rows = range(consts + attrs["num_carry"], len(operands))
        for positions, by_row in ((range(consts), False), (rows, True)):
            attrs["function"] = _taking_wholes(attrs["function"], operands, positions, parts, by_row=by_row)
    else:
        tests = attrs["num_cond_consts"]
        body = range(tests, tests + attrs["num_body_consts"])
        attrs["cond"] = _taking_wholes(attrs["cond"], operands, range(tests), parts)
        attrs["body"] = _taking_wholes(attrs["body"], operands, body, parts, first=tests)
    if all(a is b for a, b in zip(operands, eqn.operands, strict=True)):
        return eqn
    return Eqn(eqn.op, tuple(operands), eqn.op.normalize(attrs), eqn.results, eqn.source)


def _taking_wholes(
    function: Function, operands: list[Value], positions: Iterable[int], parts: dict[Value, _Part],
    *, first: int = 0, by_row: bool = False,
) -> Function:  # fmt: skip
    """The function with wholes for params; each is put in the place of the first of its parts in `operands`.

    Args:
      positions: of the operands to look at.
      first: the position of the operand that the first param stands for.
      by_row: the function is given one row of each operand.
    """
    groups: dict[Value, list[int]] = {}
    for at in positions:
        part = parts.get(operands[at])
        if part is not None and (not by_row or _keeps_rows(part)):
            groups.setdefault(part.whole, []).append(at)
    params = list(function.params)
    builder = Builder()
    env: dict[Value, Value] = {}
    for whole, found in groups.items():
        taken = {operands[at]: params[at - first].type.size for at in found}
        shape = whole.type.shape[by_row:]
        if (
            len(taken) < 2
            or max(taken.values()) > _LARGEST
            or math.prod(shape) > _WASTE * sum(taken.values())
        ):
            continue
        inside = Value(whole.type.with_shape(shape), whole.name)
        for at in found:
            env[params[at - first]] = _taken(builder, inside, parts[operands[at]].chain, by_row=by_row)
        params[found[0] - first] = inside
        operands[found[0]] = whole
    if not env:
        return function
    for eqn in function.eqns:
        builder.append(renamed(eqn, env))
    results = tuple([env.get(v, v) for v in function.results])
    return function.replace(params=tuple(params), eqns=tuple(builder.eqns), results=results)


def _keeps_rows(part: _Part) -> bool:
    """Whether each row of the part is made of the same row of the whole, in one way."""
    count = part.whole.type.shape[0]
    return all(
        (eqn.attrs["starts"][0], eqn.attrs["limits"][0], eqn.attrs["strides"][0]) == (0, count, 1)
        if eqn.op is slice
        else eqn.attrs["shape"][:1] == (count,)
        for eqn in part.chain
    )


def _taken(builder: Builder, whole: Value, chain: Sequence[Eqn], *, by_row: bool) -> Value:
    """The part of a whole, or of a row of it."""
    for eqn in chain:
        attrs = {name: value[by_row:] for name, value in eqn.attrs.items()}
        with building(builder):
            builder.source = eqn.source
            whole = eqn.op(whole, **attrs)
    builder.source = None
    return whole


__all__ = ["sink_slices"]
