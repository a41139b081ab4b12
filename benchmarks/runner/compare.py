"""`python -m benchmarks compare BEFORE AFTER`: ratios of medians, with intervals. May import: NumPy.

An interval is a bootstrap's over turns, not over calls: the calls of a turn follow each other and are not independent.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from benchmarks.runner import roster
from benchmarks.runner.record import Row, Run, Status, Steady, read
from benchmarks.runner.units import ratio_text, seconds_text
from benchmarks.tables import markdown, table

# Resamples, and how sure an interval is.
RESAMPLES, LEVEL = 5000, 0.95
COLUMNS = ("case", "size", "peer", "before", "after", "after / before", "interval", "first call", "")


@dataclass(frozen=True)
class Change:
    """A row of both files.

    Attributes:
      ratio, low, high: of the steady medians, after to before; none where one of them has no times.
      verdict: `slower`, `faster`, `` or what became of the status.
      regressed: is an error.
    """

    before: Row
    after: Row
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    regressed: bool


def interval(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """Of the ratio of medians of turns: percentiles of resampled ratios. Of one turn each, nothing is known: from 0 to
    infinity.
    """
    if min(len(before), len(after)) < 2:
        return 0.0, math.inf
    rng = np.random.default_rng(seed)

    def medians(turns: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        values = np.asarray(turns)
        chosen = rng.integers(0, len(values), (RESAMPLES, len(values)))
        return np.asarray(np.median(values[chosen], axis=1))

    ratios = medians(after) / medians(before)
    low, high = np.quantile(ratios, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _median(steady: Steady) -> float:
    return float(np.median(steady.turns_s))


def change(before: Row, after: Row, threshold: float) -> Change:
    """Slower where the whole interval is beyond the threshold."""
    if before.status is not Status.OK or after.status is not Status.OK:
        lost = before.status is Status.OK and after.status in (Status.WRONG, Status.FAILED, Status.TIMEOUT)
        verdict = (
            "" if before.status is after.status else f"{before.status} -> {after.status}: {after.reason}"
        )
        return Change(before, after, None, None, None, verdict, lost)
    if before.steady is None or after.steady is None:
        return Change(before, after, None, None, None, "", False)
    ratio = _median(after.steady) / _median(before.steady)
    low, high = interval(before.steady.turns_s, after.steady.turns_s)
    verdict = "slower" if low > threshold else "faster" if high < 1 / threshold else ""
    return Change(before, after, ratio, low, high, verdict, verdict == "slower")


def changes(before: Run, after: Run, threshold: float, peers: Sequence[str] = ()) -> list[Change]:
    """Of the rows that both have."""
    found = {row.key: row for row in before.rows}
    return [
        change(found[row.key], row, threshold)
        for row in after.rows
        if row.key in found and (not peers or row.peer in peers)
    ]


def cells(each: Change) -> tuple[str, ...]:
    before, after = each.before.steady, each.after.steady
    first = ""
    if each.before.first_s and each.after.first_s:
        first = ratio_text(each.after.first_s / each.before.first_s)
    return (
        f"{each.after.suite}: {each.after.case}",
        each.after.size,
        roster.label(each.after.peer),
        seconds_text(before.median_s) if before else "",
        seconds_text(after.median_s) if after else "",
        "" if each.ratio is None else f"{each.ratio:.3f}",
        "" if each.low is None or each.high is None else f"{each.low:.3f} to {each.high:.3f}",
        first,
        each.verdict,
    )


def differences(before: Run, after: Run) -> list[str]:
    """What else differs, so that a ratio need not be the code's."""
    found = [
        f"{name}: {a}, then {b}"
        for name, a, b in (
            ("machine", before.machine, after.machine),
            ("seconds", before.settings.seconds, after.settings.seconds),
            ("device", before.settings.device, after.settings.device),
        )
        if a != b
    ]
    for name in sorted(set(before.peers) & set(after.peers)):
        if before.peers[name] != after.peers[name]:
            found.append(
                f"{roster.label(name)}: {before.peers[name].versions}, then {after.peers[name].versions}"
            )
    return found


def main(arguments: Sequence[str]) -> int:
    """Prints the table, and returns 1 if anything is slower beyond the threshold, or is lost."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare", description="Compare two files of results."
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--threshold", type=float, default=1.1, help="of the ratio (1.1)")
    parser.add_argument("--peer", nargs="+", default=[], metavar="P", help="these alone")
    parser.add_argument("--all", action="store_true", help="rows without a change too")
    parser.add_argument("--out", type=Path, help="write the table as Markdown too")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        before, after = read(options.before), read(options.after)
    except (ValueError, OSError) as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 2
    found = changes(before, after, options.threshold, options.peer)
    if not found:
        console.print("[red]the files have no row in common[/]")
        return 2
    for line in differences(before, after):
        console.print(f"[yellow]differs: {escape(line)}[/]")
    rows = [cells(each) for each in found if options.all or each.verdict]
    title = (
        f"{len(found)} rows; slower or faster: all of the {LEVEL:.0%} interval beyond {options.threshold:g}"
    )
    console.print(table(title, COLUMNS, rows))
    if options.out:
        options.out.write_text("\n".join([title + ".", "", *markdown(COLUMNS, rows), ""]))
    regressed = [each for each in found if each.regressed]
    console.print(f"{len(regressed)} regressed" if regressed else "nothing regressed")
    return int(bool(regressed))


__all__ = ["Change", "change", "changes", "interval", "main"]
