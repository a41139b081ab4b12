"""Index sets, shared: a pool numbers the sets of inputs that elements of a program depend on.

Number 0 is the empty set and number i + 1 the set of input i alone. Equal sets have one number, so that the
dependence of an array is an array of numbers of its shape, and whatever moves elements moves numbers. The members of
all sets lie in one array, each set's in increasing order; sets are found again by a sum of random words, one for each
member (Zobrist 1970, "A new hashing method with application for game playing"), and then compared member by member.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ir.errors import SparsityError

Ids = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]

EMPTY: Final = 0
# Members that all sets of a pool may have together: 512 MiB.
MEMBERS: Final = 1 << 27
# Members that are sorted at a time.
_AT_ONCE: Final = 1 << 24
# Unions of pairs with more members than this look for sets that hold others first.
_MANY: Final = 1 << 20


def spans(starts: Ints, lengths: Ints) -> Ints:
    """The integers `starts[i], ..., starts[i] + lengths[i] - 1` of all i, one after the other."""
    total = int(lengths.sum())
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(total, dtype=np.int64)


def distinct(keys: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values of integers of at least 0, in order. (`np.unique` hashes, slowly where keys are regular.)"""
    ordered = np.sort(keys, kind="stable")
    kept: npt.NDArray[Any] = ordered[np.diff(ordered, prepend=-1) != 0]
    return kept


