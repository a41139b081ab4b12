"""How a sparse derivative is computed: its pattern, its colouring, and where each block finds its elements.

A plan follows from the program of the function, by structure, and from what of its operands are constants of the
pattern: arrays that it closes over, and integer arrays among its other arguments where their values are there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import jax
import numpy as np
import numpy.typing as npt

import ir
from ir.core import Array, Value
from ir.errors import SparsityError
from ir.ops.structural import unequalled
from ir.sparsity import (
    Coloring,
    Pattern,
    color_columns,
    color_symmetric,
    hessian_pattern,
    jacobian_pattern,
    needs_reverse,
)
from lowering.execute import Cache
from tracer.api.arguments import leaf_type
from tracer.concrete import known_value
from tracer.trace import Traced
from tracer.value import Tensor

Shape = tuple[int, ...]
Places = npt.NDArray[np.int32]

# Arrays with more elements are no constants of a pattern.
_LARGEST: Final = 1 << 24


@dataclass(frozen=True, eq=False)
class Block:
    """The derivative of one leaf of the result by one leaf of the arguments.

    Attributes:
      of, by: shapes of the two leaves.
      rows, columns: of the elements, in row-major order, in the two leaves flattened.
      color, place: where each is found in the compressed derivative: the colour, and the position in the other leaf,
        flattened; in all leaves, one after the other, where the matrix is symmetric.
    """

    of: Shape
    by: Shape
    rows: Places
    columns: Places
    color: Places
    place: Places

    @cached_property
    def indices(self) -> jax.Array:
        """Of the elements along all axes of both leaves, `[nnz, rank]`."""
        axes = [*_along(self.rows, self.of), *_along(self.columns, self.by)]
        return on_device(np.stack(axes, axis=1) if axes else np.zeros((self.rows.size, 0)))

    @cached_property
    def where(self) -> tuple[jax.Array, jax.Array]:
        """`color` and `place`."""
        return on_device(self.color), on_device(self.place)


@dataclass(frozen=True, eq=False)
class Plan:
    """What to compute.

    Attributes:
      mode: "forward", "reverse" or "symmetric".
      pattern: of the matrix.
      colors: of the elements of the arguments (of the result, in reverse), one array for each leaf.
      count: how many colours there are.
      blocks: by leaf of the result, by leaf of the arguments.
    """

    mode: str
    pattern: Pattern
    colors: tuple[jax.Array, ...]
    count: int
    blocks: tuple[tuple[Block, ...], ...]


_PLANS: Cache[Plan] = Cache(64)
_PATTERNS: Cache[Pattern] = Cache(64)


# Constants --------------------------------------------------------------------------------------------


def constants(traced: Traced) -> list[Array | None]:
    """Values of the captures that are constants of the pattern."""
    return [_constant(x) for x in traced.captures]


def _constant(x: Any) -> Array | None:
    if isinstance(x, Tensor):
        found = known_value(x)
    elif isinstance(x, (np.ndarray, np.generic)) or (
        isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer)
    ):
        found = x
    else:
        return None
    if found is None or found.size > _LARGEST or leaf_type(found)[0].dtype.kind == "key":
        return None
    return np.asarray(found)


def _digest(known: Sequence[Array | None]) -> tuple[Hashable, ...]:
    return tuple([
        None if x is None else (x.shape, x.dtype.str, hashlib.blake2b(x.tobytes()).digest()) for x in known
    ])  # fmt: skip


# Plans ------------------------------------------------------------------------------------------------


def pattern_of(traced: Traced, results: int | None, *, hessian: bool) -> Pattern:
    """The pattern of the derivative of what was traced, by all of its arguments.

    Args:
      results: how many of the results count, the first ones.
      hessian: of the Hessian of the first result instead.
    """
    function, known = traced.function, constants(traced)
    moved = _moved(traced)

    def make() -> Pattern:
        values = _typed(function, known)
        if hessian:
            return hessian_pattern(function, moved, values)
        return jacobian_pattern(function, moved, values, results)

    if unequalled(function):
        return make()
    return _PATTERNS.get((hessian, results, _digest(known), function), make)


def _typed(function: ir.Function, known: Sequence[Array | None]) -> list[Array | None]:
    return [
        None if x is None else x.astype(p.type.dtype.np) for x, p in zip(known, function.params, strict=False)
    ]


def _moved(traced: Traced) -> tuple[bool, ...]:
    count = len(traced.captures)
    return tuple([i >= count for i in range(len(traced.function.params))])


def jacobian_plan(
    traced: Traced, outs: Sequence[Value], pattern: Pattern | None, mode: str | None, order: str | None
) -> Plan:
    """The plan of a Jacobian by all arguments.

    Args:
      outs: the results that count, the first ones.
      pattern: the pattern, where the user gives it.
      mode: "forward", "reverse", or `None` for the one that takes fewer colours.
      order: of the columns when they are coloured.
    """
    rows = [v.type.shape for v in outs]
    columns = [v.type.shape for v in traced.function.params[len(traced.captures) :]]
    found = _fitting(pattern, rows, columns) or pattern_of(traced, len(outs), hessian=False)

    def make() -> Plan:
        chosen = mode
        if mode is None and needs_reverse(_first(traced.function, len(outs)), _moved(traced)):
            chosen = "reverse"
        elif mode is None and any(v.type.dtype.is_complex for v in outs):
            chosen = "forward"
        return _of_jacobian(found, rows, columns, chosen, order)

    return _kept(traced, ("jacobian", len(outs), mode, order, found), make)


def hessian_plan(traced: Traced, pattern: Pattern | None, order: str | None) -> Plan:
    """The plan of the Hessian of the first result by all arguments; `pattern` where the user gives it."""
    shapes = [v.type.shape for v in traced.function.params[len(traced.captures) :]]
    found = _fitting(pattern, shapes, shapes) or pattern_of(traced, None, hessian=True)

    def make() -> Plan:
        whole = found.symmetric()
        return _made("symmetric", whole, color_symmetric(whole, order), shapes, shapes)

    return _kept(traced, ("hessian", order, found), make)


def _kept(traced: Traced, key: tuple[Hashable, ...], make: Callable[[], Plan]) -> Plan:
    return make() if unequalled(traced.function) else _PLANS.get((key, traced.function), make)


def _first(function: ir.Function, results: int) -> ir.Function:
    return function.replace(results=function.results[:results])


def _fitting(pattern: Pattern | None, rows: Sequence[Shape], columns: Sequence[Shape]) -> Pattern | None:
    """The user's pattern; SparsityError where its shape does not fit."""
    shape = (sum(map(math.prod, rows)), sum(map(math.prod, columns)))
    if pattern is not None and pattern.shape != shape:
        raise SparsityError(
            f"expected a sparsity pattern of shape {shape}, elements of the result by elements of the arguments, "
            f"got {pattern.shape}"
        )
    return pattern


