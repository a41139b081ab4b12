"""The data of the page: what a report holds, as numbers, text and lists for JSON.

Each line of a program and each place in the user's source is written once and then goes by its number; each stage
is written as its difference from the one before, so that the page is near-linear in what changes.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Sequence
from typing import Any

from ir.printer import common_names, lines
from ir.regions import labels
from ir.source import Source
from tracer.report.diff import hunks
from tracer.report.model import Group, Report, Stage, described

# Source files of no more lines are shown whole; of others what is around the lines that matter.
_WHOLE = 1_500
_AROUND = 25
# Elements of constants that are shown.
_ELEMENTS = 8
# Equations of the programs before differentiation, of all stages together; what goes beyond is left out and said.
_EQUATIONS = 200_000


def embedded(report: Report) -> dict[str, Any]:
    """Everything that the page shows; plain lists, numbers and text."""
    groups, left_out = _affordable(report.groups)
    tracks = [Group("pipeline", report.stages), *groups]
    return _Embedding(report, tracks).data() | {"leftOut": left_out}


def _affordable(groups: Sequence[Group]) -> tuple[list[Group], int]:
    chosen: list[Group] = []
    equations = 0
    for group in groups:
        equations += sum([len(stage.function.eqns) for stage in group.stages])
        if equations > _EQUATIONS:
            break
        chosen.append(group)
    return chosen, len(groups) - len(chosen)


class _Embedding:
    def __init__(self, report: Report, tracks: Sequence[Group]) -> None:
        self.report = report
        self.tracks = tracks
        self.names = common_names([stage.function for track in tracks for stage in track.stages])
        self.texts: dict[tuple[str, tuple[int, ...]], int] = {}
        self.places: dict[tuple[str, int, str], int] = {}
        self.resolved: dict[int, tuple[Source, tuple[int, ...]]] = {}

    def data(self) -> dict[str, Any]:
        report = self.report
        tracks = [self.track(track) for track in self.tracks]
        final = lines(report.function, max_elements=_ELEMENTS, names=self.names)
        memory = self.memory(final)
        costs = [
            [
                self.place((c.file, c.line, c.function)),
                c.equations,
                c.flops,
                c.bytes,
                c.seconds,
                c.bound,
                c.known,
            ]
            for c in report.lines
        ]
        remarks = [self.remark(each) for each in report.remarks]
        return {
            "name": report.name,
            "device": report.device,
            "seconds": report.seconds,
            "kernels": report.kernels,
            "tracks": tracks,
            "remarks": remarks,
            "phases": [[phase.name, phase.seconds, phase.kind] for phase in report.phases],
            "costs": costs,
            "profile": self.profile(final),
            "regions": [
                [r.name, self.of(r.source), r.equations, r.flops, r.bytes, r.seconds] for r in report.regions
            ],
            "regionOf": self.regions_of(final),
            "memory": memory,
            "xla": None
            if report.compiled is None
            else {name: getattr(report.compiled, name) for name in report.compiled.__slots__},
            "machine": {"flops": report.machine.flops, "bandwidth": report.machine.bandwidth},
            "texts": [text for text, _ in self.texts],
            "textPlaces": [list(places) for _, places in self.texts],
            "places": [list(place) for place in self.places],
            "files": self.files(),
        }

    def track(self, track: Group) -> dict[str, Any]:
        out = []
        before: Stage | None = None
        text: list[int] = []
        for stage in track.stages:
            changes: list[Any] = []
            if before is None or before.function is not stage.function:
                now = [
                    self.line(line)
                    for line in lines(stage.function, max_elements=_ELEMENTS, names=self.names)
                ]
                changes = [list(hunk) for hunk in hunks(text, now)]
                text = now
            out.append(
                {
                    "name": stage.name,
                    "seconds": stage.seconds,
                    "doc": stage.doc,
                    "equations": len(stage.function.eqns),
                    "flops": stage.flops,
                    "bytes": stage.bytes,
                    "peak": stage.peak,
                    "rules": [
                        [use.name, use.count, use.doc, [self.of(s) for s in use.sources]]
                        for use in stage.rules
                    ],
                    "remarks": [self.remark(each) for each in stage.remarks],
                    "hunks": changes,
                }
            )
            before = stage
        return {"name": track.name, "stages": out}

    def remark(self, each: Any) -> list[Any]:
        return [each.by, each.text, self.of(each.source), each.declined]

    def line(self, line: Any) -> int:
        places = () if line.eqn is None else self.every(line.eqn.source)
        return self.texts.setdefault((line.text, places), len(self.texts))

    def every(self, source: Source) -> tuple[int, ...]:
        """The places of an equation, that of its own first."""
        found = self.resolved.get(id(source))
        if found is None:  # (the source is kept, so that no other gets its id)
            places = tuple([self.of(each) for each in source.all() if each.line])
            found = self.resolved[id(source)] = (source, places)
        return found[1]

    def of(self, source: Source) -> int:
        return self.place((source.file, source.line, source.function))

    def place(self, key: tuple[str, int, str]) -> int:
        return self.places.setdefault(key, len(self.places))

    def profile(self, final: Sequence[Any]) -> list[Any]:
        """Of each line of the last stage: flops, bytes, seconds, times, whether fused, bound; null where none."""
        found = {id(each.eqn): each for each in self.report.profile}
        out: list[Any] = []
        for line in final:
            each = None if line.eqn is None else found.get(id(line.eqn))
            out.append(
                each and [each.flops, each.bytes, each.seconds, each.times, int(each.fused), each.bound]
            )
        return out

    def regions_of(self, final: Sequence[Any]) -> list[int]:
        """Of each line of the last stage, the number of its region; -1 where it belongs to none."""
        numbers = {region.label: k for k, region in enumerate(self.report.regions)}
        return [
            -1 if line.eqn is None else numbers.get(labels(line.function).get(line.eqn, ""), -1)
            for line in final
        ]

    def memory(self, final: Sequence[Any]) -> dict[str, Any]:
        memory, function = self.report.memory, self.report.function
        at = {
            id(line.eqn): i
            for i, line in enumerate(final)
            if line.eqn is not None and line.function is function
        }
        return {
            "arguments": memory.arguments,
            "results": memory.results,
            "temporary": list(memory.temporary),
            "peak": memory.peak,
            "position": memory.position,
            "lines": [at[id(eqn)] for eqn in function.eqns],
            "held": [
                [described(held, self.names), held.bytes, at[id(held.eqn)], self.of(held.eqn.source)]
                for held in memory.held
            ],
        }

    def files(self) -> list[dict[str, Any]]:
        """The source files, those of most places first, each as stretches of lines."""
        wanted: dict[str, set[int]] = {}
        for file, line, _ in self.places:
            if line:
                wanted.setdefault(file, set()).add(line)
        out = []
        for file, places in sorted(wanted.items(), key=lambda item: -len(item[1])):
            text = [line.rstrip("\r\n") for line in linecache.getlines(file)]
            out.append({"path": file, "name": os.path.basename(file) or file, "parts": _parts(text, places)})
        return out


def _parts(text: Sequence[str], places: set[int]) -> list[list[Any]]:
    """Stretches of a file as (first line, lines); lines that cannot be read say so."""
    last = max(len(text), *places)
    if len(text) <= _WHOLE and last - len(text) < _WHOLE:
        stretches = [(1, last)]
    else:
        stretches = []
        for line in sorted(places):
            begin, end = max(1, line - _AROUND), min(last, line + _AROUND)
            if stretches and begin <= stretches[-1][1] + 1:
                stretches[-1] = (stretches[-1][0], end)
            else:
                stretches.append((begin, end))
    unread = "(the source of this line is not there)"
    return [
        [begin, [text[i - 1] if i <= len(text) else unread for i in range(begin, end + 1)]]
        for begin, end in stretches
    ]


__all__ = ["embedded"]
