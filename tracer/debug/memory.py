"""What holds the memory of a program at its peak, by the user's lines; and the error that says so."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ir
from ir.core import Value, nested_functions
from ir.cost import live_memory
from ir.printer import lines
from ir.source import Source
from tracer.errors import OutOfMemoryError
from tracer.units import size

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class LiveValue:
    """A value that is live at the peak.

    Attributes:
      name: as the program prints it.
      type: element type and shape.
      source: where it is computed; `None` for an argument.
      within: the loops and branches around it, outermost first.
    """

    name: str
    type: ir.TensorType
    source: Source | None
    within: tuple[str, ...]

    def __str__(self) -> str:
        inside = f", in {' in '.join(reversed(self.within))}" if self.within else ""
        where = "an argument" if self.source is None else f"at {self.source}"
        text = f"{size(self.type.nbytes):>10}  {self.name}: {self.type}  {where}{inside}"
        code = "" if self.source is None else self.source.text()
        return f"{text}\n{'':12}    {code}" if code else text


@dataclass(frozen=True, slots=True)
class Peak:
    """The live values of a program at its peak, as the cost model estimates it.

    Attributes:
      name: of the program.
      bytes: of all of them. One equation at a time, without fusion or reuse of buffers: XLA may need less.
      values: largest first.
    """

    name: str
    bytes: int
    values: tuple[LiveValue, ...]

    def __str__(self) -> str:
        rest = len(self.values) - _SHOWN
        shown = [str(v) for v in self.values[:_SHOWN]]
        if rest > 0:
            held = sum(v.type.nbytes for v in self.values[_SHOWN:])
            shown.append(f"{size(held):>10}  {rest} smaller ones")
        head = f"{self.name}: {size(self.bytes)} in {len(self.values)} live values at the estimated peak"
        return "\n".join([head, *shown])


def peak_of(function: ir.Function) -> Peak:
    """The live values of a function at its peak, those inside the loop or branch that it is in included."""
    found: list[LiveValue] = []
    within: tuple[str, ...] = ()
    inner: ir.Function | None = function
    while inner is not None:
        memory = live_memory(inner)
        names = next(line.names for line in lines(inner) if line.function is inner)
        sources = {r: e.source for e in inner.eqns for r in e.results}
        params = set(inner.params) if within else set[Value]()
        found += [LiveValue(names[v], v.type, sources.get(v), within) for v in memory.live if v not in params]
        below = [] if memory.eqn is None else list(nested_functions(memory.eqn))
        inner = (
            max(below, key=lambda f: live_memory(f).bytes, default=None) if memory.temporary_bytes else None
        )
        within = (*within, "" if memory.eqn is None else memory.eqn.op.name)
    values = tuple(sorted(found, key=lambda v: -v.type.nbytes))
    return Peak(function.name, live_memory(function).bytes, values)


def memory(f: Callable[..., Any]) -> Callable[..., Peak]:
    """`memory(f)(*args)`: what holds the memory of `f` at the estimated peak, by line. Nothing is run.

    Args:
      f: compiled by `tracer.jit` or not; arguments may be `jax.ShapeDtypeStruct`s.
    """
    from tracer.api.jit import jit

    @functools.wraps(f)
    def peak(*args: Any, **kwargs: Any) -> Peak:
        program = f.ir if hasattr(f, "ir") else jit(f).ir
        return peak_of(program(*args, **kwargs))

    return peak


def out_of_memory(error: BaseException, function: ir.Function) -> OutOfMemoryError:
    """The error for one of the runtime, with what the program holds."""
    peak = peak_of(function)
    source = next((v.source for v in peak.values if v.source is not None), None)
    return OutOfMemoryError(str(error), source=source, note=str(peak), peak=peak)


__all__ = ["LiveValue", "Peak", "memory", "out_of_memory", "peak_of"]
