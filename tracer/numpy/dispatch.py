"""How functions of `tracer.numpy` are built: promote, broadcast, record; eager ones are JAX's.

`native(jnp_function)` decorates the traced implementation of a function: outside any trace the
JAX function of the same name runs at once, inside a trace the decorated one records.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax

from ir.core import EMPTY_ATTRS
from ir.errors import ArgumentTypeError, ShapeError, TracerError
from ir.op import Op
from ir.ops import convert as cv
from ir.ops import elementwise as ew
from ir.ops.random import random_unwrap
from ir.ops.shape import broadcast_in_dim, reshape
from ir.types import DType, Shape, bool_, i32
from lowering.late import LARGE, wait
from tracer.state import state
from tracer.trace import Trace
from tracer.types import float_dtype, promote_dtypes, scalar_dtype
from tracer.value import Tensor

F = TypeVar("F", bound=Callable[..., Any])
_SCALARS = frozenset({bool, int, float, complex})


def native(eager: Callable[..., Any]) -> Callable[[F], F]:
    """Decorator: run `eager` outside a trace, the decorated function inside."""

    def decorate(fn: F) -> F:
        code: Any = fn.__code__  # quicker than the signature
        names = code.co_varnames[: code.co_argcount]
        at = names.index("out") if "out" in names else None

        @functools.wraps(fn)
        def dispatch(*args: Any, **kwargs: Any) -> Any:
            if state.trace is None:
                return run_eager(eager, args, kwargs)
            if at is not None and (kwargs.get("out") if len(args) <= at else args[at]) is not None:
                raise ArgumentTypeError(f"{fn.__name__}: expected no `out`: arrays are not written in place")
            return fn(*args, **kwargs)

        dispatch.eager = eager  # type: ignore[attr-defined]
        return cast(F, dispatch)

    return decorate


def run_eager(eager: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call JAX's function.

    A traced value among the arguments belongs to a trace that is suspended while JAX traces, or has
    outlived its trace.
    """
    if any(type(x) is Tensor for x in args):
        args = tuple([x.outside() if type(x) is Tensor else x for x in args])
    try:
        out = eager(*args, **kwargs)
        nbytes = getattr(out, "nbytes", 0)
        if type(nbytes) is int and nbytes > LARGE:  # (of shapes with names in them it is an expression)
            wait(out)
        if state.watch is not None:
            state.watch.computed(eager, args, kwargs, out)
        return out
    except TypeError:
        leaves, tree = jax.tree_util.tree_flatten((args, kwargs))
        if not any(isinstance(x, Tensor) for x in leaves):
            raise
        leaves = [x.outside() if isinstance(x, Tensor) else x for x in leaves]
        args, kwargs = jax.tree_util.tree_unflatten(tree, leaves)
        return eager(*args, **kwargs)
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error) and not isinstance(error, TracerError):
            from tracer.debug.memory import out_of_memory_at_once

            given = [x for x in jax.tree_util.tree_leaves((args, kwargs)) if hasattr(x, "dtype")]
            raise out_of_memory_at_once(error, getattr(eager, "__name__", "function"), given) from error
        raise


def current_trace() -> Trace:
    """The innermost trace; an implementation behind `native` always has one."""
    trace = state.trace
    if trace is None:
        raise ArgumentTypeError("no trace is active")
    return trace


def lift(x: Any) -> Tensor:
    """`x` as a traced value of the innermost trace."""
    if type(x) is Tensor:
        if x.owner is state.trace:
            return x
        x.require_active()
    return current_trace().lift(x)


def record(the_op: Op, *operands: Tensor, weak: bool = False, **attrs: Any) -> Tensor:
    """Record an op with one result; attributes left out take their defaults."""
    values = tuple([t.value for t in operands])
    return current_trace().emit1(the_op, values, the_op.normalize(attrs), weak)


def convert(x: Tensor, dtype: DType, weak: bool = False) -> Tensor:
    """`x` with elements converted to `dtype`."""
    if x.value.type.dtype is dtype:
        return x if x.weak == weak else Tensor(x.owner, x.value, weak)
    return x.owner.emit1(cv.convert, (x.value,), {"dtype": dtype}, weak)


