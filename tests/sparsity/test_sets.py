"""Unions of shared sets, against Python's sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ir.errors import SparsityError
from ir.sparsity import sets
from ir.sparsity.sets import Pool, spans


class Model:
    """A pool beside the Python sets that it should hold."""

    def __init__(self, size: int) -> None:
        self.pool = Pool(size)
        self.known: list[tuple[int, frozenset[int]]] = [(0, frozenset())]
        self.known += [(i + 1, frozenset([i])) for i in range(size)]

    def check(self, ids: Any, wanted: list[frozenset[int]]) -> None:
        lengths, members = self.pool.members(np.asarray(ids))
        parts = np.split(members, np.cumsum(lengths)[:-1])
        for number, part, want in zip(np.asarray(ids).tolist(), parts, wanted, strict=True):
            assert part.tolist() == sorted(want)
            self.known.append((number, want))
        # Equal sets have one number, others have others.
        numbers = dict(self.known)
        assert len(set(self.known)) == len(numbers) == len({want for _, want in self.known})


@pytest.mark.parametrize("at_once", [1 << 24, 2])
@given(data=st.data())
def test_unions(at_once: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "_AT_ONCE", at_once)
        _check_unions(data)


def _check_unions(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 9))
    model = Model(size)
    for _ in range(data.draw(st.integers(1, 6))):
        count = data.draw(st.integers(1, 5))
        chosen = data.draw(
            st.lists(st.tuples(st.integers(0, count - 1), st.sampled_from(model.known)), max_size=12)
        )
        groups = np.array([g for g, _ in chosen], np.int64)
        ids = np.array([number for _, (number, _) in chosen], np.int32)
        wanted = [frozenset().union(*[s for k, (_, s) in chosen if k == g]) for g in range(count)]
        model.check(model.pool.unite(groups, ids, count), wanted)
        pairs = data.draw(
            st.lists(st.tuples(st.sampled_from(model.known), st.sampled_from(model.known)), min_size=1)
        )
        a = np.array([x for (x, _), _ in pairs], np.int32)
        b = np.array([y for _, (y, _) in pairs], np.int32)
        model.check(model.pool.join(a, b), [x | y for (_, x), (_, y) in pairs])


def test_collisions_of_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets are compared member by member where their sums agree, as here all do."""
    monkeypatch.setattr(sets, "_sums", lambda words, lengths: np.zeros(lengths.size, np.uint64))
    pool = Pool(6)
    groups = np.repeat(np.arange(5), 2)
    ids = np.array([1, 2, 3, 4, 1, 2, 2, 3, 4, 3], np.int32)
    lengths, members = pool.members(pool.unite(groups, ids, 5))
    assert [p.tolist() for p in np.split(members, np.cumsum(lengths)[:-1])] == [
        [0, 1],
        [2, 3],
        [0, 1],
        [1, 2],
        [2, 3],
    ]
    again = pool.unite(groups, ids, 5)
    lengths, members = pool.members(again)
    assert [p.tolist() for p in np.split(members, np.cumsum(lengths)[:-1])] == [
        [0, 1],
        [2, 3],
        [0, 1],
        [1, 2],
        [2, 3],
    ]


@pytest.mark.parametrize("at_once", [1, 7])
def test_some_members_at_a_time(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(sets, "_AT_ONCE", at_once)
    pool = Pool(40)
    lengths, members = pool.members(pool.rows(np.arange(1, 41, dtype=np.int32).reshape(8, 5)))
    assert lengths.tolist() == [5] * 8
    assert members.tolist() == list(range(40))


def test_long_lists_are_united_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many sets that overlap, more members than are sorted at a time, and a union that is small."""
    pool = Pool(12)
    pairs = pool.rows(np.stack([np.arange(1, 11), np.arange(2, 12)], axis=1).astype(np.int32))
    monkeypatch.setattr(sets, "_AT_ONCE", 4)
    found = pool.every(pairs)
    assert pool.members(np.array([found]))[1].tolist() == list(range(11))


def test_large_sets_take_in_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "_MANY", 1)
    pool = Pool(10)
    large = pool.every(np.arange(1, 8, dtype=np.int32))
    got = pool.join(np.full(9, large, np.int32), np.arange(1, 10, dtype=np.int32))
    assert got[:7].tolist() == [large] * 7
    assert pool.lengths(got).tolist() == [7] * 7 + [8, 8]


def test_too_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MEMBERS", 100)
    with pytest.raises(SparsityError, match="more than 100 elements over 30 inputs"):
        Pool(30).rows(np.arange(1, 31, dtype=np.int32)[np.arange(29)[:, None] % 7 + np.arange(20)])


def test_spans() -> None:
    assert spans(np.array([3, 0, 7]), np.array([2, 0, 3])).tolist() == [3, 4, 7, 8, 9]
