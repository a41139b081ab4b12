"""The table of all results in other documents: between two marks, a column a peer, written by `report --insert`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.runner import results, roster
from benchmarks.runner.record import Row, Status
from benchmarks.runner.results import BASE, Device, Group
from benchmarks.runner.units import ratio_text, seconds_text
from benchmarks.tables import markdown

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def table(found: Sequence[Device]) -> str:
    """For each suite, tracer's time of a call and the others' divided by it; below 1 the peer is quicker."""
    lines: list[str] = []
    for device in found:
        for group in device.groups:
            lines += [*_of_group(device, group), ""]
    missing = [name.upper() for name in results.DEVICES if name not in {device.name for device in found}]
    if missing:
        lines += [f"Not measured: {', '.join(missing)}.", ""]
    return "\n".join(lines).strip()


def _of_group(device: Device, group: Group) -> Iterator[str]:
    others = [peer for peer in group.peers if peer != BASE]
    yield f"`{group.suite}`, {group.size} size, {device.name.upper()}: time of a call, divided by tracer's"
    yield ""
    heads = ("", "tracer", *map(roster.label, others))
    means = [results.mean_ratio([group], peer, results.steady_s) for peer in others]
    rows = [(case.replace("|", "\\|"), *_cells(by_peer, others)) for case, by_peer in group.cases.items()]
    total = ("geometric mean", "", *[ratio_text(mean[0]) if mean else "" for mean in means])
    yield from markdown(heads, [*rows, total])


def _cells(by_peer: Mapping[str, Row], others: Sequence[str]) -> Iterator[str]:
    ours = by_peer.get(BASE)
    yield seconds_text(ours.steady.median_s) if ours is not None and ours.steady else _status(ours)
    for peer in others:
        found = results.ratio(by_peer, peer, results.steady_s)
        yield ratio_text(found) if found else _status(by_peer.get(peer))


def _status(row: Row | None) -> str:
    """Why there is no figure."""
    if row is None:
        return ""
    return row.note if row.status is Status.OK else str(row.status)


def inserted(text: str, table: str) -> str:
    """A document with the table between its marks.

    Raises:
      ValueError: it has no marks, or several.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected one {BEGIN} and one {END} after it")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}"


def insert(path: Path, found: Sequence[Device]) -> None:
    """Write the table into a document."""
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(inserted(text, table(found)), encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


__all__ = ["BEGIN", "END", "insert", "inserted", "table"]
