"""Products of matrices and convolutions: unions over what is summed.

Terms whose other factor is a constant zero do not count.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ir.core import Array, Eqn
from ir.ops.contraction import free_dims
from ir.sparsity.propagate import Found, Known, Propagation, depends
from ir.sparsity.rules.windows import window_places
from ir.sparsity.sets import Ids

# Terms of a product with a constant that are followed one by one; with more of them, the constant counts as dense.
_TERMS: Final = 1 << 26


def _as_rows(x: Array, batch: tuple[int, ...], contract: tuple[int, ...]) -> Array:
    """`x` as [batch, free, contracted]."""
    free = free_dims(x.ndim, contract, batch)
    sizes = [int(np.prod([x.shape[d] for d in dims], dtype=np.int64)) for dims in (batch, free, contract)]
    return x.transpose(*batch, *free, *contract).reshape(sizes)


def _product(walk: Propagation, ids: Ids, other: Array | None, columns: int) -> Ids:
    """[batch, rows, columns] from sets [batch, rows, contracted] and a factor [batch, columns, contracted]."""
    batch, rows, depth = ids.shape
    nonzero = None if other is None else np.not_equal(other, 0)
    if nonzero is None or nonzero.all() or int(nonzero.sum()) * rows > _TERMS:
        found = walk.pool.rows(ids.reshape(batch * rows, depth)).reshape(batch, rows, 1)
        return np.broadcast_to(found, (batch, rows, columns))
    b, column, k = np.nonzero(nonzero)
    groups = (b * rows + np.arange(rows)[:, None]) * columns + column
    sets = ids[b, :, k].T
    return walk.pool.unite(groups.reshape(-1), sets.reshape(-1), batch * rows * columns).reshape(
        batch, rows, columns
    )


@depends("dot_general")
def _dot_general(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    attrs, shape = eqn.attrs, eqn.results[0].type.shape
    terms: list[Ids | None] = []
    for side, other in ((0, 1), (1, 0)):
        held = ids[side]
        if held is None:
            continue
        dims = [(attrs[f"{s}_batch"], attrs[f"{s}_contract"]) for s in ("lhs", "rhs")]
        rows = _as_rows(held, *dims[side])
        factor = known[other]
        x = eqn.operands[other].type
        columns = int(np.prod([x.shape[d] for d in free_dims(x.rank, *dims[other])], dtype=np.int64))
        out = _product(walk, rows, None if factor is None else _as_rows(factor, *dims[other]), columns)
        terms.append((out if side == 0 else out.transpose(0, 2, 1)).reshape(shape))
    return [walk.joined(terms)]


@depends("conv_general")
def _conv_general(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    terms: list[Ids | None] = []
    if ids[0] is not None:
        terms.append(_convolved(walk, eqn, ids[0], known[1]))
    if ids[1] is not None:
        terms.append(_by_kernel(walk, eqn, ids[1]))
    return [walk.joined(terms)]


def _convolved(walk: Propagation, eqn: Eqn, ids: Ids, kernel: Array | None) -> Ids:
    """By the image: the elements under a window, where the kernel is not a constant zero."""
    attrs = eqn.attrs
    out, rhs = eqn.results[0].type, eqn.operands[1].type
    if 0 in (out.size, ids.size, rhs.size):
        return np.zeros(out.shape, np.int32)
    image = ids.transpose(attrs["lhs_spec"])
    batch, features = image.shape[:2]
    shape = tuple([out.shape[d] for d in attrs["out_spec"]])
    taps = tuple([rhs.shape[d] for d in attrs["rhs_spec"][2:]])
    out_features, in_features = (rhs.shape[d] for d in attrs["rhs_spec"][:2])
    places = window_places(
        image.shape[2:],
        shape[2:],
        window_dimensions=taps,
        window_strides=attrs["window_strides"],
        padding=attrs["padding"],
        base_dilation=attrs["lhs_dilation"],
        window_dilation=attrs["rhs_dilation"],
    )
    flat = image.reshape(batch, features, -1)
    flat = np.concatenate([flat, np.zeros((batch, features, 1), np.int32)], axis=2)  # place -1
    weights = np.ones((out_features, in_features, len(places)), np.bool_)
    if kernel is not None:
        weights = np.not_equal(kernel.transpose(attrs["rhs_spec"]), 0).reshape(weights.shape)
    found = np.zeros((shape[0], out_features, places.shape[1]), np.int32)
    groups, batch_groups = attrs["feature_group_count"], attrs["batch_group_count"]
    each = out_features // (groups * batch_groups)
    known: dict[tuple[int, bytes], Ids] = {}
    for feature in range(out_features):
        group, mask = feature // each, weights[feature]
        key = (group, mask.tobytes())
        if key not in known:
            rows = slice(None) if batch_groups == 1 else slice(group * shape[0], (group + 1) * shape[0])
            first = group * in_features if batch_groups == 1 else 0
            sets = flat[rows, first : first + in_features][:, :, places]
            sets = sets.transpose(0, 3, 1, 2)[:, :, mask].reshape(shape[0] * places.shape[1], int(mask.sum()))
            known[key] = walk.pool.rows(sets).reshape(shape[0], -1)
        found[:, feature] = known[key]
    return found.reshape(shape).transpose(_inverse(attrs["out_spec"]))


def _by_kernel(walk: Propagation, eqn: Eqn, ids: Ids) -> Ids:
    """By the kernel: all that makes an output feature."""
    attrs, out = eqn.attrs, eqn.results[0].type
    if 0 in (out.size, ids.size):
        return np.zeros(out.shape, np.int32)
    kernel = ids.transpose(attrs["rhs_spec"])
    found = walk.pool.rows(kernel.reshape(kernel.shape[0], -1))
    shape: list[Any] = [1] * out.rank
    shape[attrs["out_spec"][1]] = found.size
    return np.broadcast_to(found.reshape(shape), out.shape)


def _inverse(perm: tuple[int, ...]) -> list[int]:
    return [int(d) for d in np.argsort(perm)]
