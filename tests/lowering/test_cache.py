"""The cache of programs, where comparing two keys asks the cache again."""

from __future__ import annotations

import threading
from typing import Any

from lowering.execute import Cache


class Key:
    """Equal to any other; comparing asks the cache for something else."""

    def __init__(self, cache: Cache[int]) -> None:
        self.cache = cache

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: Any) -> bool:
        self.cache.get("inner", lambda: 2)
        return isinstance(other, Key)


def test_comparing_keys_may_use_the_cache() -> None:
    cache: Cache[int] = Cache(8)
    found: list[int] = []

    def work() -> None:
        cache.get(Key(cache), lambda: 1)
        found.append(cache.get(Key(cache), lambda: 3))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert found == [1]
