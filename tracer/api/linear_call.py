"""`linear_call`: a linear function whose transpose is given beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ir.ops.linear_call import linear_call as linear_call_op
from tracer.api.arguments import function_name, tree_flatten, tree_unflatten
from tracer.api.conform import conformed, require_inexact
from tracer.api.control import share_captures
from tracer.numpy.dispatch import lift
from tracer.state import state
from tracer.trace import trace_flat
from tracer.value import Tensor


def linear_call(
    fun: Callable[[Any, Any], Any],
    fun_transpose: Callable[[Any, Any], Any],
    residual_args: Any,
    linear_args: Any,
) -> Any:
    """`fun(residual_args, linear_args)`, transposed by a call of `fun_transpose`; as JAX's function of this name.

    Reverse mode by `linear_args` takes `fun_transpose` for the transpose of `fun`, without looking whether it
    is. By `residual_args`, and by what `fun` closes over, the derivative is that of `fun` itself.

    Args:
      fun: `(residuals, x) -> out`, linear in x.
      fun_transpose: `(residuals, ct) -> x_ct`, linear in ct, of the structure of `out`, with results of the
        structure and the types of x. Products are not conjugated: of a complex matrix it is `a.T`.
      residual_args: pytree of arrays.
      linear_args: pytree of floating point or complex arrays.

    Returns:
      What `fun` returns: a pytree of floating point or complex arrays.

    Raises:
      ArgumentTypeError: elements that are not floating point, or a transpose whose results do not resemble x;
        names the leaf.
    """
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(lambda r, x: linear_call(fun, fun_transpose, r, x))(residual_args, linear_args)
    residual_leaves, residual_tree = tree_flatten(residual_args)
    x_leaves, x_tree = tree_flatten(linear_args)
    residuals, x = [lift(v) for v in residual_leaves], [lift(v) for v in x_leaves]
    count = len(residuals)
    types, x_types = [v.value.type for v in residuals], [v.value.type for v in x]
    weak = [v.weak for v in residuals]
    require_inexact("linear_call", x_types, x_tree, " of linear_args")

    def call(*leaves: Any) -> Any:
        return fun(tree_unflatten(residual_tree, leaves[:count]), tree_unflatten(x_tree, leaves[count:]))

    forward = trace_flat(call, [*types, *x_types], [*weak, *[v.weak for v in x]], name=function_name(fun))
    out_types = forward.function.out_types
    require_inexact("linear_call", out_types, forward.out_tree, f" of the result of {function_name(fun)}")

    def turned(*leaves: Any) -> Any:
        cts = tree_unflatten(forward.out_tree, leaves[count:])
        return fun_transpose(tree_unflatten(residual_tree, leaves[:count]), cts)

    back = trace_flat(
        turned, [*types, *out_types], [*weak, *forward.out_weak], name=function_name(fun_transpose)
    )
    back = dataclasses.replace(back, function=conformed("linear_call", back, x_tree, x_types))
    functions, captures = share_captures([forward, back])
    trace = state.trace
    operands = [*[trace.lift(v).value for v in captures], *[v.value for v in (*residuals, *x)]]
    attrs = dict(zip(("function", "transpose"), functions, strict=True))
    outs = trace.emit(
        linear_call_op,
        tuple(operands),
        linear_call_op.normalize({**attrs, "num_residuals": len(captures) + count}),
    )
    results = [Tensor(trace, v, w) for v, w in zip(outs, forward.out_weak, strict=True)]
    return tree_unflatten(forward.out_tree, results)


__all__ = ["linear_call"]
