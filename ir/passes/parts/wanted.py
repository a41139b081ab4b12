"""What is only read in part is computed in part.

    b = dot_general(x, y); c = exp(b); d = c[3]     becomes     b = dot_general(x[3], y); d = exp(b)

Every reader of a value has to want the same places of it: one that takes them, or an equation of which only these
are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping

from ir.core import Eqn, Function, Value
from ir.op import Builder, building
from ir.ops.contraction import dot_general
from ir.ops.linear_solve import linear_solve
from ir.ops.shape import broadcast_in_dim, constant, iota, reshape, rev, slice, transpose
from ir.passes.dce import dce
from ir.passes.parts.along import begun, in_order
from ir.passes.parts.places import Definition, Parts, Places, Steps, Taken, common, take, taken
from ir.remarks import remark

# What is computed where it is read in any case, as elementwise equations are.
_FUSED = (broadcast_in_dim, constant, iota, reshape, rev, slice, transpose)
# So many times what was read in part is left whole after all, and looked at again.
_ROUNDS = 8


def as_wanted(function: Function) -> Function:
    """Compute what is wanted of each value."""
    made = {v: e for e in function.eqns for v in e.results}
    found = {e: each for e in function.eqns if (each := _taken(e, made.get)) is not None}
    if not found:
        return function
    stopped: set[Value] = set()
    for _ in range(_ROUNDS):
        wanted = _Wanted(function, found, stopped)
        # (A system is solved for what is taken of its solution.)
        read = [made[v].op for eqn in wanted.cut for v in eqn.operands if v in made]
        if linear_solve not in read and all(e.op.elementwise or e.op in _FUSED for e in wanted.cut):
            return function
        whole = wanted.better_whole()
        if not whole:
            return wanted.function()
        stopped |= whole
    return function


def _taken(eqn: Eqn, definition: Definition) -> Taken | None:
    """What an equation takes, if that is worth a part of its own along an axis."""
    found = taken(eqn, definition)
    if found is None or not _worth(found.parts, eqn.operands[0]):
        return None
    return found


def _worth(parts: Parts, value: Value) -> dict[int, Places]:
    return {d: places for d, places in parts.items() if places.pays(value.type.shape[d])}


class _Wanted:
    """What is wanted of values.

    Args:
      takes: equations that take a part, and how.
      stopped: values that are computed whole.

    Attributes:
      wanted: places of values that are computed in part.
      needs: for each equation that reads parts, places of its operands.
      cut: equations that are computed in part, and of which shapes.
      taking: equations that take a part, and how; but those of which only parts of the index are wanted.
    """

    def __init__(self, whole: Function, takes: Mapping[Eqn, Taken], stopped: set[Value]) -> None:
        self.whole, self.takes = whole, takes
        self.wanted: dict[Value, dict[int, Places]] = {}
        self.needs: dict[Eqn, list[dict[int, Places]]] = {}
        self.cut: dict[Eqn, Eqn] = {}
        self.taking: dict[Eqn, Taken] = {}
        self.readers: dict[Value, list[Eqn]] = {}
        read: dict[Value, dict[int, Places]] = {v: {} for v in whole.results}
        for eqn in reversed(whole.eqns):
            wanted = read.get(eqn.results[0], {}) if len(eqn.results) == 1 else {}
            if wanted and eqn.results[0] not in stopped:
                self._follow(eqn, wanted)
            needs = self._needs(eqn)
            for v, need in zip(eqn.operands, needs, strict=True):
                self.readers.setdefault(v, []).append(eqn)
                worth, before = _worth(need, v), read.get(v)
                if before is None:
                    read[v] = worth
                else:
                    both = {d: common(p, worth.get(d)) for d, p in before.items()}
                    read[v] = {d: p for d, p in both.items() if p is not None}

    def _follow(self, eqn: Eqn, wanted: Parts) -> None:
        """Compute an equation in the places that are wanted, along axes that allow it."""
        cut = begun(eqn)
        kept: dict[int, Places] = {}
        for d, places in wanted.items():
            if cut.along(lambda a, d=d: a.results == (d,) and a.combine is None, places) is not None:  # type: ignore[misc]
                kept[d] = places
        if kept:
            self.wanted[eqn.results[0]] = in_order(kept)
            self.cut[eqn] = cut.eqn
            self.needs[eqn] = cut.needs

    def _needs(self, eqn: Eqn) -> list[dict[int, Places]]:
        """Which places an equation reads of its operands."""
        needs = self.needs.get(eqn)
        found = self.takes.get(eqn)
        if found is not None and (needs is None or not any(needs[1:])):
            self.taking[eqn] = found
            needs = [{} for _ in eqn.operands] if needs is None else needs
            needs[0] = {**needs[0], **found.parts}
            self.needs[eqn] = needs
        return [{} for _ in eqn.operands] if needs is None else needs

    def better_whole(self) -> set[Value]:
        """Results of elementwise equations of which more than one operand would have rows copied, instead of it.

        And slices of single products, which are read as one with what is done to them next (`products`).
        """
        out = set()
        for eqn in self.cut:
            if eqn.op.elementwise and sum(self._copies(eqn, k) for k in range(len(eqn.operands))) > 1:
                out.add(eqn.results[0])
            elif eqn.op is dot_general and self.wanted.keys().isdisjoint(eqn.operands):
                steps = all(isinstance(p, Steps) for p in self.wanted[eqn.results[0]].values())
                if steps and all(e in self.taking for e in self.readers[eqn.results[0]]):
                    out.add(eqn.results[0])
        return out

    def _copies(self, eqn: Eqn, position: int) -> bool:
        missing = self._missing(eqn, position)
        return any(not isinstance(places, Steps) for places in missing.values())

    def _missing(self, eqn: Eqn, position: int) -> dict[int, Places]:
        """What is to be taken of an operand yet, as it is computed."""
        has = self.wanted.get(eqn.operands[position], {})
        return in_order({d: p for d, p in self.needs[eqn][position].items() if d not in has})

    # Writing --------------------------------------------------------------------------------------

    def function(self) -> Function:
        builder = Builder()
        env: dict[Value, Value] = {}
        later = self._later()
        with building(builder):
            for place, eqn in enumerate(self.whole.eqns):
                for each in later.get(place, ()):
                    self._write(each, builder, env)
                if not (eqn in self.cut and self._waits(eqn)):
                    self._write(eqn, builder, env)
        results = tuple([env.get(v, v) for v in self.whole.results])
        return dce(self.whole.replace(eqns=tuple(builder.eqns), results=results))

    def _waits(self, eqn: Eqn) -> bool:
        """Whether places of an equation are known only where they are taken."""
        return any(not isinstance(p, Steps) for p in self.wanted[eqn.results[0]].values())

    def _later(self) -> dict[int, list[Eqn]]:
        """Equations that wait, by the place of the first one that reads them and does not wait."""
        first: dict[Value, int] = {}
        out: dict[int, list[Eqn]] = {}
        for place, eqn in reversed(list(enumerate(self.whole.eqns))):
            if eqn in self.cut and self._waits(eqn):
                place = first[eqn.results[0]]
                out.setdefault(place, []).append(eqn)
            for v in eqn.operands:
                first[v] = min(place, first.get(v, place))
        return {place: eqns[::-1] for place, eqns in out.items()}

    def _write(self, eqn: Eqn, builder: Builder, env: dict[Value, Value]) -> None:
        builder.source = eqn.source
        if eqn not in self.needs:
            if env.keys().isdisjoint(eqn.operands):
                builder.append(eqn)
                return
            results = builder.copy(eqn, tuple([env.get(v, v) for v in eqn.operands]))
            env.update(zip(eqn.results, results, strict=True))
            return

        def now(value: Value) -> Value:
            return env.get(value, value)

        (result,) = eqn.results
        cut = self.cut.get(eqn, eqn)
        found = self.taking.get(eqn)
        if found is not None and eqn.operands[0] in self.wanted:
            part = take(now(eqn.operands[0]), self._missing(eqn, 0), now)
            made = found.result(part, cut.results[0].type.shape, eqn.operands[0].type.shape, now)
        else:
            missing = [self._missing(eqn, k) for k in range(len(eqn.operands))]
            if found is not None:  # (of what is there as a whole it takes as it did)
                missing[0] = {d: p for d, p in missing[0].items() if d not in found.parts}
            operands = [take(now(v), each, now) for v, each in zip(eqn.operands, missing, strict=True)]
            made = builder.emit(eqn.op, tuple(operands), cut.attrs)[0]
        if eqn in self.cut and eqn not in self.taking:
            remark("compute_parts", eqn.source, "computed where it is read")
        if result.name and not made.name and made in builder.eqns[-1].results:
            made.name = result.name
        env[result] = made


__all__ = ["as_wanted"]
