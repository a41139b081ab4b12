"""A program while it is drawn: equations, and the value of each at the inputs it is going to be run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ir
from ir.core import Function, Value
from ir.op import Builder, building
from ir.types import TensorType

# Values stay within this, and move by no more than so many times what the inputs of the program move by.
LARGEST = 300.0
STEEPEST = 1e3
_NUDGE = 1e-7

# Of params: intervals of floats, tried in turn. Kinks and poles lie at 0 and 1, so that most avoid them.
_INTERVALS = ((0.5, 2.0), (-0.9, 0.9), (-2.0, 2.0), (1.1, 2.0), (0.2, 0.8))


class Untamed(Exception):
    """The step would make numbers that are too large, not finite, or too sensitive to the inputs."""


class Scope:
    """The body of a function that is drawn.

    Attributes:
      values: what later steps may use, in order.
      at: the array that each value is at the inputs; in a loop, in its first iteration.
      near: likewise at inputs that are close by.
    """

    def __init__(self, rng: np.random.Generator, outer: Scope | None = None) -> None:
        self.rng = rng
        self.outer = outer
        self.eqns: list[Any] = []
        self.params: list[Value] = []
        self.values: list[Value] = []
        self.at: dict[Value, Any] = {}
        self.near: dict[Value, Any] = {}
        self.given: list[Value] = []  # for a body: what is passed for its constants, outside

    def param(self, array: Any, near: Any, type_: TensorType) -> Value:
        """A param with the array that it is run on, and one close by."""
        value = Value(type_)
        self.params.append(value)
        self.values.append(value)
        self.at[value] = array
        self.near[value] = near
        return value

    def fresh(self, type_: TensorType, attempt: int = 0) -> Value:
        """A new param of the program; a body is given it from outside."""
        if self.outer is None:
            array = drawn(type_, self.rng, attempt)
            return self.param(array, nudged(array, self.rng), type_)
        given = self.outer.fresh(type_, attempt)
        return self.constant(given)

    def constant(self, given: Value) -> Value:
        """A value from outside, as a param of this body."""
        assert self.outer is not None
        self.given.append(given)
        return self.param(self.outer.at[given], self.outer.near[given], given.type)

    def step(
        self, build: Callable[..., Value | Sequence[Value]], *operands: Value, wild: bool = False
    ) -> tuple[Value, ...]:
        """Append what `build(*operands)` emits; its results.

        Raises:
          Untamed: the results are not tame, unless they may be wild. Nothing is appended.
        """
        builder = Builder()
        with building(builder):
            out = build(*operands)
        results = (out,) if isinstance(out, Value) else tuple(out)
        made = tuple([v for eqn in builder.eqns for v in eqn.results])
        known = tuple(dict.fromkeys(v for eqn in builder.eqns for v in eqn.operands if v in self.at))
        function = Function(known, tuple(builder.eqns), made, "step")
        with np.errstate(all="ignore"):
            found, near = [ir.evaluate(function, *[at[v] for v in known]) for at in (self.at, self.near)]
            if not wild and not all(map(tame, found, near)):
                raise Untamed
        self.eqns.extend(builder.eqns)
        self.at.update(zip(made, found, strict=True))
        self.near.update(zip(made, near, strict=True))
        for eqn in builder.eqns:
            if eqn.op.name != "constant":
                self.values.extend([v for v in eqn.results if v.type.dtype.kind != "key"])
        return results

    def function(self, results: Sequence[Value], name: str) -> Function:
        """The function as drawn."""
        return Function(tuple(self.params), tuple(self.eqns), tuple(results), name)


def drawn(type_: TensorType, rng: np.random.Generator, attempt: int = 0) -> Any:
    """An array of moderate numbers."""
    dtype, shape = type_.dtype, type_.shape
    if dtype.kind == "bool":
        return rng.random(shape) < 0.5
    if dtype.kind in ("int", "uint"):
        return rng.integers(0, 4, shape).astype(dtype.np)
    if dtype.kind == "key":
        return rng.integers(0, 2**32, (*shape, dtype.bits // 32)).astype(np.uint32)
    low, high = _INTERVALS[attempt % len(_INTERVALS)]
    out = np.asarray(rng.uniform(low, high, shape))
    if dtype.is_complex:
        out = out + 1j * rng.uniform(-0.5, 0.5, shape)
    return out.astype(dtype.np)


def tame(x: Any, near: Any) -> bool:
    """Whether a value is neither too large nor too sensitive."""
    if x.dtype.kind in "biu":
        return np.array_equal(x, near)
    if x.dtype.kind not in "fc" or not x.size:
        return True
    rounding = 1e3 * float(np.finfo(x.dtype).eps)
    return bool(np.abs(x).max() <= LARGEST and np.abs(x - near).max() <= STEEPEST * _NUDGE + rounding)


def nudged(x: Any, rng: np.random.Generator) -> Any:
    """Floats moved a little; the rest as it is."""
    if x.dtype.kind not in "fc":
        return x
    return np.asarray(x + _NUDGE * rng.uniform(-1, 1, x.shape)).astype(x.dtype)
