"""Samples of `ir.ops.cond`. Branches are typed, so there is one sample for each dtype."""

from jax import lax
from jax import numpy as jnp

import ir
from ir.ops.cond import cond  # noqa: F401 (declares the op)
from ir.ops.elementwise import add, cos, exp, mul, sin, sub
from ir.types import dtype_named, i32
from tests.ops.sample import Sample


def _branches(dtype: str) -> tuple[ir.Function, ...]:
    """(x, y, n) -> (a vector, an integer), each branch with residuals of its own."""
    vector = ir.TensorType((3,), dtype_named(dtype))
    types = [vector, vector, ir.TensorType((), i32)]
    return (
        ir.build(types, lambda x, y, n: (mul(sin(x), exp(sin(y))), n), "wave"),
        ir.build(types, lambda x, y, n: (x, add(n, n)), "same"),
        ir.build(types, lambda x, y, n: (sub(mul(x, mul(x, y)), cos(mul(x, y))), n), "product"),
    )


def _reference(index, x, y, n):
    return lax.switch(
        index,
        [
            lambda x, y, n: (jnp.sin(x) * jnp.exp(jnp.sin(y)), n),
            lambda x, y, n: (x, n + n),
            lambda x, y, n: (x * x * y - jnp.cos(x * y), n),
        ],
        x,
        y,
        n,
    )


def _lanes_reference(index, x, y, n):
    import jax

    return jax.vmap(_reference)(index, x, y, n)


def _batched(dtype: str, size: int) -> tuple[ir.Function, ...]:
    from ir import transforms

    return tuple([
        transforms.batch(b, [True] * 3, size, all_results=True)[0] for b in _branches(dtype)
    ])  # fmt: skip


def _sample(dtype: str, index: int) -> Sample:
    return Sample(
        "cond",
        lambda d: (jnp.asarray(index, "int32"), d.array(3), d.array(3), d.ints(low=1, high=3)),
        _reference,
        {"branches": _branches(dtype)},
        (dtype,),
        f"{dtype}_{index}",
    )


SAMPLES = [
    Sample(
        "cond",
        lambda d: (d.ints(low=0, high=3), d.array(3), d.array(3), d.ints(low=1, high=3)),
        _reference,
        {"branches": _branches(dtype)},
        (dtype,),
        dtype,
    )
    for dtype in ("f32", "f64")
]
SAMPLES += [_sample("f64", index) for index in (-1, 0, 1, 2, 7)]
SAMPLES += [
    Sample(
        "cond",
        lambda d: (d.ints(4, low=-1, high=4), d.array(4, 3), d.array(4, 3), d.ints(4, low=1, high=3)),
        _lanes_reference,
        {"branches": _batched("f64", 4), "lanes": (4,), "depths": (1, 1, 1)},
        ("f64",),
        "lanes",
    ),
    Sample(
        "cond",
        lambda d: (d.ints(low=0, high=3), d.array(3), d.array(3), d.ints(low=1, high=3)),
        lambda index, x, y, n: (jnp.sin(x) * jnp.exp(jnp.sin(y)), n),
        {"branches": _branches("f64")[:1]},
        ("f64",),
        "one_branch",
    ),
]
