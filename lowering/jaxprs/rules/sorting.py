"""Import of sorting and selection."""

from __future__ import annotations

from typing import Any

from ir.core import Value
from ir.ops.sorting import sort, top_k
from lowering.jaxprs.importer import Importer, Unmapped, imports


@imports("sort")
def _sort(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    return sort(
        *operands, axis=int(p["dimension"]), num_keys=int(p["num_keys"]), is_stable=bool(p["is_stable"])
    )


@imports("top_k")
def _top_k(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    (x,) = operands
    if eqn.params.get("axis", x.type.rank - 1) % x.type.rank != x.type.rank - 1:
        raise Unmapped
    return top_k(x, k=int(eqn.params["k"]))
