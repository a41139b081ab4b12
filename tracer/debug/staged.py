"""What `nans` looks at inside programs of JAX: calls of ours that `jax.jit`, `jax.grad` or `jax.vmap` trace.

Their results are no numbers yet. So a callback goes into JAX's program, taken only where a result holds what is looked
for, and brings the operands of the call. The search for the line is made later, by the thread that is in the context:
a callback must not run programs itself.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import ir
from ir.origins import Kind


@dataclass(frozen=True, eq=False)
class Site:
    """A call that JAX traces.

    Attributes:
      function: the program before it was optimised.
      optimize: the passes.
      keys: the implementation of each operand that is a random key, `None` for the others.
    """

    function: ir.Function
    optimize: Callable[[ir.Function], ir.Function]
    keys: tuple[Any, ...]


class Findings:
    """What callbacks brought while a context was open: the first one."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._found: tuple[Site, tuple[Any, ...]] | None = None

    def put(self, site: Site, operands: Sequence[Any]) -> None:
        """Keep what a callback brought, if it is the first."""
        if self._found is None:
            self._found = site, tuple([np.asarray(x) for x in operands])

    def take(self) -> tuple[Site, tuple[Any, ...]] | None:
        """The call and its operands, once."""
        found, self._found = self._found, None
        if found is None:
            return None
        site, operands = found
        whole = [
            x if key is None else jax.random.wrap_key_data(x, impl=key)
            for x, key in zip(operands, site.keys, strict=True)
        ]
        return site, tuple(whole)


# Callbacks run in threads of the runtime. Of several open contexts that look for it, the last one gets it.
_open: list[Findings] = []
_lock = threading.Lock()


def listen(findings: Findings) -> None:
    """Have callbacks bring what they find."""
    with _lock:
        _open.append(findings)


def leave(findings: Findings) -> None:
    """The last `listen` of these ends."""
    with _lock:
        k = max(k for k, each in enumerate(_open) if each is findings)
        del _open[k]


def _received(site: Site, bad: Any, nan: Any, *operands: Any) -> None:
    # (Under `vmap` it is called for every example.)
    with _lock:
        for findings in reversed(_open):
            if nan or (bad and findings.kind is Kind.EITHER):
                findings.put(site, operands)
                return


def stage(
    bad: Any, nan: Any, function: ir.Function, operands: Sequence[Any], optimize: Callable[..., Any]
) -> None:
    """Have the program that JAX traces bring the operands where its results are not finite.

    JAX keeps the program for later contexts, which may look for something else.

    Args:
      bad: whether a result is not finite.
      nan: whether one is NaN.
      function: the program before it was optimised.
      operands: of the call.
      optimize: the passes.
    """
    keys = tuple([jax.random.key_impl(x) if _is_key(x) else None for x in operands])
    site = Site(function, optimize, keys)
    plain = [x if key is None else jax.random.key_data(x) for x, key in zip(operands, keys, strict=True)]

    def tell(*given: Any) -> None:
        jax.debug.callback(functools.partial(_received, site), *given)

    def nothing(*given: Any) -> None:
        pass

    jax.lax.cond(bad, tell, nothing, bad, nan, *[jax.lax.stop_gradient(x) for x in plain])


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)


__all__ = ["Findings", "Site", "leave", "listen", "stage"]
