"""Products that contract axes: matmul, dot, tensordot, einsum and their kin."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ir.errors import ShapeError
from ir.ops.contraction import dot_general
from ir.ops.indexing import gather
from ir.ops.shape import iota
from ir.types import DType, i32
from tracer.numpy import elementwise as el
from tracer.numpy.dispatch import (
    broadcast_shapes,
    broadcast_to,
    lift,
    native,
    normalize_axis,
    record,
    reshaped,
)
from tracer.numpy.manipulation import moveaxis, ravel, same_dtype
from tracer.types import canonical
from tracer.value import Tensor


def precision_name(precision: Any) -> Any:
    """The IR's name of a JAX precision: None, a string, or a pair of strings."""
    if precision is None:
        return None
    if isinstance(precision, (tuple, list)):
        return tuple([precision_name(p) for p in precision])
    name = getattr(precision, "name", precision)
    return {"fastest": "default", "float32": "highest", "bfloat16": "default", "bfloat16_3x": "high"}.get(
        str(name).lower(), str(name).lower()
    )


def contract(
    x: Tensor,
    y: Tensor,
    contracting: tuple[tuple[int, ...], tuple[int, ...]],
    batch: tuple[tuple[int, ...], tuple[int, ...]] = ((), ()),
    precision: Any = None,
    preferred: DType | None = None,
) -> Tensor:
    """A `dot_general` of operands of one element type: axes are batch, free of x, free of y."""
    return record(
        dot_general,
        x,
        y,
        lhs_contract=contracting[0],
        rhs_contract=contracting[1],
        lhs_batch=batch[0],
        rhs_batch=batch[1],
        precision=precision_name(precision),
        preferred_type=preferred,
    )


def _pair(a: Any, b: Any, name: str, preferred: Any) -> tuple[Tensor, Tensor, DType | None]:
    x, y = same_dtype((a, b), name)
    return x, y, None if preferred is None else canonical(preferred)


