"""The memory that a compiled program holds while it runs, equation by equation: an estimate.

`ir.cost.live_memory` says what the program as written holds. A compiler that fuses and reuses memory holds less:

- values that are fused (`ir.fusion`) have no memory;
- values share memory (`ir.buffers`): a result takes the place of an operand that is not needed any more, and the
  memory of what is returned holds other things before;
- the carry of a loop is changed in place, from the memory of its first value if nothing else reads that; what the
  loop stacks is written to its place; an iteration holds what its body holds at its peak;
- linear systems are solved in place of their equations (`ir.inlined`);
- of branches, the largest counts; a `replay` keeps states in its slots.

Arguments and results are memory of the caller's, held throughout; all else comes and goes. This predicts what XLA
calls temporary memory. It knows neither the order in which XLA schedules nor the layouts that it chooses.
Linear. Imports the core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ir.buffers import Buffer, buffers
from ir.core import Eqn, Function, Value, inner_first, running_functions
from ir.fusion import Fusion, fusion
from ir.inlined import Inlined, inlined
from ir.machine import current
from ir.nodes import CUMULATIVE, RUN


@dataclass(frozen=True, slots=True)
class Held:
    """A value that has memory at some time.

    Attributes:
      value: what it holds; one that no function knows for what is not an `eqn`.
      eqn: the equation that made it, or for which it was made.
      bytes: how many.
      what: `eqn`: a result of that equation; `copy`: a value in another order of its axes; `wide`: in f32;
        `runs`: sums of runs, or what is added up in them; `places`: indices along all axes; `zeros`: what loops stack
        upon; `within`: what the equation holds while it runs, such as what functions inside it do.
    """

    value: Value | None
    eqn: Eqn
    bytes: int
    what: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Memory over the equations of a function.

    Attributes:
      arguments: bytes of the params.
      results: bytes of the results.
      temporary: bytes of what is neither, during each equation.
      peak: the greatest of these; 0 for a function without equations.
      position: index of the equation at the peak, the first of several; `None` where nothing is held.
      held: what is held there, largest first.
    """

    arguments: int
    results: int
    temporary: tuple[int, ...]
    peak: int
    position: int | None
    held: tuple[Held, ...]

    @property
    def total(self) -> int:
        """Bytes beside the arguments: results and the peak of the rest."""
        return self.results + self.peak


def timeline(function: Function) -> Timeline:
    """The time line of a function as a whole program."""
    found = function._cache.get("timeline")
    if found is None:
        for below in inner_first(function):  # so that nothing recurses
            for eqn in below.eqns:
                if eqn.attrs:
                    _within(eqn)
        found = function._cache["timeline"] = _timeline(function)
    return found


def at_peak(function: Function) -> tuple[tuple[Held, Function, tuple[Eqn, ...]], ...]:
    """What `timeline` holds at the peak, with the function that it belongs to and the equations around that.

    What functions inside an equation hold is taken apart. The rest of it, such as states that a `replay` keeps, is one.
    """
    out: list[tuple[Held, Function, tuple[Eqn, ...]]] = []
    held, around = timeline(function).held, tuple[Eqn, ...]()
    while held:
        whole = next((each for each in held if each.what == "within" and _bodies(each.eqn)), None)
        out.extend([(each, function, around) for each in held if each is not whole])
        if whole is None:
            break
        body = max(_bodies(whole.eqn), key=_Body.peak)
        swept = body.swept()
        if whole.bytes > swept.peak:
            out.append((replace(whole, bytes=whole.bytes - swept.peak), function, around))
        function, around, held = body.function, (*around, whole.eqn), tuple(swept.held())
    return tuple(out)


@dataclass(frozen=True, slots=True)
class _Body:
    """A function inside an equation.

    Attributes:
      function: which.
      first: of a loop, the index of the param that is its first carry; otherwise `None`.
      carries: of a loop, how many results are carries.
      stacks: whether other results are written to places of stacked arrays.
    """

    function: Function
    first: int | None = None
    carries: int = 0
    stacks: bool = False

    def peak(self) -> int:
        """The most that it holds at one time."""
        known: dict[_Body, int] = self.function._cache.setdefault("peaks inside", {})
        if self not in known:
            known[self] = self.swept().peak
        return known[self]

    def swept(self) -> _Sweep:
        """What it holds over its equations."""
        flat = inlined(self.function)
        function, carries = flat.function, flat.function.results[: self.carries]
        stacked = [v for v in function.results[self.carries :] if v not in carries] if self.stacks else []
        made = fusion(function, stacked)
        places: dict[Value, Value | None] = {}
        if self.first is None:  # written where the equation's results are
            places = dict.fromkeys([made.root(v) for v in function.results])
        else:
            for param, result in zip(function.params[self.first :], carries, strict=False):
                places.setdefault(made.root(result), param)
        return _Sweep(self.function, flat, made, buffers(function, made, places))


