"""How long a region takes, computed at once or in blocks.

What is computed element by element costs the reading of arrays in memory and the writing of results: one kernel
computes all that leads to an array which is kept. Arrays are kept for products, and for several users. A kernel whose
arrays fit into the cache finds them there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ir.core import Eqn, Value
from ir.machine import Machine
from ir.ops.contraction import dot_general, free_dims
from ir.ops.elementwise import eq, ge, gt, le, lt, ne
from ir.ops.shape import broadcast_in_dim, constant, iota, reshape, transpose
from ir.passes.blocking.region import Program, Region

# Not worth keeping for a second user.
_FREE = (constant, iota, broadcast_in_dim, eq, ge, gt, le, lt, ne)
_MOVES = (broadcast_in_dim, reshape, transpose)
# Rows of a product that take as long as loading the other operand.
_ROWS = 16
_SOURCES = 12

# An array that a kernel reads, and the dimension of which it takes a block.
Source = tuple[Value, int | None]


@dataclass(frozen=True)
class Kernel:
    """What is computed in one go.

    Attributes:
      flops: operations, of all blocks.
      rows: for a product of a block with an array that is taken whole, how many rows each element of the block
        has; 0 for others.
      moved: what is read and written.
    """

    flops: int
    rows: int
    moved: list[Source]


def seconds(
    region: Region, found: Sequence[Kernel], outputs: Iterable[Value], block: int, machine: Machine
) -> float:
    """Of kernels of a region, in blocks of so many elements: of all blocks."""
    count = region.size / block
    once = 0.0
    for kernel in found:
        nbytes = [v.type.nbytes if d is None else v.type.nbytes / count for v, d in kernel.moved]
        flops = kernel.flops * block / region.size * (1 + _ROWS / (block * kernel.rows) if kernel.rows else 1)
        # A product is computed while its operands arrive.
        once += max(flops / machine.flops, machine.moving(sum(nbytes), max(nbytes))) + machine.launch
    if block < region.size:
        # What is joined is read, and read and written where it is added up, with every block.
        joined = [v.type.nbytes for v in outputs if v not in region.dims]
        once += machine.moving(3 * sum(joined), max(joined, default=0)) + 4 * machine.launch
    return once * count


def kernels(program: Program, region: Region, eqns: Sequence[Eqn], outputs: Iterable[Value]) -> list[Kernel]:
    """The kernels of equations of a region."""
    out: list[Kernel] = []
    needed = set(outputs)
    inside = set(eqns)
    sources: dict[Value, frozenset[Source]] = {}

    def of(value: Value, dim: int | None) -> frozenset[Source]:
        made = program.definitions.get(value)
        if made is not None and made in inside and region.has(value, dim):
            return sources[value]
        return frozenset() if made is not None and made.op in (constant, iota) else frozenset([(value, dim)])

    for eqn in eqns:
        read = frozenset().union(*[of(v, d) for v, d in region.operands(eqn)])
        fused = eqn.op.elementwise or eqn.op in _MOVES or eqn.op in (constant, iota)
        users = [u for v in eqn.results for u in program.users.get(v, ()) if u in inside]
        kept = (
            not fused
            or any(v in needed for v in eqn.results)
            or any(u.op is dot_general for u in users)
            or (len(users) > 1 and eqn.op not in _FREE)
            or len(read) > _SOURCES
        )
        if not kept:
            sources.update(dict.fromkeys(eqn.results, read))
            continue
        made = [(v, region.dims.get(v)) for v in eqn.results]
        sources.update({v: frozenset([(v, d)]) for v, d in made})
        if eqn.op in (constant, iota):
            continue
        flops, rows = 0, 0
        if eqn.op is dot_general:
            depth = math.prod([eqn.operands[0].type.shape[d] for d in eqn.attrs["lhs_contract"]])
            flops = 2 * eqn.results[0].type.size * depth
            rows = _rows(region, eqn)
        out.append(Kernel(flops, rows, [*read, *made]))
    return out


def _rows(region: Region, eqn: Eqn) -> int:
    """Of a product of a block with an array that is taken whole, for each element of the block; otherwise 0."""
    lhs, rhs = region.axis_of[eqn].operands
    if lhs is not None and rhs is not None:
        return 0
    name, x, dim = ("rhs", eqn.operands[1], rhs) if lhs is None else ("lhs", eqn.operands[0], lhs)
    assert dim is not None
    free = free_dims(x.type.rank, eqn.attrs[f"{name}_contract"], eqn.attrs[f"{name}_batch"])
    return math.prod([x.type.shape[d] for d in free]) // x.type.shape[dim]
