"""`while_loop` and `fori_loop`: loops whose trips may depend on traced values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ir.errors import ArgumentError, ArgumentTypeError
from ir.ops.while_loop import while_loop as while_op
from ir.types import TensorType, bool_
from tracer.api.arguments import function_name, leaf_type, tree_flatten, tree_unflatten
from tracer.api.scan import Mismatch, record_scan, stable_carry
from tracer.numpy.dispatch import convert, lift
from tracer.state import state
from tracer.trace import trace_flat
from tracer.value import Tensor


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    checkpoints: int | None = None,
) -> Any:
    """Apply `body_fun` while `cond_fun` holds; as `jax.lax.while_loop`, and with reverse mode.

    The gradient needs to know nothing of the number of trips. The loop keeps some of its carries as it
    runs, and the way back recomputes those in between, so that memory does not grow with the trips:
    with s carries kept, about s^2 / 5 trips cost one recomputation, s^3 / 50 two, and more only take
    longer. By default a few hundred carries are kept, up to 2304 where they are small.

    Args:
      cond_fun: the carry -> a bool scalar.
      body_fun: the carry -> the next one, of the same structure, shapes and dtypes.
      init_val: the first carry, a pytree of arrays.
      checkpoints: how many carries differentiation keeps in memory.

    Returns:
      The first carry for which `cond_fun` does not hold.

    Raises:
      ArgumentTypeError: the carry changes type, or the condition is no bool scalar; names the leaf and
        both types.

    Examples:
      >>> root = lambda a: tr.while_loop(lambda x: abs(x * x - a) > 1e-5, lambda x: 0.5 * (x + a / x), a)
      >>> print(tr.jit(root)(4.0), f"{tr.grad(root)(4.0):.3f}")
      2.0 0.250
    """
    for what, f in (("cond_fun", cond_fun), ("body_fun", body_fun)):
        if not callable(f):
            raise ArgumentTypeError(f"while_loop: expected a function as {what}, got {type(f).__name__}")
    if checkpoints is not None and (type(checkpoints) is not int or checkpoints < 1):
        raise ArgumentError(f"while_loop: expected checkpoints to be a positive int, got {checkpoints!r}")
    return record_while(cond_fun, body_fun, init_val, checkpoints)


def record_while(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    checkpoints: int | None = None,
    mismatch: Mismatch | None = None,
) -> Any:
    """`while_loop`; `mismatch` makes the error for a carry that changes type."""
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(lambda init: record_while(cond_fun, body_fun, init, checkpoints, mismatch))(
            init_val
        )
    leaves, tree = tree_flatten(init_val)
    carry = [lift(x) for x in leaves]

    def body(*leaves: Any) -> Any:
        new, new_tree = tree_flatten(body_fun(tree_unflatten(tree, leaves)))
        if new_tree != tree:
            raise ArgumentTypeError(
                f"while_loop: expected {function_name(body_fun)} to return a carry of structure {tree}, "
                f"got {new_tree}"
            )
        return new

    traced = stable_carry("while_loop", body_fun, body, carry, (), (), tree, mismatch)
    test = trace_flat(
        lambda *leaves: cond_fun(tree_unflatten(tree, leaves)),
        [t.value.type for t in carry],
        [t.weak for t in carry],
        name=function_name(cond_fun),
        inputs=None,
    )
    if test.function.out_types != (TensorType((), bool_),) or test.out_tree.num_nodes != 1:
        got = ", ".join(map(str, test.function.out_types))
        raise ArgumentTypeError(
            f"while_loop: expected {function_name(cond_fun)} to return a bool scalar, got {got or 'nothing'}"
        )
    trace = state.trace
    operands = [
        *[trace.lift(x).value for x in (*test.captures, *traced.captures)],
        *[t.value for t in carry],
    ]
    attrs = {
        "cond": test.function,
        "body": traced.function,
        "num_cond_consts": len(test.captures),
        "num_body_consts": len(traced.captures),
        "checkpoints": checkpoints,
    }
    outs = trace.emit(while_op, tuple(operands), while_op.normalize(attrs))
    return tree_unflatten(tree, [Tensor(trace, v, w) for v, w in zip(outs, traced.out_weak, strict=True)])


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """`for i in range(lower, upper): val = body_fun(i, val)`; as `jax.lax.fori_loop`.

    Bounds that are known become a `scan`, which keeps what the gradient needs; others a `while_loop`.

    Args:
      lower, upper: integer scalars of one type; a Python int takes that of the other.
      body_fun: `(i, val) -> val`, of the same structure, shapes and dtypes.
      init_val: a pytree of arrays.
      unroll: trips in each iteration of the compiled loop, True for all; only where bounds are known.

    Raises:
      ArgumentTypeError: bounds that are no integer scalars of one type; a value that changes type.
      ArgumentError: `unroll` although the bounds are not known.
    """
    if not callable(body_fun):
        raise ArgumentTypeError(f"fori_loop: expected a function, got {type(body_fun).__name__}")
    first, last = _known(lower), _known(upper)
    tree = tree_flatten(init_val)[1]

    def step(carry: Any, _: Any = None) -> Any:
        i, value = carry
        new = body_fun(i, value)
        new_tree = tree_flatten(new)[1]
        if new_tree != tree:
            raise ArgumentTypeError(
                f"fori_loop: expected {function_name(body_fun)} to return a value of structure {tree}, "
                f"got {new_tree}"
            )
        return (i + 1, new), None

    def mismatch(k: int, have: TensorType, got: TensorType) -> Exception:
        paths, _ = jax.tree_util.tree_flatten_with_path(init_val)
        name = f"val{jax.tree_util.keystr(paths[k - 1][0])}" if k else "the index"
        return ArgumentTypeError(
            f"fori_loop: expected {function_name(body_fun)} to keep the type of the value, "
            f"but {name} goes in as {have} and comes out as {got}"
        )

    if first is not None and last is not None:
        _bounds_type(lower, upper)
        trips = max(0, last - first)
        out, _ = record_scan(step, (first, init_val), None, trips, False, unroll or 1, mismatch)
        return out[1]
    if unroll is not None and unroll is not False and unroll != 1:
        raise ArgumentError("fori_loop: expected bounds that are known for unroll, got traced ones")
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(lambda lower, upper, init: fori_loop(lower, upper, body_fun, init))(
            lower, upper, init_val
        )
    dtype = _bounds_type(lower, upper)
    begin, end = lift(lower), convert(lift(upper), dtype)
    # The index is as weakly typed as the bound it starts from, unless that takes the type of the other.
    begin = convert(begin, dtype, begin.weak and begin.value.type.dtype is dtype)
    return record_while(lambda s: s[0] < end, lambda s: step(s)[0], (begin, init_val), mismatch=mismatch)[1]


def _known(bound: Any) -> int | None:
    """A bound as an int, if its value is known."""
    if isinstance(bound, (Tensor, jax.core.Tracer)):
        return None
    if isinstance(bound, (jax.Array, np.ndarray, np.generic)):
        type_ = leaf_type(bound)[0]
        if type_.shape or not type_.dtype.is_integer:
            raise ArgumentTypeError(f"fori_loop: expected integer scalars as bounds, got {type_}")
        return int(bound)
    try:
        return operator.index(bound)
    except TypeError:
        raise ArgumentTypeError(
            f"fori_loop: expected integer scalars as bounds, got {type(bound).__name__}"
        ) from None


def _bounds_type(lower: Any, upper: Any) -> Any:
    (a, a_weak), (b, b_weak) = leaf_type(lower), leaf_type(upper)
    for type_ in (a, b):
        if type_.shape or not type_.dtype.is_integer:
            raise ArgumentTypeError(f"fori_loop: expected integer scalars as bounds, got {type_}")
    if a.dtype is b.dtype:
        return a.dtype
    if a.dtype.kind == b.dtype.kind == "int" and a_weak != b_weak:
        return b.dtype if a_weak else a.dtype
    raise ArgumentTypeError(f"fori_loop: expected bounds of one type, got {a} and {b}")


__all__ = ["fori_loop", "while_loop"]
