"""Samples of `ir.ops.random`."""

from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from tests.ops.sample import INTEGER, Draw, Sample


def keys(d: Draw, *shape: int) -> Any:
    """Keys with any words."""
    return jax.random.wrap_key_data(jnp.asarray(words(d, *shape)), impl="threefry2x32")


def words(d: Draw, *shape: int) -> Any:
    return d.rng.integers(0, 2**32, (*shape, 2), dtype=np.uint32)


def _mapped(function: Any, axes: int) -> Any:
    for _ in range(axes):
        function = jax.vmap(function)
    return function


def _name(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one"


def _seed(*shape: int) -> Sample:
    def draw(d: Draw) -> Any:
        low = np.iinfo(d.dtype).min
        return (d.rng.integers(low, np.iinfo(d.dtype).max, shape, dtype=d.dtype, endpoint=True),)

    return Sample(
        "random_seed",
        draw,
        _mapped(lambda s: jax.random.key(s, impl="threefry2x32"), len(shape)),
        attrs={"impl": "fry"},
        dtypes=INTEGER,
        label=_name(shape),
    )


def _split(of: tuple[int, ...], *shape: int) -> Sample:
    return Sample(
        "random_split",
        lambda d: (keys(d, *of),),
        _mapped(lambda k: jax.random.split(k, shape), len(of)),
        attrs={"shape": shape},
        dtypes=("u32",),
        label=f"{_name(of)} to {_name(shape)}",
    )


def _fold_in(of: tuple[int, ...], data: tuple[int, ...]) -> Sample:
    def reference(k: Any, x: Any) -> Any:
        shape = np.broadcast_shapes(k.shape, x.shape)
        flat = (jnp.broadcast_to(v, shape).reshape(-1) for v in (k, x))
        return jax.vmap(jax.random.fold_in)(*flat).reshape(shape)

    return Sample(
        "random_fold_in",
        lambda d: (keys(d, *of), words(d, *data)[..., 0]),
        reference,
        dtypes=("u32",),
        label=f"{_name(of)} and {_name(data)}",
    )


def _bits(of: tuple[int, ...], bit_width: int, *shape: int) -> Sample:
    dtype = f"uint{bit_width}"
    return Sample(
        "random_bits",
        lambda d: (keys(d, *of),),
        _mapped(lambda k: jax.random.bits(k, shape, dtype), len(of)),
        attrs={"bit_width": bit_width, "shape": shape},
        dtypes=("u32",),
        label=f"{bit_width} {_name(of)} to {_name(shape)}",
    )


def _threefry(*shape: int) -> Sample:
    def reference(k1: Any, k2: Any, x1: Any, x2: Any) -> Any:
        def one(k1: Any, k2: Any, x1: Any, x2: Any) -> Any:
            out = jax.extend.random.threefry_2x32((k1, k2), jnp.stack([x1, x2]))
            return out[0], out[1]

        return _mapped(one, len(shape))(k1, k2, x1, x2)

    return Sample(
        "threefry2x32",
        lambda d: tuple(words(d, *shape)[..., 0] for _ in range(4)),
        reference,
        dtypes=("u32",),
        label=_name(shape),
    )


def _generator(dtype: str, bits: str, algorithm: str, *shape: int) -> Sample:
    from ir.types import dtype_named

    size = 4 if dtype == "u32" else 2
    algorithms = {"default": lax.RandomAlgorithm.RNG_DEFAULT, "philox": lax.RandomAlgorithm.RNG_PHILOX}

    def reference(key: Any) -> Any:
        out = dtype_named(bits).np
        return lax.rng_bit_generator(key, shape, out, algorithm=algorithms[algorithm])

    def draw(d: Draw) -> Any:
        return (d.rng.integers(0, np.iinfo(d.dtype).max, (size,), dtype=d.dtype, endpoint=True),)

    def carried(d: Draw) -> Any:
        """A counter whose lower half overflows."""
        return [(np.full((size,), np.iinfo(d.dtype).max, d.dtype),)]

    return Sample(
        "rng_bit_generator",
        draw,
        reference,
        attrs={"shape": shape, "dtype": dtype_named(bits), "algorithm": algorithm},
        dtypes=(dtype,),
        label=f"{bits} {_name(shape)} {algorithm}",
        special=carried,
    )


def _gamma(dtype: str, of: tuple[int, ...], log_space: bool, *shape: int) -> Sample:
    draw = jax.random.loggamma if log_space else jax.random.gamma

    # A sample for each element type, as bits and so draws differ between them.
    return Sample(
        "random_gamma",
        lambda d: (keys(d, *of), d.array(*shape, low=0.2, high=4)),
        _mapped(lambda k, a: draw(k, a, a.shape, a.dtype), len(of)),
        attrs={"log_space": log_space},
        dtypes=(dtype,),
        label=f"{dtype} {_name(of)} to {_name(shape)}{' log' if log_space else ''}",
        rtol={"f32": 1e-4, "f64": 1e-9},
        derivative_rtol=np.inf,
        why="the logarithm near 0 and the inverse error function lose digits; the derivative is the implicit "
        "one, not that of the rejection sampler",
    )


SAMPLES = [
    *(_seed(*shape) for shape in ((), (3,), (0,), (2, 1))),
    *(_split(of, *shape) for of in ((), (2,)) for shape in ((2,), (3, 2), (1,), (0,))),
    _split((2, 3)),
    *(_fold_in(shape, shape) for shape in ((), (3,), (2, 1), (0,))),
    *(_fold_in(of, data) for of, data in (((1,), (3,)), ((2, 1), (1, 3)), ((2, 3), (2, 1)), ((1,), (0,)))),
    *(
        Sample(
            "random_wrap",
            lambda d, shape=shape: (words(d, *shape),),
            lambda w: jax.random.wrap_key_data(w, impl="threefry2x32"),
            attrs={"impl": "fry"},
            dtypes=("u32",),
            label=_name(shape),
        )
        for shape in ((), (3,), (2, 0))
    ),
    *(
        Sample(
            "random_unwrap",
            lambda d, shape=shape: (keys(d, *shape),),
            jax.random.key_data,
            dtypes=("u32",),
            label=_name(shape),
        )
        for shape in ((), (3,), (2, 0))
    ),
    *(_bits((), width, 5) for width in (8, 16, 32, 64)),
    *(_bits((2,), 32, *shape) for shape in ((), (3, 2), (1,), (0,))),
    *(_threefry(*shape) for shape in ((), (4,), (2, 0), (2, 1))),
    *(_generator("u32", bits, "default", 2, 3) for bits in ("u8", "u16", "u32", "u64")),
    _generator("u64", "u32", "philox", 5),
    _generator("u32", "u32", "philox"),
    _generator("u32", "u32", "default", 0),
    *(_gamma("f64", (), log_space, *shape) for shape in ((), (4,), (0,)) for log_space in (False, True)),
    *(_gamma("f64", (2,), log_space, 2, 3) for log_space in (False, True)),
    *(_gamma("f32", (), log_space, 4) for log_space in (False, True)),
]
