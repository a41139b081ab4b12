"""The Threefry-2x32 counter-based random number generator, bit for bit as jax.random uses it.

Imports the standard library and NumPy. A raw key is a uint32 array whose last axis has length 2. Equal to
jax.random with the implementation "threefry2x32" and jax_threefry_partitionable on, JAX's defaults: the
bits at an index depend on the key and that index alone.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
UInt32 = npt.NDArray[np.uint32]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def threefry2x32(key1: Array, key2: Array, x1: Array, x2: Array) -> tuple[UInt32, UInt32]:
    """Encrypt the counters (x1, x2) under the keys (key1, key2): uint32 arrays of shapes that broadcast.

    Twenty rounds: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy
    as 1, 2, 3", SC 2011. Raises TypeError for another dtype.
    """
    k1, k2, y1, y2 = np.broadcast_arrays(key1, key2, x1, x2)
    for array in (k1, k2, y1, y2):
        if array.dtype != np.uint32:
            raise TypeError(f"threefry2x32: expected uint32 arguments, got {array.dtype.name}")
    schedule = (k1, k2, k1 ^ k2 ^ PARITY)
    with np.errstate(over="ignore"):  # NumPy warns of wrapping in 0-d additions
        y1, y2 = y1 + schedule[0], y2 + schedule[1]
        for block in range(5):
            for rotation in ROTATIONS[block % 2]:
                y1 = y1 + y2
                y2 = (y2 << np.uint32(rotation) | y2 >> np.uint32(32 - rotation)) ^ y1
            y1 = y1 + schedule[(block + 1) % 3]
            y2 = y2 + schedule[(block + 2) % 3] + np.uint32(block + 1)
    return np.asarray(y1), np.asarray(y2)


def _encrypt_indices(key_data: Array, shape: tuple[int, ...]) -> tuple[UInt32, UInt32]:
    """Encrypt the row-major indices of `shape`, as high and low words, under each key: shape keys + shape."""
    _check_key("key_data", key_data)
    index = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
    keys = key_data.reshape(key_data.shape[:-1] + (1,) * len(shape) + (2,))
    high, low = (index >> np.uint64(32)).astype(np.uint32), index.astype(np.uint32)
    return threefry2x32(keys[..., 0], keys[..., 1], high, low)


def _check_key(name: str, key_data: Array) -> None:
    if key_data.dtype != np.uint32 or key_data.shape[-1:] != (2,):
        raise TypeError(
            f"{name}: expected a uint32 array with a last axis of length 2, "
            f"got {key_data.dtype.name}{list(key_data.shape)}"
        )


def random_bits(key_data: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    """Uniform unsigned integers of `bit_width` (8, 16, 32 or 64) bits, as jax.random.bits.

    The result has `shape` for one key, and key_data.shape[:-1] + shape for an array of keys.
    """
    if bit_width not in (8, 16, 32, 64):
        raise ValueError(f"random_bits: expected a bit width of 8, 16, 32 or 64, got {bit_width}")
    high, low = _encrypt_indices(key_data, tuple(shape))
    if bit_width == 64:
        return np.asarray(high.astype(np.uint64) << np.uint64(32) | low)
    return np.asarray(high ^ low).astype(np.dtype(f"u{bit_width // 8}"))


def split(key_data: Array, shape: int | tuple[int, ...] = 2) -> UInt32:
    """New keys, as jax.random.split: of shape `shape` + (2,), below the axes of an array of keys."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return np.stack(_encrypt_indices(key_data, shape), axis=-1)


def fold_in(key_data: Array, data: npt.ArrayLike) -> UInt32:
    """A new key from a key and an integer, taken modulo 2**32, as jax.random.fold_in.

    `data` broadcasts against the axes of an array of keys.
    """
    _check_key("fold_in", key_data)
    words = np.asarray(data).astype(np.uint32)
    pair = threefry2x32(key_data[..., 0], key_data[..., 1], np.zeros_like(words), words)
    return np.stack(pair, axis=-1)


def seed(x: npt.ArrayLike) -> UInt32:
    """The key of an integer seed, as jax.random.key: its high and low 32 bits, of shape x.shape + (2,).

    A seed of at most 32 bits, signed ones included, has 0 as its high word; a Python integer counts as one
    of 64 bits that jax converts to 32 unless jax_enable_x64 is on. Pass a NumPy integer of the dtype meant
    to have either. Raises TypeError for anything but integers.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "iu":
        raise TypeError(f"seed: expected an integer, got {array.dtype.name}")
    low = array.astype(np.uint32)
    if array.dtype.itemsize < 8:
        return np.stack([np.zeros_like(low), low], axis=-1)
    return np.stack([(array.view(np.uint64) >> np.uint64(32)).astype(np.uint32), low], axis=-1)
