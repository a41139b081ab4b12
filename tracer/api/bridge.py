"""`from_jax`: functions of JAX inside traced code; `to_jax` and `export`: programs of ours outside tracer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
import jax.export
import numpy as np

import ir
from ir.errors import ArgumentTypeError
from ir.passes.inlining import inline_calls
from lowering.boundary import emit_differentiable
from lowering.jaxprs.types import type_of
from lowering.kernels import for_any_platform
from tracer.api.arguments import function_name
from tracer.api.jit import jit
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

    Examples:
      >>> import jax.numpy as jnp
      >>> f = tr.from_jax(lambda x: jnp.cumsum(x) * 2)
      >>> print(tr.jit(f)(np.float32([1, 2, 3])))
      [ 2.  6. 12.]
    """
    from tracer.bridge import through_jax

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if state.trace is None:
            return f(*args, **kwargs)
        return through_jax(f, function_name(f), *args, **kwargs)

    return cast(F, call)


def to_jax(function: ir.Function) -> Callable[..., tuple[Any, ...]]:
    """A function of the IR as a function of JAX arrays, for `jax.jit`, `jax.grad`, `jax.vmap` and the rest.

    Args:
      function: as `tracer.trace`, `jit(f).ir` or `ir.parse` give it.

    Returns:
      A callable that takes an array for each param and returns a tuple of arrays. Custom derivative rules
      in the function hold for JAX's transforms.

    Raises:
      ArgumentTypeError: by the callable, where arguments differ from the params in number, shape or dtype.

    Examples:
      >>> import jax
      >>> f = tr.to_jax(tr.trace(lambda x: x * x)(np.float32(3)))
      >>> print(jax.jit(f)(np.float32(3))[0])
      9.0
    """

    def call(*operands: Any) -> tuple[Any, ...]:
        if len(operands) != len(function.params):
            raise ArgumentTypeError(
                f"{function.name}: expected {len(function.params)} arguments, got {len(operands)}"
            )
        arrays = []
        for param, x in zip(function.params, operands, strict=True):
            # Numbers take the element type that is wanted, arrays must have it.
            array = np.asarray(x, param.type.dtype.np) if isinstance(x, (bool, int, float, complex)) else x
            if (found := type_of(jax.typeof(array))) is not param.type:
                raise ArgumentTypeError(f"{function.name}: expected {param.type} for {param}, got {found}")
            arrays.append(array)
        return emit_differentiable(function, inline_calls, arrays)

    call.__name__ = call.__qualname__ = function.name
    return call


def export(
    f: Callable[..., Any], *, platforms: Sequence[str] | None = None, **options: Any
) -> Callable[..., jax.export.Exported]:
    """Compile `f` to StableHLO that runs without its Python code.

    Args:
      f: takes and returns pytrees of arrays.
      platforms: such as `("cpu", "cuda")`; by default that of the current device.
      options: of `tracer.jit`.

    Returns:
      A callable that takes arguments (or `jax.ShapeDtypeStruct`s) and returns a `jax.export.Exported`: its
      `call(*args)` runs it, `serialize()` gives bytes that `tracer.deserialize` reads back,
      `mlir_module()` its text.
    """
    compiled = jit(f, **options).compiled
    exported = jax.export.export(compiled, platforms=platforms)

    @functools.wraps(exported)
    def exporting(*args: Any, **kwargs: Any) -> jax.export.Exported:
        with for_any_platform():
            return exported(*args, **kwargs)

    return exporting


def deserialize(data: bytes | bytearray) -> jax.export.Exported:
    """What `export(f)(...).serialize()` wrote; `call(*args)` runs it."""
    return jax.export.deserialize(bytearray(data))


__all__ = ["deserialize", "export", "from_jax", "to_jax"]
