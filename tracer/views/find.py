"""`find`: equations of a program by op, name, type or the user's source."""

from __future__ import annotations

import difflib
import fnmatch
import linecache
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from ir.core import Eqn, Function, Value
from ir.errors import ArgumentError, ArgumentTypeError
from ir.op import all_ops
from ir.printer import Line, lines
from ir.source import Source
from tracer.views.cells import NOTE, SOURCE, call_cell, head_name, is_head, place_text, results_cells
from tracer.views.sheet import Cell, Column, Sheet, Span, View, checked_width

_FILE_LINE = re.compile(r"(?P<file>[^:]*):(?P<first>\d+)(?:-(?P<last>\d+))?\Z")
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """An equation and where it stands.

    Attributes:
      eqn: the equation.
      function: the function whose body holds it.
      position: its index among the equations of that function.
      path: printed names of the functions around it, the outermost first, that of `function` last.
      names: printed names of the values of that function, as in `str` of the whole program.
      line: its line of text.
    """

    eqn: Eqn
    function: Function
    position: int
    path: tuple[str, ...]
    names: Mapping[Value, str]
    line: Line

    @property
    def source(self) -> Source:
        """The user's source location."""
        return self.eqn.source

    def __str__(self) -> str:
        where = place_text(self.source)
        text = f"{'/'.join(self.path)}[{self.position}]  {self.line.text.strip()}"
        return f"{text}  # {where}" if where else text

    def __repr__(self) -> str:
        return f"<Place {self}>"


class Found(View, Sequence[Place]):
    """The equations that were found, in program order: a sequence of `Place` that prints itself."""

    def __init__(
        self, function: Function, places: Sequence[Place], width: int | None = None, *, of: str = ""
    ) -> None:
        self.function = function
        self._places = tuple(places)
        self._of = of
        self._width = checked_width(width)

    @overload
    def __getitem__(self, index: int) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> Found: ...
    def __getitem__(self, index: int | slice) -> Place | Found:
        if isinstance(index, slice):
            return Found(self.function, self._places[index], self._width, of=self._of)
        return self._places[index]

    def __len__(self) -> int:
        return len(self._places)

    def sheet(self, width: int | None) -> Sheet:
        rows: list[tuple[Cell, ...] | Span] = []
        for place in self._places:
            where: Cell = ((f"{'/'.join(place.path)}[{place.position}]", "dim"),)
            names, types = results_cells(place.eqn, place.names)
            source: Cell = ((place_text(place.source), SOURCE),)
            rows.append((where, names, types, call_cell(place.line), source))
        count = len(rows)
        rows.append(Span((((f"{count:,} equation{'' if count == 1 else 's'}{self._of}"), NOTE),)))
        columns = [
            Column("where", least=10, usual=32, keeps="end"),
            Column("result", least=8, usual=28),
            Column("type", least=8, usual=28),
            Column("equation", least=20, usual=72),
            Column("source", least=12, keeps="end"),
        ]
        return Sheet(columns, rows)


