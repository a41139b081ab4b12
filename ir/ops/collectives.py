"""Exchange between the lanes of a named axis: what `vmap(f, axis_name="i")` lets examples know of others.

    gathered = all_gather(x, index) {axis="i", lanes=4}

`index` is the number of the lane, the value that batching the function over that axis maps along it. So an op knows
the axis that it is about by this operand: where `index` is batched, the axis becomes an ordinary one and the op goes;
where only `x` is, that is some other axis, and the op stays. An axis that nobody batches over has no lanes to
exchange with: there is neither evaluation nor lowering.

Three ops are enough; sums, extrema and scattered sums over lanes are compositions of them (below), and so are their
derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from ir.core import Value
from ir.errors import EvaluationError
from ir.op import Op
from ir.ops.families import check, materialize, op
from ir.ops.reduce import reduce_max, reduce_min, reduce_sum
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    move_axis,
    reshape_to,
    slice_axis,
    zeros,
)
from ir.types import TensorType

NOT_BATCHED = "{name} over the axis {axis!r} has no meaning outside the vmap that maps this axis"


def _eval(name: str) -> Callable[..., NoReturn]:
    def evaluate(*arrays: Any, axis: str, **_: Any) -> NoReturn:
        raise EvaluationError(NOT_BATCHED.format(name=name, axis=axis))

    return evaluate


def _require_index(name: str, index: TensorType) -> None:
    check(
        index.rank == 0 and index.dtype.kind == "int", f"{name}: expected the number of the lane, got {index}"
    )


def _pushed(the_op: Callable[[], Any]) -> Callable[..., Any]:
    """Linear in the first operand; the second, a number, has no tangent."""
    return lambda tangents, operands, results, **attrs: (
        None if tangents[0] is None else the_op()(tangents[0], operands[1], **attrs),
    )


# All gather ---------------------------------------------------------------------------------------


def _gather_type(x: TensorType, index: TensorType, *, axis: str, lanes: int) -> TensorType:
    _require_index("all_gather", index)
    return x.with_shape((lanes, *x.shape))


def _gather_transpose(cts: Any, operands: Any, *, axis: str, lanes: int) -> Any:
    mine = all_to_all(cts[0], operands[1], axis=axis, lanes=lanes)
    return reduce_sum(mine, axes=(0,)), None


def _gather_batch(operands: Any, batched: Any, size: int, *, axis: str, lanes: int) -> Any:
    x, index = operands
    if not batched[1]:
        return (move_axis(all_gather(x, index, axis=axis, lanes=lanes), 1, 0),), (True,)
    return (materialize(x, batched[0], size),), (False,)


all_gather: Op = op(
    "all_gather",
    attrs=("axis", "lanes"),
    type=_gather_type,
    eval=_eval("all_gather"),
    jvp=_pushed(lambda: all_gather),
    transpose=_gather_transpose,
    batch=_gather_batch,
)


# All to all ---------------------------------------------------------------------------------------


def _exchange_type(x: TensorType, index: TensorType, *, axis: str, lanes: int) -> TensorType:
    _require_index("all_to_all", index)
    check(x.shape[:1] == (lanes,), f"all_to_all: expected a leading axis of {lanes}, got {x}")
    return x


def _exchange_batch(operands: Any, batched: Any, size: int, *, axis: str, lanes: int) -> Any:
    x, index = operands
    if not batched[1]:
        moved = all_to_all(move_axis(x, 0, 1), index, axis=axis, lanes=lanes)
        return (move_axis(moved, 1, 0),), (True,)
    if batched[0]:
        return (move_axis(x, 1, 0),), (True,)
    # All lanes hold the same: lane i gets the i-th part from each.
    shape = (lanes, *x.type.shape)
    return (broadcast_in_dim(x, shape=shape, dims=(0, *range(2, len(shape)))),), (True,)


all_to_all: Op = op(
    "all_to_all",
    attrs=("axis", "lanes"),
    type=_exchange_type,
    eval=_eval("all_to_all"),
    jvp=_pushed(lambda: all_to_all),
    transpose=lambda cts, operands, *, axis, lanes: (
        all_to_all(cts[0], operands[1], axis=axis, lanes=lanes),
        None,
    ),
    batch=_exchange_batch,
)


# Permutation --------------------------------------------------------------------------------------


def _send_type(
    x: TensorType, index: TensorType, *, axis: str, lanes: int, senders: tuple[int, ...]
) -> TensorType:
    _require_index("collective_permute", index)
    sent = [s for s in senders if s >= 0]
    check(
        len(senders) == lanes and len(set(sent)) == len(sent) and all(-1 <= s < lanes for s in senders),
        f"collective_permute: expected a sender, or -1, for each of {lanes} lanes, each once, got {senders}",
    )
    return x


def _send_transpose(cts: Any, operands: Any, *, axis: str, lanes: int, senders: tuple[int, ...]) -> Any:
    receivers = [-1] * lanes
    for receiver, sender in enumerate(senders):
        if sender >= 0:
            receivers[sender] = receiver
    back = collective_permute(cts[0], operands[1], axis=axis, lanes=lanes, senders=tuple(receivers))
    return back, None


def _send_batch(
    operands: Any, batched: Any, size: int, *, axis: str, lanes: int, senders: tuple[int, ...]
) -> Any:
    x, index = operands
    if not batched[1]:
        return (collective_permute(x, index, axis=axis, lanes=lanes, senders=senders),), (True,)
    return (_rows(materialize(x, batched[0], size), senders),), (True,)


def _rows(x: Value, senders: tuple[int, ...]) -> Value:
    """The rows of `x` in this order, zeros for -1; rows that follow each other are cut out as one slice."""
    parts: list[Value] = []
    start = 0
    while start < len(senders):
        first, stop = senders[start], start + 1
        while stop < len(senders) and senders[stop] == (first + stop - start if first >= 0 else -1):
            stop += 1
        count = stop - start
        shape = (count, *x.type.shape[1:])
        parts.append(
            slice_axis(x, 0, first, first + count) if first >= 0 else zeros(x.type.with_shape(shape))
        )
        start = stop
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=0)


collective_permute: Op = op(
    "collective_permute",
    attrs=("axis", "lanes", "senders"),
    type=_send_type,
    eval=_eval("collective_permute"),
    jvp=_pushed(lambda: collective_permute),
    transpose=_send_transpose,
    batch=_send_batch,
)


# Compositions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Axis:
    """A named axis inside the function that is mapped along it.

    Attributes:
      name: as the user wrote it, or told apart from that of an axis around it.
      lanes: its size.
      index: the number of the lane, a value of the function.
    """

    name: str
    lanes: int
    index: Value

    def gather(self, x: Value) -> Value:
        """`x` of all lanes along a new leading axis."""
        return all_gather(x, self.index, axis=self.name, lanes=self.lanes)  # type: ignore[no-any-return]

    def sum(self, x: Value) -> Value:
        """The sum of `x` over lanes."""
        return reduce_sum(self.gather(x), axes=(0,))  # type: ignore[no-any-return]

    def max(self, x: Value) -> Value:
        """The largest `x` of all lanes, element by element."""
        return reduce_max(self.gather(x), axes=(0,))  # type: ignore[no-any-return]

    def min(self, x: Value) -> Value:
        """The least `x` of all lanes, element by element."""
        return reduce_min(self.gather(x), axes=(0,))  # type: ignore[no-any-return]

    def permute(self, x: Value, senders: tuple[int, ...]) -> Value:
        """`x` of another lane, zeros for a sender of -1."""
        return collective_permute(  # type: ignore[no-any-return]
            x, self.index, axis=self.name, lanes=self.lanes, senders=senders
        )

    def exchange(self, x: Value) -> Value:
        """Part j along the leading axis goes to lane j; what comes from lane i becomes part i."""
        return all_to_all(x, self.index, axis=self.name, lanes=self.lanes)  # type: ignore[no-any-return]

    # As in JAX: with positions of axes, which `tiled` lets be parts of existing ones -----------------

    def gather_along(self, x: Value, position: int, *, tiled: bool) -> Value:
        """`x` of all lanes along a new axis, or one after the other along an axis that there is."""
        return _merged(move_axis(self.gather(x), 0, position), position, tiled)

    def exchange_along(self, x: Value, split: int, concat: int, *, tiled: bool) -> Value:
        """`x` is split along one axis among lanes; what comes is put together along another."""
        parted = move_axis(self._parted(x, split, tiled), split, 0)
        return _merged(move_axis(self.exchange(parted), 0, concat), concat, tiled)

    def sum_scattered(self, x: Value, position: int, *, tiled: bool) -> Value:
        """The sum over lanes of their parts for this lane, of `x` split along an axis."""
        parted = move_axis(self._parted(x, position, tiled), position, 0)
        return reduce_sum(self.exchange(parted), axes=(0,))  # type: ignore[no-any-return]

    def _parted(self, x: Value, position: int, tiled: bool) -> Value:
        shape = x.type.shape
        check(
            0 <= position < len(shape)
            and (shape[position] % self.lanes == 0 if tiled else shape[position] == self.lanes),
            f"expected axis {position} of {x.type} to have "
            f"{'a multiple of ' if tiled else ''}{self.lanes} elements, as many as there are lanes of {self.name!r}",
        )
        if not tiled:
            return x
        part = shape[position] // self.lanes
        return reshape_to(x, (*shape[:position], self.lanes, part, *shape[position + 1 :]))


def _merged(x: Value, position: int, tiled: bool) -> Value:
    if not tiled:
        return x
    shape = x.type.shape
    return reshape_to(x, (*shape[:position], shape[position] * shape[position + 1], *shape[position + 2 :]))


__all__ = ["NOT_BATCHED", "Axis", "all_gather", "all_to_all", "collective_permute"]
