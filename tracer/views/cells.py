"""Equations and heads of functions as styled cells, which all views share."""

from __future__ import annotations

import linecache
import os
from collections.abc import Mapping, Sequence

from ir.core import Eqn, Function, Value
from ir.printer import Line
from ir.source import UNKNOWN, Source
from tracer.views.sheet import Cell, Run, printable

NAME, TYPE, OP, ATTRS, NUMBER, SOURCE, NOTE, WORD = (
    "bold",
    "cyan",
    "bold blue",
    "dim",
    "green",
    "magenta",
    "italic yellow",
    "bold magenta",
)
_RESULTS = 4  # an equation with more shows the first two and the last
_OPERANDS = 12


def results_cells(eqn: Eqn, names: Mapping[Value, str]) -> tuple[Cell, Cell]:
    """Names and types of the results, those of many elided."""
    return (
        ((_few([names[v] for v in eqn.results]), NAME),),
        ((_few([str(v.type) for v in eqn.results]), TYPE),),
    )


def _few(texts: Sequence[str]) -> str:
    if len(texts) > _RESULTS:
        texts = [*texts[:2], f"… {len(texts) - 3} more …", texts[-1]]
    return ", ".join(texts)


def call_cell(line: Line) -> Cell:
    """The right side of an equation: op, operands (many are elided) and attributes."""
    eqn, names = line.eqn, line.names
    assert eqn is not None
    text = line.text.strip()
    if eqn.results:
        text = text.partition(" = ")[2]
    name = eqn.op.name
    operands = ", ".join([names.get(v, "?") for v in eqn.operands])
    call = f"{name}({operands})"
    if not text.startswith(call):  # the elements of a constant
        return ((text, NUMBER),)
    rest = text[len(call) :]
    if len(eqn.operands) > _OPERANDS:
        shown = [names.get(v, "?") for v in eqn.operands]
        few = len(shown) - _OPERANDS + 4
        operands = ", ".join([*shown[: _OPERANDS - 5], f"… {few} more …", shown[-1]])
    runs: list[Run] = [(name, OP), (f"({operands})", "")]
    if rest:
        runs.append((rest, ATTRS))
    return tuple(runs)


def head_cell(
    function: Function, name: str, names: Mapping[Value, str], indent: str, most: int | None
) -> Cell:
    """The first line of a function.

    Args:
      most: params that are shown; the others are counted.
    """
    runs: list[Run] = [(indent, ""), ("def ", WORD), (name, NAME), ("(", "")]
    params = function.params
    hidden = 0 if most is None or len(params) <= most else len(params) - most
    shown = params if not hidden else (*params[: most - 1 if most else 0], params[-1])
    for i, param in enumerate(shown):
        if i:
            runs.append((", ", ""))
        if hidden and i == len(shown) - 1:
            runs.append((f"… {hidden} more …", NOTE))
            runs.append((", ", ""))
        runs.extend([(f"{names[param]}: ", ""), (str(param.type), TYPE)])
    types = [str(t) for t in function.out_types]
    if most is not None and len(types) > most:
        types = [*types[: most - 1], f"… {len(types) - most} more …", types[-1]]
    runs.extend([(") -> (", ""), (", ".join(types), TYPE), ("):", "")])
    return tuple(runs)


def end_cell(line: Line, most: int | None) -> Cell:
    """The last line of a function."""
    text = line.text.strip().removeprefix("return ")
    results = line.function.results
    if most is not None and len(results) > most:
        shown = [line.names.get(v, "?") for v in results]
        text = ", ".join([*shown[: most - 1], f"… {len(shown) - most} more …", shown[-1]])
    return ((indent_of(line), ""), ("return ", WORD), (text, ""))


def indent_of(line: Line) -> str:
    """The spaces that a line begins with."""
    return line.text[: len(line.text) - len(line.text.lstrip(" "))]


def is_head(line: Line) -> bool:
    """Whether a line is the first of a function."""
    return line.eqn is None and line.text.lstrip(" ").startswith("def ")


def head_name(line: Line) -> str:
    """The printed name of the function that begins with this line."""
    return line.text.lstrip(" ").removeprefix("def ").partition("(")[0]


def known(source: Source) -> bool:
    """Whether a location is one."""
    return source is not UNKNOWN and source.file != "<unknown>"


def place_text(source: Source) -> str:
    """`file.py:12`, without the directories; empty where nothing is known."""
    return f"{os.path.basename(source.file)}:{source.line}" if known(source) else ""


def code_text(source: Source) -> str:
    """The user's line; empty where it is not to be had."""
    return printable(linecache.getline(source.file, source.line)) if known(source) else ""
