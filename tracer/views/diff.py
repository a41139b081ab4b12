"""`diff`: two programs side by side, equation by equation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal, Union

from ir.core import Function
from ir.errors import ArgumentError, ArgumentTypeError
from ir.matching import Matching, match
from ir.printer import Line, lines
from tracer.views.cells import NOTE, is_head
from tracer.views.sheet import Cell, Column, Run, Sheet, Span, View, checked_width
from tracer.views.summary import Body, Item, Note, tree

Kind = Literal["same", "changed", "before", "after", "both"]

_MARKS = {"same": " ", "changed": "~", "before": "-", "after": "+", "both": "±"}
_STYLES = {"same": "dim", "changed": "yellow", "before": "red", "after": "green", "both": "yellow"}
_WORDS = re.compile(r"\w+|\W")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of each side, or of one.

    Attributes:
      kind: `same` or `changed`: the two correspond; `before`, `after`: there is no other; `both`: two that
        do not correspond, in one place.
      renamed: for a changed line, names on the right by the corresponding one on the left.
    """

    kind: Kind
    left: Line | None
    right: Line | None
    renamed: Mapping[str, str] = field(default_factory=dict)


Step = Union[Row, "Iterator[Step]"]  # a row, or where rows come from next


class Diff(View):
    """The difference of two programs; made by `diff`.

    Attributes:
      before, after: the programs.
      kept, changed, removed, added: how many equations are equal, correspond but differ, or stand on one
        side only; those of nested functions included.
      reframed: how many functions that correspond have other params, or other results.
    """

    def __init__(
        self,
        before: Function,
        after: Function,
        *,
        titles: tuple[str, str] | None = None,
        context: int = 3,
        limit: int | None = 40,
        max_elements: int | None = 8,
        width: int | None = None,
        wrap: bool = False,
    ) -> None:
        for each in (before, after):
            if not isinstance(each, Function):
                raise ArgumentTypeError(
                    f"diff: expected two ir.Functions, got {type(each).__name__}; "
                    "trace(f)(*args) and jit(f).ir(*args) are such"
                )
        if context < 0:
            raise ArgumentError(f"diff: expected a context of 0 lines or more, got {context}")
        if limit is not None and limit < 2:
            raise ArgumentError(f"diff: expected a limit of at least 2 lines, or None, got {limit}")
        self.before, self.after = before, after
        self.kept = self.changed = self.removed = self.added = self.reframed = 0
        self._titles = titles
        self._context, self._limit = context, limit
        self._width, self._wrap = checked_width(width), wrap
        self._rows = self._compared(max_elements)

    @property
    def same(self) -> bool:
        """Whether the programs are equal, up to names and source locations."""
        return self.before == self.after

    def __bool__(self) -> bool:
        """Whether there is a difference."""
        return not self.same

    # Comparing ------------------------------------------------------------------------------------

    def _compared(self, max_elements: int | None) -> list[Row]:
        first = tree(lines(self.before, max_elements=max_elements))
        second = tree(lines(self.after, max_elements=max_elements))
        rows: list[Row] = []
        stack: list[Iterator[Step]] = [self._bodies(first, second)]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
            elif isinstance(item, Row):
                rows.append(item)
            else:
                stack.append(item)
        return rows

    def _bodies(self, first: Body, second: Body) -> Iterator[Step]:
        """Rows for two functions that correspond, and iterators of rows in between."""
        a, b = first.head.function, second.head.function
        found = match(a, b)
        renamed = _renamed(first, second, found)
        alike = a.in_types == b.in_types and a.out_types == b.out_types
        alike = alike and all(
            p is q or found.values.get(p) is q for p, q in zip(a.params, b.params, strict=True)
        )
        self.reframed += not alike
        yield Row("same" if alike else "changed", first.head, second.head, renamed)
        i = j = 0
        for (i_end, j_end), equal in zip(found.pairs, found.equal, strict=True):
            yield from self._alone(first.items[i:i_end], second.items[j:j_end])
            old, new = first.items[i_end], second.items[j_end]
            yield from self._nested(old.nested, new.nested)
            self.kept += equal
            self.changed += not equal
            yield Row("same" if equal else "changed", old.line, new.line, renamed)
            i, j = i_end + 1, j_end + 1
        yield from self._alone(first.items[i:], second.items[j:])
        results = len(a.results) == len(b.results) and all(
            x is y or found.values.get(x) is y for x, y in zip(a.results, b.results, strict=True)
        )
        self.reframed += not results
        yield Row("same" if results else "changed", first.end, second.end, renamed)

    def _nested(self, old: Sequence[Body], new: Sequence[Body]) -> Iterator[Step]:
        """The functions that two corresponding equations hold, in order."""
        for a, b in zip(old, new, strict=False):
            yield self._bodies(a, b)
        rest = ([*_lines(old[len(new) :])], [*_lines(new[len(old) :])])
        yield from self._sides(*rest)

    def _alone(self, old: Sequence[Item], new: Sequence[Item]) -> Iterator[Row]:
        """Equations of one place that do not correspond."""
        yield from self._sides([*_item_lines(old)], [*_item_lines(new)])

    def _sides(self, left: list[Line], right: list[Line]) -> Iterator[Row]:
        self.removed += sum([line.eqn is not None for line in left])
        self.added += sum([line.eqn is not None for line in right])
        for k in range(max(len(left), len(right))):
            a = left[k] if k < len(left) else None
            b = right[k] if k < len(right) else None
            yield Row("before" if b is None else "after" if a is None else "both", a, b)

    # Printing -------------------------------------------------------------------------------------

    def rows(self) -> list[Row | Note]:
        """The rows that are shown, and notes in the place of long stretches."""
        out: list[Row | Note] = []
        start = 0
        while start < len(self._rows):
            same = self._rows[start].kind == "same"
            stop = start
            while stop < len(self._rows) and (self._rows[stop].kind == "same") == same:
                stop += 1
            run = self._rows[start:stop]
            if same:
                head = self._context if start else 1
                tail = self._context if stop < len(self._rows) else 1
                out.extend(_folded(run, head, tail, "the same"))
            elif self._limit is None:
                out.extend(run)
            else:
                out.extend(_folded(run, self._limit // 2, self._limit // 2, "that differ"))
            start = stop
        return out

    def sheet(self, width: int | None) -> Sheet:
        laid: list[tuple[Cell, ...] | Span] = []
        titles = self._titles or ("before", "after")
        for_both = zip(titles, (self.before, self.after), strict=True)
        left, right = [f"{title}: {len(f.eqns):,} equations" for title, f in for_both]
        laid.append((((left, "bold"),), (), ((right, "bold"),)))
        for row in self.rows():
            if isinstance(row, Note):
                laid.append(Span(((row.text, NOTE),)))
            else:
                laid.append(_cells(row))
        laid.append(Span(((self.summary(), NOTE),)))
        side = Column(least=16, usual=120)
        return Sheet((side, Column(), side), laid, gap=" ")

    def summary(self) -> str:
        """The counts in a line."""
        if self.same:
            return f"no difference: {self.kept:,} equations are the same"
        counts = (
            f"{self.removed:,} removed (-), {self.added:,} added (+), "
            f"{self.changed:,} changed (~), {self.kept:,} the same"
        )
        return f"{counts}; {self.reframed:,} params or results differ" if self.reframed else counts


def _renamed(first: Body, second: Body, found: Matching) -> Mapping[str, str]:
    left, right = first.head.names, second.head.names

    return {left[a]: right[b] for a, b in found.values.items() if a in left and b in right}


def _item_lines(items: Sequence[Item]) -> Iterator[Line]:
    for item in items:
        yield from _lines(item.nested)
        yield item.line


def _lines(bodies: Sequence[Body]) -> Iterator[Line]:
    """All lines of the functions, those nested in them included; no recursion."""
    stack: list[Body | Item | Line] = [*reversed(bodies)]
    while stack:
        top = stack.pop()
        if isinstance(top, Line):
            yield top
        elif isinstance(top, Item):
            stack.extend([top.line, *reversed(top.nested)])
        else:
            assert top.end is not None
            stack.extend([top.end, *reversed(top.items), top.head])


def _folded(run: Sequence[Row], head: int, tail: int, what: str) -> list[Row | Note]:
    """The run, its middle as a note if that is shorter."""
    hidden = len(run) - head - tail
    if hidden < 2:
        return list(run)
    note = Note(f"… {hidden:,} lines {what}", "")
    return [*run[:head], note, *run[len(run) - tail :]]


def _cells(row: Row) -> tuple[Cell, Cell, Cell]:
    style = _STYLES[row.kind]
    mark: Cell = ((_MARKS[row.kind], style),)
    if row.kind == "both":
        return _plain(row.left, "red"), mark, _plain(row.right, "green")
    if row.kind == "changed" and row.left is not None and row.right is not None:
        left, right = _marked(row.left.text, row.right.text, row.renamed)
        return left, mark, right
    return _plain(row.left, style), mark, _plain(row.right, style)


def _plain(line: Line | None, style: str) -> Cell:
    if line is None:
        return ()
    return ((line.text, "bold" if style == "dim" and is_head(line) else style),)


def _marked(left: str, right: str, renamed: Mapping[str, str]) -> tuple[Cell, Cell]:
    """Two lines that correspond, what differs in bold; names of corresponding values do not."""
    a, b = _WORDS.findall(left), _WORDS.findall(right)
    if len(a) > 400 or len(b) > 400:
        return ((left, "yellow"),), ((right, "yellow"),)
    translated = [renamed.get(word, word) for word in a]
    first: list[Run] = []
    second: list[Run] = []
    for tag, i, i_end, j, j_end in SequenceMatcher(None, translated, b, autojunk=False).get_opcodes():
        if i < i_end:
            first.append(("".join(a[i:i_end]), "yellow" if tag == "equal" else "bold red"))
        if j < j_end:
            second.append(("".join(b[j:j_end]), "yellow" if tag == "equal" else "bold green"))
    return tuple(first), tuple(second)


def diff(
    before: Function,
    after: Function,
    *,
    titles: tuple[str, str] | None = None,
    context: int = 3,
    limit: int | None = 40,
    max_elements: int | None = 8,
    width: int | None = None,
    wrap: bool = False,
) -> Diff:
    """Two programs side by side: what a pass did, or what another way of writing changed.

    Equations correspond by what they compute and what becomes of it, whatever their values are called
    (`ir.matching`); near-linear in the size of the programs. A mark between the sides says how lines relate:
    none for equal ones, `~` for one that changed, `-` and `+` for those of one side, `±` for two such beside
    each other.

    Args:
      before, after: of the IR, such as two stages of `jit(f).stages(*args)`.
      titles: of the two sides.
      context: equal lines to show around differences.
      limit: about how many lines to show of a stretch that differs; `None` for all.
      max_elements: constants with more elements are elided; `None` for none.
      width: columns of text; by default those of the terminal, and no limit for plain text.
      wrap: continue what is too wide on the next line rather than cut it.

    Returns:
      A `Diff`, which prints itself; it is true where there is a difference.

    Raises:
      ArgumentTypeError: not functions of the IR.
      ArgumentError: a context, limit or width that is too small.
    """
    return Diff(
        before,
        after,
        titles=titles,
        context=context,
        limit=limit,
        max_elements=max_elements,
        width=width,
        wrap=wrap,
    )


__all__ = ["Diff", "diff"]
