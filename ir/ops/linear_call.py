"""`linear_call`: a linear map with its transpose beside it.

    out = linear_call(residuals, x) {function, transpose}

`function(residuals, x)` is linear in x; `transpose(residuals, cotangents of out)` gives the cotangents of x and
is taken on trust to be its transpose, so that a map need not be transposable step by step (as
`jax.custom_derivatives.linear_call`; Frostig, Johnson, Maclaurin, Paszke and Radul 2021, "Decomposing
reverse-mode automatic differentiation"). The derivative by the residuals is that of `function`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.core import Function, Value
from ir.errors import DifferentiationError, IRTypeError
from ir.op import Linear
from ir.ops.carries import at, chosen, instantiated, results_of, used
from ir.ops.elementwise import add
from ir.ops.families import check, materialize, op
from ir.ops.shape import zeros
from ir.types import TensorType


def _type(
    *types: TensorType, function: Function, transpose: Function, num_residuals: int
) -> tuple[TensorType, ...]:
    check(
        0 <= num_residuals <= len(types),
        f"linear_call: expected at most {len(types)} residuals, got {num_residuals}",
    )
    residuals, x, outs = types[:num_residuals], types[num_residuals:], function.out_types
    check(
        all(t.dtype.is_inexact for t in (*x, *outs)),
        f"linear_call: expected floating point or complex x and results, got {x} and {outs}",
    )
    for what, each, ins, results in (
        ("function", function, types, outs),
        ("transpose", transpose, (*residuals, *outs), x),
    ):
        if each.in_types != ins or each.out_types != results:
            raise IRTypeError(
                f"linear_call: expected {what} to take {ins} and give {results}, it takes {each.in_types} "
                f"and gives {each.out_types}"
            )
    return outs


def _eval(*arrays: Any, function: Function, **_: Any) -> tuple[Any, ...]:
    from ir.evaluate import evaluate

    return evaluate(function, *arrays)


def _flops(operands: Any, results: Any, *, function: Function, **_: Any) -> int:
    from ir.cost import flops

    return flops(function)


def _differentiate(operands: Any, tangents: Any, **attrs: Any) -> Any:
    from ir.transforms.jvp import push

    n = attrs["num_residuals"]
    results = results_of(linear_call(*operands, **attrs))
    moved: tuple[Any, ...] = (None,) * len(results)
    if any(t is not None for t in tangents[n:]):
        x, dx = operands[n:], tangents[n:]
        moved = results_of(linear_call(*operands[:n], *instantiated(x, dx, [True] * len(x)), **attrs))
    if any(t is not None for t in tangents[:n]):
        _, turned = push(attrs["function"], operands, (*tangents[:n], *[None] * (len(operands) - n)))
        moved = tuple([
            a if b is None else b if a is None else add(a, b) for a, b in zip(moved, turned, strict=True)
        ])  # fmt: skip
    return results, moved


def _transpose(
    cts: Any, operands: Any, *, function: Function, transpose: Function, num_residuals: int
) -> Any:
    residuals, x = operands[:num_residuals], operands[num_residuals:]
    if any(isinstance(r, Linear) for r in residuals):
        raise DifferentiationError("linear_call is linear in its last operands, not in its residuals")
    given = [zeros(t) if ct is None else ct for t, ct in zip(function.out_types, cts, strict=True)]
    outs = results_of(
        linear_call(*residuals, *given, function=transpose, transpose=function, num_residuals=num_residuals)
    )
    of_x = [out if isinstance(v, Linear) else None for out, v in zip(outs, x, strict=True)]
    return (*[None] * num_residuals, *of_x)


def _batch(
    operands: Any, batched: Any, size: int, *, function: Function, transpose: Function, num_residuals: int
) -> Any:
    from ir.transforms.batch import batch

    # x and the results all carry the batch, so that either function takes what the other gives.
    n = num_residuals
    x = [materialize(v, b, size) for v, b in zip(operands[n:], batched[n:], strict=True)]
    forward, flags = batch(function, [*batched[:n], *[True] * len(x)], size, all_results=True)
    mask = [*batched[:n], *[True] * len(function.results)]
    back, _ = batch(transpose, mask, size, all_results=True)
    outs = results_of(
        linear_call(*operands[:n], *x, function=forward, transpose=back, num_residuals=num_residuals)
    )
    return outs, flags


def _prune(used_results: list[bool], *, function: Function, transpose: Function, num_residuals: int) -> Any:
    """Residuals that neither function reads are left out; x and the results are whole."""
    n = num_residuals
    read = [a or b for a, b in zip(used(function)[:n], used(transpose)[:n], strict=True)]
    if all(read):
        return None

    def without(f: Function) -> Function:
        return f.replace(params=(*chosen(f.params[:n], read), *f.params[n:]))

    made = {"function": without(function), "transpose": without(transpose), "num_residuals": sum(read)}
    kept = at([*read, *[True] * (len(function.params) - n)])
    return linear_call, kept, made, list(range(len(used_results)))


def with_params(function: Function, reads: Sequence[int], types: Sequence[Sequence[TensorType]]) -> Function:
    """A function of some groups of residuals and x, as one of all groups, of these types, and x."""
    own = list(function.params)
    groups: list[list[Value]] = [[Value(t) for t in group] for group in types]
    for k in reads:
        groups[k] = [own.pop(0) for _ in types[k]]
    return function.replace(params=(*[v for group in groups for v in group], *own))


linear_call = op(
    "linear_call",
    attrs=("function", "transpose", "num_residuals"),
    type=_type,
    eval=_eval,
    jvp=None,
    differentiate=_differentiate,
    transpose=_transpose,
    batch=_batch,
    flops=_flops,
    prune=_prune,
    inline=lambda function, **_: function,
    unrun=("transpose",),
)
