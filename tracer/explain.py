"""`explain(f)(*args)`: what the compiler did with a function, stage by stage."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tracer.api.autograph import requested

if TYPE_CHECKING:
    from tracer.report.model import Report


def explain(f: Callable[..., Any], *, compile: bool = True) -> Callable[..., Report]:
    """`explain(f)(*args)` reports how `f` is compiled for arguments of those types.

    The function is traced, optimised and compiled, but not run. The report is printed by `print`, written as a
    page by `save`, and shown by notebooks.

    Args:
      f: a function, or what `jit`, `grad` or another transform made of one. Of a jitted function, its own passes,
        static arguments, donations and shardings are those of the report.
      compile: also have XLA compile the program, for its time and its account of memory.

    Raises:
      ArgumentTypeError: `f` is no function.
      TracerError: by the function that is returned: `f` cannot be compiled for these arguments.

    Examples:
      >>> report = tr.explain(tr.grad(lambda x: tnp.sum(tnp.sin(x) ** 2)), compile=False)(
      ...     np.ones(3, np.float32)
      ... )
      >>> print(report.stages[0].name, len(report.function.eqns) > 0)
      trace True
    """
    f = requested(f, False)

    @functools.wraps(f)
    def report(*args: Any, **kwargs: Any) -> Report:
        from tracer.report.collect import collect

        return collect(f, args, kwargs, compile=compile)

    return report


__all__ = ["explain"]
