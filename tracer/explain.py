"""`explain(f)(*args)`: what the compiler did with a function, stage by stage."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ir
from ir import cost
from ir.remarks import Remark, remarks
from tracer.api.jit import jit

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of compilation.

    Attributes:
      name: `trace`, or the name of a pass.
      function: the program after it.
      flops, bytes: the cost model's figures for it.
      peak: bytes of live values at the worst moment, in program order.
    """

    name: str
    function: ir.Function
    flops: int
    bytes: int
    peak: int


@dataclass(frozen=True, slots=True)
class Report:
    """Stages of compiling one function for one set of argument types.

    Attributes:
      name: the function's name.
      stages: the traced program and what each pass left of it.
      seconds: time to trace and optimise.
      remarks: what passes say about places of the program: loops that were found, and what became of them.
    """

    name: str
    stages: tuple[Stage, ...]
    seconds: float
    remarks: tuple[Remark, ...] = ()

    @property
    def function(self) -> ir.Function:
        """The optimised program."""
        return self.stages[-1].function

    def table(self) -> Table:
        """The stages as a table of sizes and costs."""
        from rich.table import Table

        table = Table(title=f"{self.name}: traced and optimised in {self.seconds * 1e3:.1f} ms")
        for column in ("stage", "equations", "flops", "bytes moved", "peak bytes"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for stage in self.stages:
            numbers = (len(stage.function.eqns), stage.flops, stage.bytes, stage.peak)
            table.add_row(stage.name, *[f"{n:,}" for n in numbers])
        return table

    def print(self, console: Console | None = None) -> None:
        """Print the table and the optimised program."""
        from rich.console import Console

        out = console or Console()
        out.print(self.table())
        for each in self.remarks:
            out.print(str(each), markup=False, highlight=False)
        out.print(str(self.function), markup=False, highlight=False)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=100, no_color=True)
        with console.capture() as captured:
            self.print(console)
        return captured.get()


def explain(f: Callable[..., Any]) -> Callable[..., Report]:
    """`explain(f)(*args)` reports how `f` is compiled for arguments of those types."""

    @functools.wraps(f)
    def report(*args: Any, **kwargs: Any) -> Report:
        stages_of = f.stages if hasattr(f, "stages") else jit(f).stages
        begin = time.perf_counter()
        with remarks() as found:
            stages = stages_of(*args, **kwargs)
        seconds = time.perf_counter() - begin
        return Report(
            getattr(f, "__name__", "function"),
            tuple(
                [
                    Stage(
                        name,
                        fn,
                        cost.flops(fn),
                        cost.bytes_accessed(fn),
                        cost.live_memory(fn).bytes,
                    )
                    for name, fn in stages
                ]
            ),
            seconds,
            tuple(dict.fromkeys(found)),
        )

    return report
