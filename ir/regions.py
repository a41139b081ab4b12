"""Regions: equations that run as one kernel or a few, with a name that a person recognises.

Elementwise operations, those that move elements and reductions are grouped where they feed each other without
anything else in between: XLA fuses such clusters. Every other equation is a region by itself. Regions name the
program's parts in XLA's metadata, so that profilers show them (`label`), and in print (`group_regions`).

Grouping is by levels. The level of an equation is the number of barriers on the longest way to it, and a barrier
is an equation that fuses with nothing, or a number on which an array depends. Equations that fuse are moved to the
level of their first reader. Those of one level that feed each other are a region. A way from one member to another
never leaves the level, hence not the region: regions depend on each other without cycles. Linear time.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ir.contents import is_number
from ir.core import Eqn, Function, Value
from ir.cost import eqn_cost
from ir.fusion import REDUCES
from ir.source import UNKNOWN, Source

# What fuses, besides elementwise operations.
_MOVES = frozenset({
    "constant", "iota", "broadcast_in_dim", "reshape", "transpose", "rev", "concatenate", "pad", "slice",
    "bitcast_convert", "optimization_barrier", "assume",
})  # fmt: skip
# What does not tell one region from another.
_QUIET = _MOVES | {"convert", "stop_gradient", "select", "neg"}
_PLAIN = frozenset(
    {"add", "sub", "mul", "div", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "max", "min"}
)
# Ops in a name.
_NAMED = 3
# (What is not ASCII stands escaped in XLA's text.)
_NOT_A_NAME = re.compile(r"\W+", re.ASCII)
# (XLA cuts names off at some characters, and scopes are split at others.)
_NOT_IN_A_LABEL = re.compile(r"[^\w.<>\- ]", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Some equations of a function.

    Attributes:
      name: the user's function that most of it comes from, and what it does.
      eqns: in the program's order.
      operands: what they read of the rest of the program, besides numbers that are constant.
      results: what the rest of the program reads of them.
      source: the line that most of it comes from.
    """

    name: str
    eqns: tuple[Eqn, ...]
    operands: tuple[Value, ...]
    results: tuple[Value, ...]
    source: Source

    @property
    def label(self) -> str:
        """The name with its line, `name:file.py:12`, as it stands in XLA's metadata."""
        if self.source is UNKNOWN:
            return self.name
        file = _NOT_IN_A_LABEL.sub("_", os.path.basename(self.source.file))
        return f"{self.name}:{file}:{self.source.line}"

    @property
    def fused(self) -> bool:
        """Whether it is a cluster, not an equation that fuses with nothing."""
        return len(self.eqns) > 1 or fuses(self.eqns[0])

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every line that it comes from, in order of appearance."""
        found: dict[tuple[str, int], Source] = {}
        for eqn in self.eqns:
            for each in eqn.source.all():
                found.setdefault((each.file, each.line), each)
        return tuple(found.values())

    @property
    def flops(self) -> int:
        """Operations of its equations."""
        return sum([eqn_cost(eqn).flops for eqn in self.eqns])

    @property
    def nbytes(self) -> int:
        """Bytes that it reads and writes if nothing inside it is."""
        return sum([v.type.nbytes for v in (*self.operands, *self.results)])


def regions(function: Function) -> tuple[Region, ...]:
    """The regions of a function (not of those inside it), by their last equations.

    Constants that are one number belong to none.
    """
    roots = _roots(function)
    members: dict[int, list[Eqn]] = {}
    last: dict[int, int] = {}
    home: dict[Value, int] = {}
    numbers: set[Value] = set()
    for i, (eqn, root) in enumerate(zip(function.eqns, roots, strict=True)):
        if not is_number(eqn):
            members.setdefault(root, []).append(eqn)
            last[root] = i
            home.update(dict.fromkeys(eqn.results, root))
        else:
            numbers.update(eqn.results)
    operands: dict[int, dict[Value, None]] = {root: {} for root in members}
    leaving = dict.fromkeys(function.results)
    for root, eqns in members.items():
        for eqn in eqns:
            for v in eqn.operands:
                if v not in numbers and home.get(v) != root:
                    operands[root][v] = None
                    leaving[v] = None
    out = []
    for root in sorted(members, key=last.__getitem__):
        eqns = members[root]
        source = _main_source(eqns)
        results = tuple([v for eqn in eqns for v in eqn.results if v in leaving])
        out.append(Region(_name(eqns, source), tuple(eqns), tuple(operands[root]), results, source))
    return tuple(out)


def fuses(eqn: Eqn) -> bool:
    """Whether XLA may compute it in the kernel of what reads it or of what it reads."""
    return eqn.op.elementwise or eqn.op.name in _MOVES or eqn.op.name in REDUCES


# Grouping ------------------------------------------------------------------------------------------------


def _is_barrier(value: Value, reader: Eqn) -> bool:
    """Whether a number is read by a computation on arrays: it is made before all of them, once."""
    return value.type.size == 1 and reader.results[0].type.size > 1


def _roots(function: Function) -> list[int]:
    """For each equation one of its region, by position."""
    eqns = function.eqns
    made = {v: i for i, eqn in enumerate(eqns) for v in eqn.results}
    fusing = [fuses(eqn) and len(eqn.results) == 1 for eqn in eqns]
    level = [0] * len(eqns)
    for i, eqn in enumerate(eqns):
        for v in eqn.operands:
            if (j := made.get(v)) is not None:
                apart = fusing[i] and (not fusing[j] or _is_barrier(v, eqn))
                level[i] = max(level[i], level[j] + apart)
    latest: list[int | None] = [None] * len(eqns)
    results = set(function.results)
    for i in reversed(range(len(eqns))):
        eqn, there = eqns[i], latest[i]
        if fusing[i] and there is not None and results.isdisjoint(eqn.results):
            level[i] = max(level[i], there)
        for v in eqn.operands:
            if (j := made.get(v)) is not None:
                limit = level[i] - (fusing[i] and (not fusing[j] or _is_barrier(v, eqn)))
                before = latest[j]
                latest[j] = limit if before is None else min(before, limit)
    root = list(range(len(eqns)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = i = root[root[i]]
        return i

    for i, eqn in enumerate(eqns):
        if fusing[i]:
            for v in eqn.operands:
                j = made.get(v)
                if j is not None and fusing[j] and level[j] == level[i] and not is_number(eqns[j]):
                    root[find(j)] = find(i)
    return [find(i) for i in range(len(eqns))]


# Names ---------------------------------------------------------------------------------------------------


def _main_source(eqns: Sequence[Eqn]) -> Source:
    """A place on the line that most equations come from, in the function that most come from; or else the first."""
    loud = [eqn for eqn in eqns if eqn.op.name not in _QUIET] or eqns
    known = [eqn.source for eqn in loud if eqn.source is not UNKNOWN]
    if not known:
        return UNKNOWN
    functions = Counter([(source.file, source.function) for source in known])
    lines = Counter([(source.file, source.line) for source in known])
    return max(known, key=lambda s: (functions[s.file, s.function], lines[s.file, s.line]))


def _name(eqns: Sequence[Eqn], source: Source) -> str:
    """The user's function, and at most three ops: the dearest ones, in the program's order."""
    ops = dict.fromkeys([eqn.op.name for eqn in eqns if eqn.op.name not in _QUIET])
    if not ops:
        ops = dict.fromkeys([eqn.op.name for eqn in eqns])
    shown = sorted(ops, key=lambda op: op in _PLAIN)[:_NAMED]
    words = [_function_name(source), *[op for op in ops if op in shown]]
    return "_".join([word for word in words if word])


def _function_name(source: Source) -> str:
    """Of the innermost function that has a name; of a special method its class."""
    parts = [part for part in source.function.split(".") if not part.startswith("<")]
    if len(parts) > 1 and parts[-1].startswith("__"):
        parts.pop()
    return _NOT_A_NAME.sub("_", parts[-1]) if parts else ""


def labels(function: Function) -> Mapping[Eqn, str]:
    """The label of the region of every equation that has one; found once for each function."""
    found: dict[Eqn, str] | None = function._cache.get("labels")
    if found is None:
        found = {}
        for region in regions(function):
            found.update(dict.fromkeys(region.eqns, region.label))
        function._cache["labels"] = found
    return found