def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    """`x` broadcast to `shape` by NumPy's rule."""
    have = x.value.type.shape
    if have == shape:
        return x
    offset = len(shape) - len(have)
    if offset < 0 or any(n not in (1, m) for n, m in zip(have, shape[offset:], strict=True)):
        raise ShapeError(f"broadcast: shape {have} does not broadcast to {shape}")
    dims = tuple(range(offset, len(shape)))
    return x.owner.emit1(broadcast_in_dim, (x.value,), {"shape": shape, "dims": dims}, x.weak)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape by NumPy's rule; ShapeError where there is none."""
    rank = max(map(len, shapes), default=0)
    out = []
    for axis in range(-rank, 0):
        sizes = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        if len(sizes) > 1:
            raise ShapeError(
                f"shapes {', '.join(map(str, shapes))} do not broadcast: sizes {sorted(sizes)} differ"
            )
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


def promoted(*xs: Any, to_float: bool = False, bool_to: DType | None = None) -> tuple[list[Tensor], bool]:
    """Operands of one type: lifted, promoted as JAX does, broadcast. Also whether they are weak.

    Args:
      to_float: promote integers and bools to the default float type.
      bool_to: promote bools to this type.
    """
    trace = current_trace()
    dtype: DType | None = None
    weak = False
    shapes: list[Shape] = []
    scalars = []
    lifted: list[Any] = []
    for x in xs:
        if type(x) in _SCALARS:
            x_dtype, x_weak = scalar_dtype(type(x)), type(x) is not bool
            shapes.append(())
            scalars.append(True)
            lifted.append(x)
        else:
            t = lift(x)
            x_dtype, x_weak = t.value.type.dtype, t.weak
            shapes.append(t.value.type.shape)
            scalars.append(False)
            lifted.append(t)
        if dtype is None:
            dtype, weak = x_dtype, x_weak
        else:
            dtype, weak = promote_dtypes(dtype, weak, x_dtype, x_weak)
    assert dtype is not None
    if to_float:
        dtype = float_dtype(dtype)
    if bool_to is not None and dtype is bool_:
        dtype = bool_to
    shape = shapes[0] if all(s == shapes[0] for s in shapes) else broadcast_shapes(*shapes)
    out = [
        trace.scalar(x, dtype, shape, weak) if is_scalar else broadcast_to(convert(x, dtype, weak), shape)
        for x, is_scalar in zip(lifted, scalars, strict=True)
    ]
    return out, weak


def _with_number(trace: Trace, x: Any, y: Any, to_float: bool) -> tuple[Tensor, Tensor] | None:
    """What `promoted` gives for a strongly typed value and a Python number that takes its type, sooner."""
    first = type(x) is Tensor
    t, number = (x, y) if first else (y, x)
    kind = type(number)
    if type(t) is not Tensor or t.weak or t.owner is not trace or (kind is not float and kind is not int):
        return None
    type_ = t.value.type
    dtype = type_.dtype
    if not dtype.is_float and (to_float or kind is float or not dtype.is_integer):
        return None
    constant = trace.scalar(number, dtype, type_.shape)
    return (t, constant) if first else (constant, t)


def unary_function(
    name: str, the_op: Op, eager: Any, *, to_float: bool = False, bool_to_int: bool = False, doc: str = ""
) -> Any:
    """An elementwise function of one argument."""

    def fn(x: Any, /) -> Any:
        trace = state.trace
        if trace is None:
            return run_eager(eager, (x,), {})
        t = x if type(x) is Tensor and x.owner is trace else trace.lift(x)
        dtype = t.value.type.dtype
        if to_float and not dtype.is_inexact:
            t = convert(t, float_dtype(dtype), t.weak)
        elif bool_to_int and dtype is bool_:
            t = convert(t, i32, t.weak)
        return trace.emit1(the_op, (t.value,), EMPTY_ATTRS, t.weak)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc or f"{_said(eager)}\n\nElementwise; as `jax.numpy.{name}`."
    fn.eager = eager  # type: ignore[attr-defined]
    return fn


