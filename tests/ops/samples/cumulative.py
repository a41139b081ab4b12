"""Samples of `ir.ops.cumulative`."""

from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from tests.ops.sample import COMPLEX, INEXACT, INTEGER, NUMBER, REAL, Draw, Sample

SHAPES = (((5,), 0), ((2, 6), 1), ((8, 2), 0), ((3, 1), 1), ((0, 2), 0), ((2, 0), 0), ((2,), 0))


def _wide(x: Any) -> Any:
    """Narrow floats in float32: what is accumulated is rounded once."""
    narrow = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
    return x.astype(jnp.float32) if narrow else x


def _cumulative(
    name: str, function: Any, dtypes: tuple[str, ...], special: Any = None, distinct: bool = False
) -> list[Sample]:
    out = []
    for shape, axis in SHAPES:
        for reverse in (False, True):

            def reference(x: Any, axis: int = axis, reverse: bool = reverse) -> Any:
                wide = jnp.flip(_wide(x), axis) if reverse else _wide(x)
                if x.shape[axis]:
                    wide = lax.associative_scan(function, wide, axis=axis)
                return (jnp.flip(wide, axis) if reverse else wide).astype(x.dtype)

            def operands(d: Draw, shape: Any = shape) -> Any:
                return (d.distinct(*shape) if distinct else d.array(*shape),)

            out.append(
                Sample(
                    name,
                    operands,
                    reference,
                    attrs={"axis": axis, "reverse": reverse},
                    dtypes=dtypes,
                    label=f"{shape} along {axis}{' reversed' if reverse else ''}",
                    special=special if shape == (5,) else None,
                )
            )
    return out


def _vectors(*rows: Any) -> Any:
    def special(d: Draw) -> list[Any]:
        return [] if d.dtype.kind in "biu" else [(np.asarray(row).astype(d.dtype),) for row in rows]

    return special


def _logaddexp(x: Any, y: Any) -> Any:
    return jnp.logaddexp(x, y)


inf, nan = np.inf, np.nan
ZEROS = _vectors([1, 0, 2, 3, 4], [2, 0, 0, 3, 1], [0, 0, 0, 0, 0], [0, 1, 2, 3, 0])
TIES = _vectors([1, 1, 1, 1, 1], [2, 1, 2, 2, 3], [-1, -1, -2, -2, -2])
REALS = (*INTEGER, *REAL)
SAMPLES = [
    *_cumulative("cumsum", jnp.add, NUMBER, _vectors([1, inf, 2, -inf, 1], [1, nan, 1, 2, 3])),
    *_cumulative("cumprod", jnp.multiply, NUMBER, ZEROS),
    *_cumulative("cummax", jnp.maximum, REALS, TIES, distinct=True),
    *_cumulative("cummin", jnp.minimum, REALS, TIES, distinct=True),
    *_cumulative("cummax", jnp.maximum, COMPLEX, distinct=True),
    *_cumulative("cummin", jnp.minimum, COMPLEX, distinct=True),
    *_cumulative("cumlogsumexp", _logaddexp, INEXACT, _vectors([-inf, 1, 2, 1, 1], [60, -60, 0, 80, 80])),
]
