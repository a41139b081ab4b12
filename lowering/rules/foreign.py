"""Lowering of `ir.ops.foreign`: the operation itself, as JAX defines it."""

from __future__ import annotations

from typing import Any

import ir
from lowering.emit import lowers


@lowers("foreign")
@lowers("foreign_effect")
def _foreign(*operands: Any, primitive: ir.Opaque) -> Any:
    return tuple(primitive.obj.run(*operands))
