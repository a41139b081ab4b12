"""Import of changes of the element type and of its representation."""

from __future__ import annotations

from typing import Any

from ir.core import Value
from ir.ops.calls import stop_gradient
from ir.ops.convert import bitcast_convert, convert, reduce_precision
from ir.ops.elementwise import real
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.types import dtype_of


@imports("convert_element_type")
def _convert(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    if eqn.params.get("sharding") is not None:
        raise Unmapped
    dtype = dtype_of(eqn.params["new_dtype"])
    (x,) = operands
    if x.type.dtype.is_complex and dtype.kind == "bool":
        x = real(x)  # JAX's primitive drops the imaginary part, jnp's astype does not use it
    # The same element type says that the value is, or is no longer, weakly typed.
    return x if x.type.dtype is dtype else convert(x, dtype=dtype)


@imports("bitcast_convert_type")
def _bitcast(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    dtype = dtype_of(eqn.params["new_dtype"])
    if operands[0].type.dtype is dtype:
        return stop_gradient(operands[0])  # no bits have derivatives, the same ones neither
    return bitcast_convert(operands[0], dtype=dtype)


@imports("reduce_precision")
def _reduce_precision(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return reduce_precision(operands[0], **eqn.params)
