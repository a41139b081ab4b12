"""What each equation costs in a fused program: operations, memory traffic, and time on a kind of machine.

The roofline model (Williams, Waterman and Patterson 2009): an equation takes as long as its operations or its
memory traffic, whichever is longer, and each kernel some time to launch besides. Only values that have memory of
their own (`ir.fusion`) are read and written; a read is charged to the equation that asks for it, a write to the one
that computes the value. Linear in the program, however often functions are shared. Imports the core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ir import cost
from ir.core import Eqn, Function, Value, inner_first, nested_functions, running_functions
from ir.fusion import fusion
from ir.machine import Machine

# Loops whose trips are not known before they run.
_UNKNOWN_TRIPS = frozenset({"while_loop", "while_record", "replay"})


@dataclass(frozen=True, slots=True)
class EqnProfile:
    """The cost of one equation over a whole run, what it holds inside left out.

    Attributes:
      eqn: the equation.
      function: the one that it belongs to.
      times: how often it runs.
      known: whether that is certain; an iteration of a loop of unknown length counts once.
      fused: whether it is computed inside the kernel of a later equation.
      flops: operations, of all times.
      bytes: read and written, of all times.
      seconds: by the model, of all times.
      bound: which of `compute`, `memory` and `launch` most of that is; `nothing` where it takes no time.
    """

    eqn: Eqn
    function: Function
    times: int
    known: bool
    fused: bool
    flops: int
    bytes: int
    seconds: float
    bound: str


def profile(
    function: Function, machine: Machine, one_kernel: Callable[[Eqn], bool] = lambda eqn: False
) -> list[EqnProfile]:
    """Every equation of a program, nested ones included, outer functions before inner ones.

    A function that several equations hold is profiled once, with all times that it runs. Of the branches of a
    `cond` the one of most operations counts.

    Args:
      function: the program.
      machine: what it runs on.
      one_kernel: whether an equation, a loop, is compiled to one kernel, which is launched once.
    """
    cost.flops(function)
    times: dict[int, int] = {id(function): 1}
    known: dict[int, bool] = {id(function): True}
    apart: dict[int, bool] = {id(function): True}  # whether its equations have kernels of their own
    out: list[EqnProfile] = []
    for each in reversed(list(inner_first(function))):
        count, certain, launching = (
            times.get(id(each), 0),
            known.get(id(each), True),
            apart.get(id(each), False),
        )
        for eqn in each.eqns:
            if not eqn.attrs:
                continue
            for nested, trips in _trips(eqn):
                times[id(nested)] = times.get(id(nested), 0) + count * trips
                fixed = certain and eqn.op.name not in _UNKNOWN_TRIPS
                known[id(nested)] = known.get(id(nested), True) and fixed
                apart[id(nested)] = apart.get(id(nested), False) or (launching and not one_kernel(eqn))
        out += _profiled(each, machine, count, certain, one_kernel if launching else None)
    return out


def _trips(eqn: Eqn) -> list[tuple[Function, int]]:
    """The functions that an equation holds, and how often each runs."""
    nested = list(running_functions(eqn))
    if eqn.op.name == "scan":
        return [(f, eqn.attrs["length"]) for f in nested]
    if eqn.op.name == "cond":
        return [(max(nested, key=cost.flops), 1)]
    if eqn.attrs.get("rare"):
        return [(eqn.attrs["cond"], 1)]
    return [(f, 1) for f in nested]


def _profiled(
    function: Function, machine: Machine, times: int, known: bool, one_kernel: Callable[[Eqn], bool] | None
) -> list[EqnProfile]:
    """Those of one function; `one_kernel` is None where the function is inside of a kernel itself."""
    made = fusion(function)
    out = []
    for eqn in function.eqns:
        nested = bool(eqn.attrs) and next(nested_functions(eqn), None) is not None
        alias = bool(eqn.results) and all(v in made.roots for v in eqn.results)
        fused = alias or any(v in made.fused for v in eqn.results)
        moved: list[int] = []
        flops = 0
        if not alias and not nested and eqn.op.name != "constant":
            flops = eqn.op.flops([v.type for v in eqn.operands], [v.type for v in eqn.results], **eqn.attrs)
            operands = dict.fromkeys([made.root(v) for v in eqn.operands])
            moved = [_read(eqn, v) for v in operands if v not in made.fused]
            moved += [v.type.nbytes for v in eqn.results if v not in made.fused]
        elif eqn.op.name == "constant" and not fused:
            moved = [v.type.nbytes for v in eqn.results if eqn.attrs["value"].shape == ()]
        nbytes = sum(moved)
        compute = flops / machine.flops
        memory = machine.moving(nbytes, max(moved, default=0))
        starts = one_kernel is not None and (one_kernel(eqn) if nested else bool(moved) and not fused)
        launch = machine.launch if starts else 0.0
        seconds = max(compute, memory) + launch
        by = {"compute": compute, "memory": memory, "launch": launch}
        bound = max(by, key=lambda name: by[name]) if seconds else "nothing"
        out.append(
            EqnProfile(
                eqn, function, times, known, fused, flops * times, nbytes * times, seconds * times, bound
            )
        )
    return out


def _read(eqn: Eqn, value: Value) -> int:
    """Bytes of an operand that are read: of what only picks elements, as many as it gives."""
    size = value.type.nbytes
    if eqn.op.name in ("slice", "dynamic_slice", "gather"):
        return min(size, sum([v.type.nbytes for v in eqn.results]))
    return size


__all__ = ["EqnProfile", "profile"]
