"""`print`: shows values when the program runs. What JAX's callback does, as one equation with an effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ir.op import Op
from lowering.execute import Cache
from lowering.jaxprs.types import struct_of
from tracer.debug.fields import require_fields
from tracer.state import state

tree_flatten, tree_unflatten = jax.tree_util.tree_flatten, jax.tree_util.tree_unflatten

# By what they do, so that programs which print the same are equal, and are compiled once.
_KNOWN: Cache[Any] = Cache(256)


def print(fmt: str, *args: Any, ordered: bool = False, **kwargs: Any) -> None:
    """Print `fmt.format(*args, **kwargs)` whenever the program gets here, with the values of that time.

    In loops it prints in every iteration, in a branch where that is taken, under `vmap` for every example, as
    `jax.debug.print` does. Differentiated functions print forwards, once, also where a checkpoint or a loop in
    reverse computes values again. `jax.effects_barrier()` waits for what is still to be printed.

    Args:
      fmt: as in `str.format`.
      args, kwargs: arrays, numbers and pytrees of them.
      ordered: in the order of the program, also between several prints; not under `vmap`, nor on several devices.

    Raises:
      ArgumentError: the format has fields for other arguments, or arguments have no field.
    """
    require_fields("debug.print", fmt, args, kwargs)
    if state.trace is None:
        jax.debug.print(fmt, *args, ordered=ordered, **kwargs)
        return
    leaves, tree = tree_flatten((args, kwargs))

    def show(*xs: Any) -> None:
        inner_args, inner_kwargs = tree_unflatten(tree, xs)
        jax.debug.print(fmt, *inner_args, ordered=ordered, **inner_kwargs)

    emit_effect(("print", fmt, ordered, tree), "print", show, leaves)


def emit_effect(key: tuple[Any, ...], name: str, effect: Callable[..., None], leaves: Sequence[Any]) -> None:
    """Record a function of JAX that has an effect and no results, of traced values.

    Args:
      key: what the function does.
    """
    from lowering.jaxprs.foreign import foreign_jaxpr  # imports much of JAX

    trace = state.trace
    assert trace is not None
    tensors = [trace.lift(x) for x in leaves]
    types = tuple([t.value.type for t in tensors])
    weak = tuple([t.weak for t in tensors])

    def made() -> tuple[Op, Any]:
        closed = jax.make_jaxpr(effect)(*[struct_of(t, w) for t, w in zip(types, weak, strict=True)])
        return foreign_jaxpr(closed, name)

    op, primitive = _KNOWN.get((key, types, weak), made)
    trace.emit(op, tuple([t.value for t in tensors]), {"primitive": primitive})


__all__ = ["emit_effect", "print"]