def _bodies(eqn: Eqn) -> list[_Body]:
    attrs = eqn.attrs
    match eqn.op.name:
        case "scan":
            return [_Body(attrs["function"], attrs["num_consts"], attrs["num_carry"], stacks=True)]
        case "while_loop" | "while_record":
            body = attrs["body"]
            return [_Body(attrs["cond"]), _Body(body, attrs["num_body_consts"], len(body.results))]
        case "replay":
            forward, step, consts = attrs["forward"], attrs["step"], attrs["num_consts"]
            states = len(forward.results)
            return [_Body(forward, consts, states), _Body(step, consts + states, len(step.results))]
        case "linear_solve":  # inlined
            return []
    return [_Body(f) for f in running_functions(eqn)]


def _within(eqn: Eqn) -> int:
    """Bytes that an equation holds while it runs, beyond its operands and results."""
    within = max([body.peak() for body in _bodies(eqn)], default=0)
    name = eqn.op.name
    if name == "replay":
        return within + _replayed(eqn)
    if name == "random_bits" and current().loops_for_bits and eqn.operands[0].type.dtype.name == "key<fry>":
        # Two words for each number, before and after each round.
        return max(0, 16 * eqn.results[0].type.size - eqn.results[0].type.nbytes)
    if name in CUMULATIVE:
        return eqn.results[0].type.nbytes // RUN  # what each run comes to
    return within


def _replayed(eqn: Eqn) -> int:
    """States that a `replay` in reverse keeps on its inner levels, and on the outer one where nothing recorded it."""
    attrs = eqn.attrs
    if not attrs["reverse"]:
        return 0
    outer, middle, inner = attrs["slots"]
    count = attrs["num_state"]
    first = attrs["num_consts"] + (2 + count if attrs["recorded"] else 1)
    kept: int = middle + inner + (0 if attrs["recorded"] else outer)
    return kept * sum([v.type.nbytes for v in eqn.operands[first : first + count]])


def _timeline(function: Function) -> Timeline:
    flat = inlined(function)
    made = fusion(flat.function, whole=True)
    # The first result that is written where it is returned; others are copies of it.
    returned = dict.fromkeys([made.root(v) for v in flat.function.results])
    swept = _Sweep(function, flat, made, buffers(flat.function, made, returned))
    arguments = sum([v.type.nbytes for v in function.params])
    results = sum([v.type.nbytes for v in function.results])
    at = sorted(swept.held(), key=lambda each: -each.bytes)
    return Timeline(arguments, results, tuple(swept.temporary), swept.peak, swept.position, tuple(at))


class _Sweep:
    """Memory that comes and goes over the kernels of a function.

    Attributes:
      temporary: bytes during each equation.
      peak, position: see `Timeline`.
    """

    def __init__(self, function: Function, flat: Inlined, made: Fusion, held: Sequence[Buffer]) -> None:
        self.function, self.flat, self.kernels, self.buffers = function, flat, made.kernels, held
        comes, goes = [0] * len(made.kernels), [0] * (len(made.kernels) + 1)
        for each in held:
            comes[each.start] += each.size
            goes[each.end] += each.size
        self.temporary: list[int] = []
        self.peak, self.position, self.index, self.within = 0, None, 0, 0
        now = 0
        for i, kernel in enumerate(made.kernels):
            position = flat.positions[kernel.position]
            while len(self.temporary) <= min(position, len(function.eqns) - 1):
                self.temporary.append(now)
            now += comes[i]
            within = _within(kernel.eqn) if kernel.eqn is not None and kernel.eqn.attrs else 0
            if position < len(function.eqns):
                self.temporary[-1] = max(self.temporary[-1], now + within)
            if now + within > self.peak:
                self.peak, self.position, self.index, self.within = now + within, position, i, within
            now -= goes[i]
        self.temporary += [now] * (len(function.eqns) - len(self.temporary))

    def held(self) -> list[Held]:
        """What is held at the peak."""
        position = self.position
        if position is None:
            return []
        out: list[Held] = []
        for each in self.buffers:
            if each.start <= self.index <= each.end:
                index, value = each.at(self.index)
                kernel = self.kernels[index]
                given = self.function.eqns[self.flat.positions[kernel.position]]
                if given.op.name != "linear_solve":
                    out.append(Held(value, given, each.size, kernel.what))
                elif value in self.flat.solutions:
                    out.append(Held(self.flat.solutions[value], given, each.size, "eqn"))
                else:
                    out.append(Held(value, given, each.size, "within"))
        if self.within:
            out.append(Held(None, self.function.eqns[position], self.within, "within"))
        return out


__all__ = ["Held", "Timeline", "at_peak", "timeline"]
