"""Runs golden files: parses both sides, runs the pass, compares text, verifies and evaluates both.

A file in `invalid/` holds text that is no function, `---`, and the error. Lines that start with `#`
before a function say what the case shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ir
from ir.core import Function
from ir.errors import TracerError
from ir.machine import Machine
from ir.passes.again import computed_again
from ir.passes.blocking import blocked
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.fold import fold, fold_exact
from ir.passes.grouping import group_regions
from ir.passes.inlining import inline_calls
from ir.passes.nested import deep
from ir.passes.parts import compute_parts
from ir.passes.pipeline import optimize
from ir.passes.products import reorder_products, share_adjoints
from ir.passes.scans import simplify_scans
from ir.passes.selections import choose_rows
from ir.passes.simplify import simplify, simplify_exact, simplify_fast, tidy
from ir.passes.sinking import sink_constants
from ir.passes.slicing import sink_slices
from ir.rewrite import NOTHING, ROUNDING, SPECIAL
from tests.passes import theorems

ROOT = Path(__file__).resolve().parent
SEPARATOR = "---"
Pass = Callable[[Function], Function]

# Of which memory is so slow that arrays of some thousand bytes are large.
SLOW = Machine(flops=1e12, bandwidth=1e6, launch=0.0, caches=((4000, 2e7),))

# Passes by the name of their folder, and what they may change.
PASSES: dict[str, tuple[Pass, int]] = {
    "block": (deep(lambda function: blocked(function, SLOW)), ROUNDING),
    "choose_rows": (choose_rows, ROUNDING),
    "compute_again": (deep(lambda function: computed_again(function, SLOW)), ROUNDING),
    "compute_parts": (compute_parts, ROUNDING),
    "cse": (cse, NOTHING),
    "dce": (dce, NOTHING),
    "fold": (fold, NOTHING),
    "fold_exact": (fold_exact, NOTHING),
    "group_regions": (group_regions, NOTHING),
    "inline_calls": (inline_calls, NOTHING),
    "pipeline": (optimize, ROUNDING),
    "reorder_products": (reorder_products, ROUNDING),
    "share_adjoints": (share_adjoints, ROUNDING),
    "simplify": (simplify, ROUNDING),
    "simplify_exact": (simplify_exact, NOTHING),
    "simplify_fast": (simplify_fast, SPECIAL),
    "simplify_scans": (lambda function: dce(simplify_scans(function)), NOTHING),
    "sink_constants": (sink_constants, NOTHING),
    "sink_slices": (lambda function: dce(sink_slices(function)), NOTHING),
    "tidy": (tidy, NOTHING),
}
_DRAWS = {
    NOTHING: (theorems.special, theorems.normal),
    ROUNDING: (theorems.normal, theorems.small),
    SPECIAL: (theorems.positive,),
}


class Mismatch(AssertionError):
    """A golden file does not hold what the pass gives."""


@dataclass(frozen=True)
class Case:
    """A golden file."""

    path: Path

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    def halves(self) -> tuple[str, str]:
        """The text before and after the separator."""
        text = self.path.read_text(encoding="utf-8")
        before, separator, after = text.partition(f"\n{SEPARATOR}\n")
        if not separator and not text.endswith(f"\n{SEPARATOR}"):
            before, after = text.rstrip("\n"), ""
        return before.removesuffix(f"\n{SEPARATOR}"), after.strip("\n")


def cases() -> list[Case]:
    """All golden files, in order."""
    return [Case(path) for path in sorted(ROOT.glob("*/*.ir"))]


def outcome(case: Case) -> str:
    """The right-hand side as it comes out now, checked by evaluation.

    Raises:
      Mismatch: the pass changes the function's results, or breaks an invariant.
    """
    text, _ = case.halves()
    if case.path.parent.name == "invalid":
        return _error(text)
    run, changes = PASSES[case.path.parent.name]
    before = ir.parse(text)
    ir.verify(before)
    after = run(before)
    try:
        ir.verify(after)
    except TracerError as error:
        raise Mismatch(f"{case.name}: the result is not well formed: {error}") from error
    check_equal(case.name, before, after, changes)
    if run(after) is not after:
        raise Mismatch(f"{case.name}: a second run of the pass changes more")
    return str(after)


def check(case: Case) -> None:
    """Mismatch unless the file holds exactly what comes out now."""
    _, expected = case.halves()
    found = outcome(case)
    if found != expected:
        raise Mismatch(
            f"{case.name}: expected\n{expected}\ngot\n{found}\n(update: python -m tests.golden --update)"
        )
    if case.path.parent.name != "invalid":
        parsed = ir.parse(expected)
        ir.verify(parsed)
        if str(parsed) != expected:
            raise Mismatch(f"{case.name}: the expected text does not print as it parses")


def update(case: Case) -> bool:
    """Rewrite the right-hand side; whether it changed. Mismatch, and no change, where results differ."""
    text, expected = case.halves()
    found = outcome(case)
    if found == expected:
        return False
    case.path.write_text(f"{text}\n{SEPARATOR}\n{found}\n", encoding="utf-8")
    return True


def check_equal(name: str, before: Function, after: Function, changes: int) -> None:
    """Mismatch unless both functions have equal types, and equal results at drawn arguments."""
    if before.in_types != after.in_types or before.out_types != after.out_types:
        raise Mismatch(f"{name}: the types of params or results changed")
    signs = not theorems.orderless(before)
    rounds = changes != NOTHING
    for seed, draw in enumerate(_DRAWS[changes]):
        rng = np.random.default_rng(seed)
        arrays = [draw(t, rng) for t in before.in_types]
        for old, new in zip(ir.evaluate(before, *arrays), ir.evaluate(after, *arrays), strict=True):
            wrong = theorems.difference(old, new, eps=64 if rounds else 0, signs=signs and not rounds)
            if wrong is not None:
                raise Mismatch(f"{name}: {wrong}\n{before}\nbecame\n{after}")


def _error(text: str) -> str:
    try:
        ir.verify(ir.parse(text))
    except TracerError as error:
        return f"{type(error).__name__}: {error.message}"
    raise Mismatch(f"expected an error, but this is a function:\n{text}")
