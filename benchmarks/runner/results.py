"""Results put together for a report: by device, suite, size and case. May import: the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.peer import VALUE_ONLY
from benchmarks.runner import roster
from benchmarks.runner.record import Row, Run, Status
from benchmarks.suites.case import SIZES

# What times are relative to.
BASE = "tracer"
DEVICES = ("cpu", "gpu", "tpu")


@dataclass(frozen=True)
class Group:
    """A suite at one size.

    Attributes:
      cases: rows by peer, by the case's title, in the order of the suite.
    """

    suite: str
    size: str
    cases: Mapping[str, Mapping[str, Row]]

    @property
    def peers(self) -> list[str]:
        return roster.order({peer for rows in self.cases.values() for peer in rows})

    @property
    def rows(self) -> Iterator[Row]:
        for by_peer in self.cases.values():
            yield from (by_peer[peer] for peer in self.peers if peer in by_peer)


@dataclass(frozen=True)
class Device:
    """All runs on a kind of device."""

    name: str
    runs: Sequence[Run]
    groups: Sequence[Group]


def title(row: Row) -> str:
    """Of a case."""
    return row.case + ("" if row.dtype == "float64" or row.dtype in row.case else f", {row.dtype}")


def devices(runs: Iterable[Run]) -> list[Device]:
    """Later runs replace rows of earlier ones."""
    found = list(runs)
    out = []
    for name in DEVICES:
        chosen = [run for run in found if run.settings.device == name]
        if chosen:
            rows = {row.key: row for run in chosen for row in run.rows}
            out.append(Device(name, chosen, _groups(list(rows.values()))))
    return out


def _groups(rows: Sequence[Row]) -> list[Group]:
    cases: dict[tuple[str, str], dict[str, dict[str, Row]]] = {}
    for row in rows:
        cases.setdefault((row.suite, row.size), {}).setdefault(title(row), {})[row.peer] = row
    keys = sorted(cases, key=lambda key: (key[0], SIZES.index(key[1])))
    return [Group(suite, size, cases[suite, size]) for suite, size in keys]


def steady_s(row: Row) -> float | None:
    return row.steady.median_s if row.steady else None


def first_s(row: Row) -> float | None:
    return row.first_s


Figure = Callable[[Row], float | None]


def ratio(rows: Mapping[str, Row], peer: str, figure: Figure) -> float | None:
    """Of a peer's figure to the base's; none where one of them has none, or computed less."""
    if peer not in rows or BASE not in rows:
        return None
    ours, theirs = figure(rows[BASE]), figure(rows[peer])
    if not ours or not theirs or rows[peer].note == VALUE_ONLY:
        return None
    return theirs / ours


def mean_ratio(groups: Iterable[Group], peer: str, figure: Figure) -> tuple[float, int] | None:
    """Geometric mean over cases, and how many there are."""
    found = [r for group in groups for rows in group.cases.values() if (r := ratio(rows, peer, figure))]
    return (math.exp(sum(map(math.log, found)) / len(found)), len(found)) if found else None


def problems(group: Group) -> list[Row]:
    """Rows without times that are no one's choice, then those that are."""
    bad = [row for row in group.rows if row.status is not Status.OK]
    return sorted(bad, key=lambda row: row.status in (Status.DECLINED, Status.MISSING))


def growing(groups: Sequence[Group]) -> tuple[str, list[Group]] | None:
    """The parameter that alone distinguishes the sizes of a suite, if there are three of them."""
    if len(groups) < 3:
        return None
    names: set[str] | None = None
    for rows in groups[0].cases:
        seen = [next(iter(g.cases[rows].values())).parameters for g in groups if rows in g.cases]
        changing = {name for name in seen[0] if len({str(p.get(name)) for p in seen}) > 1}
        names = changing if names is None else names | changing
    if names is None or len(names) != 1:
        return None
    name = names.pop()
    values = [row.parameters.get(name) for group in groups for row in group.rows]
    return (name, list(groups)) if all(isinstance(v, int | float) for v in values) else None


__all__ = [
    "BASE", "DEVICES", "Device", "Group", "devices", "first_s", "growing", "mean_ratio", "problems", "ratio",
    "steady_s", "title",
]  # fmt: skip
