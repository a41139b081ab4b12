"""`scan`: a loop of known length over the leading axis of arrays, with a carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ir.errors import ArgumentError, ArgumentTypeError
from ir.ops import loops
from ir.types import TensorType
from tracer.api.arguments import function_name, leaf_type, tree_flatten, tree_unflatten
from tracer.numpy.dispatch import convert, lift
from tracer.state import state
from tracer.trace import trace_flat
from tracer.types import promote_dtypes
from tracer.value import Tensor


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Fold `f` over slices of `xs` and stack what it returns; as `jax.lax.scan`.

    Args:
      f: `(carry, x) -> (carry, y)`; the carry keeps its structure, shapes and dtypes.
      init: the first carry.
      xs: a pytree of arrays with equal leading axes, or None.
      length: the number of steps, where `xs` does not tell.
      reverse: run from the last slice to the first.
      unroll: steps to unroll in each iteration of the compiled loop; True for all.

    Returns:
      (last carry, stacked y).

    Raises:
      ArgumentTypeError: the carry changes type; names the leaf and both types.
      ArgumentError: lengths differ or are missing.

    Examples:
      >>> total, sums = tr.scan(lambda total, x: (total + x, total + x), 0.0, np.float32([1, 2, 3]))
      >>> print(total, sums)
      6.0 [1. 3. 6.]
    """
    return record_scan(f, init, xs, length, reverse, unroll)


def record_scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    mismatch: Mismatch | None = None,
) -> tuple[Any, Any]:
    """`scan`; `mismatch` makes the error for a carry that changes type."""
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(lambda init, xs: record_scan(f, init, xs, length, reverse, unroll, mismatch))(  # type: ignore[no-any-return]
            init, xs
        )
    steps = _length(xs, length)
    init_leaves, carry_tree = tree_flatten(init)
    x_leaves, x_tree = tree_flatten(xs)
    carry = [lift(x) for x in init_leaves]
    inputs = [lift(x) for x in x_leaves]
    x_types = [t.value.type.with_shape(t.shape[1:]) for t in inputs]

    def body(*leaves: Any) -> Any:
        state_in = tree_unflatten(carry_tree, leaves[: len(carry)])
        out = f(state_in, tree_unflatten(x_tree, leaves[len(carry) :]))
        pair: Any = out
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ArgumentTypeError(
                f"scan: expected {function_name(f)} to return (carry, y), got {type(out).__name__}"
            )
        new, tree = tree_flatten(out[0])
        if tree != carry_tree:
            raise ArgumentTypeError(f"scan: expected a carry of structure {carry_tree}, got {tree}")
        return new, out[1]

    traced = stable_carry("scan", f, body, carry, x_types, [t.weak for t in inputs], carry_tree, mismatch)
    count = len(carry)
    trace = state.trace
    operands = [
        *[trace.lift(x).value for x in traced.captures],
        *[t.value for t in carry],
        *[t.value for t in inputs],
    ]
    attrs = {
        "function": traced.function,
        "num_consts": len(traced.captures),
        "num_carry": count,
        "length": steps,
        "reverse": bool(reverse),
        "unroll": max(1, steps) if unroll is True else max(1, int(unroll)),
    }
    outs = trace.emit(loops.scan, tuple(operands), attrs)
    leaves = [Tensor(trace, v, w) for v, w in zip(outs, traced.out_weak, strict=True)]
    _, ys = tree_unflatten(traced.out_tree, leaves)
    return tree_unflatten(carry_tree, leaves[:count]), ys


# (leaf of the carry, its type, what it became) -> the error.
Mismatch = Callable[[int, TensorType, TensorType], Exception]


def stable_carry(
    name: str,
    f: Any,
    body: Any,
    carry: list[Tensor],
    x_types: Any,
    x_weak: Any,
    carry_tree: Any,
    mismatch: Mismatch | None = None,
) -> Any:
    """The traced body whose carry has one type; weakly typed first carries are promoted to the body's type.

    Args:
      name: of the loop, for messages.
      f: the user's function, `body` with flat arguments and the carry first in what it returns.
      carry: the first carry; promoted in place.
      x_types, x_weak: types of the other arguments.
      carry_tree: structure of the carry.
      mismatch: makes another error than that below.

    Raises:
      ArgumentTypeError: a carry goes in with one type and comes out with another.
    """
    while True:
        types = [t.value.type for t in carry]
        traced = trace_flat(
            body,
            (*types, *x_types),
            (*[t.weak for t in carry], *x_weak),
            name=function_name(f),
            inputs=None,
        )
        outs = zip(traced.function.out_types[: len(carry)], traced.out_weak, strict=False)
        wrong = None
        changed = False
        for k, (have, (got, got_weak)) in enumerate(zip(types, outs, strict=True)):
            if got is have:
                continue
            wrong = k if wrong is None else wrong
            if carry[k].weak and got.shape == have.shape and "key" not in (got.dtype.kind, have.dtype.kind):
                dtype, _ = promote_dtypes(have.dtype, True, got.dtype, got_weak)
                if dtype is not have.dtype:
                    carry[k] = convert(carry[k], dtype)
                    changed = True
        if wrong is None:
            return traced
        if not changed and mismatch is not None:
            raise mismatch(wrong, types[wrong], traced.function.out_types[wrong])
        if not changed:
            path, _ = jax.tree_util.tree_flatten_with_path(
                tree_unflatten(carry_tree, list(range(len(carry))))
            )[0][wrong]
            raise ArgumentTypeError(
                f"{name}: expected {function_name(f)} to keep the type of the carry, "
                f"but carry{jax.tree_util.keystr(path)} goes in as {types[wrong]} "
                f"and comes out as {traced.function.out_types[wrong]}"
            )


def _length(xs: Any, length: int | None) -> int:
    sizes = set()
    for leaf in tree_flatten(xs)[0]:
        type_ = leaf_type(leaf)[0]
        if type_.rank == 0:
            raise ArgumentError(f"scan: expected inputs with a leading axis, got {type_}")
        sizes.add(type_.shape[0])
    if length is not None:
        sizes.add(int(length))
    if len(sizes) != 1:
        raise ArgumentError(
            "scan: expected xs or length"
            if not sizes
            else f"scan: expected equal lengths, got {sorted(sizes)}"
        )
    return sizes.pop()
