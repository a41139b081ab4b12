"""`nans`: within it, a NaN in the results of a program is an error that names the equation which made it first.

The program runs as it always does, compiled and optimised; one more small program looks at its results. Only where
they hold such a number is the program traced again and searched, on the same arguments (`ir.origins`).
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp

import ir
from ir.errors import ArgumentError
from ir.origins import Argument, Kind, search
from ir.passes.inlining import inline_calls
from ir.source import capture
from lowering.boundary import importing
from lowering.execute import run
from tracer.debug import report, staged
from tracer.debug.statistics import Statistics
from tracer.state import Entries, state
from tracer.types import type_of

Optimize = Callable[[ir.Function], ir.Function]


class nans(contextlib.ContextDecorator):
    """Within this context, results that hold NaN are an error which says where it came from.

    Programs compiled by `tracer.jit`, un-jitted transforms such as `tracer.grad(f)(x)` and functions of
    `tracer.numpy` are looked at as they return. Programs are compiled as ever, so that results do not change;
    outside the context nothing is left of it. Results are waited for.

    Calls of these that JAX traces (`jax.jit`, `jax.grad`, `jax.vmap` or `jax.lax.scan` of what calls them) are looked
    at as JAX's program runs, and the error is raised by the next call within the context, or where it is left. JAX must
    trace them within the context: what it compiled before has nothing to look. Derivatives that JAX takes itself
    are not looked at.

    Args:
      infs: infinities are errors, too.
      everywhere: look at every equation, also where no result depends on what it made, such as in the case that
        `where` does not choose. Every call then runs a second, slower program.

    Raises:
      NonFiniteError: by calls within, and at the end for what JAX traced. It names the op, its operands with their
        statistics, the line, the iterations of loops, and whether the equation is part of a derivative.
    """

    def __init__(self, *, infs: bool = False, everywhere: bool = False) -> None:
        self.kind = Kind.EITHER if infs else Kind.NAN
        self.everywhere = everywhere
        self._entries: Entries[nans] = Entries()
        self._findings = staged.Findings(self.kind)

    def _recreate_cm(self) -> nans:
        return nans(infs=self.kind is Kind.EITHER, everywhere=self.everywhere)

    def __enter__(self) -> nans:
        self._entries.enter(self, state.watches)
        staged.listen(self._findings)
        return self

    def __call__(self, f: Any) -> Any:
        """`f` within this context.

        Raises:
          ArgumentError: a generator or coroutine function, of which only the first step would be.
        """
        if inspect.isgeneratorfunction(f) or inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f):
            raise ArgumentError(
                f"nans: expected a function that returns when it is done, got {f!r}; use `with` in it"
            )
        return super().__call__(f)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            jax.effects_barrier()  # type: ignore[no-untyped-call]
        finally:
            staged.leave(self._findings)
            self._entries.leave(self, state.watches)
        if error is None:
            self._said()

    # What runs tells it so --------------------------------------------------------------------------------

    def looked_at(
        self,
        compute: Callable[[], Any],
        again: Callable[[], tuple[ir.Function, Sequence[Any]]],
        optimize: Optimize,
    ) -> Any:
        """What `compute` returns.

        Args:
          compute: runs a program.
          again: the program before it was optimised, and its operands.
          optimize: the passes.

        Raises:
          NonFiniteError: the results hold such a number.
        """
        self._said()
        outs = compute()
        leaves = _inexact(outs)
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree_util.tree_leaves(outs)):
            # JAX traces what is called; where it does so for a call of ours, that is looked at.
            if leaves and not importing.active:
                staged.stage(_holds(leaves, True), _holds(leaves, False), *again(), optimize)
            return outs
        bad = bool(leaves) and bool(_holds(leaves, self.kind is Kind.EITHER))
        if bad or self.everywhere:
            self._explain(*again(), optimize, bad)
        return outs

    def _said(self) -> None:
        """Explain what callbacks of JAX's programs brought."""
        if (found := self._findings.take()) is not None:
            site, operands = found
            self._explain(site.function, operands, site.optimize, True)

    def _explain(self, function: ir.Function, operands: Sequence[Any], optimize: Optimize, bad: bool) -> None:
        state.looking = False
        try:
            self._search(function, operands, optimize, bad)
        finally:
            state.looking = True

    def _search(self, function: ir.Function, operands: Sequence[Any], optimize: Optimize, bad: bool) -> None:
        what = function.name
        found = search(function, operands, _run, self.kind, everywhere=self.everywhere)
        program = ""
        if found is None and bad:  # only as it was optimised
            function, program = optimize(function), ", as it was optimised"
            found = search(function, operands, _run, self.kind, everywhere=self.everywhere)
        if isinstance(found, Argument):
            raise report.of_argument(found, function, operands, self.kind, what)
        if found is not None:
            raise report.of_origin(found, program, what)
        if bad:
            raise report.of_nothing(self.kind, what)

    def computed(self, f: Callable[..., Any], args: Any, kwargs: Any, out: Any) -> None:
        """Look at what a function of `tracer.numpy` computed at once.

        Raises:
          NonFiniteError: it holds such a number.
        """
        leaves = _inexact(out)
        if not leaves or any(isinstance(x, jax.core.Tracer) for x in leaves):
            return
        if not _holds(leaves, self.kind is Kind.EITHER):
            return
        given = _inexact((args, kwargs), numbers=True)
        name = getattr(f, "__name__", "function")
        operands = tuple([_statistics(f"operand {i}", x) for i, x in enumerate(given)])
        results = tuple([_statistics("result", x) for x in leaves])
        made = "nan" if any(s.nans for s in results) else "inf"
        held = any(s.nans or (s.infs and made == "inf") for s in operands)
        raise ir.errors.NonFiniteError(
            f"{name} was given {made}" if held else f"{name} made {made}",
            note="\n".join([f"  {s}" for s in (*operands, *results)]),
            source=capture(2),
            op=name,
            kind=made,
            operands=operands,
            results=results,
        )


