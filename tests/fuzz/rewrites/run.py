"""Many programs of the suite, and a report: `python -m tests.fuzz --rules N [--seed S]`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import jax

from ir.rewrites import RULES
from tests.fuzz.rewrites.check import Check, Discarded, Failure
from tests.fuzz.rewrites.compiled import LEVELS, compiled_failures
from tests.fuzz.rewrites.draw import Drawn, draw
from tests.fuzz.rewrites.minimise import minimise

# XLA takes longer than all else: it runs a part of the programs.
COMPILED = 10


class Suite:
    """Programs of one seed, tried one after the other.

    Attributes:
      used: how often each rule's pattern occurred in a program.
      discarded: why programs had nothing to compare.
      equal: how XLA was run where it gave the exact passes' program the bits of that without passes.
      failed: how many programs failed.
    """

    def __init__(self, base: int, compiled: int = COMPILED) -> None:
        self.base = base
        self.compiled = compiled
        self.check = Check()
        self.used: Counter[str] = Counter()
        self.discarded: Counter[str] = Counter()
        self.equal: Counter[str] = Counter()
        self.failed = 0
        self.tried = 0

    def try_one(self, number: int) -> tuple[Drawn, list[Failure]]:
        """The program of a number, and what does not hold for it. Every rule has its turn."""
        drawn = draw(self.base * 1_000_000 + number, [RULES[number % len(RULES)].name])
        self.tried += 1
        self.used.update(drawn.used)
        found: list[Failure] = []
        try:
            found += self.check.failures(drawn)
            if self.compiled and number % self.compiled == 0:
                found += compiled_failures(drawn, self.equal)
        except Discarded as why:
            self.discarded[str(why)] += 1
        self.failed += bool(found)
        if self.tried % 500 == 0:
            jax.clear_caches()  # type: ignore[no-untyped-call] # no program is run again
        return drawn, found

    def rules(self) -> str:
        """Which rules occurred, which were applied, and which never.

        `add_of_constant_and_broadcast` never is, nor are those of mul, max and min: the op commutes, so that
        `add_of_broadcast_and_constant`, which comes first, matches in either order.
        """
        fired = self.check.fired
        lines = [
            f"{len(self.used)} of {len(RULES)} rules occur ({sum(self.used.values())} patterns), "
            f"{sum(each.name in fired for each in RULES)} were applied ({sum(fired.values())} times)"
        ]
        absent = [each.name for each in RULES if not self.used[each.name]]
        idle = [f"{each.name} ({self.used[each.name]})" for each in RULES if not fired[each.name]]
        lines += [f"never occurred: {', '.join(absent)}"] if absent else []
        lines += [f"never applied (occurred): {', '.join(idle)}"] if idle else []
        if self.equal:
            levels = ", ".join(f"{self.equal[level]} {level}" for level in LEVELS if self.equal[level])
            lines.append(f"compiled exactly alike: {levels}")
        return "\n".join(lines)


def report(seed: str, drawn: Drawn, found: Sequence[Failure], seconds: float) -> str:
    """What failed as text, with the program made small for the first of it."""
    first = found[0]

    def shows(candidate: Drawn) -> bool:
        try:
            again = [*Check().failures(candidate)]
            if first.kind.startswith("compiled"):
                again += compiled_failures(candidate)
        except Exception:  # noqa: BLE001 (not a smaller case of this)
            return False
        return any(each.kind == first.kind for each in again)

    small = minimise(drawn, shows, seconds)
    inputs = "\n".join(
        f"{p.type} = {x.tolist()}" for p, x in zip(small.loss.params, small.inputs, strict=True)
    )
    kinds = "\n".join(f"  {each.kind}: {each.detail}" for each in found)
    return f"seed {seed}:\n{kinds}\n\nmade small for the first:\n{small.loss}\n\nat\n{inputs}\n"


def one(seed: str, seconds: float) -> int:
    """Only the program of a seed, `base.number` as reports have it, printed; the exit status."""
    base, number = map(int, seed.split("."))
    drawn, found = Suite(base, compiled=1).try_one(number)
    print(drawn.loss)
    if found:
        print(report(seed, drawn, found, seconds))
    return 1 if found else 0


def main(count: int, base: int, seconds: float, compiled: int = COMPILED) -> int:
    """Try so many programs, every so many of them compiled too; the exit status."""
    suite = Suite(base, compiled)
    started = time.monotonic()
    print(f"seed {base}", flush=True)
    for number in range(count):
        drawn, found = suite.try_one(number)
        if found:
            print(report(f"{base}.{number}", drawn, found, seconds), flush=True)
        if suite.tried % 1000 == 0:
            print(
                f"{suite.tried} tried, {suite.failed} failed, {time.monotonic() - started:.0f} s", flush=True
            )
    discarded = ", ".join(f"{n} {why}" for why, n in suite.discarded.items())
    print(suite.rules())
    print(
        f"{count} programs, {suite.failed} failed, {suite.discarded.total()} discarded"
        f"{f' ({discarded})' if discarded else ''}, {time.monotonic() - started:.0f} s, seed {base}"
    )
    return 1 if suite.failed else 0
