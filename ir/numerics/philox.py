"""The Philox-4x32 counter-based random number generator, as XLA's RngBitGenerator uses it.

Imports the standard library and NumPy.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)


def philox4x32(counter: Sequence[Array], key: tuple[int, int]) -> list[Array]:
    """Encrypt counters of four 32-bit words, held in uint64, under a key of two words.

    Ten rounds: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy
    as 1, 2, 3", SC 2011.
    """
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        x0, x1 = second >> _WORD ^ x1 ^ np.uint64(k0), second & _LOW
        x2, x3 = first >> _WORD ^ x3 ^ np.uint64(k1), first & _LOW
        k0, k1 = k0 + _WEYL[0] & 0xFFFFFFFF, k1 + _WEYL[1] & 0xFFFFFFFF
    return [x0, x1, x2, x3]


def rng_bit_generator(key: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Uniform unsigned integers, and the key for the next call.

    Args:
      key: uint32[4] or uint64[2]; 64 bits of key and, after them, the lower 64 of a 128-bit counter, whose
        upper 64 are those of the key.
      shape: that of the bits.
      dtype: an unsigned integer type of 8 to 64 bits; a narrow one is cut from 32 bits.

    Returns:
      `(next key, bits)`.
    """
    words = [int(w) for w in np.ascontiguousarray(key).view(np.uint32)]
    start = words[2] | words[3] << 32
    size = math.prod(shape)
    blocks = -(-size // (2 if dtype.itemsize == 8 else 4))
    low = np.uint64(start) + np.arange(blocks, dtype=np.uint64)
    carry = (low < np.uint64(start)).astype(np.uint64)
    high = np.uint64(words[0] | words[1] << 32) + carry
    out = philox4x32([low & _LOW, low >> _WORD, high & _LOW, high >> _WORD], (words[0], words[1]))
    bits = np.stack(out, axis=-1)
    if dtype.itemsize == 8:
        bits = bits[:, ::2] | bits[:, 1::2] << _WORD
    end = (start + blocks) % 2**64
    following = np.array([words[0], words[1], end & 0xFFFFFFFF, end >> 32], np.uint32)
    return following.view(key.dtype), bits.reshape(-1)[:size].astype(dtype).reshape(shape)
