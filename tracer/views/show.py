"""`show`: a program as a listing for people."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

import ir
from ir import cost
from ir.core import Eqn, Function
from ir.errors import ArgumentError, ArgumentTypeError
from ir.printer import lines
from ir.source import Source
from tracer.units import amount
from tracer.views.cells import (
    NOTE,
    NUMBER,
    SOURCE,
    call_cell,
    code_text,
    end_cell,
    head_cell,
    head_name,
    indent_of,
    is_head,
    place_text,
    results_cells,
)
from tracer.views.programs import program_of
from tracer.views.sheet import Cell, Column, Sheet, Span, View, checked_width
from tracer.views.summary import Note, Row, summarized

COLUMNS = ("flops", "bytes", "live", "source", "code")
_PARAMS = 12  # params of a function, and results, that a summary shows

_OPTIONAL = {
    "flops": Column("flops", "right"),
    "bytes": Column("bytes", "right"),
    "live": Column("live", "right"),
    "source": Column("source", least=12, keeps="end"),
    "code": Column("code", least=16),
}


class Listing(View):
    """A program for people to read; made by `show`.

    Attributes:
      function: the program.
    """

    def __init__(
        self,
        function: Function,
        *,
        columns: Sequence[str] = (),
        limit: int | None = 60,
        max_elements: int | None = 8,
        width: int | None = None,
        wrap: bool = False,
    ) -> None:
        self.function = function
        self._columns = _checked(columns, limit)
        self._limit = limit
        self._max_elements = max_elements
        self._width = checked_width(width)
        self._wrap = wrap

    def rows(self) -> list[Row]:
        """The lines that are shown, and notes in the place of those that are not."""
        every = lines(self.function, max_elements=self._max_elements)
        return list(every) if self._limit is None else summarized(every, self._limit)

    def sheet(self, width: int | None) -> Sheet:
        rows = self.rows()
        live = _Live() if "live" in self._columns else None
        brief = self._limit is not None and any(isinstance(row, Note) for row in rows)
        sources = {"source": place_text, "code": _codes()}
        texts = [sources[name] for name in self._columns if name in sources]
        laid = [self._row(row, live, texts, _PARAMS if brief else None) for row in rows]
        if brief or self._columns:
            laid.append(Span(((_totals(self.function), NOTE),)))
        columns = [
            Column("result", least=8, usual=28),
            Column("type", least=8, usual=28),
            *[_OPTIONAL[name] for name in self._columns if name in ("flops", "bytes", "live")],
            Column("equation", least=24, usual=72 if {"source", "code"} & {*self._columns} else None),
            *[_OPTIONAL[name] for name in self._columns if name in ("source", "code")],
        ]
        return Sheet(columns, laid, titles=bool(self._columns))

    def _row(
        self, row: Row, live: _Live | None, texts: Sequence[Callable[[Source], str]], most: int | None
    ) -> tuple[Cell, ...] | Span:
        if isinstance(row, Note):
            return Span(((row.indent, ""), (row.text, NOTE)), 2)
        indent = indent_of(row)
        if row.eqn is None:
            if is_head(row):
                cell = head_cell(row.function, head_name(row), row.names, indent, most)
                return Span(cell, 4)
            return Span(end_cell(row, most), 4)
        names, types = results_cells(row.eqn, row.names)
        numbers: list[Cell] = []
        if "flops" in self._columns or "bytes" in self._columns:
            costs = cost.eqn_cost(row.eqn)
            if "flops" in self._columns:
                numbers.append(((amount(costs.flops), NUMBER),))
            if "bytes" in self._columns:
                numbers.append(((amount(costs.bytes_accessed), NUMBER),))
        if live is not None:
            numbers.append(((amount(live.after(row.function, row.eqn)), NUMBER),))
        where = [((text(row.eqn.source), SOURCE),) for text in texts]
        return (((indent, ""), *names), types, *numbers, call_cell(row), *where)


def _checked(columns: Sequence[str], limit: int | None) -> tuple[str, ...]:
    """The columns in their order; ArgumentError for one that there is not, or a limit that is too small."""
    given = (columns,) if isinstance(columns, str) else tuple(columns)
    if unknown := [name for name in given if name not in COLUMNS]:
        raise ArgumentError(f"show: expected columns among {', '.join(COLUMNS)}, got {', '.join(unknown)}")
    if limit is not None and limit < 1:
        raise ArgumentError(f"show: expected a limit of at least 1 line, or None, got {limit}")
    return tuple(name for name in COLUMNS if name in given)


def _codes() -> Callable[[Source], str]:
    """`code_text` that looks every line up once: one makes many equations."""
    held: dict[tuple[str, int], str] = {}

    def code(source: Source) -> str:
        where = (source.file, source.line)
        if where not in held:
            held[where] = code_text(source)
        return held[where]

    return code


class _Live:
    """Bytes of live values after equations, looked up by equation."""

    def __init__(self) -> None:
        self._of: dict[int, dict[Eqn, int]] = {}

    def after(self, function: Function, eqn: Eqn) -> int:
        held = self._of.get(id(function))
        if held is None:
            held = dict(zip(function.eqns, cost.live_bytes(function), strict=True))
            self._of[id(function)] = held
        return held[eqn]


def _totals(function: Function) -> str:
    total = cost.summary(function)
    peak = total.peak
    at = "" if peak.eqn is None else f" at {peak.eqn.op.name}, equation {peak.position}"
    return (
        f"{total.equations:,} equations, {amount(total.flops)} flops, {amount(total.bytes_accessed, 'B')} accessed, "
        f"at most {amount(peak.bytes, 'B')} live{at}"
    )


@overload
def show(
    program: Function,
    *,
    columns: Sequence[str] = (),
    limit: int | None = 60,
    max_elements: int | None = 8,
    width: int | None = None,
    wrap: bool = False,
) -> Listing: ...
@overload
def show(
    program: Callable[..., Any],
    *,
    columns: Sequence[str] = (),
    limit: int | None = 60,
    max_elements: int | None = 8,
    width: int | None = None,
    wrap: bool = False,
    stage: str | int | None = None,
) -> Callable[..., Listing]: ...
def show(
    program: Function | Callable[..., Any],
    *,
    columns: Sequence[str] = (),
    limit: int | None = 60,
    max_elements: int | None = 8,
    width: int | None = None,
    wrap: bool = False,
    stage: str | int | None = None,
) -> Any:
    """A listing of a program for people: `show(function)` of IR, `show(f)(*args)` of a Python function.

    Names are those of `str(function)`, which is the exact form that parses back. Of a program longer than
    `limit` the listing shows the beginning, the end and what repeats, and counts the rest.

    Args:
      program: an `ir.Function`; or a Python function, whose optimised program is shown. For `jit(f, …)`
        its options hold.
      columns: of `flops` (operations of the equation), `bytes` (that it reads and writes), `live` (bytes of
        live values after it), `source` (file and line of the user's) and `code` (that line).
      limit: about how many lines to show; `None` for all.
      max_elements: constants with more elements are elided; `None` for none.
      width: columns of text; by default those of the terminal, and no limit for plain text.
      wrap: continue what is too wide on the next line rather than cut it.
      stage: for a Python function, the stage of compilation: `"trace"` or the name of a pass (the last of
        that name), or its position.

    Returns:
      A `Listing` (with `print()`; it shows itself in terminals and notebooks), or for a Python function a
      function from its arguments to one.

    Raises:
      ArgumentError: an unknown column or stage, a limit or width that is too small.
      ArgumentTypeError: neither a function of the IR nor a callable.

    Examples:
      >>> print(tr.show(lambda x: tnp.sin(x) + 1, columns=("flops",))(np.ones(3, np.float32)))
      result  type    flops  equation
      def fn(x: f32[3]) -> (f32[3]):
        a     f32[3]     30  sin(x)
        b     f32[3]      0  1.0
        c     f32[3]      3  add(a, b)
        return c
      3 equations, 33 flops, 72 B accessed, at most 48 B live at add, equation 2
    """
    made = functools.partial(
        Listing, columns=columns, limit=limit, max_elements=max_elements, width=width, wrap=wrap
    )
    if isinstance(program, ir.Function):
        if stage is not None:
            raise ArgumentError(
                "show: expected a Python function where a stage is asked for, got an ir.Function"
            )
        return made(program)
    if not callable(program):
        raise ArgumentTypeError(
            f"show: expected an ir.Function or a Python function, got {type(program).__name__}"
        )
    of = program_of(program, stage)
    _checked(columns, limit)

    @functools.wraps(program)
    def listing(*args: Any, **kwargs: Any) -> Listing:
        return made(of(*args, **kwargs))

    return listing


__all__ = ["COLUMNS", "Listing", "show"]
