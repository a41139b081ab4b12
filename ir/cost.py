"""What a function costs: arithmetic, memory traffic, and memory held at once.

Costs are those of the program as written, one equation at a time: no fusion, no reuse of buffers.
They compare programs, and they do not depend on a device. A function that several equations hold
is costed once, so that everything here is linear. Imports the core of `ir` only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ir.core import Eqn, Function, Value, inner_first, nested_functions, running_functions


@dataclass(frozen=True, slots=True)
class EqnCost:
    """Cost of one equation.

    Attributes:
      flops: floating-point (or integer) operations, by the op's own count.
      bytes_accessed: bytes read and written; see `bytes_accessed`.
      operand_bytes, result_bytes: size of the operands (one used twice counts once) and results.
      temporary_bytes: bytes held within its nested functions beyond their params and results.
    """

    flops: int
    bytes_accessed: int
    operand_bytes: int
    result_bytes: int
    temporary_bytes: int


@dataclass(frozen=True, slots=True)
class LiveMemory:
    """The peak of the bytes held by live values.

    Attributes:
      bytes: size of the live values there, with `temporary_bytes`.
      position: index of the equation at the peak (the first, if several are equal); `None` for a
        function without equations.
      eqn: that equation.
      live: the values live there, in order of definition.
      temporary_bytes: bytes within nested functions of that equation beyond their params and results.
    """

    bytes: int
    position: int | None
    eqn: Eqn | None
    live: tuple[Value, ...]
    temporary_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals of a function; `str` is a table of them.

    Attributes:
      equations: number of equations, those of each distinct nested function included.
      ops: how many of them each op has, most first.
    """

    name: str
    equations: int
    flops: int
    bytes_accessed: int
    param_bytes: int
    result_bytes: int
    peak: LiveMemory
    ops: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        at = "" if self.peak.eqn is None else f" (at equation {self.peak.position}, {self.peak.eqn.op.name})"
        rows = [
            ("equations", f"{self.equations:,}"),
            ("flops", f"{self.flops:,}"),
            ("bytes accessed", f"{self.bytes_accessed:,}"),
            ("params", f"{self.param_bytes:,} bytes"),
            ("results", f"{self.result_bytes:,} bytes"),
            ("peak of live values", f"{self.peak.bytes:,} bytes{at}"),
            ("ops", ", ".join(f"{name} {count}" for name, count in self.ops)),
        ]
        width = max(len(label) for label, _ in rows)
        return "\n".join([self.name, *[f"  {label:<{width}}  {value}" for label, value in rows]])


def flops(function: Function) -> int:
    """Operations of the function: the sum of what its ops count, nested functions included."""
    return _cached(function, "flops", _eqn_flops)


def bytes_accessed(function: Function) -> int:
    """Bytes that the equations read and write, one at a time.

    An equation reads its operands and writes its results. One that holds functions accesses what
    they access too: the greatest among branches, once for each trip where it has a `length`, not at
    all where it is `rare`. An op that means no more than its body accesses what the body does.
    """
    return _cached(function, "bytes_accessed", _eqn_bytes)


def live_memory(function: Function) -> LiveMemory:
    """Peak of the bytes of live values, with the equations run in program order.

    Params are live throughout; results from their definition to the end; any other value from its
    definition to its last use. During an equation its operands and its results are live, and so is
    what its nested functions hold beyond their params and results.
    """
    if "live_memory" not in function._cache:
        for below in inner_first(function):
            if "live_memory" not in below._cache:
                below._cache["live_memory"], below._cache["temporary_bytes"] = _sweep(below)
    return function._cache["live_memory"]  # type: ignore[no-any-return]


def live_bytes(function: Function) -> tuple[int, ...]:
    """The bytes of live values after each equation, by the same rules as `live_memory`."""
    found: tuple[int, ...] | None = function._cache.get("live_bytes")
    if found is None:
        _, dying = _lifetimes(function)
        held = _bytes(function.params)
        after = []
        for eqn, ending in zip(function.eqns, dying, strict=True):
            held += _bytes(eqn.results) - _bytes(ending)
            after.append(held)
        found = function._cache["live_bytes"] = tuple(after)
    return found


