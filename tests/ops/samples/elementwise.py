"""Samples of `ir.ops.elementwise`: arithmetic, powers and transcendental functions; see also `logic`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from tests.ops.sample import COMPLEX, INEXACT, INTEGER, NUMBER, ORDERED, REAL, Draw, Sample

F8 = ("f8e4m3fn", "f8e5m2")
SIGNED = tuple(name for name in INTEGER if name.startswith("i"))
# XLA may keep intermediate results of a chain of narrow floats in f32; NumPy rounds once.
NARROW = {"bf16": 2e-2, "f16": 2e-3}


def values(*numbers: float) -> Callable[[Draw], list[tuple[Any, ...]]]:
    """Special operands of a unary op, for real floats."""
    return lambda d: [] if d.dtype.kind in "iuc" else [(np.array(numbers).astype(d.dtype),)]


def pairs(*numbers: tuple[float, float]) -> Callable[[Draw], list[tuple[Any, ...]]]:
    """Special operands of a binary op, for real floats."""
    columns = list(zip(*numbers, strict=True))
    return lambda d: (
        [] if d.dtype.kind in "iuc" else [tuple(np.array(column).astype(d.dtype) for column in columns)]
    )


EDGES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0)


def unary(op: str, reference: Any, low: float = -2, high: float = 2, **options: Any) -> Sample:
    return Sample(
        op,
        lambda d: (d.array(3, 4, low=low, high=high),),
        reference,
        **{"special": values(*EDGES), **options},
    )


def binary(op: str, reference: Any, low: float = -2, high: float = 2, **options: Any) -> Sample:
    return Sample(
        op,
        lambda d: (d.array(3, 4, low=low, high=high), d.array(3, 4, low=low, high=high)),
        reference,
        **options,
    )


def integer_edges(d: Draw) -> list[tuple[Any, ...]]:
    """Division by zero and of the smallest integer by -1; the latter also shifts everything out."""
    if d.dtype.kind not in "iu":
        return [] if d.dtype.kind == "c" else [pairs((1, 0), (-1, 0), (0, 0), (np.inf, 2), (2, np.inf))(d)[0]]
    info = np.iinfo(d.dtype)
    x = [5, 0, info.min, info.min, info.max, 7]
    y = [0, 0, 0, info.max if info.min == 0 else -1, info.max, 2]
    return [(np.array(x, d.dtype), np.array(y, d.dtype))]


def int_or_float(d: Draw, low: float, high: float) -> Any:
    """Divisors: integers in [1, 5), otherwise in [low, high)."""
    return d.array(3, 4, low=1, high=5) if d.dtype.kind in "iu" else d.array(3, 4, low=low, high=high)


def clamp_edges(d: Draw) -> list[tuple[Any, ...]]:
    """nan in each place, and bounds that cross."""
    columns = ([np.nan, 0, 0, 2], [1, np.nan, 2, 1], [1, 1, np.nan, 0])
    return [] if d.dtype.kind in "biu" else [tuple(np.array(column).astype(d.dtype) for column in columns)]


MIXED = ((np.nan, 1), (1, np.nan), (np.inf, -np.inf), (0.0, 0.0), (2.0, 2.0), (-1.0, 3.0))

ARITHMETIC = [
    unary("neg", jnp.negative, dtypes=NUMBER),
    unary("square", lambda x: x * x, dtypes=NUMBER),
    unary("one_minus_square", lambda x: (1 - x) * (1 + x), dtypes=NUMBER),
    binary("add", jnp.add, dtypes=(*NUMBER, *F8), special=pairs(*MIXED)),
    Sample("add", lambda d: (d.array(0, 3), d.array(0, 3)), jnp.add, dtypes=("f32", "i32"), label="empty"),
    Sample("add", lambda d: (d.array(1), d.array(1)), jnp.add, label="one"),
    Sample("add", lambda d: (d.array(), d.array()), jnp.add, label="scalar"),
    binary("sub", jnp.subtract, dtypes=NUMBER, special=pairs(*MIXED)),
    binary("mul", jnp.multiply, dtypes=(*NUMBER, *F8), special=pairs(*MIXED)),
    Sample(
        "div",
        lambda d: (d.array(3, 4, low=-9, high=9), int_or_float(d, 0.5, 2)),
        lax.div,
        dtypes=NUMBER,
        special=integer_edges,
    ),
    Sample(
        "rem",
        lambda d: (d.array(3, 4, low=-9, high=9), int_or_float(d, 0.7, 2)),
        lax.rem,
        dtypes=(*INTEGER, *REAL),
        special=lambda d: (
            integer_edges(d) if d.dtype.kind in "iu" else pairs((1, 0), (-3, 2), (5, np.inf))(d)
        ),
    ),
    *[
        Sample(
            "integer_pow",
            lambda d: (d.array(3, 4, low=0.4, high=2),),
            lambda x, y=y, **_: lax.full_like(x, 1) if y == 0 else x**y,
            attrs={"y": y},
            dtypes=NUMBER if y >= 0 else INEXACT,
            label=str(y),
            special=values(*EDGES),
            rtol=NARROW,
            why="products of narrow floats are rounded in between or not",
        )
        for y in (-3, -1, 0, 1, 2, 3, 7)
    ],
    unary("sqrt", jnp.sqrt, 0.2, 3),
    unary("rsqrt", lambda x: 1 / jnp.sqrt(x), 0.2, 3, rtol=NARROW, why="the reference rounds twice"),
    unary("cbrt", jnp.cbrt, 0.3, 3, dtypes=REAL),
    unary("abs", jnp.abs, dtypes=(*SIGNED, *INEXACT)),
    # Where JAX says that a complex sign does not vary, its definition does.
    unary("sign", lambda x: x / jnp.abs(x) if jnp.iscomplexobj(x) else jnp.sign(x), dtypes=NUMBER),
    binary("max", jnp.maximum, dtypes=("bool", *NUMBER), special=pairs(*MIXED)),
    binary("min", jnp.minimum, dtypes=("bool", *NUMBER), special=pairs(*MIXED)),
    Sample(
        "clamp",
        lambda d: (d.array(9, low=-1.5, high=0.5), d.array(9, low=-3, high=3), d.array(9, low=0.6, high=1.5)),
        lambda lo, x, hi: jnp.minimum(jnp.maximum(lo, x), hi),
        dtypes=ORDERED,
        special=clamp_edges,
    ),
    Sample(
        "clamp",
        lambda d: (d.array(9, low=0.5, high=1.5), d.array(9, low=-1), d.array(9, low=-1.5, high=0.4)),
        lambda lo, x, hi: jnp.minimum(jnp.maximum(lo, x), hi),
        dtypes=REAL,
        label="crossed",
    ),
    unary("floor", jnp.floor, -9, 9, dtypes=REAL),
    unary("ceil", jnp.ceil, -9, 9, dtypes=REAL),
    *[
        unary(
            "round",
            reference,
            -9,
            9,
            attrs={"method": method},
            dtypes=REAL,
            label=method,
            special=values(*EDGES, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, 0.49999999999999994),
        )
        for method, reference in (
            ("to_nearest_even", lambda x, **_: jnp.round(x)),
            ("away_from_zero", lambda x, **_: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO)),
        )
    ],
    unary("is_finite", lambda x: jnp.abs(x) < np.inf, dtypes=REAL),
    binary(
        "nextafter",
        jnp.nextafter,
        dtypes=REAL,
        special=pairs((0.0, 1.0), (0.0, -1.0), (1.0, 1.0), (np.nan, 1.0)),
    ),
    Sample(
        "complex", lambda d: (d.array(3, 4), d.array(3, 4)), lambda x, y: x + 1j * y, dtypes=("f32", "f64")
    ),
    unary("real", jnp.real, dtypes=COMPLEX),
    unary("imag", jnp.imag, dtypes=COMPLEX),
    unary("conj", jnp.conj, dtypes=COMPLEX),
]

TRANSCENDENTAL = [
    Sample(
        "pow",
        lambda d: (d.array(3, 4, low=0.3, high=2), d.array(3, 4)),
        jnp.power,
        special=pairs(
            (0, 0), (0, 2), (0, -1), (-2, 3), (-2, 0.5), (np.inf, 0), (np.nan, 0), (1, np.nan), (4, 0.5)
        ),
    ),
    Sample(
        "pow",
        lambda d: (d.array(3, 4, low=0.3, high=2), d.ints(3, 4, low=-3, high=4)),
        lambda x, y: jnp.where(y < 0, 1 / x, x) ** abs(y),
        label="integers",
        special=lambda d: [(np.array([0, 0, -2, -2, 3], d.dtype), np.array([0, 2, 3, -3, 0], np.int32))],
        rtol=NARROW,
        why="the reference rounds the reciprocal",
    ),
    unary("exp", jnp.exp),
    unary("exp2", lambda x: 2**x),
    unary("expm1", jnp.expm1, special=values(*EDGES, 1e-6)),
    Sample("expm1", lambda d: (d.array(5, low=-1e-3, high=1e-3),), jnp.expm1, label="small"),
    unary("log", jnp.log, 0.2, 3),
    unary("log1p", jnp.log1p, -0.5, 2, special=values(*EDGES, 1e-6)),
    Sample("log1p", lambda d: (d.array(5, low=-1e-3, high=1e-3),), jnp.log1p, label="small"),
    unary(
        "logistic", lambda x: 1 / (1 + jnp.exp(-x)), special=values(np.nan, np.inf, -np.inf, 0.0, 9.0, -9.0)
    ),
    unary("sin", jnp.sin),
    Sample("sin", lambda d: (d.array(2, 0),), jnp.sin, label="empty"),
    unary("cos", jnp.cos),
    unary("tan", jnp.tan, -1.2, 1.2),
    unary("asin", jnp.arcsin, -0.8, 0.8),
    unary("acos", jnp.arccos, -0.8, 0.8),
    unary("atan", jnp.arctan),
    binary(
        "atan2",
        lambda x, y: jnp.arctan(x / y) if jnp.iscomplexobj(x) else jnp.arctan2(x, y),
        0.3,
        2,
        special=pairs(
            (0.0, 1.0), (0.0, -1.0), (-0.0, -1.0), (1, 0), (np.inf, np.inf), (np.nan, 1), (1, -np.inf)
        ),
    ),
    Sample(
        "atan2",
        lambda d: (d.array(8, low=0.1), d.array(8, low=-2, high=-0.1)),
        jnp.arctan2,
        dtypes=REAL,
        label="left",
    ),
    unary("sinh", jnp.sinh),
    unary("cosh", jnp.cosh),
    unary("tanh", jnp.tanh),
    unary("asinh", jnp.arcsinh),
    unary("acosh", jnp.arccosh, 1.2, 3),
    unary("atanh", jnp.arctanh, -0.8, 0.8),
]

SAMPLES = [*ARITHMETIC, *TRANSCENDENTAL]
