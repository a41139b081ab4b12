"""Types of JAX as types of the IR, and back."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ir.errors import JaxprError
from ir.types import KEY_WORDS, DType, TensorType, dtype_named, from_numpy
from lowering.keys import KEY_IMPLEMENTATIONS

_dtypes: dict[Any, DType] = {}


def dtype_of(dtype: Any) -> DType:
    """The IR's element type; JaxprError where there is none (float0, keys of somebody's own)."""
    found = _dtypes.get(dtype)
    if found is None:
        if jnp.issubdtype(dtype, jax.dtypes.prng_key):
            if str(dtype) not in {f"key<{tag}>" for tag in KEY_WORDS}:
                raise JaxprError(f"expected keys of a known implementation, got {dtype}")
            found = dtype_named(str(dtype))
        elif dtype == jax.dtypes.float0 or np.dtype(dtype).kind in "OSUMm":
            raise JaxprError(f"expected elements that the IR knows, got {dtype}")
        else:
            found = from_numpy(np.dtype(dtype))
        _dtypes[dtype] = found
    return found


def type_of(aval: Any) -> TensorType:
    """The IR's type of an abstract array; JaxprError for references, tokens and dynamic shapes."""
    if type(aval) is not jax.core.ShapedArray:
        raise JaxprError(f"expected an array, got a value of type {aval}")
    return TensorType(aval.shape, dtype_of(aval.dtype))


@functools.cache
def _key_dtype(dtype: DType) -> Any:
    tag = dtype.name.removeprefix("key<").removesuffix(">")
    return jax.eval_shape(lambda: jax.random.key(0, impl=KEY_IMPLEMENTATIONS[tag])).dtype


def struct_of(type_: TensorType, weak: bool = False) -> Any:
    """The abstract array that stands for a value of a type when JAX traces a function."""
    dtype = _key_dtype(type_.dtype) if type_.dtype.kind == "key" else type_.dtype.np
    return jax.ShapeDtypeStruct(type_.shape, dtype, weak_type=weak)  # type: ignore[no-untyped-call]
