"""Samples of `ir.ops.replay`."""

import jax
from jax import lax
from jax import numpy as jnp

import ir
from ir import transforms
from ir.ops.elementwise import add, mul, sin
from ir.types import f64
from tests.ops.sample import Sample

VECTOR = ir.TensorType((3,), f64)


def _functions() -> dict[str, ir.Function]:
    """const w; state x -> w sin(x); fold (u, s) -> (u sin(x), s + w u), linear in (u, s)."""
    return {
        "forward": ir.build([VECTOR] * 2, lambda w, x: mul(w, sin(x)), "forward"),
        "step": ir.build([VECTOR] * 4, lambda w, x, u, s: (mul(u, sin(x)), add(s, mul(w, u))), "step"),
    }


def _reference(reverse: bool):
    def run(n, w, x, u, s):
        def forward(x, k):
            return jnp.where(k < n, w * jnp.sin(x), x), x

        _, states = lax.scan(forward, x, jnp.arange(12))

        def step(c, kx):
            (u, s), (k, x) = c, kx
            return jax.tree.map(lambda a, b: jnp.where(k < n, a, b), (u * jnp.sin(x), s + w * u), c), None

        return lax.scan(step, (u, s), (jnp.arange(12), states), reverse=reverse)[0]

    return run


def _sample(label: str, n: int, slots: tuple[int, int, int], reverse: bool) -> Sample:
    return Sample(
        "replay",
        lambda d: (d.ints(low=n, high=n + 1), *[d.array(3) for _ in range(4)]),
        _reference(reverse),
        {**_functions(), "num_consts": 1, "num_state": 1, "slots": slots, "reverse": reverse},
        ("f64",),
        label,
    )


def _in_lanes(size: int, reverse: bool) -> dict[str, object]:
    made = {
        name: transforms.batch(f, [True] * len(f.params), size, all_results=True)[0]
        for name, f in _functions().items()
    }
    return {
        **made,
        "num_consts": 1,
        "num_state": 1,
        "slots": (4, 1, 2),
        "reverse": reverse,
        "lanes": (size,),
        "depths": (1,),
    }


SAMPLES = [
    _sample("forwards", 5, (2, 1, 2), False),
    _sample("reverse", 7, (128, 32, 128), True),
    _sample("reverse_few_slots", 11, (2, 1, 1), True),
    *[
        Sample(
            "replay",
            lambda d: (d.ints(4, low=0, high=6), *[d.array(4, 3) for _ in range(4)]),
            jax.vmap(_reference(reverse)),
            _in_lanes(4, reverse),
            ("f64",),
            f"lanes_{'reverse' if reverse else 'forwards'}",
        )
        for reverse in (False, True)
    ],
]