class Pool:
    """Sets of the integers below `size`, and their unions.

    Attributes:
      size: how many inputs there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        words = np.random.default_rng(0)
        self._words = words.integers(0, 2**64, max(size, 1), dtype=np.uint64)
        self._count = size + 1
        self._used = size
        self._starts = np.concatenate([[0], np.arange(size)]).astype(np.int64)
        self._lengths = np.concatenate([[0], np.ones(size)]).astype(np.int64)
        self._members = np.arange(size, dtype=np.int32)
        self._known: dict[int, int] = {}

    def singletons(self, start: int, shape: tuple[int, ...]) -> Ids:
        """Inputs `start`, `start + 1`, ... as an array of `shape`, each depending on itself."""
        count = int(np.prod(shape, dtype=np.int64))
        return np.arange(start + 1, start + 1 + count, dtype=np.int32).reshape(shape)

    def lengths(self, ids: npt.NDArray[Any]) -> Ints:
        """How many members the sets have."""
        lengths: Ints = self._lengths[ids]
        return lengths

    def members(self, ids: npt.NDArray[Any]) -> tuple[Ints, npt.NDArray[np.int32]]:
        """(lengths, the members of one set after the other); SparsityError where they are too many."""
        lengths = self._lengths[ids]
        self._check(int(lengths.sum()))
        return lengths, self._members[spans(self._starts[ids], lengths)]

    def _check(self, count: int) -> None:
        if count > MEMBERS:
            raise SparsityError(
                f"expected a sparse derivative, got a pattern of more than {MEMBERS:,} elements over "
                f"{self.size:,} inputs; compute a dense one instead, or give the pattern"
            )

    def join(self, a: Ids, b: Ids) -> Ids:
        """Unions element by element of two arrays of one shape."""
        if a is b:
            return a
        low, high = np.asarray(np.minimum(a, b)), np.asarray(np.maximum(a, b))
        apart = (low != high) & (low != EMPTY)
        if not apart.any():
            return high
        pairs, where = np.unique(low[apart].astype(np.int64) * self._count + high[apart], return_inverse=True)
        out = high.copy()
        out[apart] = self._joined(*np.divmod(pairs, self._count))[where]
        return out

    def over(self, ids: Ids, axes: tuple[int, ...], *, keepdims: bool = False) -> Ids:
        """Unions along axes."""
        kept = [d for d in range(ids.ndim) if d not in axes]
        shape = tuple([ids.shape[d] for d in kept])
        rows = int(np.prod(shape, dtype=np.int64))
        columns = int(np.prod([ids.shape[d] for d in axes], dtype=np.int64))
        matrix = ids.transpose(*kept, *axes).reshape(rows, columns)
        out = self.rows(matrix).reshape(shape)
        return np.expand_dims(out, axes) if keepdims else out

    def rows(self, matrix: Ids) -> Ids:
        """The union of each row of a matrix."""
        rows, columns = matrix.shape
        if columns == 1:
            return matrix[:, 0]
        return self.unite(np.repeat(np.arange(rows), columns), matrix.reshape(-1), rows)

    def every(self, *arrays: Ids) -> int:
        """The union of all elements of all arrays."""
        found = np.concatenate([distinct(ids.reshape(-1)) for ids in arrays] or [np.zeros(0, np.int32)])
        return int(self.unite(np.zeros(found.size, np.int64), found, 1)[0])

    def unite(self, groups: npt.NDArray[Any], ids: npt.NDArray[Any], count: int) -> Ids:
        """For each of `count` groups the union of its sets: `ids[k]` belongs to group `groups[k]`."""
        out = np.zeros(count, np.int32)
        present = ids != EMPTY
        if not present.all():
            groups, ids = groups[present], ids[present]
        keys = distinct(groups.astype(np.int64) * self._count + ids)
        groups, ids = np.divmod(keys, self._count)
        if not keys.size:
            return out
        first = np.flatnonzero(np.diff(groups, prepend=-1))
        sizes = np.diff(first, append=groups.size)
        out[groups[first]] = ids[first]
        # A set of everything takes all others in; what is left are groups of several sets.
        whole = self._lengths[ids] == self.size
        out[groups[whole]] = ids[whole]
        several = sizes > 1
        if whole.any():
            several &= np.logical_or.reduceat(whole, first) == 0
        first, sizes = first[several], sizes[several]
        if first.size:
            lists = ids[spans(first, sizes)]
            kinds, where = _kinds(sizes, lists, _sums(_mixed(lists), sizes))
            kept = np.cumsum(sizes) - sizes
            chosen = lists[spans(kept[kinds], sizes[kinds])]
            out[groups[first]] = self._united(sizes[kinds], chosen)[where]
        return out

    def _joined(self, a: Ints, b: Ints) -> Ids:
        """The unions of pairs of sets that differ and are not empty."""
        longer = self._lengths[a] > self._lengths[b]
        large, small = np.where(longer, a, b), np.where(longer, b, a)
        out = large.astype(np.int32)
        left = self._lengths[large] < self.size
        if int((self._lengths[large] * left).sum()) > _MANY:
            for each in distinct(large[left])[: 1 << 6]:
                at = np.flatnonzero(left & (large == each))
                inside = np.zeros(self.size, np.bool_)
                inside[self.members(np.array([each]))[1]] = True
                lengths, members = self.members(small[at])
                held = np.logical_and.reduceat(inside[members], np.cumsum(lengths) - lengths)
                left[at[held]] = False
        if left.any():
            lists = np.stack([a[left], b[left]], axis=1).reshape(-1)
            out[left] = self._united(np.full(lists.size // 2, 2), lists)
        return out

    def _united(self, sizes: Ints, lists: Ints) -> Ids:
        """The unions of lists of sets, one after the other, some millions of members at a time."""
        starts = np.cumsum(sizes) - sizes
        work = np.cumsum(np.add.reduceat(self._lengths[lists], starts))
        out, low = [], 0
        while low < sizes.size:
            done = work[low - 1] if low else 0
            high = max(int(np.searchsorted(work, done + _AT_ONCE, side="right")), low + 1)
            stop = starts[high] if high < sizes.size else lists.size
            some = lists[starts[low] : stop]
            long = work[high - 1] - done > _AT_ONCE
            out.append(self._by_parts(some) if long else self._made(sizes[low:high], some))
            low = high
        return np.concatenate(out)

    def _by_parts(self, ids: Ints) -> Ids:
        """The union of one long list, as that of the unions of its parts."""
        while ids.size > 1:
            part = np.cumsum(self._lengths[ids]) // _AT_ONCE
            part = np.minimum(part, np.arange(ids.size) // 2)  # at least two sets each
            sizes = np.bincount(part)
            sizes = sizes[sizes > 0]
            starts = np.cumsum(sizes) - sizes
            parts = [ids[s : s + n] for s, n in zip(starts, sizes, strict=True)]
            ids = np.concatenate([self._made(np.array([p.size]), p) if p.size > 1 else p for p in parts])
        return ids.astype(np.int32)

    def _made(self, sizes: Ints, lists: Ints) -> Ids:
        lengths, members = self.members(lists)
        groups = np.repeat(np.repeat(np.arange(sizes.size), sizes), lengths)
        keys = distinct(groups * self.size + members)
        groups, members = np.divmod(keys, self.size)
        return self._numbered(np.bincount(groups, minlength=sizes.size), members.astype(np.int32))

    def _numbered(self, lengths: Ints, members: npt.NDArray[np.int32]) -> Ids:
        """Numbers of sets, none of them empty: those they have, or new ones."""
        starts = np.cumsum(lengths) - lengths
        sums = _sums(self._words[members], lengths)
        kinds, where = _kinds(lengths, members, sums)
        ids = np.fromiter(
            map(self._known.get, sums[kinds].tolist(), itertools.repeat(-1)), np.int64, kinds.size
        )
        met = np.flatnonzero(ids >= 0)
        if met.size:
            same = self._lengths[ids[met]] == lengths[kinds[met]]
            met = met[same]
        if met.size:
            sizes = lengths[kinds[met]]
            known, given = spans(self._starts[ids[met]], sizes), spans(starts[kinds[met]], sizes)
            equal = self._members[known] == members[given]
            met = met[np.logical_and.reduceat(equal, np.cumsum(sizes) - sizes)]
        new = np.ones(len(kinds), np.bool_)
        new[met] = False
        made = kinds[new]
        ids[new] = np.arange(self._count, self._count + made.size)
        self._append(lengths[made], members[spans(starts[made], lengths[made])])
        self._known.update(zip(sums[made].tolist(), ids[new].tolist(), strict=True))
        return ids.astype(np.int32)[where]

    def _append(self, lengths: Ints, members: npt.NDArray[np.int32]) -> None:
        end, used = self._count + lengths.size, self._used + members.size
        self._check(used)
        self._starts = _grown(self._starts, end)
        self._lengths = _grown(self._lengths, end)
        self._members = _grown(self._members, used)
        self._starts[self._count : end] = self._used + np.cumsum(lengths) - lengths
        self._lengths[self._count : end] = lengths
        self._members[self._used : used] = members
        self._count, self._used = end, used


def _grown(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """`array` with room for `size` elements."""
    if size <= array.size:
        return array
    return np.concatenate([array, np.zeros(max(size, 2 * array.size) - array.size, array.dtype)])


def _mixed(ids: Ints) -> npt.NDArray[np.uint64]:
    """Words that look random (the finalizer of SplitMix64: Steele, Lea and Flood 2014)."""
    x = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _sums(words: npt.NDArray[np.uint64], lengths: Ints) -> npt.NDArray[np.uint64]:
    return np.add.reduceat(words, np.cumsum(lengths) - lengths)


def _kinds(
    lengths: Ints, items: npt.NDArray[Any], sums: npt.NDArray[np.uint64]
) -> tuple[Ints, npt.NDArray[np.int64]]:
    """Of lists of integers, none of them empty: the first of each kind, and the kind of each.

    Lists that have equal sums and are not equal count as of different kinds.
    """
    starts = np.cumsum(lengths) - lengths
    _, first, where = np.unique(sums, return_index=True, return_inverse=True)
    # In the order in which they come, so that neighbours have near numbers.
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    first, where = first[order], rank[where]
    if first.size == lengths.size:
        return first, where
    model = first[where]
    same = lengths == lengths[model]
    at = np.flatnonzero(same & (model != np.arange(lengths.size)))
    if at.size:
        equal = items[spans(starts[at], lengths[at])] == items[spans(starts[model[at]], lengths[at])]
        same[at] = np.logical_and.reduceat(equal, np.cumsum(lengths[at]) - lengths[at])
    other = np.flatnonzero(~same)
    if other.size:
        where[other] = first.size + np.arange(other.size)
        first = np.concatenate([first, other])
    return first, where


__all__ = ["EMPTY", "MEMBERS", "Ids", "Ints", "Pool", "distinct", "spans"]
