"""What a loop has put into a list: many parts side by side that are parts of a few arrays.

a = x[0:1], b = y[0:1], c = x[1:2], d = y[1:2], ...        the elements of x and y in turn:
concatenate(a, b, c, d, ...)                  becomes      reshape(stack(x, y, axis=1))
"""

from __future__ import annotations

from collections.abc import Sequence

from ir.core import Value
from ir.ops.shape import concatenate, move_axis, reshape, reshape_to, slice
from ir.passes.rolling.stacking import Stacker
from ir.types import TensorType

# Fewer parts are left as they are.
MANY = 8
# So many repeats are looked for, of so many arrays in turn at most.
REPEATS = 4
_ARRAYS = 32

_Key = tuple[Value, bool, TensorType]


def collected(parts: Sequence[Value], axis: int, stacker: Stacker, repeats: int) -> Value | None:
    """The parts along an axis, those of the same arrays taken together; None where there are none.

    Appends to the current builder, in either case.

    Args:
      repeats: how often arrays give parts in turn, at least.
    """
    keys = [(*_origin(v, stacker), v.type) for v in parts]
    out: list[Value] = []
    at = 0
    while at < len(parts):
        arrays, count = _in_turn(keys, at, repeats)
        whole = _together(parts[at : at + count], arrays, axis, stacker) if count else None
        out += [parts[at]] if whole is None else [whole]
        at += 1 if whole is None else count
    if len(out) * 2 > len(parts):
        return None
    return out[0] if len(out) == 1 else concatenate(*out, axis=axis)


def _origin(value: Value, stacker: Stacker) -> tuple[Value, bool]:
    """The array of which a value is a part, or the value, reshaped or not; whether it is a part."""
    eqn = stacker.made_by.get(value)
    while eqn is not None and eqn.op is reshape:
        value = eqn.operands[0]
        eqn = stacker.made_by.get(value)
    return (eqn.operands[0], True) if eqn is not None and eqn.op is slice else (value, False)


def _in_turn(keys: Sequence[_Key], at: int, repeats: int) -> tuple[int, int]:
    """How many arrays give the parts from there on in turn, and how many parts; (0, 0) if none do."""
    for arrays in range(1, _ARRAYS + 1):
        stop = at + arrays
        while stop < len(keys) and keys[stop] == keys[stop - arrays]:
            stop += 1
        count = (stop - at) // arrays * arrays
        if count >= repeats * arrays:
            return arrays, count
        if stop - at < repeats * arrays and arrays * repeats > len(keys) - at:
            break
    return 0, 0


def _together(parts: Sequence[Value], arrays: int, axis: int, stacker: Stacker) -> Value | None:
    """Parts along an axis, along which alone they may differ in size, as they come from so many arrays in turn."""
    columns = []
    for first in range(arrays):
        stacked = stacker.stacked(parts[first::arrays])
        if stacked is None:
            return None
        columns.append(stacked)
    # [turn, ...], with what one turn gives along the axis.
    whole = columns[0] if arrays == 1 else concatenate(*columns, axis=axis + 1)
    moved = move_axis(whole, 0, axis)
    turns, size = moved.type.shape[axis : axis + 2]
    return reshape_to(moved, (*moved.type.shape[:axis], turns * size, *moved.type.shape[axis + 2 :]))


__all__ = ["MANY", "REPEATS", "collected"]
