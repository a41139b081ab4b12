"""`checkpoint`: a function whose values are computed anew where its derivative needs them; and what it keeps.

    y = checkpoint(x) {function=f, barrier=False}      is f(x)

Its derivative reads its operands, and those of its values that are marked by `checkpoint_name` to be saved; it
recomputes the others, behind a barrier (`barrier=True`), so that nothing merges them with those of the first time
(Griewank and Walther 2008, Evaluating Derivatives, chapter 12; policies as in `jax.checkpoint`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ir.core import Eqn, Function, Value, inner_first
from ir.op import Op, current_builder
from ir.ops.calls import (
    call,
    call_eval,
    call_flops,
    call_type,
    custom_jvp_call,
    custom_vjp_call,
    prune_call,
    transpose_call,
)
from ir.ops.carries import chosen, results_of, used
from ir.ops.families import op


def _differentiate(operands: Any, tangents: Any, *, function: Function, barrier: bool) -> Any:
    from ir.passes.dce import dce
    from ir.passes.silent import silent
    from ir.transforms.jvp import jvp
    from ir.transforms.linearize import LinearBuilder, linearize

    nonzero = [t is not None for t in tangents]
    given = [t for t in tangents if t is not None]
    if not isinstance(current_builder(), LinearBuilder):
        # A plain JVP computes both at once and needs no second evaluation.
        program, present = jvp(function, nonzero, instantiate=False)
        both = results_of(checkpoint(*operands, *given, function=program, barrier=barrier))
        outs = iter(both[len(present) :])
        return both[: len(present)], tuple([next(outs) if p else None for p in present])
    # The tangents go alone and recompute what they need of the primals. They will be transposed,
    # so that nothing inside may compute primals and tangents at once either: it is linearized.
    split = linearize(function, nonzero)
    count = len(split.results)
    present = tuple([t is not None for t in split.tangent_results])
    saved = [e.results[0] for e in split.eqns if e.op is checkpoint_name and e.attrs["saved"]]
    primal = function
    if saved or _has_custom_rules(function):
        # The values are those of the rules, which need not have the derivatives of the function.
        primal = dce(Function(split.params, split.eqns, (*split.results, *saved), function.name))
    results = results_of(checkpoint(*operands, function=primal, barrier=barrier))
    if not any(present):
        return results[:count], (None,) * count
    known = set(saved)
    program = Function(
        (*split.params, *saved, *[t for t in split.tangent_params if t is not None]),
        (*[e for e in split.eqns if known.isdisjoint(e.results)], *split.linear_eqns),
        tuple([t for t in split.tangent_results if t is not None]),
        f"jvp_{function.name}",
    )
    program = silent(program, transposes=False)
    values = (*operands, *results[count:], *given)
    if saved:  # instead of what they were computed from
        program = dce(program)
        read = used(program)
        program = program.replace(params=tuple(chosen(program.params, read)))
        values = tuple(chosen(values, read))
    outs = iter(results_of(checkpoint(*values, function=program, barrier=True)))
    return results[:count], tuple([next(outs) if p else None for p in present])


def _has_custom_rules(function: Function) -> bool:
    custom = (custom_jvp_call, custom_vjp_call)
    return any(eqn.op in custom for each in inner_first(function) for eqn in each.eqns)


def _transpose(cts: Any, operands: Any, *, function: Function, barrier: bool) -> Any:
    return transpose_call(cts, operands, function=function, of=checkpoint, barrier=barrier)


def _batch(operands: Any, batched: Any, size: int, *, function: Function, barrier: bool) -> Any:
    from ir.transforms.batch import batch

    body, flags = batch(function, batched, size)
    return results_of(checkpoint(*operands, function=body, barrier=barrier)), flags


def _prune(used_results: list[bool], **attrs: Any) -> Any:
    return prune_call(used_results, of=checkpoint, **attrs)


checkpoint: Op = op(
    "checkpoint",
    attrs=("function", "barrier"),
    type=call_type,
    eval=call_eval,
    jvp=None,
    differentiate=_differentiate,
    transpose=_transpose,
    batch=_batch,
    flops=call_flops,
    prune=_prune,
)


def _same_type(x: Any, *, name: str, saved: bool) -> Any:
    return x


def _name_differentiate(operands: Any, tangents: Any, **attrs: Any) -> Any:
    """The tangent has no name: it is not what is kept."""
    return (checkpoint_name(*operands, **attrs),), tangents


# The identity. `name` is for policies; `saved` says that a checkpoint around it keeps the value.
checkpoint_name: Op = op(
    "checkpoint_name",
    attrs={"name": "", "saved": False},
    type=_same_type,
    eval=_same_type,
    jvp=None,
    differentiate=_name_differentiate,
    transpose=lambda cts, operands, **_: cts,
    batch=lambda operands, batched, size, **attrs: ((checkpoint_name(*operands, **attrs),), tuple(batched)),
    flops=lambda operands, results, **_: 0,
)


def save(function: Function, wanted: Callable[[Eqn], bool]) -> Function:
    """The function with those results of its equations marked to be saved that are wanted.

    Args:
      wanted: called with each equation, those of calls included.
    """
    eqns: list[Eqn] = []
    for eqn in function.eqns:
        if eqn.op is call:
            inner = save(eqn.attrs["function"], wanted)
            eqn = Eqn(call, eqn.operands, {"function": inner}, eqn.results, eqn.source)
        elif eqn.op is checkpoint_name:
            if wanted(eqn):
                eqn = Eqn(eqn.op, eqn.operands, {**eqn.attrs, "saved": True}, eqn.results, eqn.source)
        elif wanted(eqn):
            made = tuple([Value(r.type, r.name) for r in eqn.results])
            eqns.append(Eqn(eqn.op, eqn.operands, eqn.attrs, made, eqn.source))
            for new, old in zip(made, eqn.results, strict=True):
                eqns.append(Eqn(checkpoint_name, (new,), {"name": "", "saved": True}, (old,), eqn.source))
            continue
        eqns.append(eqn)
    return function.replace(eqns=tuple(eqns))


__all__ = ["checkpoint", "checkpoint_name", "save"]
