"""What the user calls the results of traced equations: `h` for that of `h = tanh(x @ w)`.

An equation was recorded while one instruction of the user's ran. Where the next instruction stores to a
variable, what the last equation of that instruction gave has that variable's name. Names are hints, for
printing alone.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable
from types import CodeType

from ir.core import Eqn
from ir.source import UNKNOWN

# The names stored after each instruction, by its offset; the code object is held, so that its id stays its own.
_stores: dict[int, tuple[CodeType, dict[int, tuple[str, ...]]]] = {}
_MANY = 4096
# Instructions that compute nothing. Of what unpacking an array records, the order is not known.
_MOVING = ("STORE_", "UNPACK_", "POP_", "END_", "SWAP", "COPY")
_GENERATED = ("ag__", "retval_", "do_return")  # variables that AutoGraph makes


def name_results(eqns: Iterable[Eqn]) -> None:
    """Give the results of equations the names of the variables that they were assigned to, in place.

    Equations that transforms made of others have the sources of those, which a trace has seen before: they
    compute something else, and get no name.
    """
    last: Eqn | None = None
    code: CodeType | None = None
    offset = -1
    for eqn in eqns:
        source = eqn.source
        if source.offset != offset or source.code is not code:
            if last is not None and code is not None:
                _name(last, code, offset)
            code, offset = source.code, source.offset
        last = None if source.traced else eqn
        if source is not UNKNOWN:
            source.traced = True
    if last is not None and code is not None:
        _name(last, code, offset)


def without_names(eqns: Iterable[Eqn]) -> None:
    """Let equations that a transform made get no names: what they compute is no variable of the user's."""
    for eqn in eqns:
        if eqn.source is not UNKNOWN:
            eqn.source.traced = True


def _name(eqn: Eqn, code: CodeType, offset: int) -> None:
    held = _stores.get(id(code))
    if held is None:
        if len(_stores) >= _MANY:
            _stores.clear()
        held = _stores[id(code)] = (code, _stored(code))
    names = held[1].get(offset)
    if names is None or (len(names) > 1 and eqn.attrs.get("num_carry", 1) != 1):
        return  # (of a scan the carry and the outputs are unpacked, not the parts of the carry)
    if len(names) == 1:
        names *= len(eqn.results)
    if len(names) == len(eqn.results):
        for value, name in zip(eqn.results, names, strict=True):
            value.name = value.name or ("" if name == "_" else name)


def _stored(code: CodeType) -> dict[int, tuple[str, ...]]:
    """For each instruction whose result is assigned, the variables, several where it is unpacked."""
    out: dict[int, tuple[str, ...]] = {}
    instructions = list(dis.get_instructions(code))
    for i, each in enumerate(instructions[:-1]):
        if each.opname.startswith(_MOVING):
            continue
        at, count = i + 1, 1
        if instructions[at].opname == "COPY":  # of two targets, the first
            at += 1
        if instructions[at].opname == "UNPACK_SEQUENCE":
            count = int(instructions[at].arg or 0)
            at += 1
        names: list[str] = []
        while len(names) < count and at < len(instructions):
            found = _variables(instructions[at])
            if not found:
                break
            names.extend(found)
            at += 1
        names = names[:count]
        if len(names) == count and not any(name.startswith(_GENERATED) for name in names):
            # While a call is under way, the offset of the frame is that of the end of its instruction.
            for offset in range(each.offset, instructions[i + 1].offset, 2):
                out[offset] = tuple(names)
    return out


def _variables(instruction: dis.Instruction) -> tuple[str, ...]:
    """What an instruction stores to. From Python 3.13 on one may store twice, or store and load."""
    name, value = instruction.opname, instruction.argval
    if name == "STORE_FAST_STORE_FAST":
        return tuple(value)
    if name == "STORE_FAST_LOAD_FAST":
        return (value[0],)
    return (str(value),) if name in ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF") else ()
