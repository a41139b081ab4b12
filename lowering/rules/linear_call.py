"""Lowering of `ir.ops.linear_call`: the map itself. Its transpose matters to derivatives alone, which are
taken before; where JAX differentiates from outside, lowering/boundary.py gives it both.
"""

from __future__ import annotations

from typing import Any

import ir
from lowering.emit import emit, lowers


@lowers("linear_call")
def _linear_call(*operands: Any, function: ir.Function, transpose: ir.Function, num_residuals: int) -> Any:
    return emit(function, operands)
