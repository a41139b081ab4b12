"""Lowering of `ir.ops.collectives`: there is none; batching over the axis turns them into other ops before."""

from __future__ import annotations

from typing import Any

from ir.errors import LoweringError
from ir.ops.collectives import NOT_BATCHED
from lowering.emit import lowers


def _refused(name: str) -> None:
    @lowers(name)
    def lower(*operands: Any, axis: str, **_: Any) -> Any:
        raise LoweringError(NOT_BATCHED.format(name=name, axis=axis))


for _name in ("all_gather", "all_to_all", "collective_permute"):
    _refused(_name)
