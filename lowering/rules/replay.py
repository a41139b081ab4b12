"""Lowering of `ir.ops.replay`."""

from __future__ import annotations

from typing import Any

from ir.ops.trajectory import replay_program
from lowering.emit import emit, lowers, types_of


@lowers("replay")
def _replay(*operands: Any, **attrs: Any) -> Any:
    return emit(replay_program(types_of(operands), attrs), operands)
