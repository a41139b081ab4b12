"""Samples of `ir.ops.shape`."""

from typing import Any

import numpy as np
from jax import numpy as jnp

from ir.core import Dense
from ir.types import dtype_named
from tests.ops.sample import NUMBER, Draw, Sample

ALL = ("bool", *NUMBER, "f8e4m3fn", "f8e5m2")


def _constants() -> list[Sample]:
    out = []
    for name in ("bool", "i8", "u64", "bf16", "f64", "c64", "f8e5m2"):
        dtype = dtype_named(name)
        scalar, matrix = np.asarray(1.5, dtype.np), np.arange(6).reshape(2, 3).astype(dtype.np)
        cases: list[tuple[str, Any, tuple[int, ...]]] = [
            ("scalar", scalar, ()),
            ("splat", scalar, (2, 3)),
            ("empty", scalar, (0, 3)),
            ("dense", matrix, (2, 3)),
        ]
        for label, value, shape in cases:
            attrs = {"value": Dense(value), "shape": shape}

            def reference(value: Any = value, shape: Any = shape) -> Any:
                return jnp.broadcast_to(jnp.asarray(value), shape)

            out.append(
                Sample("constant", lambda d: (), reference, attrs, dtypes=(name,), label=f"{label} {name}")
            )
    return out


def _iotas() -> list[Sample]:
    out = []
    for name in ("i8", "u32", "i64", "bf16", "f32", "f64", "c64"):
        dtype = dtype_named(name)
        for shape, axis in (((4,), 0), ((2, 3), 1), ((3, 1, 2), 0), ((2, 0), 1), ((1,), 0)):
            attrs = {"shape": shape, "dtype": dtype, "axis": axis}

            def reference(shape: Any = shape, axis: int = axis, dtype: Any = dtype) -> Any:
                counted = jnp.arange(shape[axis]).astype(dtype.np)
                return jnp.moveaxis(
                    jnp.broadcast_to(counted, (*shape[:axis], *shape[axis + 1 :], shape[axis])), -1, axis
                )

            label = f"{name} {shape} along {axis}"
            out.append(Sample("iota", lambda d: (), reference, attrs, dtypes=(name,), label=label))
    return out


def _broadcast(label: str, shape: tuple[int, ...], to: tuple[int, ...], dims: tuple[int, ...]) -> Sample:
    def reference(x: Any) -> Any:
        expanded = jnp.expand_dims(x, [d for d in range(len(to)) if d not in dims])
        return jnp.broadcast_to(expanded, to)

    attrs = {"shape": to, "dims": dims}
    return Sample("broadcast_in_dim", lambda d: (d.array(*shape),), reference, attrs, ALL, label)


def _reshape(shape: tuple[int, ...], to: tuple[int, ...]) -> Sample:
    return Sample(
        "reshape",
        lambda d: (d.array(*shape),),
        lambda x: jnp.reshape(x, to),
        attrs={"shape": to},
        dtypes=ALL,
        label=f"{shape} to {to}",
    )


def _transpose(shape: tuple[int, ...], perm: tuple[int, ...]) -> Sample:
    return Sample(
        "transpose",
        lambda d: (d.array(*shape),),
        lambda x: jnp.transpose(x, perm),
        attrs={"perm": perm},
        dtypes=ALL,
        label=f"{shape} by {perm}",
    )


def _rev(shape: tuple[int, ...], axes: tuple[int, ...]) -> Sample:
    return Sample(
        "rev",
        lambda d: (d.array(*shape),),
        lambda x: jnp.flip(x, axes) if axes else x,
        attrs={"axes": axes},
        dtypes=ALL,
        label=f"{shape} along {axes}",
    )


