"""Samples of `ir.ops.while_record`."""

import numpy as np
from jax import numpy as jnp

from tests.ops.sample import Sample
from tests.ops.samples.while_loop import draw, functions, reference


def record(n, w, i, x, y):
    """Slots that are kept of (x, y), after every third trip, for at most nine trips."""
    outs = reference(n, w, i, x, y)
    xs, ys = [x], [y]
    for k in range(1, 4):
        _, a, b = reference(jnp.minimum(n, 3 * k), w, i, x, y)
        xs.append(jnp.where(3 * k < n, a, x))
        ys.append(jnp.where(3 * k < n, b, y))
    return (*outs, n.astype(np.int32), jnp.int32(3), jnp.stack(xs), jnp.stack(ys))


SAMPLES = [
    Sample(
        "while_record",
        draw(3, 9),
        record,
        {
            **functions("f64"),
            "num_cond_consts": 1,
            "num_body_consts": 1,
            "kept": (1, 2),
            "slots": (4, 1, 3),
        },
        ("f64",),
        derivative_rtol=np.inf,
        compare=lambda *outs: outs[:3],
        why="checkpoints have no derivatives of their own",
    ),
]