def binary_function(
    name: str,
    the_op: Op,
    eager: Any,
    *,
    to_float: bool = False,
    compares: bool = False,
    ordered: bool = False,
    of_bools: Op | None = None,
    of_keys: Op | None = None,
    doc: str = "",
) -> Any:
    """An elementwise function of two arguments, promoted and broadcast.

    Args:
      name: of the function.
      the_op: what it records.
      eager: the function of JAX.
      to_float: promote integers and bools to float.
      compares: the result is a bool.
      ordered: compare complex numbers by their real parts, then by their imaginary parts.
      of_bools: the op for bools.
      of_keys: how what is said of the words of PRNG keys is joined to one answer.
      doc: its documentation.
    """

    def fn(x: Any, y: Any, /) -> Any:
        trace = state.trace
        if trace is None:
            return run_eager(eager, (x, y), {})
        if (
            type(x) is Tensor
            and type(y) is Tensor
            and x.value.type is y.value.type
            and x.weak == y.weak
            and x.owner is trace
            and y.owner is trace
            and (not to_float or x.value.type.dtype.is_inexact)
        ):
            a, b, weak = x, y, x.weak
        elif (operands := _with_number(trace, x, y, to_float)) is not None:
            (a, b), weak = operands, False
        else:
            (a, b), weak = promoted(x, y, to_float=to_float)
        dtype = a.value.type.dtype
        if dtype is bool_ and of_bools is not None:
            return trace.emit1(of_bools, (a.value, b.value), EMPTY_ATTRS, weak)
        if of_keys is not None and dtype.kind == "key":
            a, b = [trace.emit1(random_unwrap, (t.value,), EMPTY_ATTRS) for t in (a, b)]
            each = trace.emit1(the_op, (a.value, b.value), EMPTY_ATTRS)
            return trace.emit1(of_keys, (each.value,), {"axes": (each.ndim - 1,)})
        if ordered and dtype.is_complex:
            return _lexicographic(the_op, a, b)
        return trace.emit1(the_op, (a.value, b.value), EMPTY_ATTRS, weak and not compares)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = (
        doc or f"{_said(eager)}\n\nElementwise, operands promoted and broadcast; as `jax.numpy.{name}`."
    )
    fn.eager = eager  # type: ignore[attr-defined]
    return fn


def _said(eager: Any) -> str:
    """What JAX's function says that it does, in a sentence."""
    return " ".join((inspect.getdoc(eager) or f"`{eager.__name__}`.").partition("\n\n")[0].split())


def _lexicographic(the_op: Op, a: Tensor, b: Tensor) -> Tensor:
    """Complex numbers compared by their real parts, and by their imaginary parts where those are equal."""
    emit = a.owner.emit1
    (ar, ai), (br, bi) = [
        tuple([emit(part, (t.value,), EMPTY_ATTRS).value for part in (ew.real, ew.imag)]) for t in (a, b)
    ]
    chosen = [
        emit(ew.eq, (ar, br), EMPTY_ATTRS),
        emit(the_op, (ai, bi), EMPTY_ATTRS),
        emit(the_op, (ar, br), EMPTY_ATTRS),
    ]
    return emit(ew.select, tuple([t.value for t in chosen]), EMPTY_ATTRS)


def reshaped(x: Tensor, shape: Shape) -> Tensor:
    """`x` with the given static shape."""
    if x.value.type.shape == shape:
        return x
    return x.owner.emit1(reshape, (x.value,), {"shape": shape}, x.weak)


def normalize_axis(axis: Any, rank: int, name: str) -> int:
    """A non-negative axis number; ArgumentError-like AxisError semantics of NumPy."""
    from ir.errors import ArgumentError

    try:
        index = int(axis.__index__())
    except AttributeError:
        raise ArgumentTypeError(f"{name}: expected an int for axis, got {axis!r}") from None
    if not -rank <= index < rank:
        raise ArgumentError(f"{name}: expected an axis in [{-rank}, {rank}), got {index}")
    return index % rank


def normalize_axes(axis: Any, rank: int, name: str) -> tuple[int, ...]:
    """Distinct non-negative axes from None (all), an int or a sequence."""
    from ir.errors import ArgumentError

    if axis is None:
        return tuple(range(rank))
    items: Sequence[Any] = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple([normalize_axis(a, rank, name) for a in items])
    if len(set(axes)) != len(axes):
        raise ArgumentError(f"{name}: expected distinct axes, got {axis}")
    return axes


__all__ = [
    "binary_function", "broadcast_shapes", "broadcast_to", "convert", "current_trace", "lift", "native",
    "normalize_axes", "normalize_axis", "promoted", "record", "reshaped", "run_eager", "unary_function",
]  # fmt: skip