def _concatenate(axis: int, *shapes: tuple[int, ...]) -> Sample:
    def operands(d: Draw) -> Any:
        return [d.array(*shape) for shape in shapes]

    return Sample(
        "concatenate",
        operands,
        lambda *xs: jnp.concatenate(xs, axis),
        attrs={"axis": axis},
        dtypes=ALL,
        label=" ".join(map(str, (*shapes, axis))),
    )


def _padded(x: Any, value: Any, config: Any) -> Any:
    """Written with index arithmetic: where each element of the operand goes."""
    for axis, (low, high, interior) in enumerate(config):
        size = x.shape[axis]
        out = low + high + size + max(size - 1, 0) * interior
        at = low + np.arange(size) * (interior + 1)
        kept = (at >= 0) & (at < out)
        moved = jnp.moveaxis(x, axis, 0)
        base = jnp.broadcast_to(value.astype(x.dtype), (out, *moved.shape[1:]))
        x = jnp.moveaxis(base.at[at[kept]].set(moved[np.flatnonzero(kept)]), 0, axis)
    return x


def _pad(shape: tuple[int, ...], *config: tuple[int, int, int]) -> Sample:
    return Sample(
        "pad",
        lambda d: (d.array(*shape), d.array()),
        lambda x, value: _padded(x, value, config),
        attrs={"config": config},
        dtypes=ALL,
        label=f"{shape} by {config}",
    )


def _slice(shape: tuple[int, ...], starts: Any, limits: Any, strides: Any) -> Sample:
    where = tuple(map(slice, starts, limits, strides))
    return Sample(
        "slice",
        lambda d: (d.array(*shape),),
        lambda x: x[where],
        attrs={"starts": starts, "limits": limits, "strides": strides},
        dtypes=ALL,
        label=f"{shape} {starts} {limits} {strides}",
    )


SAMPLES = [
    *_constants(),
    *_iotas(),
    _broadcast("scalar", (), (2, 3), ()),
    _broadcast("new axes", (3,), (2, 3, 4), (1,)),
    _broadcast("stretched", (1, 3), (2, 3), (0, 1)),
    _broadcast("kept size 1", (1, 3), (1, 2, 3), (0, 2)),
    _broadcast("to empty", (1, 3), (0, 3), (0, 1)),
    _broadcast("of empty", (0,), (2, 0), (1,)),
    _broadcast("nothing", (2, 3), (2, 3), (0, 1)),
    _reshape((2, 6), (3, 4)),
    _reshape((1,), ()),
    _reshape((), (1, 1)),
    _reshape((0, 3), (2, 0)),
    _transpose((2, 3, 4), (2, 0, 1)),
    _transpose((2, 3, 1), (0, 2, 1)),
    _transpose((), ()),
    _transpose((0, 2), (1, 0)),
    _rev((2, 3), (1,)),
    _rev((2, 3, 2), (2, 0)),
    _rev((3,), ()),
    _rev((0, 1), (0, 1)),
    _concatenate(0, (2,), (3,)),
    _concatenate(1, (2, 3), (2, 1), (2, 0), (2, 2)),
    _concatenate(0, (1, 2)),
    _concatenate(0, (0, 2), (0, 2)),
    _pad((2, 3), (1, 2, 0), (0, 0, 1)),
    _pad((4, 3), (-1, 1, 0), (2, -2, 2)),
    _pad((3,), (-5, 10, 0)),
    _pad((3,), (-1, -1, 2)),
    _pad((5,), (1, -3, 1)),
    _pad((0, 1), (2, 1, 3), (0, 1, 2)),
    _pad((2,), (0, 0, 0)),
    _pad((3,), (-2, -1, 0)),
    _pad(()),
    _slice((5, 4), (1, 0), (4, 4), (1, 1)),
    _slice((7, 4), (1, 0), (7, 3), (3, 2)),
    _slice((5,), (2,), (2,), (1,)),
    _slice((6,), (1,), (5,), (7,)),
    _slice((0, 1), (0, 0), (0, 1), (2, 2)),
    _slice((), (), (), ()),
]
