"""Element types of the outside world: JAX and NumPy arrays, Python scalars, keys; and promotion.

Promotion follows JAX, weakly typed Python scalars included; the table is JAX's own, asked once
for each pair and cached.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ir
from ir.errors import ArgumentTypeError
from ir.types import DType, TensorType, dtype_named, from_numpy

# The implementation's tag, as in the IR's key types, by the name that JAX gives it.
_KEY_TAGS = {"threefry2x32": "fry", "rbg": "rbg", "unsafe_rbg": "urbg"}
KEY_IMPLS = {tag: name for name, tag in _KEY_TAGS.items()}

_known: dict[Any, DType] = {}


def x64_enabled() -> bool:
    """Whether JAX keeps 64-bit types."""
    return bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]


def dtype_of(dtype: Any) -> DType:
    """The IR's element type of a NumPy, JAX or key dtype; ArgumentTypeError when there is none."""
    found = _known.get(dtype)
    if found is None:
        if jnp.issubdtype(dtype, jax.dtypes.prng_key):
            text = str(dtype)
            found = dtype_named(text) if text in {"key<fry>", "key<rbg>", "key<urbg>"} else None
        elif np.dtype(dtype).kind not in "OSUMm":
            found = from_numpy(np.dtype(dtype))
        if found is None:
            raise ArgumentTypeError(f"expected an array of numbers, bools or keys, got dtype {dtype}")
        _known[dtype] = found
    return found


def canonical(dtype: Any) -> DType:
    """`dtype_of`, with 64-bit types narrowed where JAX would narrow them."""
    made = dtype if isinstance(dtype, DType) else dtype_of(np.dtype(dtype))
    if made.kind != "key" and made.bits > 32 and not x64_enabled():
        return from_numpy(np.dtype(jax.dtypes.canonicalize_dtype(made.np)))
    return made


_SCALAR_KINDS: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}


def scalar_dtype(kind: type) -> DType:
    """Element type of a Python scalar on its own."""
    return canonical(_SCALAR_KINDS[kind])


def type_of(x: Any) -> tuple[TensorType, bool]:
    """(type, weakly typed) of an array or Python scalar that is not a traced value.

    Raises:
      ArgumentTypeError: `x` is no array and no number.
    """
    kind = type(x)
    if kind in _SCALAR_KINDS:
        return TensorType((), scalar_dtype(kind)), kind is not bool
    if isinstance(x, jax.Array):
        return TensorType(tuple(x.shape), dtype_of(x.dtype)), bool(getattr(x, "weak_type", False))
    if isinstance(x, (np.ndarray, np.generic)):
        return TensorType(tuple(x.shape), canonical(dtype_of(x.dtype))), False
    for base in (bool, int, float, complex):  # subclasses of Python's numbers
        if isinstance(x, base):
            return TensorType((), scalar_dtype(base)), base is not bool
    if hasattr(x, "__jax_array__"):
        return type_of(x.__jax_array__())
    if isinstance(x, jax.ShapeDtypeStruct):
        return TensorType(tuple(x.shape), dtype_of(x.dtype)), bool(getattr(x, "weak_type", False))
    raise ArgumentTypeError(f"expected an array or a number, got {kind.__name__}: {x!r:.80}")


_promotions: dict[tuple[bool, DType, bool, DType, bool], tuple[DType, bool]] = {}


def promote_dtypes(a: DType, a_weak: bool, b: DType, b_weak: bool) -> tuple[DType, bool]:
    """(element type, weakly typed) of a binary operation, as JAX promotes."""
    if a is b and a_weak == b_weak:
        return a, a_weak
    key = (x64_enabled(), a, a_weak, b, b_weak)
    found = _promotions.get(key)
    if found is None:
        if a.kind == "key" or b.kind == "key":
            raise ArgumentTypeError(f"expected operands that promote, got {a} and {b}")
        operands = [
            jax.ShapeDtypeStruct((), d.np, weak_type=weak)  # type: ignore[no-untyped-call]
            for d, weak in ((a, a_weak), (b, b_weak))
        ]
        try:
            result = jax.eval_shape(lambda x, y: jnp.where(True, x, y), *operands)
        except (TypeError, ValueError) as error:
            raise ArgumentTypeError(
                f"expected element types that promote implicitly, got {a} and {b}; convert one with astype"
            ) from error
        found = _promotions[key] = (from_numpy(np.dtype(result.dtype)), bool(result.weak_type))
    return found


def float_dtype(dtype: DType) -> DType:
    """The type that functions with real results promote integers and bools to: as wide, at least single."""
    if dtype.is_inexact:
        return dtype
    return canonical(np.float64 if dtype.bits > 32 else np.float32)


def to_jax_dtype(dtype: DType) -> Any:
    """The NumPy dtype, for JAX's functions."""
    return dtype.np


def struct(type: TensorType) -> Any:
    """The abstract array of JAX for a type."""
    if type.dtype.kind == "key":
        return jax.eval_shape(
            lambda: jax.random.wrap_key_data(
                jnp.zeros((*type.shape, ir.types.KEY_WORDS[type.dtype.name[4:-1]]), np.uint32),
                impl=KEY_IMPLS[type.dtype.name[4:-1]],
            )
        )
    return jax.ShapeDtypeStruct(type.shape, type.dtype.np)  # type: ignore[no-untyped-call]