def find(
    function: Function,
    *,
    op: str | Iterable[str] | None = None,
    name: str | None = None,
    uses: str | None = None,
    type: str | None = None,
    source: str | int | None = None,
    where: Callable[[Eqn], Any] | None = None,
    width: int | None = None,
) -> Found:
    """The equations that fit everything that is asked for, those of nested functions included.

    Args:
      function: of the IR.
      op: the name of the op, or several; `*` and `?` stand for any letters: `"reduce_*"`.
      name: the printed name of a result, with `*` and `?` likewise; `h` also finds `h_1`, `h_2`, … that
        the printer made of values of one name.
      uses: likewise the printed name of an operand.
      type: the printed type of a result: `"f32[3,2]"`, `"f32*"`.
      source: `"model.py:12"`, `"model.py:12-20"`, a line number, or any part of the file's or function's
        name or of the text of the line. Each place that a merged equation comes from counts.
      where: a predicate on equations.
      width: columns of text; by default those of the terminal, and no limit for plain text.

    Returns:
      A sequence of `Place` in program order, which prints itself. An equation of a function that several
      equations hold stands in it once.

    Raises:
      ArgumentError: an op that does not exist, or a source of no sense.
      ArgumentTypeError: not a function of the IR.

    Examples:
      >>> function = tr.trace(lambda x: tnp.sum(tnp.sin(x)))(np.ones(3, np.float32))
      >>> (place,) = tr.find(function, op="reduce_*")
      >>> print(place.eqn.op.name, place.position)
      reduce_sum 1
    """
    if not isinstance(function, Function):
        raise ArgumentTypeError(
            f"find: expected an ir.Function, got {function.__class__.__name__}; "
            "trace(f)(*args) and jit(f).ir(*args) are such"
        )
    tests: list[Callable[[Place], Any]] = []
    ops = (op,) if isinstance(op, str) else None if op is None else tuple(op)
    if ops is not None:
        wanted = _ops(ops)
        tests.append(lambda place: place.eqn.op.name in wanted)
    if name is not None:
        named = _name_test(name)
        tests.append(lambda place: any(named(v, place.names) for v in place.eqn.results))
    if uses is not None:
        used = _name_test(uses)
        tests.append(lambda place: any(used(v, place.names) for v in place.eqn.operands))
    if type is not None:
        tests.append(lambda place: any(_typed(str(v.type), type) for v in place.eqn.results))
    if source is not None:
        comes_from = _source_test(source)
        tests.append(lambda place: any(comes_from(each) for each in place.source.all()))
    if where is not None:
        tests.append(lambda place: where(place.eqn))
    found = [place for place in places(function) if all(test(place) for test in tests)]
    asked = (None if ops is None else " or ".join(ops), name, uses, type, source)
    keys = ("op", "name", "uses", "type", "source")
    said = [f"{key} {value}" for key, value in zip(keys, asked, strict=True) if value is not None]
    return Found(function, found, width, of=f" with {', '.join(said)}" if said else "")


def places(function: Function) -> list[Place]:
    """Every equation of a program with where it stands, in the order of the text."""
    out: list[Place] = []
    open_: list[
        tuple[str, int]
    ] = []  # the functions around a line, and how many equations of each came before
    for line in lines(function, max_elements=8):
        if is_head(line):
            open_.append((head_name(line), 0))
        elif line.eqn is None:
            open_.pop()
        else:
            here, position = open_[-1]
            open_[-1] = (here, position + 1)
            path = tuple([each for each, _ in open_])
            out.append(Place(line.eqn, line.function, position, path, line.names, line))
    return out


# Tests --------------------------------------------------------------------------------------------


def _ops(wanted: Sequence[str]) -> set[str]:
    known = list(all_ops())
    out: set[str] = set()
    for each in wanted:
        names = fnmatch.filter(known, each) if _PATTERN.search(each) else [each] if each in known else []
        if not names:
            within = [n for n in known if len(each) > 2 and each in n][:3]
            close = within or difflib.get_close_matches(each, known, 3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise ArgumentError(f"find: expected the name of an op, got {each!r}{hint}")
        out.update(names)
    return out


def _name_test(pattern: str) -> Callable[[Value, Mapping[Value, str]], bool]:
    if _PATTERN.search(pattern):
        return lambda value, names: fnmatch.fnmatchcase(names.get(value, ""), pattern)
    return lambda value, names: names.get(value) == pattern or (value.name == pattern and value in names)


def _typed(text: str, pattern: str) -> bool:
    if text == pattern.replace(" ", ""):
        return True
    # Brackets stand for themselves here: they belong to types.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _source_test(wanted: str | int) -> Callable[[Source], bool]:
    if isinstance(wanted, int) or wanted.isdigit():
        line = int(wanted)
        return lambda source: source.line == line
    found = _FILE_LINE.match(wanted)
    if found:
        file, first = found["file"], int(found["first"])
        last = int(found["last"] or first)
        if last < first:
            raise ArgumentError(f"find: expected lines in order, got the source {wanted!r}")
        return lambda source: first <= source.line <= last and _is_file(source.file, file)
    if not wanted.strip():
        raise ArgumentError("find: expected a part of the source, got an empty text")
    return lambda source: (
        wanted in source.file
        or wanted in source.function
        or wanted in linecache.getline(source.file, source.line)
    )


def _is_file(path: str, wanted: str) -> bool:
    """Whether a path ends with the parts of another, a whole file name at least."""
    if not wanted or path == wanted:
        return True
    return path.replace("\\", "/").endswith("/" + wanted.replace("\\", "/").lstrip("./"))


__all__ = ["Found", "Place", "find", "places"]
