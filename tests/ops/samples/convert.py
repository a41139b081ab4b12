"""Samples of `ir.ops.convert`."""

from typing import Any

import numpy as np
from jax import numpy as jnp

from ir.types import dtype_named
from tests.ops.sample import DTYPES, INEXACT, INTEGER, NUMBER, REAL, Draw, Sample

FLOATING = (*INEXACT, "f8e4m3fn", "f8e5m2")
EVERY = ("bool", *NUMBER, "f8e4m3fn", "f8e5m2")

STEPS = {"derivative_rtol": 1e6, "why": "rounding is a step function, its derivative that of the identity"}


def converted(x: Any, dtype: Any) -> Any:
    """As `astype`, said with other ops where NumPy and XLA differ."""
    if dtype == np.bool_:
        return x != jnp.zeros_like(x)
    if jnp.iscomplexobj(x) and not np.issubdtype(dtype, np.complexfloating):
        x = jnp.real(x)
    if jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(dtype, jnp.integer):
        info = jnp.iinfo(dtype)
        wide = jnp.nan_to_num(jnp.trunc(x.astype(jnp.float64)), nan=0, posinf=np.inf, neginf=-np.inf)
        within = jnp.where((wide > float(info.min)) & (wide < float(info.max)), wide, 0).astype(dtype)
        low, high = jnp.full_like(within, info.min), jnp.full_like(within, info.max)
        return jnp.where(wide >= float(info.max), high, jnp.where(wide <= float(info.min), low, within))
    return x.astype(dtype)


def edges(d: Draw) -> list[tuple[Any, ...]]:
    """Out of range, between integers, not a number; imaginary."""
    if d.dtype.kind == "c":
        parts = [0.0, -0.0, 2.5, np.nan]
        return [(np.array([complex(x, y) for x in parts for y in parts]).astype(d.dtype),)]
    if d.dtype.kind in "biu" or d.dtype.itemsize == 1:
        return []
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 6e4, -6e4]
    special += [] if d.dtype == np.float16 else [1e30, -1e30]
    return [(np.array([*special, 3.7, -3.7, 300, -0.5, 255.9, 127.9, -128.9, 2.5]).astype(d.dtype),)]


def convert_to(name: str) -> Sample:
    to = np.dtype(DTYPES[name])
    return Sample(
        "convert",
        lambda d: (d.array(3, 4, low=-9, high=9),),
        lambda x, **_: converted(x, to),
        attrs={"dtype": dtype_named(name)},
        dtypes=EVERY,
        label=name,
        special=edges,
        **(STEPS if name in FLOATING and name not in ("f64", "c128") else {}),
    )


def bitcast(name: str, dtypes: tuple[str, ...], shape: tuple[int, ...] = (3, 2), label: str = "") -> Sample:
    return Sample(
        "bitcast_convert",
        lambda d: (d.array(*shape, low=-9, high=9),),
        lambda x, **_: x.view(DTYPES[name]),
        attrs={"dtype": dtype_named(name)},
        dtypes=dtypes,
        label=label or name,
    )


def apart(name: str, dtypes: tuple[str, ...], parts: int) -> Sample:
    """To a narrower type: a last axis is added, the low bits first."""
    return Sample(
        "bitcast_convert",
        lambda d: (d.array(3, 2, low=-9, high=9),),
        lambda x, **_: x[..., None].view(DTYPES[name]).reshape(3, 2, parts),
        attrs={"dtype": dtype_named(name)},
        dtypes=dtypes,
        label=f"apart_{name}",
    )


def joined(name: str, dtypes: tuple[str, ...], parts: int) -> Sample:
    """To a wider type: the last axis is taken away."""
    return Sample(
        "bitcast_convert",
        lambda d: (d.array(3, parts, low=-9, high=9),),
        lambda x, **_: x.view(DTYPES[name])[..., 0],
        attrs={"dtype": dtype_named(name)},
        dtypes=dtypes,
        label=f"joined_{name}",
    )


def reduce_precision(
    exponent_bits: int,
    mantissa_bits: int,
    dtypes: tuple[str, ...],
    reference: Any,
    shape: tuple[int, ...] = (3, 4),
    **options: Any,
) -> Sample:
    return Sample(
        "reduce_precision",
        lambda d: (d.array(*shape, low=-9, high=9),),
        reference,
        attrs={"exponent_bits": exponent_bits, "mantissa_bits": mantissa_bits},
        dtypes=dtypes,
        label=f"e{exponent_bits}m{mantissa_bits}{'' if shape else '_scalar'}",
        special=lambda d: [(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.1, -3.3]).astype(d.dtype),)],
        **options,
    )


SAMPLES = [
    *[convert_to(name) for name in EVERY],
    Sample(
        "convert",
        lambda d: (d.array(0, 2),),
        lambda x, **_: x.astype(np.float32),
        attrs={"dtype": dtype_named("f32")},
        dtypes=(*INTEGER, *INEXACT[:4]),
        label="empty",
    ),
    bitcast("u32", ("f32", "i32", "u32")),
    bitcast("f32", ("u32", "i32")),
    bitcast("u16", ("f16", "bf16")),
    bitcast("i64", ("f64", "u64")),
    bitcast("i8", ("u8", "f8e5m2"), (), "scalar"),
    bitcast("bool", ("bool",)),
    apart("u8", ("f32", "i32"), 4),
    apart("bf16", ("u32",), 2),
    joined("f32", ("u8", "i8"), 4),
    joined("u64", ("f32", "i32"), 2),
    reduce_precision(8, 7, ("f32",), lambda x, **_: x.astype(jnp.bfloat16).astype(x.dtype), **STEPS),
    reduce_precision(8, 7, ("f32",), lambda x, **_: x.astype(jnp.bfloat16).astype(x.dtype), (), **STEPS),
    reduce_precision(5, 10, ("f32",), lambda x, **_: x.astype(jnp.float16).astype(x.dtype), **STEPS),
    reduce_precision(11, 52, REAL, lambda x, **_: x),
]
