"""What a program costs before and after: operations, bytes, and seconds by the model of the machine."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import ir
from ir.core import Eqn, Function
from ir.machine import CPU
from tests.passes import theorems


def dearer(before: Function, after: Function) -> Iterator[tuple[str, str]]:
    """What has grown: its name, and by how much."""
    for name, cost in (("operations", ir.flops), ("bytes", traffic), ("seconds", seconds)):
        old, new = cost(before), cost(after)
        if new > old * (1 + 1e-12):
            yield name, f"{old:.9g} became {new:.9g}"


def seconds(function: Function) -> float:
    """By the model of the machine, without what kernels take besides."""
    return CPU.seconds(ir.flops(function), traffic(function))


@functools.lru_cache(maxsize=256)
def traffic(function: Function) -> int:
    """Bytes read and written, as `theorems.traffic` counts them, in loops and branches too.

    `ir.bytes_accessed` counts constants of one number, counts and reshapes, which XLA neither writes nor reads, and not
    what a loop copies to its stacked outputs from its constants and inputs.
    """
    return theorems.traffic(function) + sum(_inside(eqn) for eqn in function.eqns)


def _inside(eqn: Eqn) -> int:
    total = 0
    length = eqn.attrs.get("length", 1)
    for value in eqn.attrs.values():
        if isinstance(value, Function):
            total += (length if isinstance(length, int) else 1) * (traffic(value) + _copied(eqn, value))
        elif isinstance(value, tuple):
            total += max([traffic(f) for f in value if isinstance(f, Function)], default=0)
    return total


def _copied(eqn: Eqn, body: Function) -> int:
    """Bytes of what one trip stacks as it is given it."""
    if eqn.op.name != "scan":
        return 0
    given = {*body.params}.difference(body.params[eqn.attrs["num_consts"] :][: eqn.attrs["num_carry"]])
    for inner in body.eqns:
        if inner.op.name == "reshape" and inner.operands[0] in given:  # free, and so no copy by itself
            given.add(inner.results[0])
    return sum(v.type.nbytes for v in body.results[eqn.attrs["num_carry"] :] if v in given)
