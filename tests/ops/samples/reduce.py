"""Samples of `ir.ops.reduce`."""

from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from ir.op import build
from ir.ops.elementwise import add, and_, eq, gt, lt, max, mul, or_, select
from ir.types import TensorType, dtype_named
from tests.ops.sample import COMPLEX, INTEGER, NUMBER, ORDERED, Draw, Sample

BITS = ("bool", *INTEGER)
AXES = (((3, 4), (1,)), ((2, 3, 4), (0, 2)), ((3, 2), (1, 0)), ((2, 3), ()), ((), ()), ((1, 3), (0,)))
EMPTY = (((0, 3), (0,)), ((2, 0), (1, 0)), ((0, 3), (1,)))


def _reduction(name: str, reference: Any, dtypes: tuple[str, ...], draw: Any, **options: Any) -> list[Sample]:
    out = []
    for shape, axes in (*AXES, *EMPTY):
        out.append(
            Sample(
                name,
                lambda d, shape=shape: (draw(d, shape),),
                lambda x, axes=axes: reference(x, axes),
                attrs={"axes": axes},
                dtypes=dtypes,
                label=f"{shape} over {axes}",
                **(options if shape == (3, 4) else {}),
            )
        )
    return out


def _array(d: Draw, shape: Any) -> Any:
    return d.array(*shape)


def _distinct(d: Draw, shape: Any) -> Any:
    return d.distinct(*shape)


def _rounded_once(reduction: Any) -> Any:
    """Narrow floats in float32, everything else in its own type."""

    def reference(x: Any, axes: Any) -> Any:
        narrow = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
        wide = jnp.float32 if narrow else x.dtype
        return reduction(x.astype(wide), axis=axes, dtype=wide).astype(x.dtype)

    return reference


def _extremum(reduction: Any, bound: str) -> Any:
    def reference(x: Any, axes: Any) -> Any:
        if jnp.issubdtype(x.dtype, jnp.inexact):
            initial: Any = -np.inf if bound == "min" else np.inf
        elif x.dtype == np.bool_:
            initial = bound == "max"
        else:
            initial = getattr(jnp.iinfo(x.dtype), bound)
        return reduction(x, axis=axes, initial=jnp.asarray(initial, x.dtype))

    return reference


def _floats_with(*values: float) -> Any:
    """Matrices of shape (3, 4) that start with special values."""

    def special(d: Draw) -> list[Any]:
        if d.dtype.kind in "biu":
            return []
        x = d.array(3, 4)
        x.flat[: len(values)] = np.asarray(values).astype(d.dtype)
        return [(x,)]

    return special


def _bitwise(function: Any, initial: int) -> Any:
    def reference(x: Any, axes: Any) -> Any:
        start = jnp.asarray(initial).astype(x.dtype)
        return lax.reduce(x, start, function, axes)

    return reference


def _index(name: str) -> list[Sample]:
    out = []
    for dtype in ("i32", "u8", "i64"):
        for shape, axis in (((3, 4), 1), ((5,), 0), ((2, 1, 3), 1), ((0, 2), 1)):

            def reference(x: Any, axis: int = axis, dtype: str = dtype) -> Any:
                return getattr(jnp, name)(x, axis=axis).astype(dtype_named(dtype).np)

            def ties(d: Draw, shape: Any = shape, axis: int = axis) -> Any:
                x = d.array(*shape)
                special = [(np.zeros_like(x),)]
                if d.dtype.kind not in "biu" and shape == (3, 4):
                    x.flat[[1, 3, 4, 9]] = np.asarray([np.nan, np.inf, -np.inf, np.nan]).astype(d.dtype)
                    special.append((x,))
                return special

            out.append(
                Sample(
                    name,
                    lambda d, shape=shape: (d.distinct(*shape),),
                    reference,
                    attrs={"axis": axis, "dtype": dtype_named(dtype)},
                    dtypes=ORDERED,
                    label=f"{dtype} {shape} along {axis}",
                    special=ties,
                )
            )
    return out


def _general() -> list[Sample]:
    out = []
    for name in ("f32", "f64", "c128", "i32"):
        scalar = TensorType((), dtype_named(name))
        product = build([scalar] * 2, mul)
        one = np.ones((), scalar.dtype.np)
        for shape, axes in (*AXES, *EMPTY):
            out.append(
                Sample(
                    "reduce",
                    lambda d, shape=shape: (d.array(*shape),),
                    lambda x, axes=axes: jnp.prod(x, axis=axes, dtype=x.dtype),
                    attrs={"function": product, "axes": axes},
                    dtypes=(name,),
                    label=f"product {name} {shape} over {axes}",
                )
            )
            out[-1] = _with_inits(out[-1], one)
    for name in ("f32", "f64"):
        out.extend(_argmax_with_value(name))
    flags = build([TensorType((), dtype_named("bool"))] * 2, or_)
    any_ = Sample(
        "reduce",
        lambda d: (d.array(3, 4),),
        lambda x: jnp.any(x, axis=1),
        attrs={"function": flags, "axes": (1,)},
        dtypes=("bool",),
        label="any",
    )
    out.append(_with_inits(any_, np.zeros((), np.bool_)))
    return out


