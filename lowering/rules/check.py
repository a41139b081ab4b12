"""Lowering of `ir.ops.check`: there is none; a transform makes assertions results before."""

from __future__ import annotations

from typing import Any

from ir.errors import LoweringError
from lowering.emit import lowers


@lowers("check")
def _check(*operands: Any, message: str, lanes: int) -> Any:
    raise LoweringError(
        f"the check {message!r} is compiled, but nobody asks whether it holds: wrap the function in tracer.checkify"
    )
