"""Code that calls JAX and looks at values, in an un-jitted transform.

Python's `if`, `while`, `float()` and boolean masks need values, which JAX's tracing to a program does not
have. An un-jitted transform knows its arguments, and JAX linearizes functions where they are: what is
recorded is the result there, with a custom rule that applies the linear map. The residuals of that map are
such a function of the arguments again, so derivatives of every order are those along the path that Python
took.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Var, jaxpr_as_fun

from ir.errors import ConcretizationError, DifferentiationError
from ir.ops.carries import chosen
from ir.source import UNKNOWN as NOWHERE
from ir.source import Source, is_internal
from lowering.emit import with_weak_types
from lowering.jaxprs.foreign import merged
from tracer.api.custom import custom_jvp
from tracer.api.derivatives import linearize
from tracer.bridge import Call, Missing, kept_apart, looks, through_jax
from tracer.concrete import concrete_value, moves
from tracer.numpy.creation import zeros_like

INSTEAD = (
    "in an un-jitted transform Python may look at what is known; elsewhere use jit(..., autograph=True), "
    "jax.lax.cond, jax.lax.while_loop or jax.numpy.where"
)


def at_values(call: Call, error: Exception) -> Sequence[Any]:
    """The results of `call` where its traced values are known, differentiable there.

    Args:
      call: what JAX could not trace.
      error: what it raised, for want of a value.

    Raises:
      ConcretizationError: the values are not known.
    """
    while True:
        try:
            return _followed(call, error)
        except Missing:  # `call` knows more now
            continue


def _followed(call: Call, error: Exception) -> Sequence[Any]:
    """`at_values`, where the function closes over nothing that `call` does not know of.

    Raises:
      Missing: it does.
    """
    values = _values(call, error)
    moved = [moves(t) for t in call.tensors]

    def run(*xs: Any) -> list[Any]:
        # Loops of ours stay loops then: JAX need not transpose them.
        with kept_apart(again=not call.closed_over):
            return call.run(*merged(values, moved, xs))

    # The rule carries their derivatives; those of what moves for JAX only are in what JAX computes.
    at = [jax.lax.stop_gradient(x) for x in chosen(values, moved)]
    try:
        if not at:
            return run()
        path = _path_of(run, at, call.name)
    except Exception as cut:
        if isinstance(cut, ConcretizationError) or not looks(cut):
            raise
        raise _explained(cut, functools.partial(run, *at)) from cut
    above = path.above()
    known = [path.results, path.residuals, above.residuals]
    return _along(call.name, lambda: path, [path.moving, above.moving], known, chosen(call.tensors, moved))


def _values(call: Call, error: Exception) -> list[Any]:
    """Arrays, or tracers of JAX, that the traced values of `call` stand for."""
    try:
        known = [concrete_value(t, "Python", INSTEAD, cuts=False) for t in call.tensors]
    except ConcretizationError:
        if isinstance(error, ConcretizationError):
            raise error from None
        raise _abstract(error) from error
    return list(with_weak_types([jnp.asarray(x) for x in known], [t.weak for t in call.tensors]))


def _explained(error: Exception, run: Callable[[], Any]) -> ConcretizationError:
    """Why JAX could not linearize what `run` does, which is the same without derivatives."""
    try:
        run()
    except Exception as alone:
        if not looks(alone):
            raise
        return alone if isinstance(alone, ConcretizationError) else _abstract(alone)
    return ConcretizationError(
        f"expected a value that is not being differentiated: its derivative would be lost ({_summary(error)})",
        source=_where(error),
        note="use jax.lax.stop_gradient where that is meant",
    )


def _abstract(error: Exception) -> ConcretizationError:
    return ConcretizationError(
        f"expected code that JAX can trace, but Python needs a value: {_summary(error)}",
        source=_where(error),
        note=INSTEAD,
    )


def _summary(error: Exception) -> str:
    return str(error).splitlines()[0]


def _where(error: BaseException) -> Source:
    """The innermost line of an exception that is not ours nor JAX's."""
    found = NOWHERE
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if not is_internal(frame.f_globals.get("__name__", "").partition(".")[0]):
            found = Source(frame.f_code, traceback.tb_lasti)
        traceback = traceback.tb_next
    return found


class _AtValues(custom_jvp):
    """A function along a path: its rule is of this call alone."""

    alone = True


class _Path:
    """A function of JAX along the path that Python takes at some values.

    It is a tower: `results` are moved by `linear`, a program of tangents that closes over `residuals`; those are
    moved by `linear` of the next storey, and so on. The program of a storey is the same wherever the path is.

    Attributes:
      results: of the function there.
      moving: which of them depend on the arguments.
      linear: gives the tangents of those that do.
      residuals: arrays.
      above: the path of the residuals.
      text: of the program.
    """

    def __init__(self, results: Sequence[Any], closed: ClosedJaxpr, above: Callable[[], _Path]) -> None:
        """`closed` gives tangents of the inexact ones of `results`; `above` the path of its residuals."""
        given = iter(_dependent(closed.jaxpr))
        self.results = results
        self.moving = [_inexact(x) and next(given) for x in results]
        self.linear = closed.jaxpr
        self.residuals = closed.consts
        self.above = functools.cache(above)
        self.text = str(closed.jaxpr)

    def push(self, wanted: Sequence[bool], residuals: Sequence[Any], ts: Sequence[Any]) -> list[Any]:
        """Tangents of the results that are wanted, by tracers of JAX."""
        found = iter(jaxpr_as_fun(ClosedJaxpr(self.linear, residuals))(*ts))
        return list(chosen([next(found) if _inexact(x) else None for x in self.results], wanted))


