"""Import of loops and branches; differentiation through them then is ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

import ir
from ir.core import Value
from ir.op import op_named
from ir.ops.convert import convert
from ir.ops.linear_solve import linear_solve, with_constants, without_auxiliary
from ir.types import i32
from lowering.jaxprs.importer import Importer, imports
from lowering.jaxprs.types import type_of


@imports("scan")
def _scan(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    function, captures = importer.nested(p["jaxpr"], "body")
    the_op = op_named("scan")
    if "ft_in" in p:  # since jax 0.12: the structure of (constants, carry, inputs)
        num_consts, num_carry, _ = [len(group) for group in p["ft_in"].unpack()]
    else:
        num_consts, num_carry = int(p["num_consts"]), int(p["num_carry"])
    attrs = {
        "function": function,
        "num_consts": len(captures) + num_consts,
        "num_carry": num_carry,
        "length": int(p["length"]),
        "reverse": bool(p["reverse"]),
        "unroll": max(1, int(p["unroll"])),
    }
    ins = (*[importer.lift(x) for x in captures], *operands)
    return importer.builder.emit(the_op, ins, the_op.normalize(attrs))


@imports("while")
def _while(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    cond, cond_captures = importer.nested(p["cond_jaxpr"], "cond")
    body, body_captures = importer.nested(p["body_jaxpr"], "body")
    split = int(p["cond_nconsts"])
    the_op = op_named("while_loop")
    attrs = {
        "cond": cond,
        "body": body,
        "num_cond_consts": len(cond_captures) + split,
        "num_body_consts": len(body_captures) + int(p["body_nconsts"]),
    }
    ins = (
        *[importer.lift(x) for x in cond_captures],
        *operands[:split],
        *[importer.lift(x) for x in body_captures],
        *operands[split:],
    )
    return importer.builder.emit(the_op, ins, the_op.normalize(attrs))


@imports("cond")
def _cond(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    index, *rest = operands
    if index.type.dtype is not i32:
        index = convert(index, dtype=i32)
    found = [importer.nested(branch, f"branch{i}") for i, branch in enumerate(eqn.params["branches"])]
    shared: dict[int, Any] = {id(x): x for _, captures in found for x in captures}
    branches = tuple([_with_captures(function, captures, shared) for function, captures in found])
    the_op = op_named("cond")
    ins = (index, *[importer.lift(x) for x in shared.values()], *rest)
    return importer.builder.emit(the_op, ins, the_op.normalize({"branches": branches}))


@imports("custom_linear_solve")
def _custom_linear_solve(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    lengths, jaxprs = eqn.params["const_lengths"], eqn.params["jaxprs"]
    count = len(jaxprs.solve.in_avals) - lengths.solve
    constants, b = operands[: len(operands) - count], operands[len(operands) - count :]
    names = [name for name in ("matvec", "vecmat", "solve", "transpose_solve") if getattr(jaxprs, name)]
    found = {name: importer.nested(getattr(jaxprs, name), name) for name in names}
    captures = {id(x): x for _, held in found.values() for x in held}
    lifted = {key: importer.lift(x) for key, x in captures.items()}
    shared = list(dict.fromkeys([*lifted.values(), *constants]))  # most functions read the same ones
    place = {v: i for i, v in enumerate(shared)}
    attrs, start = {}, 0
    for name in names:  # in the order of their constants
        function, held = found[name]
        if name == "transpose_solve":
            function = without_auxiliary(function, count)
        own = constants[start : start + getattr(lengths, name)]
        start += len(own)
        reads = [place[v] for v in (*[lifted[id(x)] for x in held], *own)]
        attrs[name] = with_constants(function, reads, [v.type for v in shared])
    return importer.builder.emit(linear_solve, (*shared, *b), linear_solve.normalize(attrs))


def _with_captures(function: ir.Function, captures: Sequence[Any], shared: dict[int, Any]) -> ir.Function:
    """A branch that takes the captures of all branches."""
    own = {id(x): p for x, p in zip(captures, function.params, strict=False)}
    params = [own.get(key) or Value(type_of(jax.typeof(x)), "captured") for key, x in shared.items()]
    return function.replace(params=(*params, *function.params[len(captures) :]))
