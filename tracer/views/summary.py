"""What to show of a program too long to read: its beginnings, its ends, and what is between in a few words.

The lines of a program form a tree: a function has equations, an equation the functions that it holds. Of a
long body, stretches that repeat the same equations show the first time, and what still does not fit is
counted by op. Linear in the lines, up to sorting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ir.passes.rolling.sequence import Stretch, periods, stretches, tokens
from ir.printer import Line
from tracer.views.cells import head_name, indent_of, is_head

_REPEATS = 3  # a stretch that repeats less often is shown as it is
_DEEPEST = 12  # functions nested deeper than this are counted, not shown
_LEAST = 8  # a function that has fewer lines to itself is counted, too
_OPS = 5  # ops that a note names


@dataclass(frozen=True, slots=True)
class Note:
    """A line that stands for others.

    Attributes:
      text: what they are.
      indent: as theirs.
    """

    text: str
    indent: str


Row = Line | Note
Repeat = tuple["list[Item]", Stretch]  # the equations of a stretch, and how they repeat


@dataclass(slots=True)
class Body:
    """The lines of one function.

    Attributes:
      size: how many there are, nested ones included.
    """

    head: Line
    items: list[Item] = field(default_factory=list)
    end: Line | None = None
    size: int = 1


@dataclass(slots=True)
class Item:
    """An equation, after the functions that stand before it."""

    line: Line
    nested: list[Body]
    size: int


def tree(lines: Sequence[Line]) -> Body:
    """The lines of a program by the functions that they belong to."""
    open_: list[tuple[Body, list[Body]]] = []  # with the functions before the next equation
    for line in lines:
        if is_head(line):
            open_.append((Body(line), []))
            continue
        body, before = open_[-1]
        if line.eqn is not None:
            size = 1 + sum([each.size for each in before])
            body.items.append(Item(line, list(before), size))
            body.size += size
            before.clear()
            continue
        body.end = line
        body.size += 1
        if len(open_) > 1:
            open_.pop()
            open_[-1][1].append(body)
    return open_[0][0]


def summarized(lines: Sequence[Line], limit: int) -> list[Row]:
    """About `limit` rows for the lines of a program; all of them where there are no more."""
    if len(lines) <= limit:
        return list(lines)
    return _body(tree(lines), limit, 0)


def _body(body: Body, budget: int, depth: int) -> list[Row]:
    assert body.end is not None
    rows: list[Row] = [body.head]
    rows.extend(_items(body.items, budget, depth))
    rows.append(body.end)
    return rows


def _items(items: list[Item], budget: int, depth: int) -> list[Row]:
    """The rows of consecutive equations, about `budget` of them."""
    if sum([item.size for item in items]) <= budget:
        return [row for item in items for row in _item(item, budget, depth)]
    # First what repeats is said once; where that does not suffice, the middle is left out.
    return _ends(_units(items), budget, depth)


def _ends(units: Sequence[Item | Repeat], budget: int, depth: int) -> list[Row]:
    """The first and the last of them, and what is between in a line."""
    first, last = _fitting([min(_size(unit), max(budget // 2, 2)) for unit in units], budget)
    rows = [row for unit in units[:first] for row in _unit(unit, budget, depth)]
    if first < last:
        rows.append(_left_out(units[first:last]))
    rows.extend([row for unit in units[last:] for row in _unit(unit, budget, depth)])
    return rows


def _unit(unit: Item | Repeat, budget: int, depth: int) -> list[Row]:
    if isinstance(unit, Item):
        return _item(unit, budget, depth)
    items, stretch = unit
    rows = _ends(items[: stretch.period], max(budget // 2, 2), depth)
    last = "equation" if stretch.period == 1 else f"{stretch.period:,} equations"
    again = f"… the last {last} again, with other operands, {stretch.repeats - 1:,} times"
    rows.append(Note(f"{again} ({len(items):,} equations in all)", indent_of(items[0].line)))
    return rows


def _item(item: Item, budget: int, depth: int) -> list[Row]:
    rows: list[Row] = []
    for nested in item.nested:
        if nested.size > budget // 2 and (budget < _LEAST or depth >= _DEEPEST):
            text = f"… def {head_name(nested.head)}: {nested.size - 2:,} lines"
            rows.append(Note(text, indent_of(nested.head)))
        else:
            rows.extend(_body(nested, budget // 2, depth + 1))
    rows.append(item.line)
    return rows


def _size(unit: Item | Repeat) -> int:
    if isinstance(unit, Item):
        return unit.size
    items, stretch = unit
    return 1 + sum([item.size for item in items[: stretch.period]])


def _fitting(sizes: Sequence[int], budget: int) -> tuple[int, int]:
    """Which are shown: those before the first position and those from the second on."""
    if sum(sizes) <= budget:
        return len(sizes), len(sizes)
    first, last, half = 0, len(sizes), budget // 2
    used = 0
    while first < last and (used + sizes[first] <= half or not first):
        used += sizes[first]
        first += 1
    used = 0
    while last > first and (used + sizes[last - 1] <= half or last == len(sizes)):
        used += sizes[last - 1]
        last -= 1
    return first, last


def _left_out(units: Sequence[Item | Repeat]) -> Note:
    items: list[Item] = []
    repeated = 0
    for unit in units:
        if isinstance(unit, Item):
            items.append(unit)
        else:
            items.extend(unit[0])
            repeated += 1
    nested = [each for item in items for each in item.nested]
    text = f"… {len(items):,} equation{'s' if len(items) != 1 else ''}: {_ops(items)}"
    if repeated:
        text += f"; {repeated} stretch{'es' if repeated > 1 else ''} of them repeat the same equations"
    if nested:
        names = [head_name(each.head) for each in nested]
        few = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        text += f"; with the function{'s' if len(names) > 1 else ''} {few}"
    return Note(text, indent_of(items[0].line))


def _ops(items: Iterable[Item]) -> str:
    counts = Counter([item.line.eqn.op.name for item in items if item.line.eqn is not None])
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    text = ", ".join([f"{name} {count:,}" for name, count in most[:_OPS]])
    return text + (f", {len(most) - _OPS} other ops" if len(most) > _OPS else "")


# Repetition ---------------------------------------------------------------------------------------


def _units(items: list[Item]) -> list[Item | Repeat]:
    """Equations in order: one by one, or in stretches that repeat."""
    out: list[Item | Repeat] = []
    at = 0
    for stretch in repeated(items):
        out.extend(items[at : stretch.start])
        out.append((items[stretch.start : stretch.stop], stretch))
        at = stretch.stop
    out.extend(items[at:])
    return out


def repeated(items: Sequence[Item]) -> list[Stretch]:
    """Whole repetitions of equal equations, apart from each other, the longest first chosen; in order."""
    sequence = tokens([item.line.eqn for item in items if item.line.eqn is not None])
    found = [
        Stretch(period, s.start, s.repeats * period)
        for period in periods(sequence)
        for s in stretches(sequence, period, _REPEATS)
    ]
    found.sort(key=lambda s: (s.period - s.length, s.period))
    taken = np.zeros(len(items), bool)
    chosen = []
    for stretch in found:
        # A note in the place of fewer lines would save none.
        if stretch.length - stretch.period > 2 and not taken[stretch.start : stretch.stop].any():
            taken[stretch.start : stretch.stop] = True
            chosen.append(stretch)
    return sorted(chosen, key=lambda s: s.start)
