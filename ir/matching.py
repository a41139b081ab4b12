"""Which equations of two functions correspond, as far as order allows: what a difference is made of.

Corresponding pairs stand in the same order on both sides. They are found in rounds, each by a key: equations
that are the only ones of their key on both sides are paired, and of such pairs the longest increasing
sequence is kept (patience sorting, as in Bram Cohen's patience diff). Later rounds look into the gaps
between, with weaker keys:

    the same equation (a pass kept it), or an equation that defines the same value
    what an equation computes, from the params on, however its operands are named
    what becomes of its results, down to the results of the function
    op, attributes and types; names and types of results; op and types of results: by how many times each
    occurred in the gap

Each round is n log n in the equations, and small gaps end with difflib. Imports the core of `ir` only.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from ir.core import Eqn, Function, Value, attr_key, nested_functions

Pair = tuple[int, int]
_SMALL = 64  # gaps up to this long on both sides are left to difflib


@dataclass(frozen=True, slots=True)
class Matching:
    """How two functions correspond.

    Attributes:
      pairs: positions of corresponding equations, increasing on both sides.
      equal: for each pair, whether the equations are equal: op, attributes, types, and operands that
        correspond.
      values: values of the second function by the corresponding value of the first.
    """

    pairs: tuple[Pair, ...]
    equal: tuple[bool, ...]
    values: dict[Value, Value]


def match(before: Function, after: Function) -> Matching:
    """Pairs of corresponding equations of the two functions; nested functions count as attributes.

    Params correspond by position, or by name where these say something else. Near-linear.
    """
    old, new = before.eqns, after.eqns
    params = _params(before, after)
    first_kinds, second_kinds = [_kind(eqn) for eqn in old], [_kind(eqn) for eqn in new]
    pairs: list[Pair] = []
    for keys in _rounds(before, after, params, first_kinds, second_kinds):
        if len(pairs) == min(len(old), len(new)):
            break
        pairs = _refined(pairs, *keys)
    pairs = _counted(pairs, first_kinds, second_kinds)
    pairs = _counted(pairs, [_named(e) for e in old], [_named(e) for e in new])
    pairs = _counted(pairs, [_outline(e) for e in old], [_outline(e) for e in new])
    values = dict(params)
    equal = []
    for i, j in pairs:
        a, b = old[i], new[j]
        same = first_kinds[i] == second_kinds[j] and all(
            x is y or values.get(x) is y for x, y in zip(a.operands, b.operands, strict=True)
        )
        equal.append(same)
        # Results of equations of another arity do not correspond.
        if len(a.results) == len(b.results):
            values.update(zip(a.results, b.results, strict=True))
    return Matching(tuple(pairs), tuple(equal), values)


def _params(before: Function, after: Function) -> dict[Value, Value]:
    by_place = dict(zip(before.params, after.params, strict=False))
    old, new = {p.name: p for p in before.params}, {p.name: p for p in after.params}
    if len(old) < len(before.params) or len(new) < len(after.params) or "" in {*old, *new}:
        return by_place
    by_name = {p: new[p.name] for p in before.params if p.name in new}
    if not by_name or (len(old) == len(new) and all(by_place[p] is q for p, q in by_name.items())):
        return by_place
    return by_name


# Keys ---------------------------------------------------------------------------------------------


def _rounds(
    before: Function,
    after: Function,
    params: dict[Value, Value],
    first: Sequence[Hashable],
    second: Sequence[Hashable],
) -> Iterator[tuple[Sequence[Hashable], Sequence[Hashable]]]:
    """Keys of the equations of both sides, the strongest first; `first` and `second` are their kinds."""
    old, new = before.eqns, after.eqns
    yield old, new
    yield [e.results or e for e in old], [e.results or e for e in new]
    numbers: dict[Hashable, int] = {}
    start: dict[Value, Hashable] = {p: ("before", i) for i, p in enumerate(before.params)}
    other: dict[Value, Hashable] = {p: ("after", i) for i, p in enumerate(after.params)}
    for i, (p, q) in enumerate(params.items()):
        start[p] = other[q] = ("param", i)
    yield _computed(before, start, numbers, first), _computed(after, other, numbers, second)
    yield _used(before, numbers), _used(after, numbers)


def _kind(eqn: Eqn) -> Hashable:
    """Op, attributes and types."""
    attrs = tuple([attr_key(v) for v in eqn.attrs.values()]) if eqn.attrs else ()
    return eqn.op, attrs, tuple([v.type for v in eqn.operands]), tuple([v.type for v in eqn.results])


def _named(eqn: Eqn) -> Hashable:
    """Names that a user gave the results, with their types: passes keep them when they write an equation anew."""
    names = tuple([v.name for v in eqn.results])
    return (names, tuple([v.type for v in eqn.results])) if all(names) and names else eqn


def _outline(eqn: Eqn) -> Hashable:
    """Op and types of the results, or names of the functions inside: these are shown as one that changed."""
    nested = tuple([f.name for f in nested_functions(eqn)])
    return (eqn.op, nested) if nested else (eqn.op, tuple([v.type for v in eqn.results]))


def _computed(
    function: Function,
    start: dict[Value, Hashable],
    numbers: dict[Hashable, int],
    kinds: Sequence[Hashable],
) -> list[Hashable]:
    """A number for what each equation computes, equal for equal computations on both sides."""
    known: dict[Value, Hashable] = dict(start)
    out: list[Hashable] = []
    for eqn, kind in zip(function.eqns, kinds, strict=True):
        key = ("computed", kind, tuple([known.get(v, v) for v in eqn.operands]))
        number = numbers.setdefault(key, len(numbers))
        out.append(number)
        for k, value in enumerate(eqn.results):
            known[value] = (number, k)
    return out


def _used(function: Function, numbers: dict[Hashable, int]) -> list[Hashable]:
    """A number for what becomes of each equation's results, equal for equal uses on both sides."""
    uses: dict[Value, list[Hashable]] = {}
    for i, value in enumerate(function.results):
        uses.setdefault(value, []).append(("result", i))
    out: list[Hashable] = []
    for eqn in reversed(function.eqns):
        below = tuple([frozenset(uses.get(v, ())) for v in eqn.results])
        number = numbers.setdefault(("used", eqn.op, _attrs_alike(eqn), below), len(numbers))
        out.append(number)
        for k, value in enumerate(eqn.operands):
            uses.setdefault(value, []).append((number, k))
    out.reverse()
    return out