@native(jnp.matmul)
def matmul(
    a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Any:
    """Matrix product, batched over leading axes that broadcast."""
    x, y, preferred = _pair(a, b, "matmul", preferred_element_type)
    inner_y = 0 if y.ndim == 1 else y.ndim - 2
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[inner_y]:
        raise ShapeError(
            f"matmul: expected contracted sizes to be equal, got {x.value.type} and {y.value.type}"
            if x.ndim and y.ndim
            else f"matmul: expected operands with at least one axis, got {x.value.type} and {y.value.type}"
        )
    if x.ndim <= 2 and y.ndim <= 2:
        return contract(x, y, ((x.ndim - 1,), (inner_y,)), precision=precision, preferred=preferred)
    if y.ndim <= 2:  # one matrix for the whole batch: a plain contraction
        return contract(x, y, ((x.ndim - 1,), (inner_y,)), precision=precision, preferred=preferred)
    vector = x.ndim == 1
    lead_x, lead_y = x.shape[:-2], y.shape[:-2]
    if x.ndim <= 2:
        out = contract(x, y, ((x.ndim - 1,), (inner_y,)), precision=precision, preferred=preferred)
        # (free x, batch of y, columns) -> (batch of y, free x, columns)
        return out if vector else moveaxis(out, 0, -2)
    batch = broadcast_shapes(lead_x, lead_y)
    x = broadcast_to(x, (*batch, *x.shape[-2:]))
    y = broadcast_to(y, (*batch, *y.shape[-2:]))
    dims = tuple(range(len(batch)))
    rank = len(batch) + 2
    return contract(x, y, ((rank - 1,), (rank - 2,)), (dims, dims), precision, preferred)


@native(jnp.dot)
def dot(
    a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Any:
    """The last axis of `a` with the second to last of `b`."""
    x, y, preferred = _pair(a, b, "dot", preferred_element_type)
    if x.ndim == 0 or y.ndim == 0:
        return el.multiply(x, y)
    inner = 0 if y.ndim == 1 else y.ndim - 2
    if x.shape[-1] != y.shape[inner]:
        raise ShapeError(f"dot: expected contracted sizes to be equal, got {x.value.type} and {y.value.type}")
    return contract(x, y, ((x.ndim - 1,), (inner,)), precision=precision, preferred=preferred)


@native(jnp.vdot)
def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Inner product of flattened arrays, the first conjugated."""
    return dot(
        el.conjugate(ravel(a)), ravel(b), precision=precision, preferred_element_type=preferred_element_type
    )


@native(jnp.inner)
def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Sum of products over the last axes."""
    x, y, preferred = _pair(a, b, "inner", preferred_element_type)
    if x.ndim == 0 or y.ndim == 0:
        return el.multiply(x, y)
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"inner: expected last axes of equal size, got {x.value.type} and {y.value.type}")
    return contract(x, y, ((x.ndim - 1,), (y.ndim - 1,)), precision=precision, preferred=preferred)


@native(jnp.outer)
def outer(a: Any, b: Any, out: None = None) -> Any:
    """Products of all pairs of elements."""
    x, y, _ = _pair(ravel(a), ravel(b), "outer", None)
    return el.multiply(reshaped(x, (x.size, 1)), reshaped(y, (1, y.size)))


@native(jnp.tensordot)
def tensordot(
    a: Any, b: Any, axes: Any = 2, *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """Contraction over given axes."""
    x, y, preferred = _pair(a, b, "tensordot", preferred_element_type)
    if isinstance(axes, int):
        left, right = tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))
    else:
        one, two = (axis if isinstance(axis, (tuple, list)) else (axis,) for axis in axes)
        left = tuple([normalize_axis(i, x.ndim, "tensordot") for i in one])
        right = tuple([normalize_axis(i, y.ndim, "tensordot") for i in two])
    if [x.shape[i] for i in left] != [y.shape[i] for i in right]:
        raise ShapeError(f"tensordot: axes {axes} of {x.value.type} and {y.value.type} differ in size")
    return contract(x, y, (left, right), precision=precision, preferred=preferred)


@native(jnp.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Any:
    """Sum of a diagonal."""
    from tracer.numpy.reductions import sum

    return sum(diagonal(a, offset, axis1, axis2), -1, dtype)


@native(jnp.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A diagonal of two axes, as the last axis."""
    import numpy as np

    t = lift(a)
    axes = normalize_axis(axis1, t.ndim, "diagonal"), normalize_axis(axis2, t.ndim, "diagonal")
    t = moveaxis(t, axes, (-2, -1))
    rows, columns = t.shape[-2:]
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    if offset or not length:
        i = np.arange(length)
        return t[..., i - min(offset, 0), i + max(offset, 0)]
    # Indices that passes know however many there are.
    pair = (t.ndim - 2, t.ndim - 1)
    return record(
        gather,
        t,
        record(iota, shape=(length, 2), dtype=i32, axis=0),
        offset_dims=tuple(range(t.ndim - 2)),
        collapsed_slice_dims=pair,
        start_index_map=pair,
        slice_sizes=(*t.shape[:-2], 1, 1),
        mode="promise_in_bounds",
        weak=t.weak,
    )


@native(jnp.diag)
def diag(v: Any, k: int = 0) -> Any:
    """The k-th diagonal of a matrix, or the matrix with a given one."""
    from tracer.numpy.creation import eye

    t = lift(v)
    if t.ndim == 2:
        return diagonal(t, k)
    if t.ndim != 1:
        raise ShapeError(f"diag: expected one or two axes, got {t.value.type}")
    from tracer.numpy.manipulation import pad

    n = t.size + abs(k)
    spread = pad(t, (max(k, 0), max(-k, 0)))
    zero = t.owner.scalar(0, t.value.type.dtype, ())
    return el.where(eye(n, k=k, dtype=bool), spread, zero)
