"""What a scan carries, reads or stacks though it need not.

    a carry that no iteration changes           a constant of the loop
    an input that is the same in every row      a constant of the loop
    operands given twice                        one operand
    an output that is an input, or a constant   that input, or the constant broadcast
    outputs that are equal                      one output
    a carry before and after each iteration     the one before, moved by one

Residuals of derivatives are often such: the forward loop stacks what it has stacked already.
"""

from __future__ import annotations

from ir.core import Eqn, Function, Value
from ir.op import Builder, building
from ir.ops.loops import scan
from ir.ops.shape import broadcast_in_dim, concatenate, constant, constant_shape, expand_dims, slice_axis
from ir.passes.nested import deep
from ir.passes.replacing import renamed

# Larger outputs, in bytes, are written in the loop as fast as they are copied after it.
_MOVED = 1 << 14

_Pair = tuple[Value, Value]  # an operand, and the param of the body that stands for it


@deep
def simplify_scans(function: Function) -> Function:
    """Take them out of the scans; outputs that are not used then go with `dce`."""
    if not any(eqn.op is scan for eqn in function.eqns):
        return function
    made_by: dict[Value, Eqn] = {}
    replaced: dict[Value, Value] = {}
    builder = Builder()
    changed = False
    for eqn in function.eqns:
        eqn = renamed(eqn, replaced)
        if eqn.op in (broadcast_in_dim, constant):
            made_by[eqn.results[0]] = eqn
        elif eqn.op is scan:
            new = _with_fewer_operands(eqn, made_by, replaced)
            changed = changed or new is not eqn
            builder.append(new)
            _outputs(new, builder, replaced)
            continue
        builder.append(eqn)
    if not changed and not replaced:
        return function
    results = tuple([replaced.get(v, v) for v in function.results])
    return function.replace(eqns=tuple(builder.eqns), results=results)


def _with_fewer_operands(eqn: Eqn, made_by: dict[Value, Eqn], replaced: dict[Value, Value]) -> Eqn:
    body: Function = eqn.attrs["function"]
    first, last = eqn.attrs["num_consts"], eqn.attrs["num_consts"] + eqn.attrs["num_carry"]
    pairs: list[_Pair] = list(zip(eqn.operands, body.params, strict=True))
    still = [r is p for r, p in zip(body.results, body.params[first:last], strict=False)]
    consts = pairs[:first] + [pair for pair, same in zip(pairs[first:last], still, strict=True) if same]
    carry = [pair for pair, same in zip(pairs[first:last], still, strict=True) if not same]
    xs: list[_Pair] = []
    env: dict[Value, Value] = {}
    inside = Builder()
    for operand, param in pairs[last:]:
        maker = made_by.get(operand)
        if maker is None or not _is_same_in_every_row(maker):
            xs.append((operand, param))
        else:
            env[param] = _row(maker, inside, consts)
    consts, xs = _once(consts, env), _once(xs, env)
    env = {
        param: env.get(v, v) for param, v in env.items()
    }  # (what an equal row is made of may be given twice)
    if not env and not any(still):
        return eqn
    replaced.update(
        {r: v for r, (v, _), same in zip(eqn.results, pairs[first:last], still, strict=False) if same}
    )
    results = [r for r, same in zip(body.results, still, strict=False) if not same]
    results += body.results[len(still) :]
    new = body.replace(
        params=tuple([param for _, param in (*consts, *carry, *xs)]),
        eqns=tuple([renamed(e, env) for e in (*inside.eqns, *body.eqns)]),
        results=tuple([env.get(v, v) for v in results]),
    )
    attrs = {**eqn.attrs, "function": new, "num_consts": len(consts), "num_carry": len(carry)}
    operands = tuple([operand for operand, _ in (*consts, *carry, *xs)])
    kept = [r for r, same in zip(eqn.results, still, strict=False) if not same]
    kept += eqn.results[len(still) :]
    return Eqn(scan, operands, scan.normalize(attrs), tuple(kept), eqn.source)


def _is_same_in_every_row(maker: Eqn) -> bool:
    if maker.op is constant:
        return constant_shape(maker.attrs["value"]) == ()
    return 0 not in maker.attrs["dims"]


def _row(maker: Eqn, inside: Builder, consts: list[_Pair]) -> Value:
    """One row of a value that has equal ones, in the body; what it is made of becomes an operand."""
    shape = maker.results[0].type.shape[1:]
    with building(inside):
        inside.source = maker.source
        if maker.op is constant:
            out: Value = constant(value=maker.attrs["value"], shape=shape)
        else:
            (source,) = maker.operands
            param = out = Value(source.type, source.name)
            consts.append((source, param))
            dims = tuple([d - 1 for d in maker.attrs["dims"]])
            if shape != source.type.shape or dims != tuple(range(len(shape))):
                out = broadcast_in_dim(param, shape=shape, dims=dims)
        inside.source = None
    return out


def _once(pairs: list[_Pair], env: dict[Value, Value]) -> list[_Pair]:
    """Each operand once; `env` has the params that are others then."""
    kept: dict[Value, Value] = {}
    for operand, param in pairs:
        first = kept.setdefault(operand, param)
        if first is not param:
            env[param] = first
    return list(kept.items())


def _outputs(eqn: Eqn, builder: Builder, replaced: dict[Value, Value]) -> None:
    """What stands for outputs of a scan that are known without it."""
    body: Function = eqn.attrs["function"]
    first, last = eqn.attrs["num_consts"], eqn.attrs["num_consts"] + eqn.attrs["num_carry"]
    consts = dict(zip(body.params[:first], eqn.operands, strict=False))
    known = dict(zip(body.params[last:], eqn.operands[last:], strict=True))
    skipped = eqn.attrs["num_carry"]
    for result, stacked in zip(body.results[skipped:], eqn.results[skipped:], strict=True):
        if result in consts:
            with building(builder):
                builder.source = eqn.source
                shape = stacked.type.shape
                known[result] = broadcast_in_dim(
                    consts.pop(result), shape=shape, dims=tuple(range(1, len(shape)))
                )
                builder.source = None
        other = known.setdefault(result, stacked)
        if other is not stacked:
            replaced[stacked] = other
    for param, result, final in zip(body.params[first:last], body.results, eqn.results, strict=False):
        before, after = known.get(param), known.get(result)
        if before is None or after is None or after not in eqn.results or result in body.params:
            continue
        if eqn.attrs["length"] and after.type.nbytes <= _MOVED:
            with building(builder):
                builder.source = eqn.source
                replaced[after] = _moved(before, final, backwards=eqn.attrs["reverse"])
                builder.source = None
    for stacked in eqn.results:
        if stacked in replaced:  # (like another that has been replaced)
            replaced[stacked] = replaced.get(replaced[stacked], replaced[stacked])


def _moved(stack: Value, last: Value, *, backwards: bool) -> Value:
    """What follows each row of a stack in the order of the iterations."""
    count, end = stack.type.shape[0], expand_dims(last, (0,))
    if backwards:
        return concatenate(end, slice_axis(stack, 0, 0, count - 1), axis=0)  # type: ignore[no-any-return]
    return concatenate(slice_axis(stack, 0, 1, count), end, axis=0)  # type: ignore[no-any-return]


__all__ = ["simplify_scans"]
