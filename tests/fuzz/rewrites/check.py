"""One program with passes on and off: values, gradients, bits, cost, and what passes keep."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import ir
from ir.core import Function, inner_first
from ir.passes.dce import dce
from ir.passes.pipeline import Pass, optimize, simplify_inner
from ir.passes.rolling import roll, roll_exact
from ir.passes.simplify import stabilize
from ir.transforms import guarded, value_and_grad
from tests.fuzz.rewrites.cost import dearer
from tests.fuzz.rewrites.draw import Drawn
from tests.fuzz.rewrites.ways import COSTLY, WAYS, passes
from tests.fuzz.rounding import noisy
from tests.passes import theorems

TOLERANCE = 1e-9
# Where each operation rounds a little differently and results move by a part of the tolerance, rounding decides.
_NOISE = 2.0**-52
_SHARE = 0.02


@dataclass(frozen=True)
class Failure:
    """What does not hold for a program.

    Attributes:
      kind: the check, and with which passes.
      detail: what came instead.
    """

    kind: str
    detail: str


class Discarded(Exception):
    """There is nothing to compare: rounding decides, or derivatives are not finite."""


def gradient(drawn: Drawn, way: str, *, cheap: bool = False) -> Function:
    """params -> (loss, results, gradients), as the tracer makes it under these passes before it optimises it.

    With passes off too it simplifies what it differentiates, and so settles in which order cotangents are added.

    Args:
      cheap: without the rules that give back digits for operations.
    """
    function = guarded(drawn.loss, drawn.wrt, 1)
    if way == "exact":
        function = roll_exact(function, 1)
    elif way != "off":
        function = roll(function, 1)
        function = function if cheap else stabilize(function)
    return simplify_inner(value_and_grad(simplify_inner(function), drawn.wrt))


class Check:
    """The checks of programs.

    Attributes:
      fired: how often each rule was applied, by its name.
    """

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()

    def failures(self, drawn: Drawn, ways: Sequence[str] = WAYS) -> Iterator[Failure]:
        """What does not hold for the program.

        Raises:
          Discarded: nothing can be compared.
        """
        plain = drawn.function
        yield from self._same("value", lambda way, cheap: plain, drawn, ways)
        if any(drawn.wrt):
            made = functools.partial(gradient, drawn)
            yield from self._same("gradient", lambda way, cheap: made(way, cheap=cheap), drawn, ways)

    def _same(
        self, what: str, made: Callable[[str, bool], Function], drawn: Drawn, ways: Sequence[str]
    ) -> Iterator[Failure]:
        off = dce(optimize(made("off", False), passes("off")))
        want = ir.evaluate(off, *drawn.inputs)
        if not all(np.isfinite(x).all() for x in want if x.dtype.kind in "fc"):
            raise Discarded("not finite")
        for way in ways:
            label = f"{what}, {way}"
            held = self.fired.copy()
            done = _run(made(way, False), passes(way, self.fired))
            if isinstance(done, Failure):
                yield Failure(f"{label}: {done.kind}", done.detail)
                continue
            got = ir.evaluate(done, *drawn.inputs)
            wrong = (
                different_bits(got, want, signs=not orderless(off))
                if way == "exact"
                else difference(got, want)
            )
            if wrong is not None and way != "exact" and _moves(off, drawn.inputs, want):
                raise Discarded("rounding decides")
            if wrong is not None:
                yield Failure(label, wrong)
            again = _run(done, passes(way))
            if isinstance(again, Failure):
                yield Failure(f"{label}: again, {again.kind}", again.detail)
                continue
            yield from [Failure(f"{label}: again, {what}", grown) for what, grown in dearer(done, again)]
            # A result that is right is worth an operation: cost is compared without the rules for those.
            if any(self.fired[name] > held[name] for name in COSTLY) or (
                what == "gradient" and way != "exact"
            ):
                cheap = _run(made(way, True), passes(way, cheap=True))
                assert not isinstance(cheap, Failure), cheap
                done = cheap
            yield from [Failure(f"{label}: {what}", grown) for what, grown in dearer(off, done)]


def _run(function: Function, chosen: Sequence[Pass]) -> Function | Failure:
    """The function after the passes, verified after each."""
    for each in chosen:
        try:
            changed = each(function)
            if changed is not function:
                ir.verify(changed)
            function = changed
        except ir.errors.TracerError as error:
            return Failure(each.__name__, f"{type(error).__name__}: {error}")
    return function


# Values -------------------------------------------------------------------------------------------


def difference(got: Sequence[Any], want: Sequence[Any], rtol: float = TOLERANCE) -> str | None:
    """Where results differ by more than so much of their size, or None."""
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"result {i}: {b.dtype}{b.shape} became {a.dtype}{a.shape}"
        if a.dtype.kind not in "fc":
            if not np.array_equal(a, b):
                return f"result {i}: {b.tolist()} became {a.tolist()}"
        elif a.size:
            off = np.abs(a - b)
            bound = rtol * (np.abs(b) + float(np.abs(b).max()) + 1e-3)
            if not np.all(off <= bound):
                place = np.unravel_index(int(np.nanargmax(np.nan_to_num(off / bound, nan=np.inf))), off.shape)
                return f"result {i}: {b[place]!r} became {a[place]!r} at {tuple(map(int, place))}"
    return None


def orderless(function: Function) -> bool:
    """Whether something in the function promises no sign of zero; see `theorems.ORDERLESS`."""
    return any(theorems.orderless(each) for each in inner_first(function))


def different_bits(got: Sequence[Any], want: Sequence[Any], *, signs: bool = True) -> str | None:
    """Where results differ in a bit, or None; signs of zeros are told apart if so asked."""
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if not signs and a.dtype.kind in "fc":
            a, b = a + 0, b + 0  # (-0.0 + 0 is 0.0)
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"result {i}: {b.dtype}{b.shape} became {a.dtype}{a.shape}"
        if a.tobytes() != b.tobytes():
            bits = [np.frombuffer(x.tobytes(), np.uint8).reshape(x.size, -1) for x in (a, b)]
            at = int(np.argmax((bits[0] != bits[1]).any(axis=1)))
            return f"result {i}: {b.reshape(-1)[at]!r} became {a.reshape(-1)[at]!r} at element {at}"
    return None


def _moves(function: Function, inputs: Sequence[Any], want: Sequence[Any]) -> bool:
    """Whether results move when each operation rounds a little differently."""
    for seed in range(4):
        near = ir.evaluate(noisy(function, random.Random(seed), _NOISE), *inputs)
        if difference(near, want, _SHARE * TOLERANCE) is not None:
            return True
    return False
