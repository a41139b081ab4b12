"""Functions of JAX inside a trace, imported once for each kind of call and inlined from then on.

`borrowed(f)` is `f` for traced values. A call splits into operands (traced values and arrays) and what is
static; the first call of a kind is traced by JAX and imported, later ones append the equations again with
the source of the new call. Outside any trace `f` itself runs. Invariant: what is kept closes over no
traced value and no tracer of JAX, so that it serves every trace.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import jax
import numpy as np

from ir.core import Eqn, Function, Value, map_nested
from ir.errors import ArgumentError, ArgumentTypeError, ConcretizationError, TracerError
from ir.ops.calls import call as call_op
from ir.source import UNKNOWN, Source, capture
from lowering.execute import Cache
from lowering.jaxprs.types import struct_of
from tracer.concrete import concrete_value
from tracer.numpy.dispatch import run_eager
from tracer.state import state
from tracer.trace import Trace
from tracer.value import Tensor

if TYPE_CHECKING:
    from lowering.jaxprs.importer import Imported

F = TypeVar("F", bound=Callable[..., Any])

# Calls that differ in function, structure, static arguments or types of operands; kept by use.
CACHE_SIZE = 1024

# Settings of JAX that decide what a function of it is traced to.
_SETTINGS = (
    "jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl", "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion", "jax_random_seed_offset",
    "jax_enable_custom_prng",
)  # fmt: skip

# Static arguments of these types say all about themselves; whatever else is static is not looked up.
_PLAIN = (bool, int, float, complex, str, bytes, np.generic, np.dtype, type, enum.Enum, type(...))


@dataclass(frozen=True, slots=True)
class _Program:
    """What a kind of call was imported as.

    Attributes:
      imported: the function; its params are its captures, then the operands.
      tree: structure of the Python result.
      others: leaves of the result that are no arrays, by position.
    """

    imported: Imported
    tree: Any
    others: dict[int, Any]


class _Concrete:
    """Kept instead of a program where JAX has to know the arrays that are no traced values."""


_PROGRAMS: Cache[_Program | _Concrete] = Cache(CACHE_SIZE)
_CONCRETE = _Concrete()


def borrowed(fn: F, *, name: str | None = None, calls: bool = False, advice: str = "") -> F:
    """`fn`, a function of JAX, for traced values.

    Args:
      fn: takes and returns pytrees.
      name: as the user knows it; that of `fn` by default.
      calls: `fn` calls functions of the user's. They run under JAX's tracing, may be written with
        `tracer.numpy` or `jax.numpy` and may close over traced values; nothing is kept for a later call.
      advice: what to write where a result's shape would depend on data.

    Returns:
      A function with the signature and documentation of `fn`. It raises
      ConcretizationError: a shape or another static property would depend on a traced value.
      ArgumentTypeError, ArgumentError: JAX rejects the arguments with a TypeError, a ValueError.
    """
    shown = name or str(getattr(fn, "__name__", type(fn).__name__))

    def call(*args: Any, **kwargs: Any) -> Any:
        trace = state.trace
        if trace is None:
            return run_eager(fn, args, kwargs)
        if calls:
            from tracer.bridge import through_jax

            return through_jax(fn, shown, *args, **kwargs)
        return _inlined(trace, fn, shown, advice, args, kwargs)

    functools.update_wrapper(call, fn)
    call.__name__ = shown
    call.__module__ = __name__
    call.__doc__ = _documentation(fn, shown)
    call.borrowed = fn  # type: ignore[attr-defined]
    return cast(F, call)


def _documentation(fn: Any, name: str) -> str:
    text = (getattr(fn, "__doc__", None) or f"`{name}` of JAX.").rstrip()
    home = str(getattr(fn, "__module__", None) or "jax")
    return f"{text}\n\nDefined by `{home}.{name}`, whose program is imported into the trace."


# Calls -----------------------------------------------------------------------------------------------


def _inlined(trace: Trace, fn: Callable[..., Any], name: str, advice: str, args: Any, kwargs: Any) -> Any:
    leaves, tree = jax.tree_util.tree_flatten((args, kwargs))
    where = [i for i, x in enumerate(leaves) if _is_operand(x)]
    operands = [trace.lift(leaves[i]) for i in where]
    key = _key(fn, tree, leaves, where, operands)
    found = None if key is None else _PROGRAMS.find(key)
    if found is None:
        try:
            found = _imported(fn, name, tree, leaves, where, operands)
        except (TypeError, ValueError) as error:
            if not (_known(leaves, where) or _takes_size(fn)):
                raise _explained(error, fn, name, advice) from error
            found = _CONCRETE
    program = found
    if isinstance(program, _Concrete):
        program, operands = _with_known(fn, name, advice, tree, leaves, where, operands)
    if key is not None and not _has_tracers(found):
        _PROGRAMS.keep(key, found)
    return _applied(trace, program, operands)


def _is_operand(x: Any) -> bool:
    return type(x) is Tensor or isinstance(x, (jax.Array, np.ndarray)) or _stands_for_array(x)


def _stands_for_array(x: Any) -> bool:
    return hasattr(x, "__jax_array__") and not isinstance(x, type)


def _key(
    fn: Callable[..., Any], tree: Any, leaves: list[Any], where: list[int], operands: list[Tensor]
) -> Hashable | None:
    """What decides the program, or None where something static does not say all about itself."""
    at = set(where)
    static = [_static_key(x) for i, x in enumerate(leaves) if i not in at]
    if None in static:
        return None
    settings = tuple([getattr(jax.config, s, None) for s in _SETTINGS])
    types = tuple([(t.value.type, t.weak) for t in operands])
    key = (fn, tree, tuple(where), tuple(static), types, settings, jax.sharding.get_abstract_mesh())
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _static_key(x: Any) -> Hashable | None:
    if isinstance(x, np.generic):
        return (np.generic, x.dtype, x.tobytes())
    # Zeros of both signs are equal, and so are numbers of several types; NaN is not equal to itself.
    if isinstance(x, (bool, int, float, complex)):
        return (type(x), repr(x))
    return (type(x), x) if isinstance(x, _PLAIN) else None


def _imported(
    fn: Callable[..., Any],
    name: str,
    tree: Any,
    leaves: list[Any],
    where: list[int],
    operands: Sequence[Tensor],
) -> _Program:
    """The program of one call, traced by JAX while no trace of ours is active."""
    structure: list[Any] = []

    def flat(xs: Sequence[Any]) -> list[Any]:
        full = list(leaves)
        for i, x in zip(where, xs, strict=True):
            full[i] = x
        args, kwargs = jax.tree_util.tree_unflatten(tree, full)
        out, out_tree = jax.tree_util.tree_flatten(fn(*args, **kwargs))
        others = {i: x for i, x in enumerate(out) if not _is_result(x)}
        structure[:] = [out_tree, others]
        return [x for i, x in enumerate(out) if i not in others]

    structs = [struct_of(t.value.type, t.weak) for t in operands]
    outer = state.trace
    state.trace = None
    try:
        closed = jax.make_jaxpr(flat)(structs)
    finally:
        state.trace = outer
    from lowering.jaxprs.importer import import_jaxpr  # imports much of JAX

    return _Program(import_jaxpr(closed, name), *structure)


def _is_result(x: Any) -> bool:
    # A Python number, such as the `lower` of cho_factor, depends on no operand and stays what it is.
    return isinstance(x, (jax.Array, np.ndarray))


def _has_tracers(program: _Program | _Concrete) -> bool:
    return isinstance(program, _Program) and any(
        isinstance(x, jax.core.Tracer) for x in program.imported.captures
    )


def _known(leaves: list[Any], where: list[int]) -> dict[int, Any]:
    """Operands that can be given to JAX as they are: arrays, and values of a trace that knows them.

    Only integers and bools are taken from a trace, which have no derivative to be lost.
    """
    known: dict[int, Any] = {}
    for i in where:
        x = leaves[i]
        if type(x) is not Tensor:
            if not isinstance(x, jax.core.Tracer):
                known[i] = x
        elif x.value.type.dtype.kind in ("int", "uint", "bool"):
            try:
                known[i] = concrete_value(x, "a shape", "", cuts=False)
            except ConcretizationError:
                continue  # under `jit` nothing is known: the error says what JAX needs
    return known


def _with_known(
    fn: Callable[..., Any], name: str, advice: str, tree: Any, leaves: list[Any], where: list[int],
    operands: list[Tensor],
) -> tuple[_Program, list[Tensor]]:  # fmt: skip
    """(program, operands) of a call with the known operands given as they are."""
    known = _known(leaves, where)
    full = [known.get(i, x) for i, x in enumerate(leaves)]
    rest = [(i, t) for i, t in zip(where, operands, strict=True) if i not in known]
    left = [t for _, t in rest]
    try:
        if not left:
            return _evaluated(fn, name, tree, full), left
        return _imported(fn, name, tree, full, [i for i, _ in rest], left), left
    except (TypeError, ValueError) as error:
        size = _known_size(fn, tree, leaves, where)
        if size is None:
            raise _explained(error, fn, name, advice) from error
    args, kwargs = jax.tree_util.tree_unflatten(tree, leaves)
    leaves, tree = jax.tree_util.tree_flatten((args, {**kwargs, "size": size}))
    where = [i for i, x in enumerate(leaves) if _is_operand(x)]
    return _imported(fn, name, tree, leaves, where, operands), operands


def _evaluated(fn: Callable[..., Any], name: str, tree: Any, leaves: list[Any]) -> _Program:
    """The program of a call whose operands are all known: its results."""
    args, kwargs = jax.tree_util.tree_unflatten(tree, leaves)
    outer, state.trace = state.trace, None
    try:
        with jax.ensure_compile_time_eval():
            out = fn(*args, **kwargs)
    finally:
        state.trace = outer
    found, out_tree = jax.tree_util.tree_flatten(out)
    return _imported(lambda: jax.tree_util.tree_unflatten(out_tree, found), name, _NOTHING, [], [], [])


_NOTHING = jax.tree_util.tree_structure(((), {}))


def _known_size(fn: Callable[..., Any], tree: Any, leaves: list[Any], where: list[int]) -> int | None:
    """How many results a call has whose operands are all known and which is not told it; None for others.

    Nothing but the number is taken from the values, so that no derivative is lost.
    """
    args, kwargs = jax.tree_util.tree_unflatten(tree, leaves)
    if not _takes_size(fn) or kwargs.get("size") is not None:
        return None
    full = list(leaves)
    for i in where:
        if type(full[i]) is Tensor:
            try:
                full[i] = concrete_value(full[i], "a shape", "", cuts=False)
            except ConcretizationError:
                return None  # the caller says that a size has to be given
        if isinstance(full[i], jax.core.Tracer):
            return None
    args, kwargs = jax.tree_util.tree_unflatten(tree, full)
    outer, state.trace = state.trace, None
    try:
        with jax.ensure_compile_time_eval():
            first = jax.tree_util.tree_leaves(fn(*args, **kwargs))[0]
    finally:
        state.trace = outer
    axis = inspect.signature(fn).bind(*args, **kwargs).arguments.get("axis")
    return int(first.shape[axis if axis is not None and first.ndim > 1 else 0])


def _explained(error: Exception, fn: Callable[..., Any], name: str, advice: str) -> Exception:
    """An error of JAX as one of ours, with the user's line."""
    if isinstance(error, TracerError):
        return error
    if isinstance(error, (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)):
        if not advice and _takes_size(fn):
            advice = "give size=..., the number of results, which has to be known before the program runs"
        return ConcretizationError(
            f"{name}: expected values that are known for what decides a shape, got traced ones",
            note=advice or str(error).partition("\n")[0],
        )
    kind = ArgumentTypeError if isinstance(error, TypeError) else ArgumentError
    text = str(error)
    return kind(text if text.startswith(name) else f"{name}: {text}")


