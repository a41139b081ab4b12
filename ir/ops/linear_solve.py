"""`linear_solve`: a linear system by a solver that is given, differentiated as a system and not as a program.

    x, auxiliary = linear_solve(constants, b) {matvec, solve, vecmat, transpose_solve}

`x` is what `matvec(constants, x) = b` defines, so that its tangent solves the same system, and its cotangent
the transposed one (Christianson 1994, "Reverse accumulation and attractive fixed points"; as in
`jax.lax.custom_linear_solve`). All functions take the constants first. `vecmat` is the transpose of `matvec`
and `transpose_solve` solves with it; without them there is no reverse mode. What `solve` returns besides `x`
has no derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.core import Eqn, Function, Value
from ir.errors import DifferentiationError, IRTypeError
from ir.op import Linear
from ir.ops.arithmetic import neg, sub
from ir.ops.carries import at, chosen, live_part, results_of, used
from ir.ops.families import REQUIRED, check, materialize, op
from ir.ops.shape import zeros
from ir.types import TensorType

_FUNCTIONS = ("matvec", "solve", "vecmat", "transpose_solve")


def _type(*types: TensorType, **functions: Function | None) -> tuple[TensorType, ...]:
    matvec, solve = functions["matvec"], functions["solve"]
    assert matvec is not None and solve is not None
    known = types[len(types) - len(matvec.out_types) :]
    check(
        all(t.dtype.is_inexact for t in known),
        f"linear_solve: expected floating point or complex operands, got {known}",
    )
    for name, function in functions.items():
        if function is None:
            continue
        if function.in_types != types:
            raise IRTypeError(f"linear_solve: expected {name} to take {types}, it takes {function.in_types}")
        outs = function.out_types[: len(known)] if name == "solve" else function.out_types
        if outs != known:
            raise IRTypeError(f"linear_solve: expected {name} to return {known}, it returns {outs}")
    check(
        (functions["vecmat"] is None) == (functions["transpose_solve"] is None),
        "linear_solve: expected both of vecmat and transpose_solve, or neither",
    )
    return solve.out_types


def _eval(*arrays: Any, solve: Function, **_: Any) -> tuple[Any, ...]:
    from ir.evaluate import evaluate

    return evaluate(solve, *arrays)


def _flops(operands: Any, results: Any, *, solve: Function, **_: Any) -> int:
    from ir.cost import flops

    return flops(solve)


def without_auxiliary(function: Function, count: int) -> Function:
    """A solver without what it returns besides `x`, which has `count` parts."""
    if len(function.results) == count:
        return function
    return live_part(function.replace(results=function.results[:count]))


def _differentiate(operands: Any, tangents: Any, **attrs: Any) -> Any:
    from ir.transforms.jvp import push

    results = results_of(linear_solve(*operands, **attrs))
    count = len(attrs["matvec"].out_types)
    split = len(operands) - count
    x = results[:count]
    _, moved = push(attrs["matvec"], (*operands[:split], *x), (*tangents[:split], *[None] * count))
    sides = [_difference(db, da) for db, da in zip(tangents[split:], moved, strict=True)]
    if all(side is None for side in sides):
        return results, (None,) * len(results)
    alone = without_auxiliary(attrs["solve"], count)
    right = [zeros(v.type) if s is None else s for v, s in zip(x, sides, strict=True)]
    dx = results_of(linear_solve(*operands[:split], *right, **attrs | {"solve": alone}))
    return results, (*dx, *[None] * (len(results) - count))


def _difference(a: Value | None, b: Value | None) -> Value | None:
    if b is None:
        return a
    return neg(b) if a is None else sub(a, b)  # type: ignore[no-any-return]


def _transpose(cts: Any, operands: Any, **attrs: Any) -> Any:
    count = len(attrs["matvec"].out_types)
    split = len(operands) - count
    if any(isinstance(x, Linear) for x in operands[:split]):
        raise DifferentiationError("linear_solve is linear in its right-hand side, not in its matrix")
    if any(ct is not None for ct in cts[count:]):
        raise DifferentiationError("linear_solve has no derivative of what the solver returns besides")
    if attrs["transpose_solve"] is None:
        raise DifferentiationError(
            "linear_solve has no transpose_solve, which reverse mode needs; forward mode does not"
        )
    types = attrs["matvec"].out_types
    given = [zeros(t) if ct is None else ct for t, ct in zip(types, cts, strict=False)]
    turned = {
        "matvec": attrs["vecmat"],
        "solve": attrs["transpose_solve"],
        "vecmat": attrs["matvec"],
        "transpose_solve": without_auxiliary(attrs["solve"], count),
    }
    outs = results_of(linear_solve(*operands[:split], *given, **turned))
    of_known = [out if isinstance(x, Linear) else None for out, x in zip(outs, operands[split:], strict=True)]
    return (*[None] * split, *of_known)


def _batch(operands: Any, batched: Any, size: int, **attrs: Any) -> Any:
    from ir.transforms.batch import batch

    split = len(operands) - len(attrs["matvec"].out_types)
    flags = [*batched[:split], *[True] * (len(operands) - split)]
    made = {
        name: None if attrs[name] is None else batch(attrs[name], flags, size, all_results=True)[0]
        for name in _FUNCTIONS
    }
    ins = [
        materialize(v, b, size) if i >= split else v
        for i, (v, b) in enumerate(zip(operands, batched, strict=True))
    ]
    outs = results_of(linear_solve(*ins, **made))
    return outs, (True,) * len(outs)


def _prune(used_results: list[bool], **attrs: Any) -> Any:
    """Constants that no function reads and what the solver returns besides are left out; `x` is whole."""
    count = len(attrs["matvec"].out_types)
    kept = [*[True] * count, *used_results[count:]]
    functions = {name: attrs[name] for name in _FUNCTIONS if attrs[name] is not None}
    functions["solve"] = live_part(
        functions["solve"].replace(results=chosen(functions["solve"].results, kept)), effects=True
    )
    split = len(attrs["matvec"].params) - count
    read = [any(each) for each in zip(*[used(f)[:split] for f in functions.values()], strict=True)]
    if all(kept) and all(read):
        return None
    mask = [*read, *[True] * count]
    made: dict[str, Any] = dict.fromkeys(_FUNCTIONS)
    made |= {name: f.replace(params=chosen(f.params, mask)) for name, f in functions.items()}
    return linear_solve, at(mask), made, at(kept)


def with_constants(function: Function, positions: Sequence[int], types: Sequence[TensorType]) -> Function:
    """A function of some constants and `x` as one of all constants, of these types, and `x`."""
    params = [Value(t) for t in types]
    constants = function.params[: len(positions)]
    env = {old: params[k] for old, k in zip(constants, positions, strict=True)}
    eqns = tuple([
        e if env.keys().isdisjoint(e.operands)
        else Eqn(e.op, tuple([env.get(v, v) for v in e.operands]), e.attrs, e.results, e.source)
        for e in function.eqns
    ])  # fmt: skip
    results = tuple([env.get(v, v) for v in function.results])
    return Function((*params, *function.params[len(positions) :]), eqns, results, function.name)


linear_solve = op(
    "linear_solve",
    attrs={"matvec": REQUIRED, "solve": REQUIRED, "vecmat": None, "transpose_solve": None},
    type=_type,
    eval=_eval,
    jvp=None,
    differentiate=_differentiate,
    transpose=_transpose,
    batch=_batch,
    flops=_flops,
    prune=_prune,
    unrun=("matvec", "vecmat", "transpose_solve"),
)
