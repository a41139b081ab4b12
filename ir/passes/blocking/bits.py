"""Large arrays of random bits, written as what they are: positions, encrypted.

    b = random_bits(key) {shape=(n, m)}     becomes     b = xor of threefry2x32(words of key, positions in (n, m))

So a block of them is made by itself, such as what dropout leaves of a block of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ir.core import Eqn, Function, Value
from ir.numerics.threefry import PARITY, ROTATIONS
from ir.ops.calls import optimization_barrier
from ir.ops.convert import convert
from ir.ops.elementwise import add, mul
from ir.ops.logic import or_, shift_left, shift_right_logical, xor_
from ir.ops.random import UNSIGNED, random_bits, random_unwrap
from ir.ops.shape import broadcast_in_dim, full, iota, slice_axis, squeeze
from ir.passes.replacing import rewritten
from ir.types import u32, u64

# Counters of one word.
_WORD = 1 << 32


def counted(function: Function, least: float) -> Function:
    """With random bits of at least so many bytes, of Threefry keys, made of positions."""

    def write(eqn: Eqn) -> Value | None:
        if eqn.op is not random_bits or eqn.results[0].type.nbytes < least:
            return None
        keys, shape = eqn.operands[0], eqn.attrs["shape"]
        # (Encrypted once, and not anew by each kernel that reads them.)
        return (
            optimization_barrier(_bits(keys, shape, eqn.attrs["bit_width"])) if _fits(keys, shape) else None
        )

    return rewritten(function, write, {})


def _fits(keys: Value, shape: Sequence[int]) -> bool:
    return keys.type.dtype.name == "key<fry>" and prod(shape) <= _WORD


def _bits(keys: Value, shape: Sequence[int], width: int) -> Value:
    whole = (*keys.type.shape, *shape)
    leading = tuple(range(keys.type.rank))
    words = random_unwrap(keys)
    key = [
        broadcast_in_dim(
            squeeze(slice_axis(words, keys.type.rank, k, k + 1), (keys.type.rank,)), shape=whole, dims=leading
        )
        for k in (0, 1)
    ]
    high, low = _encrypted(key, full(whole, 0, u32), _positions(whole, len(leading)))
    if width == 64:
        wide = shift_left(convert(high, dtype=u64), full(whole, 32, u64))
        return or_(wide, convert(low, dtype=u64))  # type: ignore[no-any-return]
    bits = xor_(high, low)
    return bits if width == 32 else convert(bits, dtype=UNSIGNED[width])  # type: ignore[no-any-return]


def _encrypted(key: Sequence[Value], x: Value, y: Value) -> tuple[Value, Value]:
    """As `threefry2x32`, one equation for each step: a kernel that does them all writes nothing between."""
    shape = y.type.shape

    def number(n: int) -> Value:
        return full(shape, n, u32)

    schedule = (*key, xor_(xor_(*key), number(int(PARITY))))
    x, y = add(x, schedule[0]), add(y, schedule[1])
    for block in range(5):
        for rotation in ROTATIONS[block % 2]:
            x = add(x, y)
            y = or_(shift_left(y, number(rotation)), shift_right_logical(y, number(32 - rotation)))
            y = xor_(y, x)
        x = add(x, schedule[(block + 1) % 3])
        y = add(add(y, schedule[(block + 2) % 3]), number(block + 1))
    return x, y


def _positions(shape: Sequence[int], leading: int) -> Value:
    """In row-major order, of the axes after the leading ones."""
    total: Value | None = None
    stride = 1
    for d in range(len(shape) - 1, leading - 1, -1):
        if shape[d] > 1:
            part = iota(shape=tuple(shape), dtype=u32, axis=d)
            part = part if stride == 1 else mul(part, full(tuple(shape), stride, u32))
            total = part if total is None else add(total, part)
        stride *= shape[d]
    return full(tuple(shape), 0, u32) if total is None else total


__all__ = ["counted"]
