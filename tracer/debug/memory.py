"""What holds the memory of a program at its peak, by the user's lines; and the error that says so."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ir
from ir.core import Value
from ir.printer import lines
from ir.source import Source, capture
from ir.timeline import Held, at_peak, timeline
from tracer.errors import OutOfMemoryError
from tracer.report.model import described
from tracer.types import type_of
from tracer.units import size

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class LiveValue:
    """Something that is held at the peak.

    Attributes:
      what: a value as the program prints it; or in words, such as the zeros that a loop stacks upon.
      bytes: that it takes.
      name, type: of the value; empty and `None` for what the program does not have, such as kept states.
      source: where it is computed; `None` for an argument.
      within: the loops and branches around it, outermost first.
    """

    what: str
    bytes: int
    name: str
    type: ir.TensorType | None
    source: Source | None
    within: tuple[str, ...] = ()

    def __str__(self) -> str:
        inside = f", in {' in '.join(reversed(self.within))}" if self.within else ""
        where = "an argument" if self.source is None else f"at {self.source}"
        text = f"{size(self.bytes):>10}  {self.what}  {where}{inside}"
        code = "" if self.source is None else self.source.text()
        return f"{text}\n{'':12}    {code}" if code else text


@dataclass(frozen=True, slots=True)
class Peak:
    """What a program holds at its peak, as `ir.timeline` estimates it.

    Attributes:
      name: of the program.
      bytes: arguments, results, and the most of all else at one time.
      values: largest first. Where a value takes the place of another at the peak, both are listed.
    """

    name: str
    bytes: int
    values: tuple[LiveValue, ...]

    def __str__(self) -> str:
        rest = self.values[_SHOWN:]
        shown = [str(v) for v in self.values[:_SHOWN]]
        if rest:
            shown.append(f"{size(sum([v.bytes for v in rest])):>10}  {len(rest)} smaller ones")
        head = f"{self.name}: {size(self.bytes)} in {len(self.values)} live values at the estimated peak"
        return "\n".join([head, *shown])


def peak_of(function: ir.Function) -> Peak:
    """What a function holds at its peak, what the loop or branch that it is in holds included."""
    names = _names(function)
    sources = {v: eqn.source for eqn in function.eqns for v in eqn.results}
    throughout = dict.fromkeys((*function.params, *function.results))
    values = [
        LiveValue(f"{names[v]}: {v.type}", v.type.nbytes, names[v], v.type, sources.get(v))
        for v in throughout
    ]
    values += [
        _live(held, _names(inner), tuple([eqn.op.name for eqn in around]))
        for held, inner, around in at_peak(function)
    ]
    over = timeline(function)
    total = over.arguments + over.results + over.peak
    return Peak(function.name, total, tuple(sorted(values, key=lambda v: -v.bytes)))


def _names(function: ir.Function) -> Mapping[Value, str]:
    """As the function is printed."""
    return next(line.names for line in lines(function) if line.function is function)


def _live(held: Held, names: Mapping[Value, str], within: tuple[str, ...]) -> LiveValue:
    type_ = None if held.value is None else held.value.type
    name = names.get(held.value, "") if held.what == "eqn" and held.value is not None else ""
    return LiveValue(described(held, names), held.bytes, name, type_, held.eqn.source, within)


def memory(f: Callable[..., Any]) -> Callable[..., Peak]:
    """`memory(f)(*args)`: what holds the memory of `f` at the estimated peak, by line. Nothing is run.

    Args:
      f: compiled by `tracer.jit` or not; arguments may be `jax.ShapeDtypeStruct`s.
    """
    from tracer.api.jit import jit

    program = f.ir if hasattr(f, "ir") else jit(f).ir

    @functools.wraps(f)
    def peak(*args: Any, **kwargs: Any) -> Peak:
        return peak_of(program(*args, **kwargs))

    return peak


def out_of_memory(error: BaseException, function: ir.Function) -> OutOfMemoryError:
    """The error for one of the runtime, with what the program holds."""
    peak = peak_of(function)
    source = next((v.source for v in peak.values if v.source is not None), None)
    return OutOfMemoryError(str(error), source=source, note=str(peak), peak=peak)


def out_of_memory_at_once(error: BaseException, name: str, given: Sequence[Any]) -> OutOfMemoryError:
    """The error for one of a function that computes at once, with the arrays that it was given."""
    types = [type_of(x)[0] for x in given]
    values = [LiveValue(f"operand {i}: {t}", t.nbytes, f"operand {i}", t, None) for i, t in enumerate(types)]
    values.sort(key=lambda v: -v.bytes)
    peak = Peak(name, sum([v.bytes for v in values]), tuple(values))
    return OutOfMemoryError(
        f"{name}: {error}", source=capture(2), note=str(peak) if values else "", peak=peak
    )


__all__ = ["LiveValue", "Peak", "memory", "out_of_memory", "out_of_memory_at_once", "peak_of"]
