"""`cond` and `switch`: one of several functions, chosen by a traced value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ir.core import Function, Value
from ir.errors import ArgumentError, ArgumentTypeError
from ir.ops.cond import cond as cond_op
from ir.types import TensorType, bool_, i32
from tracer.api.arguments import function_name, tree_flatten, tree_unflatten
from tracer.numpy.dispatch import convert, lift
from tracer.state import state
from tracer.trace import Traced, trace_flat
from tracer.value import Tensor

_NONE: Any = object()


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    operand: Any = _NONE,
) -> Any:
    """`true_fun(*operands)` where `pred` holds, otherwise `false_fun(*operands)`; as `jax.lax.cond`.

    Only one of them runs. Under `vmap` with a predicate for each example both do, and each example
    takes its own result; a loop in a branch then runs for the examples that take it.

    Args:
      pred: a scalar; numbers are true unless they are zero.
      true_fun, false_fun: return the same structure of arrays of the same types.
      operands: pytrees of arrays.
      operand: a single operand, by keyword.

    Raises:
      ArgumentTypeError: what is no scalar, or branches whose results differ; names the leaf and both types.

    Examples:
      >>> relu = lambda x: tr.cond(x > 0, lambda x: x, lambda x: 0.0 * x, x)
      >>> print(tr.jit(relu)(2.0), tr.grad(relu)(-2.0))
      2.0 0.0
    """
    if operand is not _NONE:
        if operands:
            raise ArgumentTypeError("cond: expected operands by position or by keyword, got both")
        operands = (operand,)
    for f in (true_fun, false_fun):
        _require_callable("cond", f)
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(lambda pred, operands: cond(pred, true_fun, false_fun, *operands))(pred, operands)
    test = lift(pred)
    if test.shape:
        raise ArgumentTypeError(f"cond: expected a scalar predicate, got {test.value.type}")
    if test.value.type.dtype.kind == "key":
        raise ArgumentTypeError(f"cond: expected a bool or a number, got {test.value.type}")
    if test.value.type.dtype is not bool_:
        test = test != 0
    named = {"false_fun": false_fun, "true_fun": true_fun}
    return _choose("cond", convert(test, i32), named, operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any, operand: Any = _NONE) -> Any:
    """`branches[index](*operands)`, the index moved into range; as `jax.lax.switch`.

    Args:
      index: an integer scalar.
      branches: return the same structure of arrays of the same types.
      operands: pytrees of arrays.
      operand: a single operand, by keyword.

    Raises:
      ArgumentError: no branches.
      ArgumentTypeError: an index that is no integer scalar, or branches whose results differ.
    """
    if operand is not _NONE:
        if operands:
            raise ArgumentTypeError("switch: expected operands by position or by keyword, got both")
        operands = (operand,)
    functions = list(branches)
    if not functions:
        raise ArgumentError("switch: expected at least one branch, got none")
    for f in functions:
        _require_callable("switch", f)
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(lambda index, operands: switch(index, functions, *operands))(index, operands)
    at = lift(index)
    if at.shape or not at.value.type.dtype.is_integer:
        raise ArgumentTypeError(f"switch: expected an integer scalar as index, got {at.value.type}")
    if len(functions) == 1:
        return functions[0](*operands)
    named = {f"branch {k}": f for k, f in enumerate(functions)}
    return _choose("switch", _clamped(at, len(functions)), named, operands)


def _clamped(index: Tensor, count: int) -> Tensor:
    """The index as an i32 within range; wide and unsigned ones are moved before they are narrowed."""
    from tracer.numpy.elementwise import clip

    return convert(clip(index, 0, min(count - 1, _largest(index))), i32)


def _largest(index: Tensor) -> int:
    dtype = index.value.type.dtype
    return int(2 ** (dtype.bits - (dtype.kind != "uint")) - 1)


def _require_callable(name: str, f: Any) -> None:
    if not callable(f):
        raise ArgumentTypeError(f"{name}: expected functions as branches, got {type(f).__name__}")


def _choose(name: str, index: Tensor, named: dict[str, Any], operands: tuple[Any, ...]) -> Any:
    """Record a `cond` over the traced functions."""
    leaves, tree = tree_flatten(operands)
    given = [lift(x) for x in leaves]
    traced = []
    for f in named.values():

        def branch(*leaves: Any, f: Any = f) -> Any:
            return f(*tree_unflatten(tree, leaves))

        types, weak = [t.value.type for t in given], [t.weak for t in given]
        traced.append(trace_flat(branch, types, weak, name=function_name(f), inputs=None))
    _check_results(name, list(named), traced)
    functions, captures = share_captures(traced)
    trace = index.owner
    values = [*[trace.lift(x).value for x in captures], *[t.value for t in given]]
    attrs = cond_op.normalize({"branches": functions})
    outs = trace.emit(cond_op, (index.value, *values), attrs)
    weak_outs = [all(flags) for flags in zip(*[t.out_weak for t in traced], strict=True)]
    results = [Tensor(trace, v, w) for v, w in zip(outs, weak_outs, strict=True)]
    return tree_unflatten(traced[0].out_tree, results)


def share_captures(traced: Sequence[Traced]) -> tuple[tuple[Function, ...], list[Any]]:
    """The functions with the captures of all of them as their first params, and those captures."""
    union: dict[int, tuple[Any, TensorType]] = {}
    for each in traced:
        for x, param in zip(each.captures, each.function.params, strict=False):
            union.setdefault(id(x), (x, param.type))
    functions = []
    for each in traced:
        count = len(each.captures)
        own = {id(x): p for x, p in zip(each.captures, each.function.params, strict=False)}
        params = [own[key] if key in own else Value(type_) for key, (_, type_) in union.items()]
        functions.append(each.function.replace(params=(*params, *each.function.params[count:])))
    return tuple(functions), [x for x, _ in union.values()]


def _check_results(name: str, labels: Sequence[str], traced: Sequence[Traced]) -> None:
    """ArgumentTypeError unless all functions return the same structure and types."""
    first = traced[0]
    for label, other in zip(labels[1:], traced[1:], strict=True):
        if other.out_tree != first.out_tree:
            raise ArgumentTypeError(
                f"{name}: expected {label} to return the structure {first.out_tree}, as {labels[0]} does, "
                f"got {other.out_tree}"
            )
        for k, (a, b) in enumerate(zip(first.function.out_types, other.function.out_types, strict=True)):
            if a is not b:
                raise ArgumentTypeError(
                    f"{name}: expected {label} to return {a} as result{leaf_path(first.out_tree, k)}, "
                    f"as {labels[0]} does, got {b}"
                )


def leaf_path(tree: Any, k: int) -> str:
    """Where the k-th leaf of a structure is, as Python writes it."""
    numbered = tree_unflatten(tree, list(range(tree.num_leaves)))
    return str(jax.tree_util.keystr(jax.tree_util.tree_flatten_with_path(numbered)[0][k][0]))


__all__ = ["cond", "switch"]
