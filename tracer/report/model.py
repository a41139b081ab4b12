"""What a report holds. Data only: `collect` makes it, `terminal` and `page` show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ir
from ir.machine import Machine
from ir.profile import EqnProfile
from ir.remarks import Remark
from ir.source import Source
from ir.timeline import Held, Timeline
from tracer.rendering import plain, written

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class RuleUse:
    """A rewrite that a pass applied.

    Attributes:
      name: of the rule.
      count: how often it was applied.
      doc: what it does, as the rule says.
      sources: the places of what it replaced, each once, in order.
    """

    name: str
    count: int
    doc: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of compilation.

    Attributes:
      name: `trace`, or the name of a pass or transform.
      function: the program after it.
      flops: operations of it, by the cost model.
      bytes: read and written by its equations one at a time, by the cost model.
      peak: bytes of live values at the worst moment, in program order, arguments included, nothing fused.
      seconds: that it took.
      doc: what it does, in a sentence; empty where it does not say.
      rules: the rewrites that were applied, most often applied first.
      remarks: what it said: what it did, and what it declined.
    """

    name: str
    function: ir.Function
    flops: int
    bytes: int
    peak: int
    seconds: float = 0.0
    doc: str = ""
    rules: tuple[RuleUse, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """What was done to a program that the traced one was made of, such as a function to be differentiated.

    Attributes:
      name: the transform and the function.
      stages: the function as it was traced, and what each step left of it.
    """

    name: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the time that compiling takes.

    Attributes:
      seconds: of that part alone.
      kind: `trace`; `before` for what happens to functions before they are part of the program; `pass`; `lower`;
        `compile`.
    """

    name: str
    seconds: float
    kind: str


@dataclass(frozen=True, slots=True)
class LineCost:
    """What the equations of one line of the user's cost, over a whole run.

    Attributes:
      file, line, function: the line; the file is `<unknown>` for equations without one.
      equations: how many equations it has in the optimised program.
      flops: operations.
      bytes: read from memory and written to it, fused values left out.
      seconds: by the roofline model.
      bound: `compute`, `memory` or `launch`: what most of the seconds are.
      known: whether all trips of its loops are known; an iteration counts once where they are not.
    """

    file: str
    line: int
    function: str
    equations: int
    flops: int
    bytes: int
    seconds: float
    bound: str
    known: bool


@dataclass(frozen=True, slots=True)
class RegionCost:
    """What the regions of one label cost, over a whole run; see `ir.regions`.

    Attributes:
      label: the name with its line, as it stands in XLA's metadata.
      name: without the line.
      source: the line that most of them come from.
      equations: how many equations of the optimised program they hold.
      flops, bytes, seconds: as of a line.
    """

    label: str
    name: str
    source: Source
    equations: int
    flops: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Compiled:
    """What XLA says of the compiled program; `None` where the backend does not say.

    Attributes:
      arguments, results, temporary, shared: bytes of arguments, results, temporary memory, and of what
        arguments and results have in common.
      flops: operations, by XLA's own count, in which loops run once.
      bytes: accessed, likewise.
    """

    arguments: int | None
    results: int | None
    temporary: int | None
    shared: int | None
    flops: float | None
    bytes: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """How one function is compiled for one set of argument types.

    Attributes:
      name: the function's name.
      stages: the traced program and what each pass left of it.
      seconds: time to trace and optimise.
      remarks: what passes say about places of the program: loops that were found, what became of them.
      groups: what was done to the functions in it before that: passes before differentiation, and derivatives.
      phases: where the time of compiling goes.
      lines: cost of each line of the user's, the most expensive first.
      regions: cost of each region of the optimised program, the most expensive first.
      profile: cost of each equation of the optimised program.
      kernels: how many kernels its equations are fused into, those of the bodies of loops included.
      memory: of the optimised program over its equations, an estimate.
      compiled: what XLA says; `None` where it was not asked.
      machine: the model of the machine behind seconds.
      device: what the program is compiled for.
    """

    name: str
    stages: tuple[Stage, ...]
    seconds: float
    remarks: tuple[Remark, ...]
    groups: tuple[Group, ...]
    phases: tuple[Phase, ...]
    lines: tuple[LineCost, ...]
    regions: tuple[RegionCost, ...]
    profile: tuple[EqnProfile, ...]
    kernels: int
    memory: Timeline
    compiled: Compiled | None
    machine: Machine
    device: str

    @property
    def function(self) -> ir.Function:
        """The optimised program."""
        return self.stages[-1].function

    def table(self) -> Table:
        """The stages as a table of sizes and costs, for `rich`."""
        from tracer.report.terminal import stage_table

        return stage_table(self)

    def print(self, console: Console | None = None, *, lines: int | None = 60) -> None:
        """Print the report.

        Args:
          console: where to; the terminal by default.
          lines: how many lines of the optimised program to print at most; None for all.
        """
        from tracer.report.terminal import show

        show(self, console, lines)

    def __str__(self) -> str:
        return plain(self.print)

    def html(self) -> str:
        """The report as one page that needs nothing else."""
        from tracer.report.page import page

        return page(self)

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, and return its path.

        Raises:
          ArgumentError: there is no such folder.
          OSError: the file cannot be written.
        """
        return written("save", path, self.html())

    def _repr_html_(self) -> str:
        """What notebooks show: the page in a frame of its own."""
        import html

        label = html.escape(f"Report on {self.name}", quote=True)
        return (
            f'<iframe title="{label}" sandbox="allow-scripts" style="width:100%;height:760px;border:0" '
            f'srcdoc="{html.escape(self.html(), quote=True)}"></iframe>'
        )


def described(held: Held, names: Mapping[ir.Value, str]) -> str:
    """What memory holds, in words; `names` are those of the program."""
    op = held.eqn.op.name
    if held.what == "within":
        return f"inside {op}" if held.value is None else f"{held.value.type} inside {op}"
    if held.what == "zeros":
        return f"zeros that {op} stacks upon"
    value = held.value
    if value is None or value not in names:
        results = [v for v in held.eqn.results if value is not None and v.type == value.type]
        value = results[0] if held.what == "eqn" and results else value
    named = "" if value is None else f"{names.get(value) or value.name}: {value.type}".removeprefix(": ")
    if held.what == "runs":
        return f"{named}, in runs"
    if held.what == "places":
        return f"indices {named} along all axes"
    if held.what == "wide":
        return f"{named}, for {op} in f32"
    return f"{named} = {op}" if held.what == "eqn" else f"copy of {named} in another order"


__all__ = ["Compiled", "Group", "LineCost", "Phase", "Report", "RuleUse", "Stage", "described"]
