"""Samples of `ir.ops.windows`."""

from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from tests.ops.sample import NUMBER, ORDERED, REAL, Draw, Sample

Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def _window(
    size: Shape, strides: Shape = (), padding: Pairs = (), base: Shape = (), window: Shape = ()
) -> dict[str, Any]:
    ones = (1,) * len(size)
    return {
        "window_dimensions": size,
        "window_strides": strides or ones,
        "padding": padding or ((0, 0),) * len(size),
        "base_dilation": base or ones,
        "window_dilation": window or ones,
    }


# By label: the shape of the operand and the window.
CASES: dict[str, tuple[Shape, dict[str, Any]]] = {
    "plain": ((5,), _window((2,))),
    "pool": ((2, 4, 6, 1), _window((1, 2, 3, 1), (1, 2, 3, 1))),
    "overlap": ((5, 6), _window((3, 2), (2, 1), ((1, 1), (0, 1)))),
    "base-dilation": ((3, 3), _window((4, 3), (1, 2), ((0, 1), (1, 0)), base=(3, 2))),
    "window-dilation": ((7, 5), _window((2, 3), (2, 1), ((1, 0), (0, 0)), window=(3, 2))),
    "both-dilations": ((5,), _window((4,), (2,), ((1, 2),), base=(2,), window=(3,))),
    "cropped": ((8,), _window((2,), (2,), ((-1, -2),))),
    "one": ((1, 1), _window((1, 1))),
    "empty": ((0, 3), _window((1, 2))),
    "too-large": ((2,), _window((3,))),
    "padding-only": ((3,), _window((2,), (1,), ((3, 2),))),
    "scalar": ((), _window(())),
}


def _least(x: Any, *, largest: bool = False) -> Any:
    if x.dtype == jnp.bool_:
        return np.asarray(largest)
    if jnp.issubdtype(x.dtype, jnp.integer):
        info = jnp.iinfo(x.dtype)
        return np.asarray(info.max if largest else info.min, x.dtype)
    return np.asarray(np.inf if largest else -np.inf, x.dtype)


def _reduce(x: Any, init: Any, combine: Any, padding: Pairs, **window: Any) -> Any:
    """Without negative padding and rank 0, of which JAX has no derivatives."""
    if not x.ndim:
        return x
    x = x[
        tuple(slice(max(-low, 0), n - max(-high, 0)) for n, (low, high) in zip(x.shape, padding, strict=True))
    ]
    kept = tuple((max(low, 0), max(high, 0)) for low, high in padding)
    return lax.reduce_window(x, init, combine, padding=kept, **window)


def _sum(x: Any, **window: Any) -> Any:
    return _reduce(x, np.zeros((), x.dtype), lax.add, **window)


def _max(x: Any, **window: Any) -> Any:
    return _reduce(x, _least(x), lax.max, **window)


def _min(x: Any, **window: Any) -> Any:
    return _reduce(x, _least(x, largest=True), lax.min, **window)


def _apart(d: Draw, shape: Shape) -> Any:
    return d.array(*shape) if d.dtype == np.bool_ else d.distinct(*shape)


def _special(d: Draw) -> Any:
    if d.dtype.kind not in "fV":
        return []
    return [(np.array([np.nan, 1, np.inf, -np.inf, 0]).astype(d.dtype),)]


def _reductions(op: str, function: Any, dtypes: tuple[str, ...], labels: Any = CASES) -> list[Sample]:
    return [
        Sample(
            op,
            lambda d, shape=shape: (_apart(d, shape),),
            lambda x, window=window: function(x, **window),
            attrs=window,
            label=label,
            # A window of padding only is infinite: no finite differences.
            dtypes=("f32",) if label == "padding-only" else dtypes,
            special=_special if label == "plain" else None,
        )
        for label in labels
        for shape, window in [CASES[label]]
    ]


def _gathers(select: str, function: Any, labels: Any = CASES) -> list[Sample]:
    return [
        Sample(
            "select_and_gather_add",
            lambda d, shape=shape: (d.array(*shape), _apart(d, shape)),
            lambda t, x, window=window: jax.jvp(lambda x: function(x, **window), (x,), (t,))[1],
            attrs={"select": select, **window},
            label=f"{select}-{label}",
            dtypes=REAL,
        )
        for label in labels
        for shape, window in [CASES[label]]
    ]


def _scatters(select: str, function: Any, labels: Any = CASES) -> list[Sample]:
    samples = []
    for label in labels:
        shape, full = CASES[label]
        if "dilation" in label:
            continue
        window = {name: v for name, v in full.items() if "dilation" not in name}
        out = jax.eval_shape(
            lambda x, w=window: function(x, **w), jax.ShapeDtypeStruct(shape, np.float32)
        ).shape
        samples.append(
            Sample(
                "select_and_scatter_add",
                lambda d, shape=shape, out=out: (d.array(*out), _apart(d, shape)),
                lambda ct, x, window=window: jax.vjp(lambda x: function(x, **window), x)[1](ct)[0],
                attrs={"select": select, **window},
                label=f"{select}-{label}",
                dtypes=REAL,
            )
        )
    return samples


# With one element in each window the result is linear in both operands, which is not the rule.
_CHOICES = tuple(label for label in CASES if label not in ("one", "scalar"))

SAMPLES = [
    *_reductions("reduce_window_sum", _sum, NUMBER),
    *_reductions("reduce_window_max", _max, ORDERED),
    *_reductions("reduce_window_min", _min, ORDERED, ("plain", "overlap", "both-dilations", "cropped")),
    *_gathers("ge", _max, _CHOICES),
    *_gathers("le", _min, ("overlap", "both-dilations", "cropped")),
    *_scatters("ge", _max, _CHOICES),
    *_scatters("le", _min, ("overlap", "cropped")),
]
