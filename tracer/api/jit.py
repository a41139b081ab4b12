"""`jit`: trace, optimise and emit inside `jax.jit`, whose C++ path then dispatches every call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax

import ir
from ir.collector import without_collection
from ir.errors import ArgumentError, ArgumentTypeError, TracerError
from ir.passes.grouping import group_regions
from ir.passes.pipeline import Pass, pipeline
from ir.passes.rolling import roll, roll_exact
from ir.source import capture
from lowering.boundary import emit_differentiable
from lowering.emit import emit, with_weak_types
from lowering.kernels import emitting_for_good
from lowering.late import Late
from tracer.api.arguments import (
    Flat,
    call,
    check_signature,
    flatten,
    function_name,
    tree_leaves,
    tree_unflatten,
)
from tracer.api.autograph import requested
from tracer.api.entry import entry, with_attributes
from tracer.state import ACTIVE, state
from tracer.trace import Traced, escaped, trace_flat
from tracer.value import Tensor

if TYPE_CHECKING:
    from tracer.debug.nonfinite import nans


def jit(
    f: Callable[..., Any],
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Sequence[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    in_shardings: Any = None,
    out_shardings: Any = None,
    passes: Sequence[Pass] | None = None,
    opt: int = 1,
    exact: bool = False,
    fast_math: bool = False,
    autograph: bool = False,
) -> Any:
    """Compile `f` for its argument types.

    Args:
      f: takes and returns pytrees of arrays.
      static_argnums: positions of arguments that are Python values, hashed; a new value compiles anew.
      static_argnames: likewise by name; where only one of both is given, the other follows from it.
      donate_argnums: arguments whose buffers the results may reuse.
      in_shardings: as in `jax.jit`.
      out_shardings: as in `jax.jit`.
      passes: replaces the default pipeline.
      opt: 0 turns optimisation off.
      exact: forbid rewrites that change rounding.
      fast_math: allow rewrites that change NaN, inf or signed-zero behaviour.
      autograph: convert plain Python control flow in `f`; see `tracer.autograph`.

    Returns:
      The compiled function, with `lower(...)`, `ir(...)`, `regions(...)` (that program with each cluster of
      operations that fuse as one equation), `stages(...)` and `compiled`, which is `jax.jit`'s.

    Raises:
      ArgumentError: static arguments that do not fit the signature.
      ArgumentTypeError: by the compiled function: arguments that are no arrays or do not fit the
        signature, static ones that are not hashable.

    Examples:
      >>> step = tr.jit(lambda w, x: tnp.sum(tnp.tanh(x @ w)))
      >>> w, x = np.zeros(3, np.float32), np.ones((2, 3), np.float32)
      >>> print(step(w, x))
      0.0
      >>> print(step.ir(w, x))
      def fn(w: f32[3], x: f32[2,3]) -> (f32[]):
        a: f32[2] = dot_general(x, w) {lhs_contract=(1,), rhs_contract=(0,)}
        b: f32[2] = tanh(a)
        c: f32[] = reduce_sum(b) {axes=(0,)}
        return c
    """
    f = requested(f, autograph)
    chosen = tuple(passes) if passes is not None else pipeline(opt, exact=exact, fast_math=fast_math)
    static = _Static.of(f, static_argnums, static_argnames)
    # Functions that are differentiated inside have their loops found again before, or not at all.
    rolling = next((each for each in chosen if each in (roll, roll_exact)), _as_it_is)
    late = Late()

    @functools.wraps(f)
    @without_collection()
    def program(*args: Any, **kwargs: Any) -> Any:
        traced, leaves = record(args, kwargs)
        outs = emit_differentiable(
            traced.function,
            lambda fn: late.seen(_optimized(fn, chosen)),
            with_weak_types((*traced.captures, *leaves), ()),
        )
        return tree_unflatten(traced.out_tree, with_weak_types(outs, traced.out_weak))

    def record(args: Any, kwargs: Any) -> tuple[Traced, list[Any]]:
        flat, whole = static.flatten(f, args, kwargs)
        outer = state.roll
        state.roll = rolling
        try:
            traced = trace_flat(
                lambda *leaves: call(f, *whole(leaves)),
                flat.types,
                flat.weak,
                name=function_name(f),
                names=flat.names,
                embeds=True,
            )
        finally:
            state.roll = outer
        return traced, flat.leaves

    options = {
        "donate_argnums": donate_argnums,
        "in_shardings": in_shardings,
        "out_shardings": out_shardings,
    }

    def emitted(program: Callable[..., Any]) -> Any:
        return jax.jit(
            program,
            static_argnums=static.nums,
            static_argnames=static.names,
            **{k: v for k, v in options.items() if v is not None},
        )

    try:
        compiled = emitted(program)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"jit of {function_name(f)}: {error}") from error

    def general(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if ACTIVE and (trace := state.trace) is not None:
            # Recorded where it is used: its closures may hold traced values.
            flat, whole = static.flatten(f, args, kwargs)
            return call(f, *whole([trace.lift(x) for x in flat.leaves]))
        try:
            if state.watch is not None:
                return watched(state.watch, args, kwargs)
            return late.waited(compiled_now(), *args, **kwargs)
        except (TypeError, ValueError, RuntimeError) as error:
            explained(error, args, kwargs)
            raise

    @functools.cache
    def recorded() -> Any:
        """The program with what it is to record; JAX keeps what it traced by the function."""

        def recorded_program(*args: Any, **kwargs: Any) -> Any:
            return program(*args, **kwargs)

        return emitted(functools.wraps(program)(recorded_program))

    def compiled_now() -> Any:
        return recorded() if state.recording else compiled

    def watched(watch: nans, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = kept((args, kwargs), donate_argnums)

        def again() -> tuple[ir.Function, Sequence[Any]]:
            traced, leaves = record(*given)
            return traced.function, (*traced.captures, *leaves)

        return watch.looked_at(
            lambda: late.waited(compiled_now(), *args, **kwargs),
            again,
            lambda function: _optimized(function, chosen),
        )

    def explained(error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if isinstance(error, TracerError):
            return
        if isinstance(error, RuntimeError):
            if "RESOURCE_EXHAUSTED" in str(error):
                from tracer.debug.memory import out_of_memory

                raise out_of_memory(error, as_function(*args, **kwargs)) from error
            return
        static.explain(f, args, kwargs, error)

    def as_function(*args: Any, **kwargs: Any) -> ir.Function:
        return _optimized(closed(record(args, kwargs)[0]), chosen)

    def with_regions(*args: Any, **kwargs: Any) -> ir.Function:
        return group_regions(as_function(*args, **kwargs))

    def stages(*args: Any, **kwargs: Any) -> list[tuple[str, ir.Function]]:
        function = closed(record(args, kwargs)[0])
        return [("trace", function), *[(name, function := each(function)) for name, each in _named(chosen)]]

    def staged(*args: Any, **kwargs: Any) -> Staged:
        traced = record(args, kwargs)[0]

        def emission(function: ir.Function) -> Any:
            @functools.wraps(f)  # XLA's program has this name
            def program(*args: Any, **kwargs: Any) -> Any:
                leaves = static.flatten(f, args, kwargs)[0].leaves
                with emitting_for_good():
                    outs = emit(function, with_weak_types(leaves, ()))
                return tree_unflatten(traced.out_tree, with_weak_types(outs, traced.out_weak))

            return emitted(program)

        return Staged(closed(traced), _named(chosen), emission)

    # Without static arguments it is all the same whether one is given by position or by keyword.
    direct = not (static.nums or static.names)
    return with_attributes(
        entry(f, compiled, general, explained, direct=direct, late=late.programs),
        compiled=compiled,
        donated=donate_argnums,
        lower=compiled.lower,
        eval_shape=compiled.eval_shape,
        clear_cache=compiled.clear_cache,
        ir=as_function,
        regions=with_regions,
        stages=stages,
        staged=staged,
    )


@dataclass(frozen=True, slots=True)
class Staged:
    """What compiling a function for some arguments begins with, and how it goes on.

    Attributes:
      traced: the program before any pass.
      passes: the passes, with their names.
      emission: from the program after the passes to a function compiled by `jax.jit` with the options of the
        compiled function, which takes the same arguments.
    """

    traced: ir.Function
    passes: tuple[tuple[str, Pass], ...]
    emission: Callable[[ir.Function], Any]


def closed(traced: Traced) -> ir.Function:
    """The traced function with captured arrays as constants, so that its params are the arguments."""
    import numpy as np

    from ir.ops.shape import constant

    if not traced.captures:
        return traced.function
    count = len(traced.captures)
    builder = ir.Builder(capture(2))
    env = {}
    with ir.building(builder):
        for param, array in zip(traced.function.params[:count], traced.captures, strict=True):
            if isinstance(array, jax.core.Tracer):
                raise ArgumentTypeError(
                    "the function uses a value of an enclosing JAX trace, so it has no closed IR; pass it in"
                )
            plain = jax.random.key_data(array) if param.type.dtype.kind == "key" else array
            dense = ir.Dense(np.asarray(plain).astype(param.type.dtype.np), param.type.dtype)
            env[param] = constant(value=dense, shape=param.type.shape)
        eqns = list(builder.eqns)
        for eqn in traced.function.eqns:
            ops = tuple([env.get(v, v) for v in eqn.operands])
            eqns.append(
                eqn if ops == eqn.operands else ir.Eqn(eqn.op, ops, eqn.attrs, eqn.results, eqn.source)
            )
    results = tuple([env.get(v, v) for v in traced.function.results])
    return ir.Function(traced.function.params[count:], tuple(eqns), results, traced.function.name)


def trace(f: Callable[..., Any], *, autograph: bool = False) -> Callable[..., ir.Function]:
    """`trace(f)(*args)` is the IR of `f` for arguments of those types, before any pass.

    With `autograph`, plain Python control flow in `f` is converted; see `tracer.autograph`.

    Examples:
      >>> print(tr.trace(lambda x: tnp.sin(x) * 2)(np.float32(1)))
      def fn(x: f32[]) -> (f32[]):
        a: f32[] = sin(x)
        b: f32[] = 2.0
        c: f32[] = mul(a, b)
        return c
    """
    f = requested(f, autograph)

    @functools.wraps(f)
    def traced_ir(*args: Any, **kwargs: Any) -> ir.Function:
        flat = flatten(args, kwargs, f)
        return closed(
            trace_flat(
                lambda *leaves: call(f, *flat.unflatten(leaves)),
                flat.types,
                flat.weak,
                name=function_name(f),
                names=flat.names,
            )
        )

    return traced_ir


def _named(passes: Sequence[Pass]) -> tuple[tuple[str, Pass], ...]:
    return tuple([(getattr(each, "__name__", type(each).__name__), each) for each in passes])


def kept(given: tuple[Any, Any], donated: int | Sequence[int] | None) -> tuple[Any, Any]:
    """(positional arguments, keywords) that outlive a call which may reuse the buffers of the donated ones."""
    if donated is None:
        return given
    args, kwargs = given
    numbers = (donated,) if isinstance(donated, int) else tuple(donated)
    chosen = {n % len(args) for n in numbers if -len(args) <= n < len(args)}

    def copy(tree: Any) -> Any:
        return jax.tree_util.tree_map(lambda x: x.copy() if isinstance(x, jax.Array) else x, tree)

    # (JAX takes the names of donated positions for donated as well.)
    return tuple([copy(a) if i in chosen else a for i, a in enumerate(args)]), copy(kwargs)


def _as_it_is(function: ir.Function, counted: int | None) -> ir.Function:
    return function


def _optimized(function: ir.Function, passes: Sequence[Pass]) -> ir.Function:
    for each in passes:
        function = each(function)
    return function


@dataclass(frozen=True, slots=True)
class _Static:
    """Which arguments are Python values, by position and by name, each completed from the other.

    Positions may be negative where the signature does not tell how many there are.
    """

    nums: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, f: Callable[..., Any], nums: int | Sequence[int] | None, names: str | Sequence[str] | None
    ) -> _Static:
        """As in `jax.jit`: where both are given, neither is completed."""
        given = () if nums is None else tuple(nums) if isinstance(nums, (tuple, list)) else (nums,)
        named = () if names is None else (names,) if isinstance(names, str) else tuple(names)
        try:
            parameters = list(inspect.signature(f).parameters.values())
        except (TypeError, ValueError):
            return cls(given, named)
        count = len(parameters)
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            if wrong := [n for n in given if not -count <= n < count]:
                raise ArgumentError(
                    f"jit: expected static_argnums to fit the {count} arguments of {function_name(f)}, got {wrong}"
                )
            given = tuple([n % count for n in given])
        known = {p.name for p in parameters}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters) and (unknown := set(named) - known):
            raise ArgumentError(
                f"jit: expected static_argnames to be among {sorted(known)}, got {sorted(unknown)}"
            )
        either = [(i, p.name) for i, p in enumerate(parameters) if p.kind is p.POSITIONAL_OR_KEYWORD]
        if nums is None:
            given = tuple([i for i, name in either if name in named])
        elif names is None:
            named = tuple([name for i, name in either if i in given])
        return cls(given, named)

    def flatten(
        self, f: Callable[..., Any], args: Any, kwargs: Any
    ) -> tuple[Flat, Callable[[Sequence[Any]], tuple[Any, Any]]]:
        """The other arguments, and the function from their leaves to all arguments."""
        fixed = {n % len(args) for n in self.nums if -len(args) <= n < len(args)}
        kept = {k: v for k, v in kwargs.items() if k in self.names}
        rest = {k: v for k, v in kwargs.items() if k not in self.names}
        flat = flatten(tuple([None if i in fixed else a for i, a in enumerate(args)]), rest, f)

        def whole(leaves: Sequence[Any]) -> tuple[Any, Any]:
            inner_args, inner_kwargs = flat.unflatten(leaves)
            return [args[i] if i in fixed else a for i, a in enumerate(inner_args)], {**inner_kwargs, **kept}

        return flat, whole

    def explain(self, f: Callable[..., Any], args: Any, kwargs: Any, error: Exception) -> None:
        """Our own error where the arguments explain one of JAX."""
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                raise escaped(leaf) from error
        check_signature(f, args, kwargs, error)
        for name, value in self._values(f, args, kwargs).items():
            try:
                hash(value)
            except TypeError as reason:
                raise ArgumentTypeError(
                    f"{function_name(f)}: expected a hashable value for the static argument {name}, "
                    f"got {type(value).__name__}"
                ) from reason
        try:
            self.flatten(f, args, kwargs)
        except TracerError as found:
            raise found from error

    def _values(self, f: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
        try:
            names = [p.name for p in inspect.signature(f).parameters.values()]
        except (TypeError, ValueError):
            names = []
        found = {k: v for k, v in kwargs.items() if k in self.names}
        for n in self.nums:
            if -len(args) <= n < len(args):
                i = n % len(args)
                found[names[i] if i < len(names) else str(i)] = args[i]
        return found