def _of_jacobian(
    pattern: Pattern, rows: Sequence[Shape], columns: Sequence[Shape], mode: str | None, order: str | None
) -> Plan:
    """Columns are compressed, by JVPs, or rows, by VJPs, whichever takes fewer colours; columns where both do."""
    least = int(np.diff(pattern.indptr).max(initial=0))
    least_reverse = int(np.diff(pattern.transposed.indptr).max(initial=0))
    forward: Coloring | None = None
    reverse: Coloring | None = None
    if mode == "forward" or (mode is None and least <= least_reverse):
        forward = color_columns(pattern, order)
    if mode == "reverse" or (mode is None and (forward is None or least_reverse < forward.count)):
        reverse = color_columns(pattern.transposed, order)
    if mode is None and forward is None and reverse is not None and least <= reverse.count:
        forward = color_columns(pattern, order)
    if forward is not None and (reverse is None or forward.count <= reverse.count):
        return _made("forward", pattern, forward, rows, columns)
    assert reverse is not None
    return _made("reverse", pattern, reverse, rows, columns)


def _made(
    mode: str, pattern: Pattern, coloring: Coloring, rows: Sequence[Shape], columns: Sequence[Shape]
) -> Plan:
    r, c, color, place = pattern.rows, pattern.indices, coloring.columns, coloring.rows
    if mode == "reverse":  # of the transposed pattern, in whose order the colouring says where elements are
        order = np.argsort(pattern.transposed.indices, kind="stable")
        color, place = color[order], place[order]
    row_starts, column_starts = _starts(rows), _starts(columns)
    row_leaf = (
        np.searchsorted(row_starts[1:-1], r, side="right") if len(rows) > 1 else np.zeros(r.size, np.int64)
    )
    column_leaf = (
        np.searchsorted(column_starts[1:-1], c, side="right")
        if len(columns) > 1
        else np.zeros(c.size, np.int64)
    )
    blocks = []
    for i, of in enumerate(rows):
        line = []
        for k, by in enumerate(columns):
            at = np.flatnonzero((row_leaf == i) & (column_leaf == k))
            low = {"forward": row_starts[i], "reverse": column_starts[k], "symmetric": 0}[mode]
            line.append(
                Block(
                    of=of,
                    by=by,
                    rows=(r[at] - row_starts[i]).astype(np.int32),
                    columns=(c[at] - column_starts[k]).astype(np.int32),
                    color=color[at],
                    place=(place[at] - low).astype(np.int32),
                )
            )
        blocks.append(tuple(line))
    leaves, starts = (rows, row_starts) if mode == "reverse" else (columns, column_starts)
    colors = tuple([
        on_device(coloring.colors[starts[k] : starts[k + 1]].reshape(shape)) for k, shape in enumerate(leaves)
    ])  # fmt: skip
    return Plan(mode, pattern, colors, coloring.count, tuple(blocks))


def _starts(shapes: Sequence[Shape]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *map(math.prod, shapes)])


def on_device(x: Array) -> jax.Array:
    """Integers as an array of JAX that any trace may use."""
    with jax.ensure_compile_time_eval():
        return jax.numpy.asarray(x, dtype=np.int32)


def _along(flat: Array, shape: Shape) -> tuple[Array, ...]:
    return np.unravel_index(flat, shape) if shape and flat.size else tuple([flat for _ in shape])


__all__ = ["Block", "Plan", "constants", "hessian_plan", "jacobian_plan", "on_device", "pattern_of"]
