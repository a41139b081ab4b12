"""Samples of `ir.ops.sorting`."""

from typing import Any

import numpy as np
from jax import numpy as jnp

from tests.ops.sample import COMPLEX, INEXACT, INTEGER, ORDERED, REAL, Draw, Sample

inf, nan = np.inf, np.nan
KEYS = ("bool", *INTEGER, *INEXACT, "f8e4m3fn", "f8e5m2")


def _special(d: Draw) -> list[Any]:
    if d.dtype.kind in "biu":
        return [(np.zeros((3, 4), d.dtype),)]
    x = np.asarray([[0.0, nan, -0.0, 1.0], [inf, -inf, nan, 0.0], [1.0, 1.0, -1.0, 1.0]])
    return [(x.astype(d.dtype),)]


def _sort(shape: tuple[int, ...], axis: int, is_stable: bool) -> Sample:
    return Sample(
        "sort",
        lambda d: (d.distinct(*shape),),
        lambda x: jnp.sort(x, axis=axis, stable=is_stable),
        attrs={"axis": axis, "num_keys": 1, "is_stable": is_stable},
        dtypes=KEYS if is_stable else ("i32", "f64"),
        label=f"{shape} along {axis}{' stable' if is_stable else ''}",
        special=_special if shape == (3, 4) and is_stable else None,
    )


def _lexicographic(*keys: Any, axis: int) -> Any:
    parts = [p for k in keys for p in ((k.real, k.imag) if jnp.iscomplexobj(k) else (k,))]
    return jnp.lexsort(tuple(reversed(parts)), axis=axis)


def _payload(x: Any, y: Any) -> Any:
    order = _lexicographic(x, axis=0)
    return jnp.take_along_axis(x, order, 0), jnp.take_along_axis(y, order, 0)


def _two_keys(x: Any, y: Any, z: Any) -> Any:
    order = _lexicographic(x, y, axis=1)
    return tuple(jnp.take_along_axis(v, order, 1) for v in (x, y, z))


def _top_k(shape: tuple[int, ...], k: int) -> Sample:
    def reference(x: Any) -> Any:
        """Sorted in decreasing order, equals kept in order: by the flipped array's stable order."""
        order = jnp.flip(jnp.argsort(jnp.flip(x, -1), axis=-1, stable=True), -1)
        indices = (x.shape[-1] - 1 - order)[..., :k]
        return jnp.take_along_axis(x, indices, -1), indices.astype(np.int32)

    def special(d: Draw) -> list[Any]:
        rows = [(np.zeros(shape, d.dtype),)]
        if d.dtype.kind not in "biu":
            x = np.asarray([[0.0, nan, 2.0, 1.0], [inf, -inf, nan, nan], [1.0, 1.0, -1.0, 1.0]])
            rows.append((x.astype(d.dtype),))
        return rows

    return Sample(
        "top_k",
        lambda d: (d.distinct(*shape),),
        reference,
        attrs={"k": k},
        dtypes=ORDERED,
        label=f"{k} of {shape}",
        special=special if shape == (3, 4) else None,
    )


SAMPLES = [
    *(
        _sort(shape, axis, is_stable)
        for shape, axis in (((7,), 0), ((3, 4), 1), ((3, 4), 0), ((2, 1), 1), ((0, 2), 0), ((2, 0), 0))
        for is_stable in (True, False)
    ),
    Sample(
        "sort",
        lambda d: (d.distinct(5, 3), d.array(5, 3)),
        _payload,
        attrs={"axis": 0, "num_keys": 1, "is_stable": True},
        dtypes=(*ORDERED, *COMPLEX),
        label="with a payload",
        special=lambda d: [(np.ones((5, 3), d.dtype), d.array(5, 3))],
    ),
    Sample(
        "sort",
        lambda d: (d.ints(2, 6, low=0, high=2, dtype="u8"), d.distinct(2, 6), d.array(2, 6)),
        _two_keys,
        attrs={"axis": 1, "num_keys": 2, "is_stable": True},
        dtypes=(*REAL, *COMPLEX, "i32"),
        label="two keys",
    ),
    *(_top_k(shape, k) for shape, k in (((6,), 3), ((3, 4), 4), ((2, 3, 4), 1), ((2, 3), 0), ((0, 3), 2))),
]
