"""Import of reductions over windows."""

from __future__ import annotations

from typing import Any

from ir.core import Value
from ir.op import op_named
from ir.ops.reduce_window import reduce_window
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.rules.shape import ints


def _window(params: Any, *, dilated: bool = True) -> dict[str, Any]:
    names = [
        "window_dimensions",
        "window_strides",
        *(["base_dilation", "window_dilation"] if dilated else []),
    ]
    out = {name: ints(params[name]) for name in names}
    return {**out, "padding": tuple([ints(pair) for pair in params["padding"]])}


def _reduction(name: str) -> Any:
    op = op_named(name)

    def rule(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
        return op(operands[0], **_window(eqn.params))

    return rule


for _name in ("reduce_window_sum", "reduce_window_max", "reduce_window_min"):
    imports(_name)(_reduction(_name))


@imports("select_and_gather_add")
def _gather_add(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    select = eqn.params["select_prim"].name
    return op_named("select_and_gather_add")(*operands, select=select, **_window(eqn.params))


@imports("select_and_scatter_add")
def _scatter_add(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    select = eqn.params["select_prim"].name
    window = _window(eqn.params, dilated=False)
    return op_named("select_and_scatter_add")(*operands, select=select, **window)


@imports("reduce_window")
def _reduce_window(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    if eqn.params["consts"]:
        raise Unmapped
    function = importer.closed(eqn.params["jaxpr"], "combine")
    return reduce_window(*operands, function=function, **_window(eqn.params))
