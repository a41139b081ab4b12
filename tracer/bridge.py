"""Python code that calls JAX, inside a trace: recognised, traced by JAX, imported.

JAX's functions do not take our traced values. Where one is handed to them, the function is run once more
under JAX's own tracing, and the jaxpr is imported into the trace. While that happens no trace of ours is
active; a `Bridge` stands for the suspended one, and turns its values into tracers of JAX where the
function closes over them. Invariant: the suspended trace is restored on every exit.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from ir.core import Value
from ir.errors import ConcretizationError, TracerError
from ir.op import inline
from ir.source import is_internal
from lowering.boundary import importing
from lowering.jaxprs.types import struct_of
from tracer.leaves import merged
from tracer.state import state
from tracer.trace import Trace
from tracer.value import JaxCallError, Tensor

tree_flatten = jax.tree_util.tree_flatten
tree_unflatten = jax.tree_util.tree_unflatten


class Bridge:
    """Stands for a trace while a function runs under JAX's tracing.

    Attributes:
      parent: the suspended trace.
      given: tracers of JAX by the value of the suspended trace that they stand for.
      missing: the value that turned out to be needed, if one did.
    """

    def __init__(self, parent: Trace, given: dict[Value, Any]) -> None:
        self.parent = parent
        self.given = given
        self.missing: dict[Value, Tensor] = {}

    def outside(self, x: Tensor) -> Any:
        """The tracer of JAX for a value of the suspended trace, or of one around it."""
        held = self.parent.lift(x)
        found = self.given.get(held.value)
        if found is not None:
            return found
        self.missing[held.value] = held
        raise Missing


class Missing(BaseException):
    """Ends JAX's tracing, which is begun again with one more operand.

    It must not go on with something else in the place of the value: JAX keeps what it traced, by function,
    and would use that the next time. What ends in an exception is not kept.
    """


# What is raised where Python needs a value under JAX's tracing; libraries complain of tracers otherwise, too.
_LOOKS = (
    ConcretizationError,
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def looks(error: BaseException) -> bool:
    """Whether Python needed a value of a tracer of JAX, or it was used as an array."""
    unfit = isinstance(error, (TypeError, AttributeError, ValueError)) and not isinstance(error, TracerError)
    return isinstance(error, _LOOKS) or (unfit and re.search(r"Tracer\b", str(error)) is not None)


class Call:
    """One call of a function of JAX with traced values.

    Attributes:
      trace: where it is recorded.
      operands: the traced values among the arguments.
      closed_over: those that `fn` turned out to close over.
      bridge: stands for the trace while `fn` runs.
      out_tree: structure of the result, once `fn` has run.
      others: leaves of the result that are no arrays, by position.
    """

    def __init__(self, trace: Trace, fn: Callable[..., Any], name: str, args: Any, kwargs: Any) -> None:
        self.trace = trace
        self.fn = fn
        self.name = name
        self.leaves, self.tree = tree_flatten((args, kwargs))
        self.where = [i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)]
        self.operands = [trace.lift(self.leaves[i]) for i in self.where]
        self.closed_over: dict[Value, Tensor] = {}
        self.bridge = Bridge(trace, {})
        self.out_tree: Any = None
        self.others: dict[int, Any] = {}

    @property
    def tensors(self) -> list[Tensor]:
        """What `run` takes arrays for."""
        return [*self.closed_over.values(), *self.operands]

    def run(self, *xs: Any) -> list[Any]:
        """Arrays of the result for arrays, or tracers of JAX, in the place of `tensors`."""
        count = len(self.closed_over)
        self.bridge.given = dict(zip(self.closed_over, xs[:count], strict=True))
        full = list(self.leaves)
        for i, x in zip(self.where, xs[count:], strict=True):
            full[i] = x
        args, kwargs = tree_unflatten(self.tree, full)
        with self._suspended():
            out, self.out_tree = tree_flatten(self.fn(*args, **kwargs))
            out = [self.bridge.outside(x) if isinstance(x, Tensor) else x for x in out]
        self.others = {i: x for i, x in enumerate(out) if not _is_array(x)}
        return [x for i, x in enumerate(out) if i not in self.others]

    def imported(self) -> list[Tensor]:
        """The results of the program that JAX traces."""
        from lowering.jaxprs.importer import NamedAxis, import_jaxpr  # imports much of JAX

        axes = {name: NamedAxis(axis.name, axis.size, axis.index) for name, axis in state.axes.items()}
        env = [(name, axis.lanes) for name, axis in axes.items()]

        while True:
            structs = [struct_of(t.value.type, t.weak) for t in self.tensors]
            try:
                with self._suspended(), kept_apart(again=not self.closed_over):
                    # Rules of custom functions may be traced by the import, and close over values of the trace.
                    closed = jax.make_jaxpr(self.run, axis_env=env)(*structs)
                    found = import_jaxpr(closed, self.name, embeds=self.trace.embeds, axes=axes)
                break
            except Missing:
                continue
        captures = [x.index if isinstance(x, NamedAxis) else x for x in found.captures]
        values = [self.trace.lift(x).value for x in (*captures, *self.tensors)]
        results = zip(inline(found.function, values), found.weak, strict=True)
        return [Tensor(self.trace, v, weak) for v, weak in results]

    @contextlib.contextmanager
    def _suspended(self) -> Iterator[None]:
        """No trace is active; `bridge` stands for that of the call."""
        outer_trace, outer_bridge = state.trace, state.bridge
        state.trace, state.bridge = None, self.bridge
        try:
            yield
        except Missing:
            self.closed_over.update(self.bridge.missing)
            raise
        except Exception as error:
            if _names_a_value(error) and not isinstance(error, JaxCallError):
                raise JaxCallError(
                    "a function of JAX was given a traced value that it closes over"
                ) from error
            raise
        finally:
            state.trace, state.bridge = outer_trace, outer_bridge

    def unflatten(self, results: Sequence[Any]) -> Any:
        """The Python result with these in the place of the arrays."""
        return tree_unflatten(self.out_tree, merged(self.others, results, self.out_tree.num_leaves))


def through_jax(fn: Callable[..., Any], name: str, /, *args: Any, **kwargs: Any) -> Any:
    """The result of `fn` in the innermost trace, recorded by tracing it with JAX.

    Traced values among the arguments become tracers of JAX, everything else is passed as it is.

    Raises:
      JaxCallError: a traced value that `fn` closes over was handed to JAX in a way that cannot be
        converted; an enclosing function can be traced by JAX instead.
      ConcretizationError: Python needs a value that is not known.
    """
    trace = state.trace
    assert trace is not None
    call = Call(trace, fn, name, args, kwargs)
    try:
        results: Sequence[Any] = call.imported()
    except Exception as error:
        if not looks(error):
            raise
        from tracer.api.at_values import at_values

        results = at_values(call, error)
    return call.unflatten(results)


@contextlib.contextmanager
def kept_apart(*, again: bool) -> Iterator[None]:
    """JAX uses nothing that it traced outside this context, nor outside what it traces in it.

    Programs of ours are emitted to be imported in it. Metadata makes what JAX keeps another.

    Args:
      again: use what was traced in another call of ours. JAX keeps functions by identity, with the tracers
        they close over: those of another call would be dead.
    """
    outer = importing.active
    importing.active = True
    try:
        with set_xla_metadata(tracer_bridge="" if again else str(next(_calls))):  # type: ignore[no-untyped-call]
            yield
    finally:
        importing.active = outer


_calls = itertools.count()


def _is_array(x: Any) -> bool:
    return isinstance(x, (bool, int, float, complex)) or hasattr(x, "dtype") or hasattr(x, "__jax_array__")


# Recognition -----------------------------------------------------------------------------------------


# How a traced value of ours shows in a message; those of JAX are followed by `with`.
_TRACED = re.compile(r"Traced<(?:bool|bf16|key<\w+>|[fiuc]\d\w*)\[[\d,]*\]>(?!with)")


def handed_to_jax(error: BaseException) -> bool:
    """Whether an exception may come of one of our traced values in the hands of JAX.

    A value that was needed concretely may be one that a library would not have asked of a tracer of JAX.
    """
    return isinstance(error, ConcretizationError) or _names_a_value(error) or raised_by_jax(error)


def raised_by_jax(error: BaseException) -> bool:
    """Whether JAX raised it, or one of our values did when JAX asked it for something."""
    if isinstance(error, JaxCallError):
        return True
    if isinstance(error, TracerError):
        return _raised_under_jax(error.__traceback__)
    # JAX takes its frames out of tracebacks, and says so.
    notes = getattr(error, "__notes__", ())
    return any("JAX" in note for note in notes) or _raised_under_jax(error.__traceback__)


def _names_a_value(error: BaseException) -> bool:
    """Whether an exception complains of a traced value itself."""
    if isinstance(error, TracerError):
        return isinstance(error, JaxCallError)
    if isinstance(error, AttributeError) and isinstance(error.obj, Tensor):
        return True
    text = str(error)
    return "tracer.value.Tensor" in text or "__jax_array__" in text or _TRACED.search(text) is not None


def _raised_under_jax(traceback: TracebackType | None) -> bool:
    """Whether the innermost frame that is not ours belongs to JAX."""
    found = False
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if name in ("jax", "jaxlib"):
            found = True
        elif not is_internal(name):
            found = False
        traceback = traceback.tb_next
    return found


__all__ = [
    "Bridge",
    "Call",
    "Missing",
    "handed_to_jax",
    "kept_apart",
    "looks",
    "raised_by_jax",
    "through_jax",
]
