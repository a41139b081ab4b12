"""Random keys and bits. The bits are those of `jax.random`, for keys of the same implementation.

A key is one element of type `key<fry>` (Threefry-2x32), `key<rbg>` or `key<urbg>` (XLA's bit generator);
the reference evaluator has the first only, as XLA does not promise the bits of the others.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ir.core import Array, Value
from ir.errors import EvaluationError, ShapeError
from ir.evaluate import key_words
from ir.numerics import gamma_samples, philox, threefry
from ir.ops.elementwise import div, eq, exp, mul, select
from ir.ops.families import FLOAT, INTEGER, ZERO, check, op, require_dtype, same_types
from ir.ops.linalg import over_leading_axis
from ir.ops.shape import concatenate, expand_dims, full_like, reshape, slice_axis, zeros
from ir.types import KEY_WORDS, DType, Shape, TensorType, dtype_named, u8, u16, u32, u64

UNSIGNED = {8: u8, 16: u16, 32: u32, 64: u64}


def key_dtype(name: str, impl: str) -> DType:
    """The element type of keys of an implementation, `fry`, `rbg` or `urbg`."""
    check(impl in KEY_WORDS, f"{name}: expected an implementation of {', '.join(KEY_WORDS)}, got {impl!r}")
    return dtype_named(f"key<{impl}>")


def _require_key(name: str, keys: TensorType) -> None:
    require_dtype(name, keys, frozenset({"key"}))


def _check_shape(name: str, shape: Shape) -> None:
    check(
        all(type(n) is int and n >= 0 for n in shape),
        f"{name}: expected a shape of non-negative ints, got {shape!r}",
    )


def _threefry_words(name: str, keys: Array) -> npt.NDArray[np.uint32]:
    """Raw words of keys; EvaluationError for other implementations than Threefry."""
    assert keys.dtype.names is not None
    _require_threefry(name, keys.dtype.names[0])
    return key_words(keys)


def _require_threefry(name: str, impl: str) -> None:
    if impl != "fry":
        raise EvaluationError(
            f"{name}: only keys of type key<fry> have a reference evaluation, got key<{impl}>"
        )


# Keys ---------------------------------------------------------------------------------------------------


def _seed_type(seed: TensorType, *, impl: str) -> TensorType:
    require_dtype("random_seed", seed, INTEGER)
    return seed.with_dtype(key_dtype("random_seed", impl))


def _seed_eval(seed: Any, *, impl: str) -> Any:
    _require_threefry("random_seed", impl)
    return threefry.seed(seed)


# The key of each integer.
random_seed = op(
    "random_seed", attrs={"impl": "fry"}, type=_seed_type, eval=_seed_eval, jvp=ZERO, elementwise=True
)


def _split_type(keys: TensorType, *, shape: Shape) -> TensorType:
    _require_key("random_split", keys)
    _check_shape("random_split", shape)
    return keys.with_shape((*keys.shape, *shape))


# `shape` new keys from each key, along new last axes.
random_split = op(
    "random_split",
    attrs=("shape",),
    type=_split_type,
    eval=lambda keys, *, shape: threefry.split(_threefry_words("random_split", keys), shape),
    jvp=ZERO,
    batch=over_leading_axis("random_split"),
)


def _fold_in_type(keys: TensorType, data: TensorType) -> TensorType:
    _require_key("random_fold_in", keys)
    check(data.dtype is u32, f"random_fold_in: expected data of type u32, got {data}")
    sizes = tuple(zip(keys.shape, data.shape, strict=False))
    if keys.rank != data.rank or any(n != m and 1 not in (n, m) for n, m in sizes):
        raise ShapeError(f"random_fold_in: expected axes of equal size, or of size 1, got {keys} and {data}")
    return keys.with_shape(tuple([m if n == 1 else n for n, m in sizes]))


def _fold_in_batch(operands: Any, batched: Any, size: int) -> Any:
    ins = [x if b else expand_dims(x, (0,)) for x, b in zip(operands, batched, strict=True)]
    return (random_fold_in(*ins),), (True,)


# A new key from each key and an integer. An axis of size 1 is used again for all of the other operand,
# which says what is random anew in a batch: the bits of key<urbg> depend on it.
random_fold_in = op(
    "random_fold_in",
    type=_fold_in_type,
    eval=lambda keys, data: threefry.fold_in(_threefry_words("random_fold_in", keys), data),
    jvp=ZERO,
    batch=_fold_in_batch,
)


def _wrap_type(words: TensorType, *, impl: str) -> TensorType:
    dtype = key_dtype("random_wrap", impl)
    if words.dtype is not u32 or words.shape[-1:] != (KEY_WORDS[impl],):
        raise ShapeError(f"random_wrap: expected u32[..., {KEY_WORDS[impl]}] for {dtype}, got {words}")
    return TensorType(words.shape[:-1], dtype)


# Raw words, along the last axis, as keys.
random_wrap = op(
    "random_wrap",
    attrs={"impl": "fry"},
    type=_wrap_type,
    eval=lambda words, *, impl: words,
    jvp=ZERO,
    batch=over_leading_axis("random_wrap"),
    flops=lambda operands, results, **_: 0,
)


def _unwrap_type(keys: TensorType) -> TensorType:
    _require_key("random_unwrap", keys)
    return TensorType((*keys.shape, keys.dtype.bits // 32), u32)


# Keys as their raw words, along a new last axis.
random_unwrap = op(
    "random_unwrap",
    type=_unwrap_type,
    eval=key_words,
    jvp=ZERO,
    batch=over_leading_axis("random_unwrap"),
    flops=lambda operands, results: 0,
)

# Bits ---------------------------------------------------------------------------------------------------


def _bits_type(keys: TensorType, *, bit_width: int, shape: Shape) -> TensorType:
    _require_key("random_bits", keys)
    _check_shape("random_bits", shape)
    check(bit_width in UNSIGNED, f"random_bits: expected a bit width of {list(UNSIGNED)}, got {bit_width!r}")
    return TensorType((*keys.shape, *shape), UNSIGNED[bit_width])


def _bits_eval(keys: Any, *, bit_width: int, shape: Shape) -> Any:
    return threefry.random_bits(_threefry_words("random_bits", keys), bit_width, shape)


# Uniform unsigned integers, an array of `shape` for each key.
random_bits = op(
    "random_bits",
    attrs=("bit_width", "shape"),
    type=_bits_type,
    eval=_bits_eval,
    jvp=ZERO,
    batch=over_leading_axis("random_bits"),
    flops=lambda operands, results, **_: 75 * results[0].size,
)


def _threefry_type(*types: TensorType) -> tuple[TensorType, TensorType]:
    shared = same_types("threefry2x32", types)
    check(
        len(types) == 4,
        f"threefry2x32: expected two words of key and two of counter, got {len(types)} operands",
    )
    check(shared.dtype is u32, f"threefry2x32: expected operands of type u32, got {shared}")
    return shared, shared


# The counter (two last operands) encrypted under the key (two first operands).
threefry2x32 = op(
    "threefry2x32",
    type=_threefry_type,
    eval=threefry.threefry2x32,
    jvp=ZERO,
    flops=lambda operands, results: 75 * results[0].size,
    elementwise=True,
)


def _generator_type(
    key: TensorType, *, shape: Shape, dtype: DType, algorithm: str
) -> tuple[TensorType, TensorType]:
    name = "rng_bit_generator"
    _check_shape(name, shape)
    if key not in (TensorType((4,), u32), TensorType((2,), u64)):
        raise ShapeError(f"{name}: expected a key of type u32[4] or u64[2], got {key}")
    check(dtype in UNSIGNED.values(), f"{name}: expected an unsigned element type, got {dtype!r}")
    check(
        algorithm in ("default", "philox", "three_fry"),
        f"{name}: expected the algorithm default, philox or three_fry, got {algorithm!r}",
    )
    return key, TensorType(shape, dtype)


def _generator_eval(key: Any, *, shape: Shape, dtype: DType, algorithm: str) -> Any:
    if algorithm == "three_fry":
        raise EvaluationError("rng_bit_generator: the algorithm three_fry has no reference evaluation")
    return philox.rng_bit_generator(key, shape, dtype.np)


def _generator_batch(operands: Any, batched: Any, size: int, *, shape: Shape, **attrs: Any) -> Any:
    """As in JAX, the bits of the whole batch come from the first key, which alone goes forward."""
    (keys,) = operands
    if size == 0:
        return (keys, zeros(TensorType((0, *shape), attrs["dtype"]))), (True, True)
    count = keys.type.shape[1]
    first = reshape(slice_axis(keys, 0, 0, 1), shape=(count,))
    following, bits = rng_bit_generator(first, shape=(size, *shape), **attrs)
    rest = slice_axis(keys, 0, 1, size)
    return (concatenate(expand_dims(following, (0,)), rest, axis=0), bits), (True, True)


# (next key, bits) of XLA's generator; the default algorithm is that of the device, on CPU and GPU philox.
rng_bit_generator = op(
    "rng_bit_generator",
    attrs={"shape": (), "dtype": u32, "algorithm": "default"},
    type=_generator_type,
    eval=_generator_eval,
    jvp=ZERO,
    batch=_generator_batch,
    flops=lambda operands, results, **_: 25 * results[1].size,
)

# Gamma --------------------------------------------------------------------------------------------------


def _gamma_type(keys: TensorType, a: TensorType, *, log_space: bool) -> TensorType:
    _require_key("random_gamma", keys)
    require_dtype("random_gamma", a, FLOAT)
    if a.shape[: keys.rank] != keys.shape:
        raise ShapeError(
            f"random_gamma: expected the first axes of a to be those of the keys, got {keys} and {a}"
        )
    return a


def _gamma_jvp(tangents: Any, operands: Any, results: Any, *, log_space: bool) -> tuple[Value]:
    """The implicit derivative of a sample by its parameter (Figurnov, Mohamed, Mnih, arXiv:1805.08498)."""
    from ir.ops.special import random_gamma_grad

    (_, da), (_, a), (sample,) = tangents, operands, results
    if not log_space:
        return (mul(da, random_gamma_grad(a, sample)),)
    sample = exp(sample)
    tiny = full_like(sample, ml_dtypes.finfo(sample.type.dtype.np).tiny)  # type: ignore[no-untyped-call]
    sample = select(eq(sample, full_like(sample, 0)), tiny, sample)
    return (mul(da, div(random_gamma_grad(a, sample), sample)),)


def _gamma_eval(keys: Any, a: Any, *, log_space: bool) -> Any:
    return gamma_samples.gamma(_threefry_words("random_gamma", keys), a, log_space)


# A sample of Gamma(a, 1) for each a, or its logarithm. The first axes of a are those of the keys.
random_gamma = op(
    "random_gamma",
    attrs={"log_space": False},
    type=_gamma_type,
    eval=_gamma_eval,
    jvp=_gamma_jvp,
    batch=over_leading_axis("random_gamma"),
    flops=lambda operands, results, **_: 500 * results[0].size,
)
