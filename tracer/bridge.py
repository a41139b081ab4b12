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
        raise _Missing


class _Missing(BaseException):
    """Ends JAX's tracing, which is begun again with one more operand.

    It must not go on with something else in the place of the value: JAX keeps what it traced, by function,
    and would use that the next time. What ends in an exception is not kept.
    """


def through_jax(fn: Callable[..., Any], name: str, /, *args: Any, **kwargs: Any) -> Any:
    """The result of `fn` in the innermost trace, recorded by tracing it with JAX.

    Traced values among the arguments become tracers of JAX, everything else is passed as it is.

    Raises:
      JaxCallError: a traced value that `fn` closes over was handed to JAX in a way that cannot be
        converted; an enclosing function can be traced by JAX instead.
    """
    trace = state.trace
    assert trace is not None
    leaves, tree = tree_flatten((args, kwargs))
    where = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]
    operands = [trace.lift(leaves[i]) for i in where]
    closed_over: dict[Value, Tensor] = {}
    structure: list[Any] = []
    while True:
        bridge, imported = _imported(
            trace, fn, name, leaves, tree, where, operands, list(closed_over.values()), structure
        )
        if not bridge.missing:
            break
        closed_over.update(bridge.missing)
    values = [trace.lift(x).value for x in (*imported.captures, *closed_over.values(), *operands)]
    results = iter(
        [
            Tensor(trace, v, weak)
            for v, weak in zip(inline(imported.function, values), imported.weak, strict=True)
        ]
    )
    out_tree, others = structure
    return tree_unflatten(
        out_tree, [others[i] if i in others else next(results) for i in range(out_tree.num_leaves)]
    )


def _imported(
    trace: Trace, fn: Callable[..., Any], name: str, leaves: list[Any], tree: Any, where: list[int],
    operands: list[Tensor], closed_over: list[Tensor], structure: list[Any],
) -> tuple[Bridge, Any]:  # fmt: skip
    """Import what JAX traces `fn` to; the structure of its result goes into `structure`."""
    from lowering.jaxprs.importer import import_jaxpr  # imports much of JAX

    bridge = Bridge(trace, {})

    def flat(given: Sequence[Any], xs: Sequence[Any]) -> list[Any]:
        bridge.given = {t.value: x for t, x in zip(closed_over, given, strict=True)}
        full = list(leaves)
        for i, x in zip(where, xs, strict=True):
            full[i] = x
        inner_args, inner_kwargs = tree_unflatten(tree, full)
        out, out_tree = tree_flatten(fn(*inner_args, **inner_kwargs))
        out = [bridge.outside(x) if isinstance(x, Tensor) else x for x in out]
        others = {i: x for i, x in enumerate(out) if not _is_array(x)}
        structure[:] = [out_tree, others]
        return [x for i, x in enumerate(out) if i not in others]

    structs = [[struct_of(t.value.type, t.weak) for t in ts] for ts in (closed_over, operands)]
    outer_trace, outer_bridge = state.trace, state.bridge
    state.trace, state.bridge = None, bridge
    try:
        with _kept_apart(again=not closed_over):
            # Rules of custom functions may be traced by the import, and close over values of the trace.
            imported = import_jaxpr(jax.make_jaxpr(flat)(*structs), name)
    except _Missing:
        return bridge, None
    except Exception as error:
        if _names_a_value(error):
            raise JaxCallError("a function of JAX was given a traced value that it closes over") from error
        raise
    finally:
        state.trace, state.bridge = outer_trace, outer_bridge
    return bridge, imported


@contextlib.contextmanager
def _kept_apart(*, again: bool) -> Iterator[None]:
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


__all__ = ["Bridge", "handed_to_jax", "raised_by_jax", "through_jax"]