@functools.cache
def _takes_size(fn: Callable[..., Any]) -> bool:
    return "size" in inspect.signature(fn).parameters


# Results ---------------------------------------------------------------------------------------------


def _applied(trace: Trace, program: _Program, operands: list[Tensor]) -> Any:
    imported = program.imported
    values = [trace.lift(x).value for x in (*imported.captures, *operands)]
    source = trace.source or capture(3)
    appended = _append(trace.eqns, imported.function, values, source, {})
    results = iter([Tensor(trace, v, w) for v, w in zip(appended, imported.weak, strict=True)])
    count = program.tree.num_leaves
    leaves = [program.others[i] if i in program.others else next(results) for i in range(count)]
    return jax.tree_util.tree_unflatten(program.tree, leaves)


def _append(
    eqns: list[Eqn], function: Function, operands: Sequence[Value], source: Source, seen: dict[int, Function]
) -> list[Value]:
    """Append the body of `function`, plain calls in it included, as if written at `source`."""
    env = dict(zip(function.params, operands, strict=True))
    for eqn in function.eqns:
        ins = tuple([env[v] for v in eqn.operands])
        results: Sequence[Value]
        if eqn.op is call_op:
            results = _append(eqns, eqn.attrs["function"], ins, source, seen)
        else:
            attrs = map_nested(eqn.attrs, lambda f: _placed(f, source, seen)) if eqn.attrs else eqn.attrs
            results = tuple([Value(v.type) for v in eqn.results])
            eqns.append(Eqn(eqn.op, ins, attrs, results, source))
        env.update(zip(eqn.results, results, strict=True))
    return [env[v] for v in function.results]


def _placed(function: Function, source: Source, seen: dict[int, Function]) -> Function:
    """A nested function whose equations come from `source`; the same object for the same one."""
    found = seen.get(id(function))
    if found is None:
        eqns = tuple(
            [
                Eqn(
                    e.op,
                    e.operands,
                    map_nested(e.attrs, lambda f: _placed(f, source, seen)) if e.attrs else e.attrs,
                    e.results,
                    source,
                )
                for e in function.eqns
            ]
        )
        found = seen[id(function)] = function.replace(eqns=eqns) if source is not UNKNOWN else function
    return found


def public(names: str, module: Any) -> dict[str, Any]:
    """Borrowed functions of a module by name: those of the names that this version of JAX has."""
    return {
        name: borrowed(getattr(module, name), name=name) for name in names.split() if hasattr(module, name)
    }


__all__ = ["borrowed", "public"]