def eqn_cost(eqn: Eqn) -> EqnCost:
    """The cost of one equation, its nested functions included."""
    for nested in nested_functions(eqn):
        flops(nested), bytes_accessed(nested), live_memory(nested)
    return EqnCost(
        flops=_eqn_flops(eqn),
        bytes_accessed=_eqn_bytes(eqn),
        operand_bytes=_bytes(dict.fromkeys(eqn.operands)),
        result_bytes=_bytes(eqn.results),
        temporary_bytes=_eqn_temporary(eqn),
    )


def summary(function: Function) -> Summary:
    """All totals of a function; print it."""
    ops = Counter(eqn.op.name for below in inner_first(function) for eqn in below.eqns)
    return Summary(
        name=function.name,
        equations=ops.total(),
        flops=flops(function),
        bytes_accessed=bytes_accessed(function),
        param_bytes=_bytes(function.params),
        result_bytes=_bytes(dict.fromkeys(function.results)),
        peak=live_memory(function),
        ops=tuple(sorted(ops.items(), key=lambda item: (-item[1], item[0]))),
    )


# One equation -------------------------------------------------------------------------------------


def _bytes(values: Iterable[Value]) -> int:
    return sum([v.type.nbytes for v in values])


def _eqn_flops(eqn: Eqn) -> int:
    operands = [v.type for v in eqn.operands]
    return eqn.op.flops(operands, [v.type for v in eqn.results], **eqn.attrs)


def _eqn_bytes(eqn: Eqn) -> int:
    inner = 0
    for name, value in eqn.attrs.items():
        if name in eqn.op.unrun:
            continue
        if isinstance(value, Function):
            inner += value._cache["bytes_accessed"]
        elif isinstance(value, tuple):
            inner += max([f._cache["bytes_accessed"] for f in value if isinstance(f, Function)], default=0)
    length = eqn.attrs.get("length", 1)
    if eqn.attrs.get("rare"):
        inner -= eqn.attrs["body"]._cache["bytes_accessed"]
    if inner and type(length) is int:
        inner *= length
    if eqn.op.inline is not None:
        return inner
    return _bytes(dict.fromkeys(eqn.operands)) + _bytes(eqn.results) + inner


def _eqn_temporary(eqn: Eqn) -> int:
    return max([f._cache["temporary_bytes"] for f in running_functions(eqn)], default=0)


# A function ---------------------------------------------------------------------------------------


def _cached(function: Function, name: str, cost: Callable[[Eqn], int]) -> int:
    """The sum over the equations, found for nested functions first, so that nothing recurses."""
    if name not in function._cache:
        for below in inner_first(function):
            if name not in below._cache:
                below._cache[name] = sum([cost(eqn) for eqn in below.eqns])
    return function._cache[name]  # type: ignore[no-any-return]


def _lifetimes(function: Function) -> tuple[dict[Value, int], list[list[Value]]]:
    """Where each value is used last (params and results at the end), and what each equation uses last."""
    end = len(function.eqns)
    last: dict[Value, int] = {}
    for i, eqn in enumerate(function.eqns):
        for value in (*eqn.operands, *eqn.results):
            last[value] = i
    last.update(dict.fromkeys([*function.params, *function.results], end))
    dying: list[list[Value]] = [[] for _ in range(end)]
    for value, i in last.items():
        if i < end:
            dying[i].append(value)
    return last, dying


def _sweep(function: Function) -> tuple[LiveMemory, int]:
    """The peak, and the peak of what is neither param nor result."""
    kept = dict.fromkeys([*function.params, *function.results])
    last, dying = _lifetimes(function)
    held, temporary = _bytes(function.params), 0
    peak, position, peak_temporary = held, None, 0
    for i, eqn in enumerate(function.eqns):
        inside = _eqn_temporary(eqn) if eqn.attrs else 0
        for value in eqn.results:
            held += value.type.nbytes
            temporary += 0 if value in kept else value.type.nbytes
        if position is None or held + inside > peak:
            peak, position = held + inside, i
        peak_temporary = max(peak_temporary, temporary + inside)
        for value in dying[i]:
            held -= value.type.nbytes
            temporary -= value.type.nbytes
    if position is None:
        return LiveMemory(peak, None, None, function.params, 0), 0
    eqn = function.eqns[position]
    live = list(function.params)
    for earlier in function.eqns[: position + 1]:
        live.extend([v for v in earlier.results if last[v] >= position])
    return LiveMemory(peak, position, eqn, tuple(live), _eqn_temporary(eqn)), peak_temporary
