"""`check` and `checkify`: assertions about values that survive compilation.

A check is an equation without results; `checkify` makes what it says a result of the program (`ir.transforms.checked`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ir
from ir.errors import ArgumentError, CheckError, ConcretizationError
from ir.ops.check import check as check_op
from ir.ops.check import first_failure
from ir.source import Source, capture
from ir.transforms.checked import checked
from tracer.api.arguments import call, flatten, function_name, tree_unflatten
from tracer.api.autograph import requested
from tracer.debug.fields import positional
from tracer.execution import apply
from tracer.state import state
from tracer.trace import trace_flat


def check(pred: Any, message: str, *args: Any, **kwargs: Any) -> None:
    """Assert that `pred` holds, in all of its elements.

    Outside traces a failure is raised at once. In a traced function the assertion becomes part of the program, in
    loops, branches and under every transform; the function is then called through `checkify`, which says whether
    it held. A program with checks that nobody asks for is not compiled: that is an error.

    Args:
      pred: a bool or an array of bools.
      message: what is said where it fails, with fields for `args` and `kwargs` as in `str.format`.
      args, kwargs: arrays and numbers that the message shows.

    Raises:
      CheckError: outside traces, where it fails.
      ArgumentError: the message has fields for other arguments.
    """
    if not isinstance(message, str):
        raise ArgumentError(f"check: expected a message after the condition, got {type(message).__name__}")
    names = tuple(kwargs)
    shown = (*args, *kwargs.values())
    text = positional("check", message, len(args), names)
    trace = state.trace
    if trace is None:
        if any(isinstance(x, jax.core.Tracer) for x in (pred, *shown)):
            raise ConcretizationError(
                "check: expected values, got tracers of JAX; where a function calls jax.numpy, check what it returns"
            )
        if not np.all(np.asarray(pred)):
            raise CheckError(text.format(*shown), source=capture(2))
        return
    import tracer.numpy as tnp

    holds = trace.lift(tnp.all(trace.lift(pred)))
    operands = (holds.value, *[trace.lift(x).value for x in shown])
    trace.emit(check_op, operands, {"message": text, "lanes": 0})


def _plain(x: Any) -> Any:
    """An array of NumPy; of keys their words."""
    is_key = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if is_key else x)


@dataclass(frozen=True, slots=True)
class Site:
    """One check of a program.

    Attributes:
      message: with fields for what it shows.
      file, line, function: where it was made.
      lanes: leading axes of what it shows, which `vmap` inside the function gave it.
      count: how many arrays are kept of it.
    """

    message: str
    file: str
    line: int
    function: str
    lanes: int
    count: int

    @classmethod
    def of(cls, eqn: ir.Eqn) -> Site:
        """The site of a check."""
        source, lanes = eqn.source, eqn.attrs["lanes"]
        count = len(eqn.operands) - (not lanes)
        return cls(eqn.attrs["message"], source.file, source.line, source.function, lanes, count)

    def error(self, shown: Sequence[Any]) -> CheckError:
        """What is raised where it failed on these arrays."""
        arrays = [_plain(x) for x in shown]
        if self.lanes:
            at = first_failure(arrays[0])
            arrays = [x[at] for x in arrays[1:]]
        where = Source.at(self.file, self.line, self.function)
        return CheckError(self.message.format(*arrays), source=where)


@jax.tree_util.register_pytree_node_class
class Error:
    """What the checks of a program said: a pytree, so that it passes `jit`, `vmap` and `scan`.

    Attributes:
      code: 0 where all held, otherwise the number of the check that failed first; under `vmap` one for each
        example.
      shown: what each check shows.
      sites: the checks.
    """

    __slots__ = ("code", "shown", "sites")

    def __init__(self, code: Any, shown: tuple[Any, ...], sites: tuple[Site, ...]) -> None:
        self.code = code
        self.shown = shown
        self.sites = sites

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        return (self.code, *self.shown), self.sites

    @classmethod
    def tree_unflatten(cls, sites: Any, leaves: Any) -> Error:
        code, *shown = leaves
        return cls(code, tuple(shown), sites)

    def exception(self) -> CheckError | None:
        """What `throw` raises, of the first example whose checks failed."""
        codes = np.asarray(self.code)
        failed = np.argwhere(codes != 0)
        if not len(failed):
            return None
        at = tuple([int(i) for i in failed[0]])
        number = int(codes[at]) - 1
        first = sum(site.count for site in self.sites[:number])
        shown = self.shown[first : first + self.sites[number].count]
        return self.sites[number].error([x[at] for x in shown])

    def get(self) -> str | None:
        """The message of the check that failed, with its line; `None` where all held."""
        found = self.exception()
        return None if found is None else str(found)

    def throw(self) -> None:
        """Raise what failed.

        Raises:
          CheckError: a check did not hold.
        """
        found = self.exception()
        if found is not None:
            raise found

    def __repr__(self) -> str:
        if isinstance(self.code, (jax.Array, np.ndarray)) and not isinstance(self.code, jax.core.Tracer):
            return f"Error({self.get()})"
        return "Error(traced)"


def checkify(f: Callable[..., Any], *, autograph: bool = False) -> Callable[..., tuple[Error, Any]]:
    """A function that returns `(error, f(...))`: what the checks in `f` said, and its result.

    `error.throw()` raises the first that failed, `error.get()` is its message. The result means nothing then.
    Where `f` has no checks the error is empty. Compile it: `tracer.jit(tracer.checkify(f))`; differentiate
    inside it: `tracer.checkify(tracer.grad(f))`.

    Args:
      f: takes and returns pytrees of arrays.
      autograph: convert plain Python control flow in `f`; see `tracer.autograph`.
    """
    f = requested(f, autograph)

    @functools.wraps(f)
    def with_error(*args: Any, **kwargs: Any) -> tuple[Error, Any]:
        flat = flatten(args, kwargs, f)
        traced = trace_flat(
            lambda *leaves: call(f, *flat.unflatten(leaves)),
            flat.types,
            flat.weak,
            name=function_name(f),
            names=flat.names,
        )
        made = checked(traced.function)
        operands = (*traced.captures, *flat.leaves)
        outs = apply(("checkify",), made.function, lambda function: function, operands, traced.out_weak)
        count = len(traced.function.results)
        code, *shown = outs[count:]
        error = Error(code, tuple(shown), tuple([Site.of(eqn) for eqn in made.checks]))
        return error, tree_unflatten(traced.out_tree, outs[:count])

    return with_error


__all__ = ["Error", "Site", "check", "checkify"]
