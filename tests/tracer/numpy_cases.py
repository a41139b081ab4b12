"""Calls of every function of `tracer.numpy`, written for any module `np` of that interface."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy

from tests.tracer.cases import Case
from tests.tracer.helpers import array

X = array(3, 4)
Y = array(3, 4, seed=1)
P = array(3, 4, seed=2, low=0.2, high=0.9)
V = array(4, seed=3)
COLUMN = array(3, 1, seed=4)
CUBE = array(2, 3, 4, seed=5)
SQUARE = array(3, 3, seed=6)
EMPTY = array(0, 4)
SCALAR = array(seed=7)
N = array(3, 4, dtype=numpy.int32, low=-5, high=5)
M = array(3, 4, dtype=numpy.int32, seed=8, low=1, high=4)
SMALL = array(3, 4, dtype=numpy.int8, seed=9, low=-5, high=5)
U = array(3, 4, dtype=numpy.uint8, seed=10, high=9)
B = array(3, 4, dtype=bool)
B2 = array(3, 4, dtype=bool, seed=11)
C = array(3, 4, dtype=numpy.complex64)
D = array(3, 4, dtype=numpy.complex64, seed=12)
H = array(3, 4, dtype=numpy.float16, seed=13)
SPECIAL = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0, 1.5, -2.5, 0.5], numpy.float32)
INTS = numpy.array([2, 0, -1, 1], numpy.int32)
IMAGINARY = numpy.array([3j, 0, 1, -2j, complex(-0.0, -0.0), complex(0, numpy.nan)], numpy.complex64)


CASES: list[Case] = []


def case(name: str, *calls: Callable[..., Any], of: tuple[Any, ...], gradient: bool = True) -> None:
    CASES.extend(Case(name, call, of, gradient) for call in calls)


def each(names: str, *operands: tuple[Any, ...], gradient: bool = True) -> None:
    """Plain calls of functions at each tuple of operands."""
    for name in names.split():
        for args in operands:
            case(name, lambda np, *xs, _name=name: getattr(np, _name)(*xs), of=args, gradient=gradient)


# Elementwise -----------------------------------------------------------------------------------------

each(
    "exp exp2 expm1 sin cos tan sinh cosh tanh arcsinh asinh arctan atan",
    (X,),
    (C,),
    (N,),
    (B,),
    (H,),
    (EMPTY,),
)
each("exp exp2 expm1 sin cos tan sinh cosh tanh arcsinh asinh arctan atan", (SPECIAL,), gradient=False)
each("log log1p sqrt log2 log10", (P,), (C,), (N,), (SPECIAL,), (EMPTY,))
each("cbrt", (X,), (N,), (SPECIAL,), (EMPTY,))
each("arcsin asin arccos acos arctanh atanh", (P,), (C,), (B,), (EMPTY,))
each("arcsin arccos arctanh arccosh", (SPECIAL,), gradient=False)
each("arccosh acosh", (P + 1,), (B,))
each("arccosh acosh", (C,), gradient=False)  # has the other sign in JAX before 0.11.2
each("negative positive square conj conjugate real imag", (X,), (C,), (N,), (U,), (SCALAR,), (EMPTY,))
each("positive square conj real imag", (B,))
each("abs absolute sign", (X,), (N,), (U,), (SPECIAL,), (EMPTY,))
each("abs absolute", (B,), (C,))
each("sign", (C,), gradient=False)  # z / |z| has a derivative; JAX takes it for zero
each("floor ceil rint round", (X * 3,), (N,), (SPECIAL,), (H * 3,), (U,))
each("isfinite isinf isnan", (SPECIAL,), (C,), (N,), (B,), (SPECIAL.astype(numpy.complex64),))
each("deg2rad rad2deg radians degrees reciprocal", (X,), (P,), (SPECIAL,), (EMPTY,))
each("sinc", (X,), (P,), (EMPTY,))
each("deg2rad rad2deg", (N,))
each("reciprocal", (M,), (C,))
# Near zero JAX's derivative in single precision is all rounding; see test_sinc_*.
each(
    "sinc",
    (numpy.array([0.0, 1e-4, -3e-4, 1.0, 2.0, 1e-2, 5e-4, 9e-4], numpy.float32),),
    (numpy.float32(0),),
    (C,),
    gradient=False,
)
each("logical_not", (X,), (B,), (N,), (C,), (SPECIAL,), (IMAGINARY,))
each("bitwise_not invert bitwise_invert", (N,), (B,), (U,), (SMALL,))
case(
    "round",
    lambda np, x: np.round(x, 2),
    lambda np, x: np.round(x, decimals=-1),
    lambda np, x: x.round(1),
    lambda np, x: round(x, 1),
    of=(X * 30,),
    gradient=False,
)
case("round", lambda np, x: np.round(x, 1), of=(N * 7,))

each(
    "add subtract multiply",
    (X, Y),
    (X, V),
    (COLUMN, V),
    (C, X),
    (N, X),
    (N, M),
    (U, SMALL),
    (B, N),
    (EMPTY, V),
    (H, X),
)
each("add multiply", (B, B2))
each(
    "divide true_divide",
    (X, P),
    (N, M),
    (COLUMN, V),
    (C, D),
    (B, M),
    (SPECIAL, SPECIAL[::-1].copy()),
    (U, U + 1),
)
each("arctan2 atan2", (X, Y), (X, V), (N, M), (EMPTY, V))
each("arctan2 hypot logaddexp", (SPECIAL, SPECIAL[::-1].copy()), (SPECIAL, SPECIAL), gradient=False)
each("hypot logaddexp", (X, Y), (X, V), (N, M), (EMPTY, V))
each("hypot", (numpy.float32(0), numpy.float32(0)), gradient=False)
each("hypot", (numpy.float32(3), numpy.float32(0)))
each("logaddexp", (X, X), (numpy.float32(900), numpy.float32(-900)))
each("nextafter", (X, Y), (X, V), gradient=False)
each(
    "minimum maximum",
    (X, Y),
    (X, X),
    (X, V),
    (N, M),
    (U, U),
    (B, B2),
    (SPECIAL, SPECIAL[::-1].copy()),
    (EMPTY, V),
)
each("minimum maximum", (C, D), gradient=False)
each("equal not_equal", (X, Y), (N, M), (N, X), (B, B2), (C, C), (SPECIAL, SPECIAL), (U, SMALL), (EMPTY, V))
each(
    "less less_equal greater greater_equal",
    (X, Y),
    (N, M),
    (N, X),
    (B, B2),
    (SPECIAL, SPECIAL),
    (U, SMALL),
    (C, D),
)
each("logical_and logical_or logical_xor", (X, Y), (B, B2), (N, B), (SPECIAL, SPECIAL), (EMPTY, V))
each("logical_and logical_or logical_xor", (IMAGINARY, IMAGINARY[::-1]), (IMAGINARY, True))
each("count_nonzero", (IMAGINARY,), (IMAGINARY[:1],))
each("bitwise_and bitwise_or bitwise_xor", (N, M), (B, B2), (U, SMALL), (B, N))
each(
    "left_shift bitwise_left_shift right_shift bitwise_right_shift",
    (N, M),
    (U, M),
    (SMALL, SMALL * 0 + 2),
    (U, U * 0 + 1),
)
each("floor_divide remainder mod fmod", (X, P), (N, M), (N, -M), (X, -P), (U, U + 1), (X, V), (EMPTY, V))
each("floor_divide remainder mod fmod", (SPECIAL, SPECIAL[::-1].copy()), (N, N * 0), gradient=False)
each("floor_divide remainder mod", (B, B2))
each("fmod", (B, B2 | True))
each("floor_divide", (numpy.float32([7, -7, 1, 6e7]), numpy.float32([0.1, 0.1, 0.1, 3])), gradient=False)
each("divmod", (N, M), (X, P), (X, -P))
each("power pow", (P, Y), (P, V), (N, M), (M, N), (U, U), (P, N), (C, D), (H, H * 0 + 2), (B, B2), (N, X))
each("power", (SPECIAL, SPECIAL[::-1].copy()), (numpy.float32(0), numpy.float32(0)), gradient=False)
for exponent in (0, 1, 2, 3, -1, -2, 0.5, 2.0, 1.5, True):
    case("power", lambda np, x, _e=exponent: np.power(x, _e), of=(P,))
    case("power", lambda np, x, _e=exponent: x**_e, of=(X,), gradient=isinstance(exponent, int))
    if not isinstance(exponent, int) or exponent >= 0:
        case("power", lambda np, x, _e=exponent: x**_e, of=(N,))
case("power", lambda np, x: 2**x, lambda np, x: 2.5**x, lambda np, x: x ** numpy.float32(2), of=(X,))
case("power", lambda np, x: 2**x, lambda np, x: 2.5**x, of=(M,))
case("power", lambda np, x: x**2, lambda np, x: x**0.5, lambda np, x: x**-1, of=(C,))

case(
    "where",
    lambda np, c, x, y: np.where(c, x, y),
    lambda np, c, x, y: np.where(x > 0, x, 0),
    lambda np, c, x, y: np.where(c, 1.0, y),
    lambda np, c, x, y: np.where(c, 1, 2),
    lambda np, c, x, y: np.where(c[:, :1], x, y[0]),
    lambda np, c, x, y: np.where(True, x, y),
    lambda np, c, x, y: np.where(x, x, y),
    of=(B, X, Y),
)
case("where", lambda np, x, y: np.where(x > 0, x, y), of=(N, X))
case("where", lambda np, z: np.where(z, 1, 2), of=(IMAGINARY,))
case(
    "clip",
    lambda np, x: np.clip(x, -1, 1),
    lambda np, x: np.clip(x, -1.0),
    lambda np, x: np.clip(x, max=0.5),
    lambda np, x: np.clip(x, min=x * 0, max=1),
    lambda np, x: x.clip(-0.5, 0.5),
    lambda np, x: np.clip(x, 2.0, 1.0),
    of=(X,),
)
case("clip", lambda np, x: np.clip(x, -1, 2), lambda np, x: np.clip(x, -1.5, 2), of=(N,))
case(
    "clip",
    lambda np, x: np.clip(x, -1.0, 1.5),
    lambda np, x: np.clip(x),
    of=(numpy.float32([-1.0, 1.5, 0, 2]),),
)
case(
    "nan_to_num",
    lambda np, x: np.nan_to_num(x),
    lambda np, x: np.nan_to_num(x, nan=2.0, posinf=7.0, neginf=-7.0),
    of=(SPECIAL,),
)
case("nan_to_num", lambda np, x: np.nan_to_num(x), of=(N,))
case("nan_to_num", lambda np, x: np.nan_to_num(x), of=(C,))
case("nan_to_num", lambda np, x: np.nan_to_num(x), of=(SPECIAL.astype(numpy.float16),))
case(
    "astype",
    lambda np, x: np.astype(x, np.int32),
    lambda np, x: np.astype(x, np.float16),
    lambda np, x: np.astype(x, np.complex64),
    lambda np, x: np.astype(x, bool),
    lambda np, x: x.astype(float),
    lambda np, x: x.astype(int),
    lambda np, x: x.astype("bfloat16"),
    lambda np, x: x.astype(x.dtype),
    of=(X,),
)
case("astype", lambda np, x: x.astype(np.uint8), lambda np, x: x.astype(float), of=(U,))
case("astype", lambda np, x: x.astype(bool), lambda np, x: x.astype(np.complex64), of=(C,))
case(
    "astype",
    lambda np, z: z.astype(bool),
    lambda np, z: z.real.astype(bool),
    lambda np, z: z.astype(np.complex64).astype(bool),
    lambda np, z: (z + np.zeros(6, bool)).astype(bool),
    of=(IMAGINARY,),
)

# Reductions ------------------------------------------------------------------------------------------

AXES = (None, 0, -1, (0, 1), (0, -1), ())
for name in "sum prod mean var std max min amax amin all any".split():
    for axis in AXES:
        case(name, lambda np, x, _n=name, _a=axis: getattr(np, _n)(x, axis=_a), of=(X,))
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)(x, axis=1, keepdims=True),
        lambda np, x, _n=name: getattr(np, _n)(x, keepdims=True),
        lambda np, x, _n=name: getattr(x, _n.removeprefix("a") if _n.startswith("am") else _n)(1),
        of=(X,),
    )
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=1), of=(N,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=0), of=(B,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=0), of=(U,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x), of=(SMALL,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=(0, 2)), of=(CUBE,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x), of=(SCALAR,), gradient=name not in ("var", "std"))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x), of=(SPECIAL,), gradient=False)
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=-1), of=(H,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=1), of=(EMPTY,), gradient=False)
for name in "sum prod mean all any var std".split():
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=0), of=(EMPTY,), gradient=False)
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=0), of=(C,))
    case(
        name, lambda np, x, w, _n=name: getattr(np, _n)(x, axis=0, where=w), of=(X, B), gradient=name != "std"
    )
    case(name, lambda np, x, w, _n=name: getattr(np, _n)(x, where=w[:1], keepdims=True), of=(X, B))
for name in "sum prod max min".split():
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)(x, axis=0, initial=0.5),
        lambda np, x, _n=name: getattr(np, _n)(x, initial=2),
        lambda np, x, _n=name: getattr(np, _n)(x, axis=1, where=x > 0, initial=1.0),
        of=(X,),
    )
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=0, initial=1), of=(EMPTY,))
for name in "max min".split():
    case(
        name, lambda np, x, _n=name: getattr(np, _n)(x, axis=0), of=(numpy.float32([[1, 2], [1, 0], [0, 2]]),)
    )
for name in "sum prod mean var std cumsum cumprod".split():
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)(x, axis=0, dtype=np.float16),
        lambda np, x, _n=name: getattr(np, _n)(x, axis=0, dtype=float),
        of=(N,),
        gradient=False,
    )
case("sum", lambda np, x: np.sum(x, promote_integers=False), of=(SMALL,))
case(
    "prod",
    lambda np, x: np.prod(x),
    lambda np, x: np.prod(x, axis=1),
    of=(numpy.float32([[0, 2, 3], [0, 0, 1.5]]),),
)
case(
    "var",
    lambda np, x: np.var(x, ddof=1),
    lambda np, x: np.var(x, axis=0, correction=1),
    lambda np, x: np.var(x, axis=0, ddof=1, where=x > -1),
    lambda np, x: np.var(x, axis=0, ddof=3),
    lambda np, x: x.var(0, ddof=1),
    of=(X,),
)
case("var", lambda np, x: np.var(x, axis=0, ddof=5), of=(X,), gradient=False)
case("std", lambda np, x: np.std(x, ddof=1), lambda np, x: np.std(x, axis=0, correction=1), of=(X,))
case(
    "ptp",
    lambda np, x: np.ptp(x),
    lambda np, x: np.ptp(x, axis=1),
    lambda np, x: np.ptp(x, 0, keepdims=True),
    of=(X,),
)
for name in "argmax argmin".split():
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)(x),
        lambda np, x, _n=name: getattr(np, _n)(x, axis=-1),
        lambda np, x, _n=name: getattr(np, _n)(x, 0, keepdims=True),
        lambda np, x, _n=name: getattr(np, _n)(x, keepdims=True),
        lambda np, x, _n=name: getattr(x, _n)(1),
        of=(X,),
    )
    case(name, lambda np, x, _n=name: getattr(np, _n)(x), of=(SPECIAL,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=1), of=(N // 4,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axis=1), of=(B,))
case(
    "count_nonzero",
    lambda np, x: np.count_nonzero(x),
    lambda np, x: np.count_nonzero(x, 0, keepdims=True),
    of=(N,),
)
case("count_nonzero", lambda np, x: np.count_nonzero(x, axis=(0, 1)), of=(X,))
for name in "cumsum cumprod".split():
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)(x),
        lambda np, x, _n=name: getattr(np, _n)(x, axis=0),
        lambda np, x, _n=name: getattr(np, _n)(x, -1),
        lambda np, x, _n=name: getattr(x, _n)(0),
        of=(X,),
    )
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, 1), of=(SMALL,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, 1), of=(B,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, 0), of=(EMPTY,))

# Creation --------------------------------------------------------------------------------------------

case(
    "full",
    lambda np, x: np.full((2, 3), 7),
    lambda np, x: np.full(3, 1.5),
    lambda np, x: np.full((2, 2), True),
    lambda np, x: np.full((2,), 3, dtype=np.float16),
    lambda np, x: np.full((3, 2), x[0, 0]),
    lambda np, x: np.full((3, 4), x[0]),
    lambda np, x: np.full((0,), 1j),
    of=(X,),
)
for name in "zeros ones empty".split():
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)((2, 3)),
        lambda np, x, _n=name: getattr(np, _n)(4, dtype=int),
        lambda np, x, _n=name: getattr(np, _n)((), bool),
        lambda np, x, _n=name: getattr(np, _n)(x.shape, x.dtype),
        of=(X,),
    )
    case(
        f"{name}_like",
        lambda np, x, _n=name: getattr(np, f"{_n}_like")(x),
        lambda np, x, _n=name: getattr(np, f"{_n}_like")(x, dtype=np.int32),
        lambda np, x, _n=name: getattr(np, f"{_n}_like")(x, shape=(2,)),
        lambda np, x, _n=name: getattr(np, f"{_n}_like")(3.0),
        of=(X,),
    )
case(
    "full_like",
    lambda np, x: np.full_like(x, 2),
    lambda np, x: np.full_like(x, 2, dtype=np.int32),
    lambda np, x: np.full_like(x, x[0], shape=(2, 4)),
    of=(X,),
)
for name in ("array", "asarray"):
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)([1, 2, 3]),
        lambda np, x, _n=name: getattr(np, _n)([[1.5, 2], [3, 4]]),
        lambda np, x, _n=name: getattr(np, _n)(3),
        lambda np, x, _n=name: getattr(np, _n)(2.5),
        lambda np, x, _n=name: getattr(np, _n)(True),
        lambda np, x, _n=name: getattr(np, _n)([True, False]),
        lambda np, x, _n=name: getattr(np, _n)([1 + 2j, 0]),
        lambda np, x, _n=name: getattr(np, _n)([]),
        lambda np, x, _n=name: getattr(np, _n)([x[0, 0], 2.0, x[1, 1]]),
        lambda np, x, _n=name: getattr(np, _n)([x[0], x[1]]),
        lambda np, x, _n=name: getattr(np, _n)(x, dtype=np.float16),
        lambda np, x, _n=name: getattr(np, _n)([1, 2], dtype=np.float32),
        lambda np, x, _n=name: getattr(np, _n)(numpy.arange(3.0)),
        of=(X,),
    )
case("array", lambda np, x: np.array(x, ndmin=4), lambda np, x: np.array(5, ndmin=1), of=(X,))
case(
    "arange",
    lambda np, x: np.arange(5),
    lambda np, x: np.arange(2, 9, 3),
    lambda np, x: np.arange(5, 0, -2),
    lambda np, x: np.arange(0.0, 1.0, 0.25),
    lambda np, x: np.arange(3.5),
    lambda np, x: np.arange(4, dtype=np.float32),
    lambda np, x: np.arange(5, 2),
    lambda np, x: np.arange(x.shape[1]),
    lambda np, x: np.arange(1, 2, 0.3, dtype=np.float16),
    of=(X,),
)
case(
    "linspace",
    lambda np, x: np.linspace(0, 1, 5),
    lambda np, x: np.linspace(0, 1, 5, endpoint=False),
    lambda np, x: np.linspace(x[0, 0], x[1, 1], 7),
    lambda np, x: np.linspace(x[0], x[1], 3, axis=1),
    lambda np, x: np.linspace(x[0], x[1], 4, axis=-1),
    lambda np, x: np.linspace(-1, 4, 1),
    lambda np, x: np.linspace(-1, 4, 0),
    lambda np, x: np.linspace(0, 10, 4, dtype=int),
    lambda np, x: np.linspace(0, 1, 5, retstep=True),
    of=(X,),
)
case(
    "eye",
    lambda np, x: np.eye(3),
    lambda np, x: np.eye(2, 4, k=1),
    lambda np, x: np.eye(3, k=-1, dtype=int),
    lambda np, x: np.eye(0),
    of=(X,),
)
case("identity", lambda np, x: np.identity(3), lambda np, x: np.identity(2, bool), of=(X,))
case(
    "tri",
    lambda np, x: np.tri(3),
    lambda np, x: np.tri(2, 4, 1),
    lambda np, x: np.tri(4, 2, -1, int),
    of=(X,),
)
for name in ("tril", "triu"):
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)(x),
        lambda np, x, _n=name: getattr(np, _n)(x, 1),
        lambda np, x, _n=name: getattr(np, _n)(x, k=-2),
        of=(CUBE,),
    )
    case(name, lambda np, x, _n=name: getattr(np, _n)(x), of=(N,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x), of=(B,))

# Shape -----------------------------------------------------------------------------------------------

case(
    "reshape",
    lambda np, x: np.reshape(x, (4, 3)),
    lambda np, x: np.reshape(x, -1),
    lambda np, x: np.reshape(x, (2, -1, 3)),
    lambda np, x: np.reshape(x, (4, 3), order="F"),
    lambda np, x: x.reshape(6, 2),
    lambda np, x: x.reshape((1, 12)),
    lambda np, x: x.reshape(-1),
    lambda np, x: x.reshape([3, 4]),
    of=(X,),
)
case("reshape", lambda np, x: np.reshape(x, (2, 0)), lambda np, x: x.reshape(0, 7), of=(EMPTY,))
each("ravel", (X,), (SCALAR,), (EMPTY,), (CUBE,))
case(
    "ravel", lambda np, x: np.ravel(x, order="F"), lambda np, x: x.ravel(), lambda np, x: x.flatten(), of=(X,)
)
for name in ("transpose", "permute_dims"):
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, (2, 0, 1)), of=(CUBE,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, axes=(0, 2, 1)), of=(CUBE,))
case(
    "transpose",
    lambda np, x: np.transpose(x),
    lambda np, x: x.T,
    lambda np, x: x.transpose(),
    lambda np, x: x.transpose(1, 0, 2),
    lambda np, x: x.transpose((2, 1, 0)),
    of=(CUBE,),
)
case("transpose", lambda np, x: np.transpose(x), of=(SCALAR,))
case("matrix_transpose", lambda np, x: np.matrix_transpose(x), lambda np, x: x.mT, of=(CUBE,))
case("swapaxes", lambda np, x: np.swapaxes(x, 0, -1), lambda np, x: x.swapaxes(1, 1), of=(CUBE,))
case(
    "moveaxis",
    lambda np, x: np.moveaxis(x, 0, -1),
    lambda np, x: np.moveaxis(x, (0, 1), (1, 0)),
    lambda np, x: np.moveaxis(x, [2, 0], [0, 1]),
    of=(CUBE,),
)
case(
    "rollaxis",
    lambda np, x: np.rollaxis(x, 2),
    lambda np, x: np.rollaxis(x, 0, 3),
    lambda np, x: np.rollaxis(x, -1, 1),
    of=(CUBE,),
)
case(
    "expand_dims",
    lambda np, x: np.expand_dims(x, 0),
    lambda np, x: np.expand_dims(x, -1),
    lambda np, x: np.expand_dims(x, (0, 2)),
    of=(X,),
)
case(
    "squeeze",
    lambda np, x: np.squeeze(x),
    lambda np, x: np.squeeze(x, 1),
    lambda np, x: x.squeeze(-1),
    of=(COLUMN,),
)
case(
    "broadcast_to",
    lambda np, x: np.broadcast_to(x, (2, 3, 4)),
    lambda np, x: np.broadcast_to(x, (3, 4)),
    lambda np, x: np.broadcast_to(x[:1], (0, 4)),
    lambda np, x: np.broadcast_to(x[:, :1], (3, 5)),
    of=(X,),
)
case(
    "broadcast_arrays",
    lambda np, x, y: np.broadcast_arrays(x, y),
    lambda np, x, y: np.broadcast_arrays(x, 1.0),
    of=(COLUMN, V),
)
for name in ("concatenate", "concat"):
    case(
        name,
        lambda np, x, y, _n=name: getattr(np, _n)([x, y]),
        lambda np, x, y, _n=name: getattr(np, _n)((x, y), axis=1),
        lambda np, x, y, _n=name: getattr(np, _n)([x, y[:1]], axis=-2),
        lambda np, x, y, _n=name: getattr(np, _n)([x, y], axis=None),
        lambda np, x, y, _n=name: getattr(np, _n)([x]),
        lambda np, x, y, _n=name: getattr(np, _n)([x[:0], y]),
        of=(X, Y),
    )
case("concatenate", lambda np, x, y: np.concatenate([x, y]), of=(N, X))
case("concatenate", lambda np, x, y: np.concatenate([x, y], dtype=np.float16), of=(N, X), gradient=False)
case("concatenate", lambda np, x: np.concatenate(x), of=(CUBE,))
case(
    "stack",
    lambda np, x, y: np.stack([x, y]),
    lambda np, x, y: np.stack([x, y], axis=-1),
    lambda np, x, y: np.stack((x, y, x), 1),
    lambda np, x, y: np.stack([x[0, 0], 2.0]),
    of=(X, Y),
)
case("stack", lambda np, x: np.stack(x), of=(X,))
case("vstack", lambda np, x, y: np.vstack([x, y]), lambda np, x, y: np.vstack((x, y[0])), of=(X, Y))
case("vstack", lambda np, x: np.vstack([x, x]), of=(V,))
case("hstack", lambda np, x, y: np.hstack([x, y]), of=(X, Y))
case("hstack", lambda np, x: np.hstack([x, x]), lambda np, x: np.hstack([x[0], 1.0]), of=(V,))
for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    for operand in (SCALAR, V, X, CUBE):
        each(name, (operand,))
    each(name, (SCALAR, V))
case(
    "split",
    lambda np, x: np.split(x, 3),
    lambda np, x: np.split(x, 2, axis=1),
    lambda np, x: np.split(x, [1, 3], axis=-1),
    lambda np, x: np.split(x, (2,)),
    lambda np, x: np.split(x, [1, 1], axis=1),
    of=(X,),
)
case(
    "array_split",
    lambda np, x: np.array_split(x, 3, axis=1),
    lambda np, x: np.array_split(x, [1], 0),
    lambda np, x: np.array_split(x, 5),
    of=(X,),
)
case(
    "flip", lambda np, x: np.flip(x), lambda np, x: np.flip(x, 0), lambda np, x: np.flip(x, (0, -1)), of=(X,)
)
case(
    "roll",
    lambda np, x: np.roll(x, 1),
    lambda np, x: np.roll(x, -2, axis=1),
    lambda np, x: np.roll(x, (1, 2), (0, 1)),
    lambda np, x: np.roll(x, 1, (0, 1)),
    lambda np, x: np.roll(x, 9, 0),
    lambda np, x: np.roll(x, (1, 1), 0),
    of=(X,),
)
case("roll", lambda np, x: np.roll(x, 2, 0), of=(EMPTY,))
case(
    "tile",
    lambda np, x: np.tile(x, 2),
    lambda np, x: np.tile(x, (2, 1, 3)),
    lambda np, x: np.tile(x, (0, 1)),
    of=(X,),
)
case("tile", lambda np, x: np.tile(x, 3), of=(SCALAR,))
case(
    "repeat",
    lambda np, x: np.repeat(x, 2),
    lambda np, x: np.repeat(x, 3, axis=0),
    lambda np, x: np.repeat(x, 0, axis=1),
    lambda np, x: np.repeat(x, numpy.array([2, 2, 2]), axis=0),
    lambda np, x: np.repeat(x[:0], 2, axis=0),
    lambda np, x: np.repeat(x, numpy.array([1, 0, 2, 1]), axis=-1),
    lambda np, x: np.repeat(x, numpy.array([2, 1, 1]), axis=0),
    lambda np, x: np.repeat(x, 2, axis=1, total_repeat_length=5),
    lambda np, x: x.repeat(2, 1),
    of=(X,),
)
case("repeat", lambda np, x: np.repeat(x, numpy.array([1, 0, 2, 1]), 1, total_repeat_length=6), of=(X,))
for mode in ("constant", "edge", "reflect", "symmetric", "wrap"):
    case(
        "pad",
        lambda np, x, _m=mode: np.pad(x, 1, mode=_m),
        lambda np, x, _m=mode: np.pad(x, (1, 2), mode=_m),
        lambda np, x, _m=mode: np.pad(x, ((0, 1), (2, 0)), _m),
        of=(X,),
    )
case("pad", lambda np, x: np.pad(x, ((1, 0), (0, 2)), constant_values=3), of=(X,))
case("pad", lambda np, x: np.pad(x, 1, constant_values=2.0), of=(N,))
case("pad", lambda np, x: np.pad(x, ((1, 1), (0, 0))), of=(EMPTY,))
case("pad", lambda np, x: np.pad(x, 1, constant_values=((1.0, 2.0), (3.0, 4.0))), of=(X,))
case("pad", lambda np, x: np.pad(x, 7, mode="reflect"), lambda np, x: np.pad(x, 7, mode="wrap"), of=(V,))
case(
    "meshgrid",
    lambda np, x, y: np.meshgrid(x, y),
    lambda np, x, y: np.meshgrid(x, y, indexing="ij"),
    lambda np, x, y: np.meshgrid(x, y, sparse=True),
    lambda np, x, y: np.meshgrid(x, y, x[:2], indexing="ij"),
    lambda np, x, y: np.meshgrid(x),
    of=(V, X[:, 0]),
)

# Contraction -----------------------------------------------------------------------------------------

for a, b in (
    (X, array(4, 2)), (X, V), (V, X.T), (V, V), (CUBE, array(4, 5)), (CUBE, array(2, 4, 5)), (X[:2], array(5, 4, 2)),
    (V, array(5, 4, 2)), (array(1, 3, 4), array(5, 4, 2)), (array(2, 1, 3, 4), array(5, 4, 2)), (N, M.T), (C, D.T),
    (N, X.T), (array(0, 4), array(4, 2)), (array(3, 0), array(0, 2)), (array(5, 4, 2), array(2)), (H, H.T), (B, B2.T),
):  # fmt: skip
    each("matmul", (a, b), gradient=a.dtype != numpy.bool_)
    case("matmul", lambda np, x, y: x @ y, of=(a, b))
for a, b in (
    (X, array(4, 2)),
    (X, V),
    (V, V),
    (CUBE, array(5, 4, 2)),
    (SCALAR, X),
    (X, SCALAR),
    (N, M.T),
    (C, V),
):
    each("dot", (a, b))
case("dot", lambda np, x, y: x.dot(y), of=(X, V))
case("dot", lambda np, x, y: np.dot(x, y, preferred_element_type=np.float32), of=(H, H.T), gradient=False)
each("vdot", (X, Y), (C, D), (N, M), (V, V))
each("inner", (X, Y), (V, V), (CUBE, V), (SCALAR, V), (C, D), (N, M))
each("outer", (X, V), (V, V), (N[0], V), (SCALAR, V), (C, D))
case(
    "tensordot",
    lambda np, x, y: np.tensordot(x, y, 1),
    lambda np, x, y: np.tensordot(x, y, axes=0),
    lambda np, x, y: np.tensordot(x, y, axes=((2,), (0,))),
    lambda np, x, y: np.tensordot(x, y, axes=(-1, 0)),
    of=(CUBE, array(4, 2)),
)
case("tensordot", lambda np, x, y: np.tensordot(x, y), of=(CUBE, array(3, 4, 5)))
case("tensordot", lambda np, x, y: np.tensordot(x, y, ([1, 2], [1, 0])), of=(CUBE, array(4, 3)))
case(
    "trace",
    lambda np, x: np.trace(x),
    lambda np, x: np.trace(x, 1),
    lambda np, x: np.trace(x, -1, 1, 2),
    lambda np, x: x.trace(axis1=-1, axis2=-2),
    of=(CUBE,),
)
case("trace", lambda np, x: np.trace(x), lambda np, x: np.trace(x, dtype=float), of=(N,), gradient=False)
case(
    "diagonal",
    lambda np, x: np.diagonal(x),
    lambda np, x: np.diagonal(x, offset=1),
    lambda np, x: np.diagonal(x, -1, 1, 2),
    lambda np, x: np.diagonal(x, 9),
    lambda np, x: x.diagonal(0, 2, 0),
    of=(CUBE,),
)
case("diag", lambda np, x: np.diag(x), lambda np, x: np.diag(x, 2), lambda np, x: np.diag(x, -1), of=(X,))
case("diag", lambda np, x: np.diag(x), lambda np, x: np.diag(x, 2), lambda np, x: np.diag(x, k=-1), of=(V,))

# Indexing --------------------------------------------------------------------------------------------

case(
    "take",
    lambda np, x, i: np.take(x, i),
    lambda np, x, i: np.take(x, i, axis=0),
    lambda np, x, i: np.take(x, i, axis=-1),
    lambda np, x, i: np.take(x, 2, axis=1),
    lambda np, x, i: np.take(x, i * 3, axis=1),
    lambda np, x, i: np.take(x, i * 3, axis=1, mode="clip"),
    lambda np, x, i: np.take(x, i * 3, axis=1, mode="wrap"),
    lambda np, x, i: np.take(x, i * 3, axis=1, mode="fill", fill_value=-7.0),
    lambda np, x, i: np.take(x, i[:, None] * i, axis=0, mode="clip"),
    lambda np, x, i: x.take(i, 0),
    of=(X, INTS),
)
case("take", lambda np, x: np.take(x, numpy.array([0, 9]), axis=1), of=(N,))
case("take", lambda np, x: np.take(x, numpy.array([0, 9]), axis=1), of=(B,))
case(
    "take_along_axis",
    lambda np, x, i: np.take_along_axis(x, i % 4, axis=1),
    lambda np, x, i: np.take_along_axis(x, i % 3, 0),
    lambda np, x, i: np.take_along_axis(x, i[:, :2], -1),
    lambda np, x, i: np.take_along_axis(x, i[:1] % 3, 0),
    lambda np, x, i: np.take_along_axis(x, i * 2, axis=1),
    lambda np, x, i: np.take_along_axis(x, i * 2, axis=1, mode="clip"),
    lambda np, x, i: np.take_along_axis(x, i.ravel(), None),
    of=(X, N),
)

# Shapes ----------------------------------------------------------------------------------------------

case("shape", lambda np, x: x * np.shape(x)[1] + np.shape(2.0).__len__(), of=(X,))
case("ndim", lambda np, x: x * np.ndim(x) + np.ndim(1), of=(CUBE,))
case("size", lambda np, x: x * np.size(x) + np.size(x, 0), lambda np, x: x * np.size(x, (0, 2)), of=(CUBE,))

# Parameters that few know ----------------------------------------------------------------------------

each_mean = X.mean(axis=0, keepdims=True)
case("var", lambda np, x, m: np.var(x, 0, mean=m), of=(X, each_mean))
case("std", lambda np, x, m: np.std(x, 0, mean=m, ddof=1), of=(X, each_mean))
case("where", lambda np, b: np.where(b, size=5, fill_value=-1), of=(B,))
if "wrap_negative_indices" in inspect.signature(jnp.take_along_axis).parameters:  # new in JAX 0.10.1
    case(
        "take_along_axis",
        lambda np, x, i: np.take_along_axis(x, i, 1, wrap_negative_indices=False),
        of=(X, INTS[None] - 1),
    )

MASK = numpy.array([True, False, True, True])
case("compress", lambda np, x: np.compress(MASK[:3], x, 0, size=2), of=(X,))
case("compress", lambda np, b, x: np.compress(b[0], x, axis=1, size=2), of=(B, X))
case("extract", lambda np, b, x: np.extract(b, x, size=5, fill_value=7), of=(B, X))
case("apply_along_axis", lambda np, x: np.apply_along_axis(lambda r: np.outer(r, r), 1, x), of=(CUBE,))
case("apply_along_axis", lambda np, x: np.apply_along_axis(np.sum, -1, x), of=(X,))

# Types asked for, what a reduction begins with, bool scalars as indices.
case(
    "var",
    lambda np, x: np.var(x, dtype="int8"),
    lambda np, x: np.var(x * 40, 0, dtype="int8"),
    lambda np, x: np.var(x, dtype="complex64"),
    lambda np, x: np.var(x, dtype="float16"),
    of=(N,),
)
case("mean", lambda np, x: np.mean(x * 40, dtype="int8"), of=(N,))
case("std", lambda np, x: np.std(x, dtype="complex64"), of=(X,), gradient=False)
for name in "sum prod".split():
    case(
        name,
        lambda np, x, _n=name: getattr(np, _n)(x, dtype=bool),
        lambda np, x, _n=name: getattr(np, _n)(x, 1, dtype=bool, where=x > 0, initial=True),
        lambda np, x, _n=name: getattr(np, _n)(x * 0, 0, dtype=bool, initial=3),
        lambda np, x, _n=name: getattr(np, _n)(x > 0, initial=2, promote_integers=False),
        lambda np, x, _n=name: getattr(np, _n)(x > 0, 0, initial=2),
        of=(X,),
    )
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, initial=2.5), of=(N,))
for name in "max min".split():
    case(name, lambda np, x, _n=name: getattr(np, _n)(x > 1, initial=2), of=(X,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, initial=2.5), of=(N,))
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, 0, initial=-1, where=x > 3), of=(U,))
for name in "cumsum cumprod".split():
    case(name, lambda np, x, _n=name: getattr(np, _n)(x, 1, dtype=bool), of=(N,))
case(
    "take",
    lambda np, x: np.take(x, INTS * 4, mode="fill", fill_value=-1),
    lambda np, x: np.take(x, INTS * 4, mode="fill", fill_value=300),
    lambda np, x: np.take(x, INTS * 4, mode="fill", fill_value=2.7),
    lambda np, x: np.asarray(x).at[INTS * 4].get(mode="fill", fill_value=-1),
    of=(U,),
)
case(
    "take_along_axis",
    lambda np, x: np.take_along_axis(x, INTS[None] * 4, 1, mode="fill", fill_value=-1),
    of=(U,),
)
