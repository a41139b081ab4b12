"""The command line: `python -m tracer show|explain|diff|find|graph|bench|completion`, also installed as `tracer`.

`options.py` is the table of commands and options, `arguments.py` reads `--arg`, `targets.py` finds functions,
`commands.py` runs. Errors that tracer raises on purpose are printed without a traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from ir.errors import TracerError
from ir.source import is_internal


def main(argv: Sequence[str] | None = None, prog: str = "tracer") -> int:
    """Run a command; 0 if it succeeded, 1 where tracer raised an error, which is printed.

    Wrong options end the program with status 2, as argparse has it.
    """
    from tracer.cli.commands import run
    from tracer.cli.options import parser

    options = parser(prog).parse_args(argv)
    try:
        run(options)
    except TracerError as error:
        if options.traceback:
            raise
        sys.stdout.flush()
        print(f"error: {_message(error)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _message(error: TracerError) -> str:
    """The message, with the place in the user's code if there is one between here and where it was raised."""
    frames = traceback.walk_tb(error.__traceback__)
    if error.source is not None or any(not is_internal(f.f_globals.get("__name__", "")) for f, _ in frames):
        return str(error)
    return "\n".join([error.message, *([error.note] if error.note else [])])
