"""Samples of `ir.ops.while_loop`. Bodies are typed, so there is one sample for each dtype."""

import jax
from jax import lax
from jax import numpy as jnp

import ir
from ir import transforms
from ir.ops.elementwise import add, lt, mul, sin
from ir.ops.shape import full
from ir.types import dtype_named, i32
from tests.ops.sample import Sample


def functions(dtype: str) -> dict[str, ir.Function]:
    """cond const n; body consts w; carry (i, x, y) -> (i + 1, w sin(x) + 0.5 y, y sin(x)) while i < n."""
    vector = ir.TensorType((3,), dtype_named(dtype))
    scalar = ir.TensorType((), i32)

    def body(w, i, x, y):
        half = full((3,), 0.5, vector.dtype)
        return add(i, full((), 1, i32)), add(mul(w, sin(x)), mul(half, y)), mul(y, sin(x))

    return {
        "cond": ir.build([scalar, scalar, vector, vector], lambda n, i, x, y: lt(i, n), "going"),
        "body": ir.build([vector, scalar, vector, vector], body, "body"),
    }


def reference(n, w, i, x, y):
    return lax.while_loop(
        lambda s: s[0] < n,
        lambda s: (s[0] + 1, w * jnp.sin(s[1]) + 0.5 * s[2], s[2] * jnp.sin(s[1])),
        (i, x, y),
    )


def trips(n, w, i, x, y):
    """The same with a bound, which JAX differentiates in reverse mode."""

    def body(s, _):
        i, x, y = s
        new = (i + 1, w * jnp.sin(x) + 0.5 * y, y * jnp.sin(x))
        return jax.tree.map(lambda a, b: jnp.where(i < n, a, b), new, s), None

    return lax.scan(body, (i, x, y), length=12)[0]


def draw(low: int, high: int, *lanes: int):
    return lambda d: (
        d.ints(*lanes, low=low, high=high),
        d.array(*lanes, 3),
        d.ints(*lanes, low=0, high=1),
        d.array(*lanes, 3),
        d.array(*lanes, 3),
    )


def _sample(dtype: str, low: int, high: int, **attrs) -> Sample:
    return Sample(
        "while_loop",
        draw(low, high),
        trips,
        {**functions(dtype), "num_cond_consts": 1, "num_body_consts": 1, **attrs},
        (dtype,),
        f"{dtype}_{low}{'_slots' if attrs else ''}",
    )


def in_lanes(size: int) -> dict[str, object]:
    made = {
        name: transforms.batch(f, [True] * len(f.params), size, all_results=True)[0]
        for name, f in functions("f64").items()
    }
    return {**made, "num_cond_consts": 1, "num_body_consts": 1, "lanes": (size,), "depths": (1, 1)}


SAMPLES = [
    _sample("f32", 3, 9),
    _sample("f64", 3, 9),
    _sample("f64", 0, 1),
    _sample("f64", 1, 2),
    _sample("f64", 9, 12, checkpoints=1),
    Sample("while_loop", draw(0, 6, 4), jax.vmap(trips), in_lanes(4), ("f64",), "lanes"),
]
