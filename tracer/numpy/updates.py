"""`x.at[...]`: functional updates and reads with a mode."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import numpy as np

from ir.errors import ArgumentError
from ir.types import i32
from tracer.numpy import arithmetic as ar
from tracer.numpy import elementwise as el
from tracer.numpy.creation import ones_like
from tracer.numpy.dispatch import convert, lift, reshaped
from tracer.numpy.indexing import Plan, fill_of, gathered, getitem, mode_named, plan, update
from tracer.value import Tensor


class Options(TypedDict, total=False):
    """Keywords of every update.

    Attributes:
      indices_are_sorted, unique_indices: what the caller promises of the indices.
      mode: what becomes of indices out of range: "drop" and "fill", "clip", "promise_in_bounds".
      wrap_negative_indices: whether negative indices count from the end.
      out_sharding: None.
    """

    indices_are_sorted: bool
    unique_indices: bool
    mode: Any
    wrap_negative_indices: bool
    out_sharding: None


def _checked(options: Options) -> dict[str, Any]:
    """Keywords of `getitem` and `update`."""
    given: dict[str, Any] = dict(options)
    if given.pop("out_sharding", None) is not None:
        raise ArgumentError("index: expected no out_sharding in a traced function, where XLA decides")
    unknown = sorted(given.keys() - Options.__annotations__.keys())
    if unknown:
        raise ArgumentError(f"index: expected keywords of {list(Options.__annotations__)}, got {unknown}")
    return {**given, "mode": mode_named(given.get("mode"))}


class At:
    """`x.at`: functional updates, `x.at[index].set(values)` and the like."""

    __slots__ = ("x",)

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __getitem__(self, index: Any) -> AtIndex:
        return AtIndex(self.x, index)


class AtIndex:
    """`x.at[index]`; each method returns a new array and takes the keywords of `Options`.

    Array indices out of range are dropped unless `mode` says otherwise; so are static ints where it does.
    """

    __slots__ = ("index", "x")

    def __init__(self, x: Tensor, index: Any) -> None:
        self.x = x
        self.index = index

    def set(self, values: Any, **options: Unpack[Options]) -> Any:
        """`x[index] = values`."""
        return update(self.x, self.index, values, "set", **_checked(options))

    def add(self, values: Any, **options: Unpack[Options]) -> Any:
        """`x[index] += values`; repeated indices add up."""
        return update(self.x, self.index, values, "add", **_checked(options))

    def subtract(self, values: Any, **options: Unpack[Options]) -> Any:
        """`x[index] -= values`."""
        return self.add(el.negative(values), **options)

    def multiply(self, values: Any, **options: Unpack[Options]) -> Any:
        """`x[index] *= values`."""
        return update(self.x, self.index, values, "multiply", **_checked(options))

    mul = multiply

    def divide(self, values: Any, **options: Unpack[Options]) -> Any:
        """`x[index] /= values`."""
        ones = lift(self.x).owner.scalar(1, self.x.value.type.dtype, self.x.shape, self.x.weak)
        return el.divide(self.x, update(ones, self.index, values, "multiply", **_checked(options)))

    def power(self, values: Any, **options: Unpack[Options]) -> Any:
        """`x[index] **= values`."""
        ones = ones_like(self.x)
        return ar.power(self.x, update(ones, self.index, values, "multiply", **_checked(options)))

    def min(self, values: Any, **options: Unpack[Options]) -> Any:
        """`x[index] = minimum(x[index], values)`."""
        return update(self.x, self.index, values, "min", **_checked(options))

    def max(self, values: Any, **options: Unpack[Options]) -> Any:
        """`x[index] = maximum(x[index], values)`."""
        return update(self.x, self.index, values, "max", **_checked(options))

    def apply(self, func: Any, **options: Unpack[Options]) -> Any:
        """`x[index] = func(x[index])`, as often as an index occurs; `func` takes and returns one number."""
        from tracer.api.loops import fori_loop, while_loop
        from tracer.api.vmap import vmap

        given = _checked(options)
        x, mode, wrap = lift(self.x), given["mode"], given.get("wrap_negative_indices", True)
        p = plan(self.index, x.shape, mode, wrap)
        # What lies outside is not written, whatever is read there.
        mode = mode or "fill"
        held = gathered(x, p, mode)
        if not held.size:
            return x

        def applied(v: Tensor) -> Tensor:
            new = lift(vmap(func)(reshaped(v, (v.size,))))
            return reshaped(convert(new, x.value.type.dtype, x.weak), v.shape)

        new = applied(held)
        often = 1 if given.get("unique_indices") else _most_often(p, mode)
        if often != 1:
            counts = update(x.owner.scalar(0, i32, x.shape), self.index, 1, "add", mode, wrap)
            times = gathered(counts, p, mode)

            def again(k: Any, v: Tensor) -> Tensor:
                chosen: Tensor = el.where(el.greater(times, k), applied(v), v)
                return chosen

            if often is not None:
                new = fori_loop(1, often, again, new)
            else:
                most = times.max()
                _, new = while_loop(lambda s: s[0] < most, lambda s: (s[0] + 1, again(*s)), (1, new))
        return self.set(new, **options)

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        wrap_negative_indices: bool = True,
        **options: Any,
    ) -> Any:
        """`x[index]`, with a mode for indices out of range.

        Args:
          indices_are_sorted, unique_indices, mode, wrap_negative_indices: as in `Options`.
          fill_value: what is read out of range in mode "fill".
          options: `out_sharding`, which must be None, and `strategy`, which tells JAX how to read and has
            no meaning here.
        """
        options.pop("strategy", None)
        _checked(options)  # type: ignore[arg-type]
        return getitem(
            self.x,
            self.index,
            mode_named(mode),
            fill_of(fill_value, self.x.value.type.dtype),
            wrap_negative_indices,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
        )


def _most_often(p: Plan, mode: str) -> int | None:
    """How often the index that repeats most occurs, where the indices are known."""
    if not p.arrays:
        return 1
    if p.known is None:
        return None
    vectors = p.vectors().reshape(-1, len(p.known))
    if mode == "clip":
        vectors = np.clip(vectors, 0, [p.expanded[axis] - 1 for axis in sorted(p.arrays)])
    return int(np.unique(vectors, axis=0, return_counts=True)[1].max(initial=1))


__all__ = ["At", "AtIndex", "Options"]