def _with_inits(sample: Sample, *inits: Any) -> Sample:
    """Add inits to the operands, which the reference does without."""
    count = len(inits)
    return Sample(
        sample.op,
        lambda d: (*sample.operands(d), *inits),
        lambda *operands: sample.reference(*operands[:count]),
        sample.attrs,
        sample.dtypes,
        sample.label,
    )


def _argmax_with_value(name: str) -> list[Sample]:
    """Two operands: the largest value and its index, the lower of equals."""
    value, index = TensorType((), dtype_named(name)), TensorType((), dtype_named("i32"))

    def later(x: Any, i: Any, y: Any, j: Any) -> Any:
        first = or_(gt(x, y), and_(eq(x, y), lt(i, j)))
        return select(first, x, y), select(first, i, j)

    function = build([value, index, value, index], later)
    out = []
    for shape, axes in (((3, 4), (1,)), ((2, 3, 2), (0, 1)), ((5, 1), (0,))):

        def reference(x: Any, i: Any, axes: Any = axes) -> Any:
            kept = [d for d in range(x.ndim) if d not in axes]
            moved = jnp.moveaxis(x, kept, range(len(kept))).reshape(*(x.shape[d] for d in kept), -1)
            places = jnp.moveaxis(i, kept, range(len(kept))).reshape(moved.shape)
            at = jnp.argmax(moved, axis=-1)[..., None]
            return jnp.max(moved, axis=-1), jnp.take_along_axis(places, at, -1)[..., 0]

        def operands(d: Draw, shape: Any = shape) -> Any:
            return d.distinct(*shape), np.arange(np.prod(shape), dtype=np.int32).reshape(shape)

        sample = Sample(
            "reduce",
            operands,
            reference,
            {"function": function, "axes": axes},
            (name,),
            f"value and index {name} {shape} over {axes}",
        )
        inits = np.asarray(-np.inf, value.dtype.np), np.asarray(np.iinfo(np.int32).max, np.int32)
        out.append(_with_inits(sample, *inits))
    total = build([value, value] * 2, lambda x, s, y, t: (max(x, y), add(s, t)))
    both = Sample(
        "reduce",
        lambda d: (d.distinct(3, 5), d.array(3, 5)),
        lambda x, y: (jnp.max(x, axis=0), jnp.sum(y, axis=0)),
        {"function": total, "axes": (0,)},
        (name,),
        f"maximum and sum {name}",
    )
    out.append(_with_inits(both, np.asarray(-np.inf, value.dtype.np), np.zeros((), value.dtype.np)))
    return out


SAMPLES = [
    *_reduction(
        "reduce_sum",
        _rounded_once(jnp.sum),
        NUMBER,
        _array,
        special=_floats_with(np.nan, 1.0, 2.0, 3.0, np.inf, 1.0, 2.0, 3.0, np.inf, -np.inf),
    ),
    *_reduction(
        "reduce_prod",
        _rounded_once(jnp.prod),
        NUMBER,
        _array,
        special=_floats_with(0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0),
    ),
    *_reduction(
        "reduce_max",
        _extremum(jnp.max, "min"),
        (*ORDERED, *COMPLEX),
        _distinct,
        special=_floats_with(1.0, 1.0, 1.0, -1.0, np.inf, 2.0, np.inf, 1.0, -np.inf, -1.0, -1.0, -2.0),
    ),
    *_reduction(
        "reduce_min",
        _extremum(jnp.min, "max"),
        (*ORDERED, *COMPLEX),
        _distinct,
        special=_floats_with(-1.0, -1.0, -1.0, 1.0, -np.inf, 2.0, -np.inf, 1.0, np.inf, 3.0, 3.0, 5.0),
    ),
    *(
        Sample(
            name,
            lambda d: (d.distinct(3, 4),),
            lambda x, reference=reference: reference(x, (1,)),
            attrs={"axes": (1,)},
            dtypes=("bf16", "f16", "f32", "f64"),
            label="nan",
            special=_floats_with(np.nan, 1.0, 2.0, 3.0, np.inf, np.nan, np.nan, 3.0, 0.0, -0.5, 0.5),
        )
        for name, reference in (
            ("reduce_max", _extremum(jnp.max, "min")),
            ("reduce_min", _extremum(jnp.min, "max")),
        )
    ),
    *_reduction("reduce_and", _bitwise(jnp.bitwise_and, -1), BITS, _array),
    *_reduction("reduce_or", _bitwise(jnp.bitwise_or, 0), BITS, _array),
    *_reduction("reduce_xor", _bitwise(jnp.bitwise_xor, 0), BITS, _array),
    *_index("argmax"),
    *_index("argmin"),
    *_general(),
]
