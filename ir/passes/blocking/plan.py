"""Large arrays that are only on their way to smaller ones are computed in blocks, and never held at once.

    s = dot_general(q, k);  p = exp(s);  o = dot_general(p, v)
    becomes    for each block of rows:  s = dot_general(q_block, k);  p = exp(s);  o_block = dot_general(p, v)

Attention, forward and backward, is what this is best known for (Dao et al., "FlashAttention", 2022; Rabe and Staats,
"Self-attention does not need O(n^2) memory", 2021). Nothing here knows of it: any part of a program that has an axis
along which it can be computed becomes a loop, where the model of the machine says that this is quicker, or is as quick
and takes less memory.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ir.core import Function, Value
from ir.machine import Machine, current
from ir.ops.loops import scan
from ir.passes.blocking.bits import counted
from ir.passes.blocking.cost import kernels, seconds
from ir.passes.blocking.loops import written
from ir.passes.blocking.moving import moved
from ir.passes.blocking.region import Program, Region, regions
from ir.passes.dce import dce
from ir.passes.nested import deep
from ir.remarks import remark

# Arrays that are so many times as large as the cache are looked at, in loops over blocks smaller ones, and so many.
_LARGE, _LARGE_INSIDE, _SEEDS = 8, 2, 64
# A loop has to be quicker by this factor; or by the other, where it takes half the memory.
_QUICKER, _NO_SLOWER = 0.8, 0.97
# Plans that differ by less, of the seconds at once, are about as quick.
_ALIKE = 0.02


@dataclass(frozen=True)
class _Plan:
    """A region, in blocks of so many elements.

    Attributes:
      old, new: seconds at once and in blocks.
      before, after: bytes that are held on the way, besides the results.
    """

    region: Region
    block: int
    old: float
    new: float
    before: float
    after: float

    @property
    def saved(self) -> float:
        """Seconds."""
        return self.old - self.new

    @property
    def pays(self) -> bool:
        if self.new < _QUICKER * self.old:
            return True
        results = sum(v.type.nbytes for v in self.region.outputs)
        return self.new < _NO_SLOWER * self.old and self.after + results < (self.before + results) / 2

    def __str__(self) -> str:
        return (
            f"in blocks of {self.block} of {self.region.size}: {self.before / 1e6:.3g} MB on the way become "
            f"{self.after / 1e6:.3g} MB, {self.old * 1e3:.3g} ms become {self.new * 1e3:.3g} ms"
        )


@deep
def block(function: Function) -> Function:
    """Compute large intermediate arrays in blocks, where that pays."""
    return blocked(function, current())


def blocked(function: Function, machine: Machine, depth: int = 3, larger: float = _LARGE) -> Function:
    """As `block`, on a kind of device, and not in functions inside; loops in loops at most so deep.

    Args:
      larger: arrays so many times as large as the cache are looked at.
    """
    if not depth or not machine.caches:
        return function
    least = larger * _cache(machine)
    function = moved(counted(function, least) if machine.counted_bits else function, least)
    seen: set[Value] = set()
    program: Program | None = None
    for _ in range(_SEEDS):
        large = [v for v in _large(function, least) if v not in seen]
        if not large:
            break
        program = Program(function) if program is None else program
        seed = max(large, key=lambda v: v.type.nbytes)
        plan = _best(program, seed, machine, nested=depth > 1)
        if plan is not None:
            # What holds for one array of a region holds for the others.
            seen.update(v for v in large if v in plan.region.dims)
        if plan is None or not plan.pays:
            seen.add(seed)
            continue
        remark("block", program.definitions[seed].source, str(plan))
        inside = functools.partial(blocked, machine=machine, depth=depth - 1, larger=_LARGE_INSIDE)
        function, program = dce(written(program, plan.region, plan.block, inside)), None
    return function


def _large(function: Function, least: float) -> list[Value]:
    """Arrays of so many bytes that are computed, but for the results of loops."""
    return [v for e in function.eqns if e.op is not scan for v in e.results if v.type.nbytes >= least]


def _best(program: Program, seed: Value, machine: Machine, *, nested: bool = True) -> _Plan | None:
    """The plan that saves most for a large array."""
    plans: list[_Plan] = []
    for region in regions(program, seed):
        used = {eqn for loop in region.loops for eqn in loop.eqns}
        once = [eqn for eqn in region.axis_of if eqn in used]
        # Two arrays at a time, the one that is read and the one that is written.
        before = 2.0 * max(v.type.nbytes for v in region.dims)
        whole = kernels(program, region, once, region.outputs)
        old = seconds(region, whole, region.outputs, region.size, machine) + before / machine.fresh
        loops = [(kernels(program, region, loop.eqns, loop.outputs), loop.outputs) for loop in region.loops]
        block = 1
        while block < region.size:
            after = before * block / region.size
            new = after / machine.fresh + sum(
                seconds(region, found, outputs, block, machine) for found, outputs in loops
            )
            plans.append(_Plan(region, block, old, new, before, after))
            block *= 2
        if nested and seed.type.nbytes / region.size > _cache(machine):
            inner = _within(program, region, old, before, machine)
            if inner is not None:
                plans.append(inner)
    if not plans:
        return None
    most = max(plan.saved for plan in plans)
    # Of those that are about as quick, the smallest.
    alike = [plan for plan in plans if plan.saved >= most - _ALIKE * plan.old]
    return min(alike, key=lambda plan: (plan.after, -plan.saved))


def _within(program: Program, region: Region, old: float, before: float, machine: Machine) -> _Plan | None:
    """One element after the other, each in blocks of another axis."""
    bodies: list[Function] = []

    def seen(body: Function) -> Function:
        bodies.append(body)
        return body

    written(program, region, 1, seen)
    new = after = 0.0
    for loop, function in zip([loop for loop in region.loops if loop.eqns], bodies, strict=True):
        body = Program(function)
        large = max(body.definitions, key=lambda v: v.type.nbytes)
        if large.type.nbytes < _LARGE_INSIDE * _cache(machine):
            return None
        inner = _best(body, large, machine, nested=False)
        if inner is None or not inner.pays:
            return None
        found = kernels(program, region, loop.eqns, loop.outputs)
        new += seconds(region, found, loop.outputs, 1, machine) + region.size * (inner.new - inner.old)
        after = max(after, inner.after)
    return _Plan(region, 1, old, new, before, after)


def _cache(machine: Machine) -> float:
    """Bytes of the smallest cache."""
    return machine.caches[0][0]