def _path_of(fn: Callable[..., Sequence[Any]], at: Sequence[Any], name: str) -> _Path:
    """The path of `fn` at `at`, and that of its residuals: derivatives to second order run nothing again."""

    def storeys(*xs: Any) -> tuple[Sequence[Any], ClosedJaxpr, ClosedJaxpr]:
        """(results, the program of their tangents, that of the tangents of its residuals)."""
        programs: list[Any] = []

        def both(*xs: Any) -> list[Any]:
            results, closed = _linearized(fn, xs)
            programs.append((closed, len(results)))
            return [*results, *closed.consts]

        every, push = jax.linearize(both, *xs)
        (closed, count), residuals = programs[-1], every[programs[-1][1] :]
        first = ClosedJaxpr(closed.jaxpr, residuals)
        return every[:count], first, _program(lambda *ts: push(*ts)[count:], residuals, at)

    with jax.ensure_compile_time_eval():
        results, first, second = storeys(*at)

    def residuals_again(*xs: Any) -> Sequence[Any]:
        _, first_again, again = storeys(*xs)
        texts = str(first_again.jaxpr), str(again.jaxpr)
        if texts != (ground.text, above.text) or not all(map(_same, again.consts, above.residuals)):
            raise DifferentiationError(
                f"expected {name} to do the same each time it is run on the same values, as a third derivative is "
                "wanted of it, but it did something else (it may have used random numbers, or variables that "
                "changed meanwhile)"
            )
        return again.consts  # type: ignore[no-any-return]

    def third() -> _Path:
        try:
            return _path_of(residuals_again, at, name)
        except Missing:
            raise DifferentiationError(
                f"expected {name} to use the same values each time it is run, as a third derivative is wanted of it"
            ) from None

    above = _Path(first.consts, second, third)
    ground = _Path(results, first, lambda: above)
    return ground


def _along(
    name: str,
    path: Callable[[], _Path],
    moving: Sequence[Sequence[bool]],
    known: Sequence[Sequence[Any]],
    xs: Sequence[Any],
) -> list[Any]:
    """The results of a path as a function of its arguments.

    Args:
      name: for printing.
      path: the path, if it is needed.
      moving: which of its results, its residuals, the residuals of those, and so on, depend on the arguments, as
        far as that is known.
      known: those results and residuals, as far as they are known. As operands they may move by themselves, where
        JAX found them from something else that moves.
      xs: the arguments.
    """
    wanted = moving[0] if moving else [_inexact(x) for x in known[0]]

    def call(known: Sequence[Sequence[Any]], xs: Sequence[Any]) -> Any:
        return known[0]

    def rule(primals: Any, tangents: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        (known, xs), (moved, ts) = primals, tangents
        found = path()
        above = known[1:] or [found.residuals]
        residuals = _along(f"residuals_of_{name}", found.above, moving[1:], above, xs)

        def push(*ts: Any) -> Any:
            return through_jax(found.push, f"jvp_of_{name}", wanted, residuals, ts)

        # A loop with a condition holds the residuals as well as the tangents: our own derivative of it does not.
        pushed = (
            linearize(push, *[zeros_like(t) for t in ts])[1](*ts) if " while[" in found.text else push(*ts)
        )
        return made(known, xs), [t + p for t, p in zip(moved[0], pushed, strict=True)]

    call.__name__ = name
    made = _AtValues(call)
    made.defjvp(rule)
    return merged(known[0], wanted, made([list(chosen(known[0], wanted)), *known[1:]], xs))


def _linearized(fn: Callable[..., Sequence[Any]], at: Sequence[Any]) -> tuple[Sequence[Any], ClosedJaxpr]:
    """Results of `fn`, and the program of tangents of the inexact ones of them."""
    results, push = jax.linearize(fn, *at)
    return results, _program(push, results, at)


def _program(push: Callable[..., Any], results: Sequence[Any], at: Sequence[Any]) -> ClosedJaxpr:
    def moved(*ts: Any) -> list[Any]:
        return [t for x, t in zip(results, push(*ts), strict=True) if _inexact(x)]

    return jax.make_jaxpr(moved)(*[jax.typeof(x) for x in at])


def _dependent(jaxpr: Any) -> list[bool]:
    """Which results of a program depend on its operands: the others have no tangent but zero."""
    live = set(jaxpr.invars)
    for eqn in jaxpr.eqns:
        if any(v in live for v in eqn.invars if isinstance(v, Var)):
            live.update(eqn.outvars)
    return [isinstance(v, Var) and v in live for v in jaxpr.outvars]


def _same(a: Any, b: Any) -> bool:
    """Whether two arrays are equal, as far as JAX lets us look at them."""
    a, b = jax.lax.stop_gradient((a, b))
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return True
    return bool(jnp.array_equal(a, b, equal_nan=_inexact(a)))


def _inexact(x: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(x), jnp.inexact))


__all__ = ["at_values"]
