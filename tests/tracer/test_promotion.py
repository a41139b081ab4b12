"""Element types of operators: JAX's promotion, Python scalars, NumPy scalars on either side, operators themselves."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracer as tr
from tests.tracer.helpers import array, both, x64
from tracer.types import float_dtype, promote_dtypes, type_of

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
BINARY: dict[str, Callable[..., Any]] = {
    name: getattr(operator, name)
    for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift",
        "eq", "ne", "lt", "le", "gt", "ge",
    )
}  # fmt: skip
BINARY["divmod"] = divmod
# A quotient that is floored has the types of its remainder; JAX 0.10.0 takes it for strong where it is weak.
TYPES: dict[str, Callable[..., Any]] = {
    **BINARY, "floordiv": operator.mod, "divmod": lambda x, y: (x % y, x % y),
}  # fmt: skip


def types_of(run: Callable[..., Any], *args: Any) -> Any:
    try:
        out = run(*args)
    except (TypeError, ValueError):
        return "error"
    return [(str(s.dtype), s.weak_type and s.dtype != bool, s.shape) for s in jax.tree_util.tree_leaves(out)]


@pytest.mark.parametrize("wide", [False, True], ids=["x32", "x64"])
def test_the_table(wide: bool) -> None:
    with x64(wide):
        names = [d for d in DTYPES if wide or d == "complex64" or ("64" not in d and "128" not in d)]
        for a in names:
            for b in names:
                x, y = (jax.ShapeDtypeStruct((2,), jnp.dtype(d)) for d in (a, b))
                want = jax.eval_shape(jnp.add, x, y)
                (left, _), (right, _) = type_of(x), type_of(y)
                got, weak = promote_dtypes(left.dtype, False, right.dtype, False)
                assert (got.np, weak) == (want.dtype, want.weak_type), (a, b)


def test_types_that_do_not_promote() -> None:
    with pytest.raises(tr.errors.ArgumentTypeError, match="f8e4m3fn"):
        tr.jit(lambda x, y: x + y)(V.astype(jnp.float8_e4m3fn), V.astype(jnp.float8_e5m2))
    both(
        lambda xp, t: t.jit(lambda x: (x.astype(xp.float32) * 2).astype(x.dtype))(V.astype(jnp.float8_e4m3fn))
    )


def test_float_types() -> None:
    with x64():
        for name in DTYPES:
            dtype = type_of(jax.ShapeDtypeStruct((), jnp.dtype(name)))[0].dtype
            want = jax.eval_shape(jnp.sin, jax.ShapeDtypeStruct((), jnp.dtype(name))).dtype
            assert float_dtype(dtype).np == want, name


V = array(4)
SCALARS = [
    True,
    3,
    2.5,
    1 + 2j,
    np.float32(2),
    np.int8(3),
    np.bool_(True),
    np.float64(1.5),
    np.array(2, np.int32),
]


@pytest.mark.parametrize("name", BINARY)
def test_operators_with_scalars_on_either_side(name: str) -> None:
    op, typed = BINARY[name], TYPES[name]
    shape = (2, 2) if name == "matmul" else (2,)
    scalars = (
        [np.ones((2, 2), d) for d in (np.int8, np.float32, np.complex64)] if name == "matmul" else SCALARS
    )
    if name == "pow":  # old versions of NumPy let a bool be an index, and warn
        scalars = [s for s in scalars if not isinstance(s, np.bool_)]
    wrong = []
    for dtype in ("bool", "int8", "uint32", "int32", "bfloat16", "float32", "complex64"):
        x = jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
        for s in scalars:
            for order in (lambda f, x, s: f(x, s), lambda f, x, s: f(s, x)):
                got = types_of(tr.jit(lambda x, s=s, order=order: order(op, x, s)).eval_shape, x)
                want = types_of(jax.jit(lambda x, s=s, order=order: order(typed, x, s)).eval_shape, x)
                if got != want:
                    wrong.append((dtype, type(s).__name__, got, want))
    assert not wrong


def test_values_with_scalars_on_either_side() -> None:
    def every(x: Any) -> Any:
        return [
            op(x, s)
            for op in BINARY.values()
            if op not in (operator.matmul,)
            for s in (2, True)
            if _takes(op, x)
        ] + [op(s, x) for op in BINARY.values() if op is not operator.matmul for s in (2, 7) if _takes(op, x)]

    def _takes(op: Any, x: Any) -> bool:
        bits = op in (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift)
        return not (bits and x.dtype.kind == "f")

    for x in (abs(V) + 1, np.arange(1, 5, dtype=np.int32), np.arange(1, 5, dtype=np.uint8)):
        both(lambda xp, t, x=x: t.jit(every)(x))


def test_unary_operators() -> None:
    both(lambda xp, t: t.jit(lambda x: (-x, +x, abs(x), round(x), round(x, 1)))(V * 3))
    both(lambda xp, t: t.jit(lambda n: (-n, +n, abs(n), ~n))(np.arange(-2, 3)))
    both(lambda xp, t: t.jit(lambda b: (~b, b & True, b | b, b ^ True, b + b, b * b, abs(b)))(V > 0))


def test_other_operands_are_refused_as_python_does() -> None:
    for other in ("a", None, object(), [1.0, 2.0, 3.0, 4.0], {}):
        with pytest.raises(TypeError):
            tr.jit(lambda x, o=other: x + o)(V)
        with pytest.raises(TypeError):
            tr.jit(lambda x, o=other: o * x)(V)
    assert tr.jit(lambda x: bool(x == "a"))(V) == jax.jit(lambda x: x == "a")(V)

    class Friendly:
        def __radd__(self, other: Any) -> Any:
            return "mine"

    kept = []
    tr.jit(lambda x: kept.append(x + Friendly()) or x)(V)
    assert kept == ["mine"]


def test_augmented_assignment() -> None:
    def f(x: Any) -> Any:
        y = x
        y += 1
        y *= x
        y **= 2
        y /= 3
        y -= x
        y @= x
        return y, x

    both(lambda xp, t: t.jit(f)(V))


def test_numpy_operands_on_the_left() -> None:
    a = np.arange(4, dtype=np.float32)
    for f in (
        lambda x: a + x,
        lambda x: a - x,
        lambda x: a * x,
        lambda x: a / x,
        lambda x: a**x,
        lambda x: a @ x,
        lambda x: a < x,
        lambda x: np.float32(2) * x,
        lambda x: np.float64(2) / x,
        lambda x: np.int32(2) - x,
        lambda x: jnp.asarray(a) * x,
        lambda x: jnp.float32(2) - x,
        lambda x: jnp.asarray(a) @ x,
        lambda x: jnp.asarray(a) < x,
    ):
        both(lambda xp, t, f=f: t.jit(f)(V))
        both(lambda xp, t, f=f: t.grad(lambda x: (f(x) * 1.0).sum())(V))


scalar = st.one_of(st.booleans(), st.integers(-5, 5), st.floats(-4, 4), st.just(1j))
leaf = st.one_of(
    scalar,
    st.sampled_from(DTYPES[2:]).filter(
        lambda d: "4" not in d or d in ("float64", "int64", "complex64", "bfloat16")
    ),
)
ops = st.sampled_from(["add", "sub", "mul"])


@given(
    leaves=st.lists(leaf, min_size=2, max_size=5),
    names=st.lists(ops, min_size=4, max_size=4),
    wide=st.booleans(),
)
def test_chains_of_operators(leaves: list[Any], names: list[str], wide: bool) -> None:
    with x64(wide):
        arrays = [
            jax.ShapeDtypeStruct((), jax.dtypes.canonicalize_dtype(jnp.dtype(v)))
            for v in leaves
            if isinstance(v, str)
        ]

        def f(*xs: Any) -> Any:
            given = iter(xs)
            total = next(given) if isinstance(leaves[0], str) else leaves[0]
            for name, v in zip(names, leaves[1:], strict=False):
                total = BINARY[name](total, next(given) if isinstance(v, str) else v)
            return total

        assert types_of(tr.jit(f).eval_shape, *arrays) == types_of(jax.jit(f).eval_shape, *arrays)
