"""Functions of JAX that need no program: their answer is a Python object, inside a trace, too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
import numpy as np

from lowering.jaxprs.types import struct_of
from tracer.state import state
from tracer.value import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def answered(fn: F) -> F:
    """`fn`, which asks for shapes and dtypes only: its answer is a Python object, inside a trace, too."""

    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree_util.tree_flatten((args, kwargs))
        where = [i for i, x in enumerate(leaves) if type(x) is Tensor]
        if not where:
            return fn(*args, **kwargs)
        answer: list[Any] = []

        def ask(xs: Sequence[Any]) -> None:
            full = list(leaves)
            for i, x in zip(where, xs, strict=True):
                full[i] = x
            inner_args, inner_kwargs = jax.tree_util.tree_unflatten(tree, full)
            answer.append(fn(*inner_args, **inner_kwargs))

        outer, state.trace = state.trace, None
        try:
            jax.eval_shape(ask, [struct_of(leaves[i].value.type, leaves[i].weak) for i in where])
        finally:
            state.trace = outer
        return answer[0]

    functools.update_wrapper(call, fn)
    call.borrowed = fn  # type: ignore[attr-defined]
    return cast(F, call)


def of_known(fn: F) -> F:
    """`fn`, which prints or writes arrays: traced values have to be known, or it is a ConcretizationError."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        known = [np.asarray(x) if type(x) is Tensor else x for x in args]
        return fn(*known, **{k: np.asarray(x) if type(x) is Tensor else x for k, x in kwargs.items()})

    call.borrowed = fn  # type: ignore[attr-defined]
    return cast(F, call)


__all__ = ["answered", "of_known"]
