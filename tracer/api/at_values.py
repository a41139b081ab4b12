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
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ir.errors import ConcretizationError, DifferentiationError
from ir.source import UNKNOWN as NOWHERE
from ir.source import Source, is_internal
from lowering.emit import with_weak_types
from tracer.api.custom import custom_jvp
from tracer.bridge import LOOKS, Call, Missing, kept_apart, through_jax
from tracer.concrete import concrete_value, moves
from tracer.value import Tensor

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
        values = _values(call, error)
        moved = [i for i, t in enumerate(call.tensors) if moves(t)]

        def run(*xs: Any, values: list[Any] = values, moved: list[int] = moved) -> list[Any]:
            full = list(values)
            for i, x in zip(moved, xs, strict=True):
                full[i] = x
            # Loops of ours stay loops then: JAX need not transpose them.
            with kept_apart(again=not call.closed_over):
                return call.run(*full)

        # The rule carries their derivatives; those of what moves for JAX only are in what JAX computes.
        at = [jax.lax.stop_gradient(values[i]) for i in moved]
        try:
            if not moved:
                return run()
            path = _Path(run, at, call.name)
        except Missing:
            continue
        except LOOKS as cut:
            if isinstance(cut, ConcretizationError):
                raise
            raise _explained(cut, functools.partial(run, *at)) from cut
        return path.of(*[call.tensors[i] for i in moved])


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
    except LOOKS as alone:
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
    """A function along a path. What its rule closes over is found where it is called; rules of rules are rare."""

    depth = 1
    alone = True


class _Path:
    """A function of JAX along the path that Python takes at some values, for traced values.

    Attributes:
      results: of the function there.
      linear: its derivative there, a program of tangents that closes over `residuals`. It is the same
        program wherever the path is the same, so it is differentiated by differentiating its residuals.
      residuals: arrays.
    """

    def __init__(self, fn: Callable[..., Sequence[Any]], at: Sequence[Any], name: str) -> None:
        self.fn = fn
        self.at = at
        self.name = name
        programs: list[Any] = []

        def both(*xs: Any) -> list[Any]:
            results, closed = _linearized(fn, xs)
            programs.append((closed.jaxpr, len(results)))
            return [*results, *closed.consts]

        # As it is where it is differentiated in turn: what is known without could make it another program.
        with jax.ensure_compile_time_eval():
            every, _ = jax.linearize(both, *at)
        self.linear, count = programs[-1]
        self.results, self.residuals = every[:count], every[count:]

    def of(self, *xs: Tensor) -> Sequence[Any]:
        """The results, as a function of the arguments."""
        return _along(self.name, lambda: self)(self.results, self.residuals, xs)  # type: ignore[no-any-return]

    def linear_at(self, residuals: Sequence[Any], ts: Sequence[Any]) -> Any:
        return jaxpr_as_fun(ClosedJaxpr(self.linear, residuals))(*ts)

    def residuals_along(self, known: Sequence[Any], xs: Sequence[Tensor]) -> Any:
        """`residuals`, which are known, as a function of the arguments."""
        text = str(self.linear)

        def residuals(*xs: Any) -> Sequence[Any]:
            _, closed = _linearized(self.fn, xs)
            if str(closed.jaxpr) != text:
                raise DifferentiationError(
                    f"expected {self.name} to do the same each time it is run on the same values, as a derivative "
                    "of a derivative is wanted of it, but JAX linearized it to another program"
                )
            return closed.consts  # type: ignore[no-any-return]

        name = f"residuals_of_{self.name}"
        return _along(name, lambda: _Path(residuals, self.at, name))(known, (), xs)


def _along(name: str, path: Callable[[], _Path]) -> _AtValues:
    """A function of results that are known, residuals as far as they are, and arguments.

    It returns the results, and differentiates as `path` does by the arguments.
    """

    def call(results: Sequence[Any], residuals: Sequence[Any], xs: Sequence[Any]) -> Any:
        return results

    def rule(primals: Any, tangents: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        (results, residuals, xs), (moved, _, ts) = primals, tangents
        found = path()
        known = found.residuals_along(residuals or found.residuals, xs)
        pushed = iter(through_jax(found.linear_at, f"jvp_of_{name}", known, ts))
        # Results move by themselves where JAX found them from something else that moves.
        return made(results, residuals, xs), [
            t + next(pushed) if _inexact(x) else t for x, t in zip(results, moved, strict=True)
        ]

    call.__name__ = name
    made = _AtValues(call)
    made.defjvp(rule)
    return made


def _linearized(fn: Callable[..., Sequence[Any]], at: Sequence[Any]) -> tuple[Sequence[Any], ClosedJaxpr]:
    """Results of `fn`, and the program of tangents for those of them that have any."""
    results, push = jax.linearize(fn, *at)

    def moved(*ts: Any) -> list[Any]:
        return [t for x, t in zip(results, push(*ts), strict=True) if _inexact(x)]

    return results, jax.make_jaxpr(moved)(*[jax.typeof(x) for x in at])


def _inexact(x: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(x), jnp.inexact))


__all__ = ["at_values"]
