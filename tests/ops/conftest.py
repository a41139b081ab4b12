"""The order of the tests of derivatives: those of one case together, since they share what is compiled."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    chosen = [
        (place, item)
        for place, item in enumerate(items)
        if isinstance(item, pytest.Function)
        and item.module.__name__ == "tests.ops.test_derivatives"
        and hasattr(item, "callspec")
        and {"name", "dtype"} <= item.callspec.params.keys()
    ]
    rank: dict[tuple[str, str], int] = {}
    for _, item in chosen:
        rank.setdefault((item.callspec.params["name"], item.callspec.params["dtype"]), len(rank))
    ordered = sorted(
        [item for _, item in chosen],
        key=lambda item: rank[item.callspec.params["name"], item.callspec.params["dtype"]],
    )
    for (place, _), item in zip(chosen, ordered, strict=True):
        items[place] = item
