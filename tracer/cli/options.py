"""What each command takes: one table, from which the parser and the completions are made."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tracer.views.show import COLUMNS


@dataclass(frozen=True, slots=True)
class Option:
    """An option or a positional argument.

    Attributes:
      flags: such as `("-o", "--output")`; a name without a dash is positional.
      help: what it does.
      settings: what else argparse's `add_argument` is given.
      completes: what a shell offers for its value: file names, one of the words, or nothing.
    """

    flags: tuple[str, ...]
    help: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    completes: Literal["files"] | tuple[str, ...] | None = None

    @property
    def takes_value(self) -> bool:
        """Whether a value follows it."""
        return self.settings.get("action") not in ("store_true", "version")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of `python -m tracer`.

    Attributes:
      summary: what it does, in a line.
      options: of this command.
    """

    name: str
    summary: str
    options: tuple[Option, ...]


def _flag(*flags: str, help: str) -> Option:
    return Option(flags, help, {"action": "store_true"})


def _value(*flags: str, help: str, **settings: Any) -> Option:
    choices = settings.get("choices")
    return Option(flags, help, settings, tuple(choices) if choices else None)


def _count(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        found = int(text)
        if found < least:
            raise argparse.ArgumentTypeError(f"expected a number of at least {least}, got {text}")
        return found

    number.__name__ = "number"  # what argparse calls it
    return number


def positions(text: str) -> int | tuple[int, ...]:
    """`0` or `0,2`."""
    found = tuple([int(part) for part in text.split(",")])
    return found[0] if len(found) == 1 else found


def columns(text: str) -> tuple[str, ...]:
    """`flops,live`, each among those of `show`."""
    found = tuple([part.strip() for part in text.split(",") if part.strip()])
    if unknown := [name for name in found if name not in COLUMNS]:
        raise argparse.ArgumentTypeError(
            f"expected columns among {', '.join(COLUMNS)}, got {', '.join(unknown)}"
        )
    return found


TARGET = Option(("target",), "module:function or file.py:function", {}, "files")
CALL = (
    _value(
        "--arg",
        action="append",
        default=[],
        metavar="ARG",
        help="an argument: f32[32,784], 3, '{\"w\": f32[4,2]}', or name=f32[3]; once for each",
    ),
    _value("--args", metavar="MODULE:FUNCTION", help="a function that returns all arguments, pytrees too"),
)
COMPILE = (
    _flag("--grad", help="of the gradient with respect to --argnums"),
    _value("--argnums", type=positions, default=0, metavar="N[,N]", help="arguments of --grad (0)"),
    _value("--opt", type=int, choices=(0, 1), default=1, help="0 runs no passes"),
    _flag("--exact", help="forbid rewrites that change rounding"),
    _flag("--fast-math", help="allow rewrites that change NaN, inf or signed zeros"),
    _flag("--autograph", help="convert Python control flow on traced values"),
)
STAGE = _value(
    "--stage", metavar="NAME", help="the program after a pass (trace: before any), or the number of the stage"
)
PRINT = (
    _value("--width", type=_count(20), help="columns of text; those of the terminal by default"),
    _flag("--wrap", help="continue what is too wide on the next line rather than cut it"),
    _value(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours; by default where the output is a terminal",
    ),
)
LIMIT = _value("--limit", type=_count(1), help="about how many lines to show of a long program or stretch")
ALL = _flag("--all", help="show every line")

COMMANDS = (
    Command(
        "show",
        "a listing of the program",
        (
            TARGET,
            *CALL,
            *COMPILE,
            STAGE,
            _flag("--sources", help="the columns source and code"),
            _value("--columns", type=columns, default=(), metavar=",".join(COLUMNS), help="columns to add"),
            LIMIT,
            ALL,
            _flag("--text", help="the exact text form instead, which parses back"),
            *PRINT,
        ),
    ),
    Command(
        "explain",
        "what each stage of compilation did, with costs",
        (
            TARGET,
            *CALL,
            *COMPILE,
            Option(("--save",), "write a report in HTML", {"metavar": "FILE"}, "files"),
            *PRINT,
        ),
    ),
    Command(
        "diff",
        "two stages, or two functions, side by side",
        (
            TARGET,
            Option(("other",), "another function, instead of another stage", {"nargs": "?"}, "files"),
            *CALL,
            *COMPILE,
            _value("--from", dest="first", metavar="STAGE", help="the stage on the left (trace)"),
            _value("--to", dest="second", metavar="STAGE", help="the stage on the right (the last)"),
            _value("--context", type=_count(0), default=3, help="equal lines around differences (3)"),
            LIMIT,
            ALL,
            *PRINT,
        ),
    ),
    Command(
        "find",
        "equations by op, name, type or source",
        (
            TARGET,
            *CALL,
            *COMPILE,
            STAGE,
            _value("--op", action="append", help="the name of an op, with * and ?; may be repeated"),
            _value("--name", help="the name of a result"),
            _value("--uses", help="the name of an operand"),
            _value("--type", help="the type of a result"),
            _value("--source", help="file.py:12, a line number, or a part of the text of the line"),
            *PRINT,
        ),
    ),
    Command(
        "graph",
        "a picture of the program: DOT, or SVG, PNG and PDF by Graphviz",
        (
            TARGET,
            *CALL,
            *COMPILE,
            STAGE,
            Option(("-o", "--output"), "a file; its ending says the format", {"metavar": "FILE"}, "files"),
            _value("--around", metavar="NAME", help="only what is near the value of that name"),
            _value("--depth", type=_count(1), default=2, help="how near, in equations (2)"),
            _value("--limit", type=_count(1), default=400, help="the most equations of a picture (400)"),
        ),
    ),
    Command(
        "bench",
        "time to compile and to run, beside jax.jit where the function runs there",
        (
            TARGET,
            *CALL,
            *COMPILE,
            _value("--seconds", type=float, default=1.0, help="time to measure each of them for (1)"),
            _flag("--alone", help="without jax.jit"),
            *PRINT,
        ),
    ),
    Command(
        "completion",
        "a script that completes commands and options in a shell",
        (
            Option(
                ("shell",),
                "which shell",
                {"choices": ("bash", "zsh", "fish")},
                ("bash", "zsh", "fish"),
            ),
        ),
    ),
)
TRACEBACK = _flag("--traceback", help="the whole traceback of an error")


def parser(prog: str) -> argparse.ArgumentParser:
    """The parser of the command line; `command` is the name of the command."""
    made = argparse.ArgumentParser(prog=prog, description="Look at what tracer makes of a function.")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.summary, description=_sentence(command.summary))
        for option in (*command.options, TRACEBACK):
            sub.add_argument(*option.flags, help=option.help.replace("%", "%%"), **option.settings)
    return made


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def value_options(command: Command) -> Sequence[Option]:
    """The options of a command that begin with a dash."""
    return [option for option in (*command.options, TRACEBACK) if option.flags[0].startswith("-")]
