"""What is said of the equation that made the first number which is not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir
from ir.core import Value
from ir.errors import NonFiniteError
from ir.origins import Argument, Kind, Origin
from ir.printer import eqn_text
from tracer.debug.statistics import Statistics

_INDENT = "  "


def of_origin(origin: Origin, program: str, what: str) -> NonFiniteError:
    """The error that names an equation.

    Args:
      program: which program it was found in, if not the one that was traced.
      what: whose results held the number.
    """
    eqn, source = origin.eqn, origin.eqn.source
    operands, results = statistics(origin)
    made = "nan" if any(s.nans for s in results) else "inf"
    which = "derivative" if source.derivative else "forward"
    lines = [_INDENT + eqn_text(eqn, origin.function)]
    lines += [_INDENT * 2 + str(s) for s in (*operands, *results)]
    loops = [t for t in origin.trips if t.what == "iteration"]
    for trip in reversed(origin.trips):
        lines.append(f"{_INDENT}in {trip.what} {trip.index} of {_called(trip.eqn)}")
    if origin.cause is not None:
        lines += _cause(origin)
    return NonFiniteError(
        f"{what}: {_maker(eqn)} made the first {made}, in the {which} program{program}",
        source=source,
        note="\n".join(lines),
        op=eqn.op.name,
        kind=made,
        derivative=source.derivative,
        iterations=tuple([t.index for t in loops]),
        operands=operands,
        results=results,
    )


def _maker(eqn: ir.Eqn) -> str:
    """The op, or what of JAX's it stands for."""
    primitive = eqn.attrs.get("primitive")
    return eqn.op.name if primitive is None else f"{primitive.name} of JAX"


def _called(eqn: ir.Eqn) -> str:
    """A loop as its user knows it, with its line."""
    name = {"while_record": "while_loop", "replay": "while_loop"}.get(eqn.op.name, eqn.op.name)
    return f"{name} at {eqn.source}" if eqn.source.line else name


def _cause(origin: Origin) -> list[str]:
    """Where the infinite operands come from."""
    if not isinstance(origin.cause, Origin):
        return [f"{_INDENT}an argument held the inf"]
    source = origin.cause.eqn.source
    said = [f"{_INDENT}the inf was made by {origin.cause.eqn.op.name} at {source}"]
    return [*said, f"{_INDENT * 2}{source.text()}"] if source.text() else said


def statistics(origin: Origin) -> tuple[tuple[Statistics, ...], tuple[Statistics, ...]]:
    """Of the operands, each once, and of the results."""
    names = _names(origin.function)

    def of(values: Sequence[Value], arrays: Sequence[object]) -> tuple[Statistics, ...]:
        found = dict(zip(values, arrays, strict=True))
        return tuple([Statistics.of(names[v], v.type, array) for v, array in found.items()])

    return of(origin.eqn.operands, origin.operands), of(origin.eqn.results, origin.results)


def _names(function: ir.Function) -> Mapping[Value, str]:
    """As the function is printed."""
    return next(line.names for line in ir.printer.lines(function) if line.function is function)


def of_argument(
    argument: Argument, function: ir.Function, operands: Sequence[object], kind: Kind, what: str
) -> NonFiniteError:
    """The error that names arguments which held the number from the start."""
    names = _names(function)
    held = [
        Statistics.of(names[function.params[i]], function.params[i].type, operands[i])
        for i in argument.positions
    ]
    made = "nan" if any(s.nans for s in held) else "inf"
    many = "s" if len(held) > 1 else ""
    return NonFiniteError(
        f"{what}: argument{many} {', '.join(s.name for s in held)} held {made} from the start",
        note="\n".join([_INDENT + str(s) for s in held]),
        kind=made,
        operands=tuple(held),
    )


def of_nothing(kind: Kind, what: str) -> NonFiniteError:
    """The error where the number shows in the compiled program alone."""
    return NonFiniteError(
        f"{what}: results hold {kind.value}",
        note="run again equation by equation, neither the traced nor the optimised program gives any: it depends on "
        "how XLA fuses them, or on an effect",
        kind="nan" if kind is Kind.NAN else "inf",
    )


__all__ = ["of_argument", "of_nothing", "of_origin", "statistics"]
