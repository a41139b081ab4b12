"""Lowering of `ir.ops.cond`."""

from __future__ import annotations

import functools
from typing import Any

import jax

import ir
from ir.ops.cond import without_lanes
from lowering.emit import emit, lowers, types_of, with_weak_types


@lowers("cond")
def _cond(index: Any, *operands: Any, branches: tuple[ir.Function, ...], lanes: Any, depths: Any) -> Any:
    if lanes:
        attrs = {"branches": branches, "lanes": lanes, "depths": depths}
        return emit(without_lanes(types_of((index, *operands)), attrs, safe=False), (index, *operands))

    def run(branch: ir.Function, *values: Any) -> Any:
        return with_weak_types(emit(branch, values), ())

    return jax.lax.switch(index, [functools.partial(run, branch) for branch in branches], *operands)