def _statistics(name: str, x: Any) -> Statistics:
    return Statistics.of(name, type_of(x)[0], x)


def _inexact(tree: Any, *, numbers: bool = False) -> list[Any]:
    """The leaves that may hold such numbers."""
    kinds = (jax.Array, float, complex) if numbers else (jax.Array,)
    return [
        x
        for x in jax.tree_util.tree_leaves(tree)
        if isinstance(x, kinds) and jnp.issubdtype(getattr(x, "dtype", type(x)), jnp.inexact)
    ]


# Elements of an array up to which starting a kernel for it takes longer than copying it.
_SMALL = 1 << 14


def _together(leaves: Sequence[jax.Array]) -> list[jax.Array]:
    """Small arrays of each type side by side, and the large ones."""
    small: dict[Any, list[jax.Array]] = {}
    for x in leaves:
        if x.size <= _SMALL:
            small.setdefault(x.dtype, []).append(jnp.ravel(x))
    return [*[x for x in leaves if x.size > _SMALL], *[jnp.concatenate(each) for each in small.values()]]


@jax.jit
def _nan(leaves: Sequence[jax.Array]) -> jax.Array:
    return jnp.any(jnp.stack([jnp.any(jnp.isnan(x)) for x in _together(leaves)]))


@jax.jit
def _not_finite(leaves: Sequence[jax.Array]) -> jax.Array:
    return ~jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in _together(leaves)]))


def _holds(leaves: Sequence[jax.Array], infs: bool) -> Any:
    return (_not_finite if infs else _nan)(leaves)


# Programs that give all of their values take XLA long to compile: quadratic time, 7 s for 200 equations.
_SEGMENT = 48


def _run(function: ir.Function, operands: Sequence[Any]) -> tuple[Any, ...]:
    """The program as it is written: no pass may move what is looked for. A long one is run in parts."""
    if len(function.eqns) <= 2 * _SEGMENT:
        return run(("origins",), function, inline_calls, lambda f: f, operands, ())
    last: dict[ir.Value, int] = {v: len(function.eqns) for v in function.results}
    for position, eqn in enumerate(function.eqns):
        for v in eqn.operands:
            last[v] = max(position, last.get(v, 0))
    env = dict(zip(function.params, operands, strict=True))
    for start in range(0, len(function.eqns), _SEGMENT):
        eqns = function.eqns[start : start + _SEGMENT]
        made = dict.fromkeys([v for eqn in eqns for v in eqn.results])
        params = tuple(dict.fromkeys([v for eqn in eqns for v in eqn.operands if v not in made]))
        results = tuple([v for v in made if last.get(v, -1) >= start + len(eqns)])
        part = ir.Function(params, eqns, results, "part")
        outs = run(("origins",), part, inline_calls, lambda f: f, [env[v] for v in params], ())
        env.update(zip(results, outs, strict=True))
    return tuple([env[v] for v in function.results])


__all__ = ["nans"]
