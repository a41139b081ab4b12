"""Import of reductions over axes and along them."""

from __future__ import annotations

from typing import Any

from ir.core import Value
from ir.op import op_named
from ir.ops import reduce as rd
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.rules.shape import ints
from lowering.jaxprs.types import dtype_of


def _reduction(name: str) -> Any:
    op = op_named(name)

    def rule(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
        if eqn.params.get("out_sharding") is not None:
            raise Unmapped
        return op(operands[0], axes=ints(eqn.params["axes"]))

    return rule


for _name in (
    "reduce_sum",
    "reduce_prod",
    "reduce_max",
    "reduce_min",
    "reduce_and",
    "reduce_or",
    "reduce_xor",
):
    imports(_name)(_reduction(_name))


def _index(name: str) -> Any:
    op = op_named(name)

    def rule(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
        (axis,) = eqn.params["axes"]
        return op(operands[0], axis=int(axis), dtype=dtype_of(eqn.params["index_dtype"]))

    return rule


imports("argmax")(_index("argmax"))
imports("argmin")(_index("argmin"))


@imports("reduce")
def _reduce(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    function = importer.closed(eqn.params["jaxpr"], "combine")
    return rd.reduce(*operands, function=function, axes=ints(eqn.params["dimensions"]))


def _cumulative(name: str) -> Any:
    op = op_named(name)

    def rule(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
        return op(operands[0], axis=int(eqn.params["axis"]), reverse=bool(eqn.params["reverse"]))

    return rule


for _name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"):
    imports(_name)(_cumulative(_name))
