"""The commands: each from parsed options to what it prints or writes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ir
from ir.errors import ArgumentError
from tracer.api.derivatives import grad
from tracer.api.jit import jit
from tracer.cli.arguments import Arguments, parse_arguments
from tracer.cli.targets import check_call, load_function, made_arguments
from tracer.explain import explain
from tracer.views.diff import diff
from tracer.views.find import find
from tracer.views.programs import chosen_stage, program_of
from tracer.views.sheet import View
from tracer.views.show import show

if TYPE_CHECKING:
    from rich.console import Console


def run(options: argparse.Namespace) -> None:
    """Run the command that the options are of."""
    _RUN[options.command](options)


# What the options name ----------------------------------------------------------------------------


def arguments_of(options: argparse.Namespace) -> Arguments:
    """The arguments of `--arg`, or those of `--args`."""
    if not options.args:
        return parse_arguments(options.arg)
    if options.arg:
        raise ArgumentError("expected --arg or --args, got both")
    return made_arguments(options.args)


def function_of(target: str, options: argparse.Namespace, arguments: Arguments) -> Any:
    """The function at `target`, or its gradient, compiled as the options say."""
    f = load_function(target)
    check_call(f, arguments)
    if options.grad:
        # Inside, so that control flow is converted before it is differentiated.
        f = grad(f, options.argnums)
    if _is_jitted(f):
        if options.opt != 1 or options.exact or options.fast_math or options.autograph:
            raise ArgumentError(
                f"{target} was made by jit, whose own options hold: expected none of --opt, --exact, "
                "--fast-math and --autograph"
            )
        return f
    return jit(
        f, opt=options.opt, exact=options.exact, fast_math=options.fast_math, autograph=options.autograph
    )


def _is_jitted(f: Callable[..., Any]) -> bool:
    return hasattr(f, "stages") and hasattr(f, "ir")


def _stage(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else text


def _program(options: argparse.Namespace) -> ir.Function:
    arguments = arguments_of(options)
    f = function_of(options.target, options, arguments)
    return program_of(f, _stage(options.stage))(*arguments.args, **arguments.kwargs)


# Printing -----------------------------------------------------------------------------------------


def console_of(options: argparse.Namespace) -> Console | None:
    """A console in the width and colours that are asked for; None where they are those of the output."""
    from rich.console import Console

    if options.color == "auto" and not sys.stdout.isatty():
        return None
    force = {"auto": None, "always": True, "never": False}[options.color]
    return Console(
        highlight=False, width=options.width, force_terminal=force, no_color=options.color == "never" or None
    )


def _print(view: View, options: argparse.Namespace) -> None:
    view.print(console_of(options))


def _write(made: Any, path: str) -> None:
    try:
        made.save(path)
    except OSError as error:
        raise ArgumentError(f"cannot write {path!r}: {error.strerror or error}") from error
    print(f"wrote {path}")


def _limit(options: argparse.Namespace, default: int) -> int | None:
    if options.all:
        return None
    return default if options.limit is None else int(options.limit)


# Commands -----------------------------------------------------------------------------------------


def _show(options: argparse.Namespace) -> None:
    program = _program(options)
    if options.text:
        print(ir.to_text(program, sources=options.sources))
        return
    columns = (*options.columns, *(("source", "code") if options.sources else ()))
    _print(
        show(program, columns=columns, limit=_limit(options, 60), width=options.width, wrap=options.wrap),
        options,
    )


def _explain(options: argparse.Namespace) -> None:
    arguments = arguments_of(options)
    f = function_of(options.target, options, arguments)
    report = explain(f)(*arguments.args, **arguments.kwargs)
    if options.save:
        _write(report, options.save)
        return
    if options.width is None:
        report.print(console_of(options))
    else:
        from rich.console import Console

        report.print(console_of(options) or Console(width=options.width))


def _diff(options: argparse.Namespace) -> None:
    arguments = arguments_of(options)
    targets = [options.target] if options.other is None else [options.target, options.other]
    both = [function_of(target, options, arguments) for target in targets]
    stages = [f.stages(*arguments.args, **arguments.kwargs) for f in both]
    if options.other is None:
        first = options.first if options.first is not None else "trace"
        second = options.second if options.second is not None else str(len(stages[0]) - 1)
        wanted = [(stages[0], first), (stages[0], second)]
    else:
        last = [str(len(each) - 1) for each in stages]
        wanted = [
            (stages[0], options.first if options.first is not None else last[0]),
            (stages[1], options.second if options.second is not None else last[1]),
        ]
    programs = [chosen_stage(each, _stage(name) or 0, options.target) for each, name in wanted]
    if options.other is None:
        titles = (_title(*wanted[0]), _title(*wanted[1]))
    else:
        titles = (options.target, options.other)
    made = diff(
        programs[0],
        programs[1],
        titles=titles,
        context=options.context,
        limit=_limit(options, 40),
        width=options.width,
        wrap=options.wrap,
    )
    _print(made, options)


def _title(stages: list[tuple[str, ir.Function]], name: str) -> str:
    stage = _stage(name)
    return stages[stage][0] if isinstance(stage, int) else name


def _find(options: argparse.Namespace) -> None:
    found = find(
        _program(options),
        op=options.op,
        name=options.name,
        uses=options.uses,
        type=options.type,
        source=options.source,
        width=options.width,
    )
    _print(found, options)


def _graph(options: argparse.Namespace) -> None:
    from tracer.views.graph import graph

    made = graph(_program(options), around=options.around, depth=options.depth, limit=options.limit)
    if options.output is None:
        print(made)
    else:
        _write(made, options.output)


def _bench(options: argparse.Namespace) -> None:
    from tracer.cli.bench import measure

    arguments = arguments_of(options)
    f = load_function(options.target)
    check_call(f, arguments)
    ours = function_of(options.target, options, arguments)
    _print(measure(f, ours, arguments, options), options)


def _completion(options: argparse.Namespace) -> None:
    from tracer.cli.completion import script

    print(script(options.shell))


_RUN: dict[str, Callable[[argparse.Namespace], None]] = {
    "show": _show,
    "explain": _explain,
    "diff": _diff,
    "find": _find,
    "graph": _graph,
    "bench": _bench,
    "completion": _completion,
}
