"""Large arrays that one loop stacks for another are computed again in that other.

    y, s = scan(q, k) {s = dot_general(q, k); y = ... s ...}      y = scan(q, k) {...}
    d = scan(s, g) {... s ...}                            becomes d = scan(q, k, g) {s = dot_general(q, k); ... s ...}

Loops over layers stack what their derivatives read, and that may be far larger than what it is computed of. Here the
derivative has it again where the model of the machine says that this is quicker than to write and read it. Small
arrays on the way, such as sums of rows, are stacked instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.contents import has_effects
from ir.core import Eqn, Function, Value, nested_functions
from ir.machine import Machine, current
from ir.op import Builder, building
from ir.ops.loops import scan
from ir.passes.blocking.region import Program
from ir.passes.dce import dce
from ir.passes.nested import deep
from ir.passes.replacing import renamed
from ir.remarks import remark

# Arrays of an iteration that are so many times as large as the cache are computed again, from such as are so many
# times as small; and at most this share of their bytes is stacked for it.
_LARGE, _SMALLER, _MORE = 8, 8, 0.25
# What is computed again takes at most this share of the time of writing and reading.
_SHARE = 0.8


@deep
def compute_again(function: Function) -> Function:
    """Have loops compute large arrays that other loops stacked for them, where that pays."""
    return computed_again(function, current())


def computed_again(function: Function, machine: Machine) -> Function:
    """As `compute_again`, on a kind of device, and not in functions inside."""
    if sum(eqn.op is scan for eqn in function.eqns) < 2 or not machine.caches:
        return function
    least = _LARGE * machine.caches[0][0]
    seen: set[Value] = set()
    # (Looked for afresh each time: a loop that reads stacks may itself stack, and is another equation then.)
    while (eqn := _next(function, least, seen)) is not None:
        seen.add(eqn.results[0])
        function = _without(function, eqn, least, machine)
    return function


def _next(function: Function, least: float, seen: set[Value]) -> Eqn | None:
    """The first loop that stacks large arrays and was not looked at."""
    for eqn in function.eqns:
        if eqn.op is scan and _large(eqn, least) and eqn.results[0] not in seen:
            return eqn
    return None


def _large(loop: Eqn, least: float) -> list[Value]:
    """What a loop stacks of arrays of at least so many bytes."""
    stacked = loop.results[loop.attrs["num_carry"] :]
    return [v for v in stacked if v.type.nbytes >= least * loop.attrs["length"]]


@dataclass(frozen=True)
class _Again:
    """What is computed again for an iteration.

    Attributes:
      outputs: of the body, for which it is.
      eqns: of the body, in order.
      given: values of the body that they take.
    """

    outputs: dict[Value, Value]
    eqns: list[Eqn]
    given: list[Value]


def _without(function: Function, first: Eqn, least: float, machine: Machine) -> Function:
    """The function in which a loop does not stack large arrays for others."""
    readers = _readers(function, first, least)
    found = _again(first, readers, least) if readers else None
    if found is None:
        return function
    nbytes = sum(v.type.nbytes for v in found.outputs.values())
    seconds = nbytes * (2 / machine.bandwidth + 1 / machine.fresh)
    flops = first.attrs["length"] * sum(
        eqn.op.flops([v.type for v in eqn.operands], [v.type for v in eqn.results], **eqn.attrs)
        for eqn in found.eqns
        if not eqn.op.elementwise or eqn.op.name == "threefry2x32"
    )
    if flops / machine.flops > _SHARE * seconds:
        return function
    remark(
        "compute_again", first.source,
        f"{nbytes / 1e6:.3g} MB for the derivative are computed again, {seconds * 1e3:.3g} ms become "
        f"{flops / machine.flops * 1e3:.3g} ms",
    )  # fmt: skip
    return _written(function, first, set(readers), found)


def _readers(function: Function, first: Eqn, least: float) -> dict[Eqn, None]:
    """The loops that read large stacks of a loop, row by row; none where something else does."""
    stacked = {v for v in _large(first, least) if v not in function.results}
    readers: dict[Eqn, None] = {}
    for eqn in function.eqns:
        if stacked.isdisjoint(eqn.operands):
            continue
        if eqn.op is not scan or eqn.attrs["length"] != first.attrs["length"]:
            return {}
        split = eqn.attrs["num_consts"] + eqn.attrs["num_carry"]
        if not stacked.isdisjoint(eqn.operands[:split]):
            return {}
        readers[eqn] = None
    return readers


def _again(first: Eqn, readers: dict[Eqn, None], least: float) -> _Again | None:
    """What has to be computed again for the large arrays that are read."""
    body: Function = first.attrs["function"]
    consts, carries = first.attrs["num_consts"], first.attrs["num_carry"]
    read = {v for v in _large(first, least) if any(v in eqn.operands for eqn in readers)}
    outputs = {
        result: stack
        for result, stack in zip(body.results[carries:], first.results[carries:], strict=True)
        if stack in read
    }
    program = Program(body)
    small = min(result.type.nbytes for result in outputs) / _SMALLER
    eqns: dict[Eqn, None] = {}
    given: dict[Value, None] = {}
    pending = list(outputs)
    while pending:
        v = pending.pop()
        made = program.definitions.get(v)
        if v not in outputs and (made is None or v.type.nbytes <= small):
            nothing = program.of_nothing(v)
            if nothing is None:
                given[v] = None
            else:
                eqns.update(dict.fromkeys(nothing))
            continue
        if made is None or any(True for _ in nested_functions(made)) or has_effects(made):
            return None
        if made not in eqns:
            eqns[made] = None
            pending += made.operands
    there = {*body.params[:consts], *body.params[consts + carries :], *body.results}
    more = sum(v.type.nbytes for v in given if v not in there)
    if more > _MORE * sum(v.type.nbytes for v in outputs):
        return None
    return _Again(outputs, sorted(eqns, key=program.positions.__getitem__), list(given))


def _written(function: Function, first: Eqn, readers: set[Eqn], again: _Again) -> Function:
    body: Function = first.attrs["function"]
    consts, carries = first.attrs["num_consts"], first.attrs["num_carry"]
    split = consts + carries
    # Of each given value, the operand of other loops, and whether it has a row for each iteration.
    rows: dict[Value, Value] = dict(zip(body.params[split:], first.operands[split:], strict=True))
    wholes: dict[Value, Value] = dict(zip(body.params[:consts], first.operands[:consts], strict=True))
    for result, stack in zip(body.results[carries:], first.results[carries:], strict=True):
        if result not in again.outputs:
            rows.setdefault(result, stack)
    more = [v for v in again.given if v not in rows and v not in wholes]
    length = first.attrs["length"]
    stacks = [Value(v.type.with_shape((length, *v.type.shape)), v.name) for v in more]
    rows.update(zip(more, stacks, strict=True))
    attrs = {**first.attrs, "function": body.replace(results=(*body.results, *more))}
    new = Eqn(scan, first.operands, scan.normalize(attrs), (*first.results, *stacks), first.source)
    eqns = []
    for eqn in function.eqns:
        if eqn is first:
            eqns.append(new)
        elif eqn in readers:
            eqns.append(_reader(eqn, again, rows, wholes))
        else:
            eqns.append(eqn)
    return dce(function.replace(eqns=tuple(eqns)))


def _reader(eqn: Eqn, again: _Again, rows: dict[Value, Value], wholes: dict[Value, Value]) -> Eqn:
    """A loop that computes again what it read."""
    body: Function = eqn.attrs["function"]
    consts, split = eqn.attrs["num_consts"], eqn.attrs["num_consts"] + eqn.attrs["num_carry"]
    env = {v: Value(v.type, v.name) for v in again.given}
    taken = [v for v in again.given if v in wholes]
    stacked = [v for v in again.given if v not in wholes]
    builder = Builder(eqn.source)
    with building(builder):
        for each in again.eqns:
            made = builder.copy(each, tuple([env[v] for v in each.operands]))
            env.update(zip(each.results, made, strict=True))
    made_of = {stack: env[result] for result, stack in again.outputs.items()}
    pairs = list(zip(eqn.operands, body.params, strict=True))
    kept = [(x, p) for x, p in pairs[split:] if x not in made_of]
    instead = {p: made_of[x] for x, p in pairs[split:] if x in made_of}
    inputs = [
        *pairs[:consts], *[(wholes[v], env[v]) for v in taken], *pairs[consts:split], *kept,
        *[(rows[v], env[v]) for v in stacked],
    ]  # fmt: skip
    function = body.replace(
        params=tuple([p for _, p in inputs]),
        eqns=(*builder.eqns, *[renamed(each, instead) for each in body.eqns]),
        results=tuple([instead.get(v, v) for v in body.results]),
    )
    attrs = {**eqn.attrs, "function": function, "num_consts": consts + len(taken)}
    return Eqn(scan, tuple([x for x, _ in inputs]), scan.normalize(attrs), eqn.results, eqn.source)


__all__ = ["compute_again", "computed_again"]
