"""`from_jax`: functions of JAX inside traced code; `to_jax` and `export`: programs of ours in JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tracer.api.arguments import function_name
from tracer.state import state

F = TypeVar("F", bound=Callable[..., Any])


def from_jax(f: F) -> F:
    """`f`, which is written for JAX, as a function for traced code.

    Inside a trace `f` is traced by JAX and its jaxpr imported: every primitive with a counterpart becomes
    an op of the IR, loops, branches, calls and custom rules included, and derivatives are taken there. Any
    other primitive is kept whole, and JAX gives its derivatives. Outside a trace `f` runs as it is.

    There is rarely a need to call this: functions that call JAX are recognised.

    Raises:
      JaxprError: by the function, where an equation has no counterpart and cannot be kept whole.
    """
    from tracer.bridge import through_jax

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if state.trace is None:
            return f(*args, **kwargs)
        return through_jax(f, function_name(f), *args, **kwargs)

    return cast(F, call)


__all__ = ["from_jax"]
