"""Samples of `ir.ops.logic`: comparison, selection, logic and bits."""

from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from tests.ops.sample import INTEGER, NUMBER, ORDERED, Draw, Sample

BITS = ("bool", *INTEGER, "i16", "u16")


def compared(d: Draw) -> list[tuple[Any, ...]]:
    """Ties, zeros of both signs, infinities and nan."""
    if d.dtype.kind in "biuc":
        return [(d.array(4), d.array(4)), (np.ones(3, d.dtype), np.ones(3, d.dtype))]
    x = [0.0, np.nan, np.nan, np.inf, -np.inf, 1.0]
    y = [-0.0, np.nan, 1.0, np.inf, np.inf, 1.0]
    return [(np.array(x).astype(d.dtype), np.array(y).astype(d.dtype))]


def amounts(d: Draw) -> list[tuple[Any, ...]]:
    """Shifts by nothing, by all bits but one, by all, by more, and by a negative amount."""
    info = np.iinfo(d.dtype)
    by = np.array([0, 1, info.bits - 1, info.bits, info.bits + 1, info.max if info.min == 0 else -1], d.dtype)
    return [(np.full(6, fill, d.dtype), by) for fill in (info.max, info.min, 5)]


def integers(d: Draw) -> list[tuple[Any, ...]]:
    info = np.iinfo(d.dtype)
    return [(np.array([0, 1, 2, info.max, info.min, info.max // 3], d.dtype),)]


def leading_zeros(x: Any) -> Any:
    """The width less the position of the highest bit, one bit at a time."""
    width = jnp.iinfo(x.dtype).bits
    return sum((lax.shift_right_logical(x, jnp.full_like(x, k)) == 0).astype(x.dtype) for k in range(width))


def shift_left(x: Any, by: Any) -> Any:
    width = jnp.iinfo(x.dtype).bits
    return jnp.where((by >= 0) & (by < width), x << by, 0).astype(x.dtype)


def shift_right(x: Any, by: Any) -> Any:
    width = jnp.iinfo(x.dtype).bits
    return (x >> jnp.where((by >= 0) & (by < width), by, width - 1)).astype(x.dtype)


def shift_right_unsigned(x: Any, by: Any) -> Any:
    width = jnp.iinfo(x.dtype).bits
    bits = lax.bitcast_convert_type(x, f"uint{width}")
    out = jnp.where((by >= 0) & (by < width), bits >> by.astype(bits.dtype), 0)
    return lax.bitcast_convert_type(out.astype(bits.dtype), x.dtype)


def arithmetic_on_unsigned(x: Any, by: Any) -> Any:
    signed = lax.bitcast_convert_type(x, f"int{jnp.iinfo(x.dtype).bits}")
    return lax.bitcast_convert_type(shift_right(signed, by.astype(signed.dtype)), x.dtype)


def compare(op: str, reference: Any, dtypes: tuple[str, ...]) -> Sample:
    return Sample(op, lambda d: (d.array(3, 4), d.array(3, 4)), reference, dtypes=dtypes, special=compared)


def bits(op: str, reference: Any) -> Sample:
    return Sample(
        op,
        lambda d: (d.array(3, 4, low=-50, high=50), d.array(3, 4, low=-50, high=50)),
        reference,
        dtypes=BITS,
    )


def shift(op: str, reference: Any) -> Sample:
    return Sample(
        op,
        lambda d: (d.array(3, 4, low=-99, high=99), d.array(3, 4, low=0, high=8)),
        reference,
        dtypes=BITS[1:],
        special=amounts,
    )


def choice(d: Draw) -> tuple[Any, ...]:
    return (d.array(3, 4, dtype="bool"), d.array(3, 4), d.array(3, 4))


SAMPLES = [
    compare("eq", jnp.equal, ("bool", *NUMBER)),
    compare("ne", jnp.not_equal, ("bool", *NUMBER)),
    compare("lt", jnp.less, ORDERED),
    compare("le", jnp.less_equal, ORDERED),
    compare("gt", jnp.greater, ORDERED),
    compare("ge", jnp.greater_equal, ORDERED),
    Sample("lt", lambda d: (d.array(0), d.array(0)), jnp.less, dtypes=("f32",), label="empty"),
    Sample("select", choice, jnp.where, dtypes=("bool", *NUMBER, "f8e5m2")),
    Sample(
        "select",
        lambda d: (np.array([[True], [False]]), d.array(2, 1), d.array(2, 1)),
        jnp.where,
        label="one",
        special=lambda d: [
            (np.array([True, False]), np.array([1, np.nan], d.dtype), np.array([np.nan, 2], d.dtype))
        ],
    ),
    bits("and", jnp.bitwise_and),
    bits("or", jnp.bitwise_or),
    bits("xor", jnp.bitwise_xor),
    Sample("not", lambda d: (d.array(3, 4, low=-50, high=50),), jnp.bitwise_not, dtypes=BITS),
    shift("shift_left", shift_left),
    shift("shift_right_logical", shift_right_unsigned),
    shift(
        "shift_right_arithmetic",
        lambda x, by: (arithmetic_on_unsigned if x.dtype.kind == "u" else shift_right)(x, by),
    ),
    Sample(
        "population_count",
        lambda d: (d.array(3, 4, low=-99, high=99),),
        lambda x: jnp.bitwise_count(lax.bitcast_convert_type(x, f"uint{jnp.iinfo(x.dtype).bits}")).astype(
            x.dtype
        ),
        dtypes=BITS[1:],
        special=integers,
    ),
    Sample(
        "clz", lambda d: (d.array(3, 4, low=-99, high=99),), leading_zeros, dtypes=BITS[1:], special=integers
    ),
]
