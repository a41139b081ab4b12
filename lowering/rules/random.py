"""Lowering of `ir.ops.random`, through the public functions of `jax.random`, so that bits are equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax, random
from jax.extend.random import threefry2x32_p

from ir.types import DType, Shape
from lowering.emit import lowers

_IMPLEMENTATIONS = {"fry": "threefry2x32", "rbg": "rbg", "urbg": "unsafe_rbg"}
_ALGORITHMS = {
    "default": lax.RandomAlgorithm.RNG_DEFAULT,
    "philox": lax.RandomAlgorithm.RNG_PHILOX,
    "three_fry": lax.RandomAlgorithm.RNG_THREE_FRY,
}


def _over(axes: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of scalars, mapped over the first `axes` axes of its operands."""
    for _ in range(axes):
        function = jax.vmap(function)
    return function


@lowers("random_seed")
def _random_seed(seed: Any, *, impl: str) -> Any:
    name = _IMPLEMENTATIONS[impl]
    return _over(seed.ndim, lambda s: random.key(s, impl=name))(seed)


@lowers("random_split")
def _random_split(keys: Any, *, shape: Shape) -> Any:
    return _over(keys.ndim, lambda k: random.split(k, shape))(keys)


@lowers("random_fold_in")
def _random_fold_in(keys: Any, data: Any) -> Any:
    fold_in = random.fold_in
    sizes = list(zip(keys.shape, data.shape, strict=True))
    for n, m in reversed(sizes):
        fold_in = jax.vmap(fold_in, in_axes=(None if n == 1 != m else 0, None if m == 1 != n else 0))
    keys = keys.reshape([n for n, m in sizes if not n == 1 != m])
    data = data.reshape([m for n, m in sizes if not m == 1 != n])
    return fold_in(keys, data)


@lowers("random_wrap")
def _random_wrap(words: Any, *, impl: str) -> Any:
    return random.wrap_key_data(words, impl=_IMPLEMENTATIONS[impl])


@lowers("random_unwrap")
def _random_unwrap(keys: Any) -> Any:
    return random.key_data(keys)


@lowers("random_bits")
def _random_bits(keys: Any, *, bit_width: int, shape: Shape) -> Any:
    return _over(keys.ndim, lambda k: random.bits(k, shape, f"uint{bit_width}"))(keys)


@lowers("threefry2x32")
def _threefry2x32(key1: Any, key2: Any, x1: Any, x2: Any) -> Any:
    return tuple(threefry2x32_p.bind(key1, key2, x1, x2))  # type: ignore[no-untyped-call]


@lowers("rng_bit_generator")
def _rng_bit_generator(key: Any, *, shape: Shape, dtype: DType, algorithm: str) -> Any:
    out = lax.rng_bit_generator(key, shape, dtype.np, algorithm=_ALGORITHMS[algorithm])  # type: ignore[no-untyped-call]
    return tuple(out)


@lowers("random_gamma")
def _random_gamma(keys: Any, a: Any, *, log_space: bool) -> Any:
    draw = random.loggamma if log_space else random.gamma
    return _over(keys.ndim, lambda k, x: draw(k, x, x.shape, x.dtype))(keys, a)
