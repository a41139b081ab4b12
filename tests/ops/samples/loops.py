"""Samples of `ir.ops.loops`. Bodies are typed, so there is one sample for each dtype."""

from jax import lax
from jax import numpy as jnp

import ir
from ir.ops.elementwise import add, mul, sin
from ir.types import dtype_named, i32
from tests.ops.sample import Sample


def _body(dtype: str) -> ir.Function:
    """consts w; carry (c, n); x -> carry (sin(c) w + x, n + n); y = c x."""
    vector = ir.TensorType((3,), dtype_named(dtype))
    scalar = ir.TensorType((), i32)

    def body(w, c, n, x):
        return add(mul(sin(c), w), x), add(n, n), mul(c, x)

    return ir.build([vector, vector, scalar, vector], body, "body")


def _reference(length: int, reverse: bool):
    def scanned(w, c, n, xs):
        def body(carry, x):
            c, n = carry
            return (jnp.sin(c) * w + x, n + n), c * x

        (c, n), ys = lax.scan(body, (c, n), xs, length=length, reverse=reverse)
        return c, n, ys

    return scanned


def _sample(dtype: str, length: int, reverse: bool, unroll: int = 1) -> Sample:
    return Sample(
        "scan",
        lambda d: (
            d.array(3),
            d.array(3),
            d.ints(low=1, high=3),
            d.array(length, 3),
        ),
        _reference(length, reverse),
        {
            "function": _body(dtype),
            "num_consts": 1,
            "num_carry": 2,
            "length": length,
            "reverse": reverse,
            "unroll": unroll,
        },
        (dtype,),
        f"{dtype}_{length}{'_reverse' if reverse else ''}{'_unrolled' if unroll > 1 else ''}",
    )


SAMPLES = [
    *[_sample(dtype, 4, reverse) for dtype in ("f32", "f64") for reverse in (False, True)],
    _sample("f64", 0, False),
    _sample("f64", 1, False),
    _sample("f64", 5, True, unroll=2),
]
