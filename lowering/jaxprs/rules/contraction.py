"""Import of matrix products and convolutions."""

from __future__ import annotations

from typing import Any

from jax import lax

from ir.core import Value
from ir.ops.contraction import Precision, dot_general
from ir.ops.convolution import conv_general
from ir.types import DType
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.rules.shape import ints
from lowering.jaxprs.types import dtype_of


def _precision(given: Any) -> Precision:
    if given is None:
        return None
    pair = given if isinstance(given, tuple) else (given, given)
    if not all(isinstance(p, lax.Precision) for p in pair):
        raise Unmapped
    left, right = [p.name.lower() for p in pair]
    return left if left == right else (left, right)


def _preferred(given: Any) -> DType | None:
    return None if given is None else dtype_of(given)


@imports("dot_general")
def _dot_general(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    if p.get("out_sharding") is not None:
        raise Unmapped
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = p["dimension_numbers"]
    return dot_general(
        *operands,
        lhs_contract=ints(lhs_contract),
        rhs_contract=ints(rhs_contract),
        lhs_batch=ints(lhs_batch),
        rhs_batch=ints(rhs_batch),
        precision=_precision(p["precision"]),
        preferred_type=_preferred(p["preferred_element_type"]),
    )


@imports("conv_general_dilated")
def _conv(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    if p.get("out_sharding") is not None:
        raise Unmapped
    dims = p["dimension_numbers"]
    return conv_general(
        *operands,
        window_strides=ints(p["window_strides"]),
        padding=tuple([ints(pair) for pair in p["padding"]]),
        lhs_dilation=ints(p["lhs_dilation"]),
        rhs_dilation=ints(p["rhs_dilation"]),
        lhs_spec=ints(dims.lhs_spec),
        rhs_spec=ints(dims.rhs_spec),
        out_spec=ints(dims.out_spec),
        feature_group_count=int(p["feature_group_count"]),
        batch_group_count=int(p["batch_group_count"]),
        precision=_precision(p["precision"]),
        preferred_type=_preferred(p["preferred_element_type"]),
    )
