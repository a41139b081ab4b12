"""Lowering of `ir.ops.while_record`."""

from __future__ import annotations

from typing import Any

from ir.ops.trajectory import record_program
from lowering.emit import emit, lowers, types_of


@lowers("while_record")
def _while_record(*operands: Any, **attrs: Any) -> Any:
    return emit(record_program(types_of(operands), attrs), operands)
