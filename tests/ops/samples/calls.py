"""Samples of `ir.ops.calls`. Bodies are typed, so there is one sample for each dtype."""

import jax
from jax import lax
from jax import numpy as jnp

import ir
from ir.ops.calls import Rule
from ir.ops.elementwise import add, cos, mul, sin
from ir.ops.reduce import reduce_sum
from ir.types import dtype_named
from tests.ops.sample import INEXACT, Sample

SHAPE = (2, 3)


def _types(dtype: str) -> list[ir.TensorType]:
    return [ir.TensorType(SHAPE, dtype_named(dtype))] * 2


def _body(dtype: str) -> ir.Function:
    """(x, y) -> (sin(x) y, sum of x)."""
    return ir.build(_types(dtype), lambda x, y: (mul(sin(x), y), reduce_sum(x, axes=(0,))), "body")


def _body_reference(x, y):
    return jnp.sin(x) * y, jnp.sum(x, axis=0, dtype=x.dtype)


def _product(dtype: str) -> ir.Function:
    return ir.build(_types(dtype), lambda x, y: mul(sin(x), y), "product")


def _jvp_rule(types):
    return ir.build(
        [*types, *types],
        lambda x, y, dx, dy: (mul(sin(x), y), add(mul(dx, mul(cos(x), y)), mul(dy, sin(x)))),
        "rule",
    )


SAMPLES = []
for _dtype in ("f32", "f64"):
    _draw = lambda d: (d.array(*SHAPE), d.array(*SHAPE))
    _jvp = ir.Opaque("product", Rule("product", _jvp_rule))
    SAMPLES += [
        Sample("call", _draw, _body_reference, {"function": _body(_dtype)}, (_dtype,), _dtype),
        Sample("fused", _draw, _body_reference, {"function": _body(_dtype)}, (_dtype,), _dtype),
        Sample(
            "custom_jvp_call",
            _draw,
            lambda x, y: jnp.sin(x) * y,
            {"function": _product(_dtype), "jvp": _jvp},
            (_dtype,),
            _dtype,
        ),
    ]
SAMPLES += [
    Sample("stop_gradient", lambda d: (d.array(*SHAPE),), lax.stop_gradient),
    Sample(
        "optimization_barrier",
        lambda d: (d.array(*SHAPE), d.array(2)),
        lambda x, y: tuple(lax.optimization_barrier((x, y))),
    ),
    Sample(
        "sharding_constraint",
        lambda d: (d.array(*SHAPE),),
        lambda x: x,
        {"sharding": ir.Opaque("device", jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0]))},
    ),
    Sample(
        "assume",
        lambda d: (d.array(2, 3, 3),),
        lambda x: x,
        {"properties": ("lower_triangular",)},
        INEXACT,
    ),
]
