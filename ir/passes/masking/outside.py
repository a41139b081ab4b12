"""What is known of the elements of an array that lie outside the columns that are computed.

Where all columns outside are alike, one of them stands for all: an array with one column, computed by the same
equations as the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ir.core import Eqn, Value
from ir.op import Op
from ir.ops import elementwise as ew
from ir.ops.shape import full
from ir.types import TensorType


@dataclass(frozen=True)
class Outside:
    """What is known of the columns outside.

    Attributes:
      column: what each of them is, or with `exact=False` what none exceeds; None where nothing is known.
      guess: a number that is in `column` for usual operands.
      exact: whether they are equal to `column`.
      positive: whether they are known to be 0 or more.
      zero: whether they are known to be 0.
      like: an array with all columns that has the same ones outside.
      places: whether each is its own place among all columns.
    """

    column: Value | None = None
    guess: float = float("nan")
    exact: bool = True
    positive: bool = False
    zero: bool = False
    like: Value | None = None
    places: bool = False

    @property
    def one(self) -> Value:
        """`column`, where there is one."""
        assert self.column is not None
        return self.column

    @property
    def known(self) -> bool:
        """Whether they are all alike, and one of them is there."""
        return self.column is not None and self.exact

    @property
    def bounded(self) -> bool:
        """Whether only a bound of them is there."""
        return self.column is not None and not self.exact

    @property
    def likely_zero(self) -> bool:
        """Whether they are 0 for usual operands, and a look at `column` tells."""
        return self.zero or (self.column is not None and self.guess == 0 and (self.exact or self.positive))

    def below(self, column: Value, guess: float, *, positive: bool = False) -> Outside:
        """With another bound."""
        return replace(self, column=column, guess=guess, exact=False, positive=positive)


UNKNOWN = Outside()
PLACES = Outside(places=True)


def one_column(type: TensorType, dim: int) -> tuple[int, ...]:
    """The shape of a type with one column."""
    return tuple([1 if d == dim else n for d, n in enumerate(type.shape)])


def filled(type: TensorType, dim: int, number: float) -> Outside:
    """Columns that are one number."""
    column = full(one_column(type, dim), number, type.dtype)
    return Outside(column, number, positive=number >= 0, zero=number == 0)


def guess(eqn: Eqn, operands: list[float]) -> float:
    """A number that is in the results of an equation, given one for each operand."""
    if eqn.op.elementwise and eqn.op.eval is not None:
        values = zip(operands, eqn.operands, strict=True)
        with np.errstate(all="ignore"):
            arrays = [np.asarray(x).astype(v.type.dtype.np) for x, v in values]
            return float(np.asarray(eqn.op.eval(*arrays, **eqn.attrs)).real)
    return float(np.prod(operands))


# What these make of a bound is a bound of what they make; whether it is never negative.
RISING: dict[Op, bool] = {ew.exp: True, ew.exp2: True, ew.logistic: True, ew.tanh: False}

__all__ = ["PLACES", "RISING", "UNKNOWN", "Outside", "filled", "guess", "one_column"]
