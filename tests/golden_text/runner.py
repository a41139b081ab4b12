"""The cases: a name, and what makes the text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tracer as tr
from tests.golden_text import programs

ROOT = Path(__file__).parent

CASES: dict[str, Callable[[], object]] = {
    "show": lambda: tr.show(programs.attention_program()),
    "show_columns": lambda: tr.show(
        programs.attention_program(), columns=("flops", "bytes", "live", "source", "code")
    ),
    "show_narrow": lambda: tr.show(programs.gradient_program(), columns=("live", "source"), width=72),
    "show_wrapped": lambda: tr.show(programs.gradient_program(), width=60, wrap=True),
    "show_long": lambda: tr.show(programs.unrolled_program(), limit=20),
    "show_long_middle": lambda: tr.show(programs.attention_program(), limit=10),
    "show_many": lambda: tr.show(tr.trace(programs.many)(*[programs.VECTOR] * 40), limit=2, columns="source"),
    "diff": lambda: tr.diff(
        programs.recurrent_program(),
        tr.trace(programs.recurrent_differently)(programs.MATRIX, programs.VECTOR, programs.ROWS),
    ),
    "diff_narrow": lambda: tr.diff(
        programs.unrolled_program(40), programs.unrolled_program(43), width=90, limit=6
    ),
    "diff_same": lambda: tr.diff(programs.recurrent_program(), programs.recurrent_program()),
    "find_op": lambda: tr.find(programs.gradient_program(), op=["dot_general", "reduce_*"]),
    "find_source": lambda: tr.find(programs.attention_program(), source="softmax(scores)", width=80),
    "graph": lambda: tr.graph(programs.recurrent_program()),
    "graph_around": lambda: tr.graph(programs.attention_program(), around="scores", depth=1),
}


def path(name: str) -> Path:
    return ROOT / f"{name}.txt"


def outcome(name: str) -> str:
    """The text as it comes out now."""
    return str(CASES[name]()) + "\n"
