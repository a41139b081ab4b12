"""Differences between two texts whose lines are numbers, in time that is near-linear.

Lines that are in both exactly once, in the longest order that both have in common, hold the texts together
(patience diff, Bram Cohen); between them, common lines at either end are kept. The lines of programs in which
each value has one name are nearly all different, so that little else is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ir.matching import increasing

# (line of the old text, how many lines are removed from there on, lines that are put there)
Hunk = tuple[int, int, list[int]]


def hunks(old: Sequence[int], new: Sequence[int]) -> list[Hunk]:
    """What makes `new` of `old`, in order; positions are those in `old`."""
    out: list[Hunk] = []
    at_old = at_new = 0
    for anchor_old, anchor_new in (*_anchors(old, new), (len(old), len(new))):
        end_old, end_new = anchor_old, anchor_new
        while at_old < end_old and at_new < end_new and old[at_old] == new[at_new]:
            at_old, at_new = at_old + 1, at_new + 1
        while at_old < end_old and at_new < end_new and old[end_old - 1] == new[end_new - 1]:
            end_old, end_new = end_old - 1, end_new - 1
        if at_old < end_old or at_new < end_new:
            out.append((at_old, end_old - at_old, list(new[at_new:end_new])))
        at_old, at_new = anchor_old, anchor_new
    return out


def applied(old: Sequence[int], changes: Sequence[Hunk]) -> list[int]:
    """The new text."""
    out: list[int] = []
    at = 0
    for position, removed, inserted in changes:
        out += old[at:position]
        out += inserted
        at = position + removed
    return [*out, *old[at:]]


def _anchors(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int]]:
    """The longest increasing sequence of lines that both have once."""
    in_old, in_new = Counter(old), Counter(new)
    position = {line: i for i, line in enumerate(new) if in_new[line] == 1 and in_old[line] == 1}
    pairs = [(i, position[line]) for i, line in enumerate(old) if line in position]
    return increasing(pairs)


__all__ = ["Hunk", "applied", "hunks"]