def _attrs_alike(eqn: Eqn) -> Hashable:
    """Attributes without nested functions, which may differ inside."""
    if next(nested_functions(eqn), None) is None:
        return tuple([attr_key(v) for v in eqn.attrs.values()])
    return tuple([attr_key(v) for v in eqn.attrs.values() if not isinstance(v, (Function, tuple))])


# Pairs --------------------------------------------------------------------------------------------


def _refined(pairs: list[Pair], first: Sequence[Hashable], second: Sequence[Hashable]) -> list[Pair]:
    """Pairs, and more in the gaps between them: of keys that stand once in the gap on both sides."""
    out: list[Pair] = []
    i = j = 0
    for i_end, j_end in [*pairs, (len(first), len(second))]:
        if i < i_end and j < j_end:
            # Equal ends first: keys that repeat pair there, too.
            while i < i_end and j < j_end and first[i] == second[j]:
                out.append((i, j))
                i, j = i + 1, j + 1
            tail: list[Pair] = []
            i_last, j_last = i_end, j_end
            while i < i_last and j < j_last and first[i_last - 1] == second[j_last - 1]:
                i_last, j_last = i_last - 1, j_last - 1
                tail.append((i_last, j_last))
            out.extend(_unique(first, second, (i, i_last), (j, j_last)))
            out.extend(reversed(tail))
        if i_end < len(first):
            out.append((i_end, j_end))
        i, j = i_end + 1, j_end + 1
    return out


def _unique(
    first: Sequence[Hashable], second: Sequence[Hashable], rows: tuple[int, int], columns: tuple[int, int]
) -> list[Pair]:
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return []
    once = Counter(first[rows[0] : rows[1]])
    other = Counter(second[columns[0] : columns[1]])
    where = {second[j]: j for j in range(*columns) if other[second[j]] == 1}
    return increasing(
        [(i, where[first[i]]) for i in range(*rows) if once[first[i]] == 1 and first[i] in where]
    )


def _counted(pairs: list[Pair], first: Sequence[Hashable], second: Sequence[Hashable]) -> list[Pair]:
    """Pairs, and in the gaps between those of equal keys: by difflib, or by how often a key occurred."""
    out: list[Pair] = []
    i = j = 0
    for i_end, j_end in [*pairs, (len(first), len(second))]:
        a, b = first[i:i_end], second[j:j_end]
        if a and b:
            if len(a) <= _SMALL and len(b) <= _SMALL:
                blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
                out.extend([(i + x + n, j + y + n) for x, y, size in blocks for n in range(size)])
            else:
                numbered = ({key: k for k, key in enumerate(_numbered(b))}, _numbered(a))
                found = [(x, numbered[0][key]) for x, key in enumerate(numbered[1]) if key in numbered[0]]
                out.extend([(i + x, j + y) for x, y in increasing(found)])
        if i_end < len(first):
            out.append((i_end, j_end))
        i, j = i_end + 1, j_end + 1
    return out


def _numbered(keys: Sequence[Hashable]) -> list[tuple[Hashable, int]]:
    seen: Counter[Hashable] = Counter()
    out = []
    for key in keys:
        out.append((key, seen[key]))
        seen[key] += 1
    return out


def increasing(pairs: Sequence[Pair]) -> list[Pair]:
    """The longest sequence of pairs that increases on both sides; the pairs come in order of the first."""
    tops: list[int] = []  # the smallest second that ends a sequence of each length
    ends: list[int] = []  # and the pair that it is of
    previous: list[int] = []
    for k, (_, j) in enumerate(pairs):
        at = bisect.bisect_left(tops, j)
        previous.append(ends[at - 1] if at else -1)
        if at == len(tops):
            tops.append(j)
            ends.append(k)
        else:
            tops[at], ends[at] = j, k
    out = []
    k = ends[-1] if ends else -1
    while k >= 0:
        out.append(pairs[k])
        k = previous[k]
    out.reverse()
    return out
