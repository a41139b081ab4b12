"""Flat lists of which some items are fixed by position, and the others come in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def merged(fixed: Mapping[int, Any], others: Iterable[Any], count: int) -> list[Any]:
    """`count` items: those of `fixed` at their positions, `others` in order between them."""
    rest = iter(others)
    return [fixed[i] if i in fixed else next(rest) for i in range(count)]


__all__ = ["merged"]
