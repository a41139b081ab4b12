"""Every function of `tracer.numpy` against the one of `jax.numpy`: values, types, gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.cases import Case, differences
from tests.tracer.helpers import assert_same, x64
from tests.tracer.numpy_cases import CASES
from tracer.errors import ArgumentTypeError

BY_NAME: dict[str, list[Case]] = {}
for _case in CASES:
    BY_NAME.setdefault(_case.name, []).append(_case)


def test_every_function_has_cases() -> None:
    functions = {name for name in tnp.__all__ if hasattr(getattr(tnp, name), "eager")}
    assert len(functions) > 150
    assert functions - {c.name for c in CASES} == set()


@pytest.mark.parametrize("name", BY_NAME)
def test_as_jax(name: str) -> None:
    wrong = differences(BY_NAME[name], tnp, jnp)
    assert not wrong, "\n\n".join(wrong)


# Element types: by abstract evaluation, which compiles nothing.

DTYPES = ("bool", "int8", "int32", "uint8", "uint32", "float16", "bfloat16", "float32", "complex64")
WIDE = (*DTYPES, "int64", "uint64", "float64", "complex128")
UNARY = (
    "exp exp2 expm1 log log1p log2 log10 sqrt cbrt sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh "
    "arctanh negative square abs sign floor ceil rint round isfinite isnan isinf logical_not bitwise_not reciprocal "
    "sinc deg2rad rad2deg real imag conjugate sum prod mean var std max min all any argmax argmin cumsum cumprod "
    "count_nonzero ptp nan_to_num positive ravel zeros_like ones_like tril trace"
).split()
BINARY = (
    "add subtract multiply divide floor_divide remainder fmod power arctan2 minimum maximum equal less logical_and "
    "bitwise_and left_shift right_shift hypot logaddexp nextafter matmul dot outer inner vdot divmod"
).split()


def described(fn: Any, *args: Any) -> Any:
    """Shapes, dtypes and weak types of the results, or the text `error`."""
    try:
        out = fn(*args)
    except (TypeError, ValueError):
        return "error"
    # Whether bools are weakly typed makes no difference to anything.
    return [(s.shape, str(s.dtype), s.weak_type and s.dtype != bool) for s in jax.tree_util.tree_leaves(out)]


def compare_types(name: str, operands: Any) -> list[str]:
    ours = tr.jit(lambda *xs: getattr(tnp, name)(*xs)).eval_shape
    theirs = jax.jit(lambda *xs: getattr(jnp, name)(*xs)).eval_shape
    wrong = []
    for args in operands:
        if name in ("argmax", "argmin") and any(
            getattr(a, "dtype", np.dtype(type(a))).kind == "c" for a in args
        ):
            continue  # the IR orders real numbers only
        got, want = described(ours, *args), described(theirs, *args)
        if name in STRONG and "error" not in (got, want):
            got, want = [[each[:2] for each in side] for side in (got, want)]
        if got != want:
            shown = ", ".join(f"{getattr(a, 'dtype', type(a).__name__)}" for a in args)
            wrong.append(f"{name}({shown}): got {got}, expected {want}")
    return wrong


# Their results are weakly typed as those of other operators since JAX 0.10.1.
STRONG = () if jnp.floor_divide(jnp.ones(2, bool), 1.0).weak_type else ("floor_divide", "divmod")


def struct(dtype: str) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((2, 2), jnp.dtype(dtype))


SCALARS = (True, 3, 1.5, 2 + 1j)


@pytest.mark.parametrize("wide", [False, True], ids=["x32", "x64"])
@pytest.mark.parametrize("name", UNARY)
def test_unary_types(name: str, wide: bool) -> None:
    with x64(wide):
        operands = [(struct(d),) for d in (WIDE if wide else DTYPES)]
        scalars = [] if name in ("tril", "trace") else [(s,) for s in SCALARS]
        assert compare_types(name, [*operands, *scalars]) == []


@pytest.mark.parametrize("wide", [False, True], ids=["x32", "x64"])
@pytest.mark.parametrize("name", BINARY)
def test_binary_types(name: str, wide: bool) -> None:
    some = ("bool", "int8", "int32", "uint8", "uint32", "bfloat16", "float16", "float32", "complex64")
    with x64(wide):
        all_ = [struct(d) for d in (*some, *(("int64", "float64") if wide else ()))]
        pairs = [(a, b) for a in all_ for b in all_]
        if name not in ("matmul", "dot", "inner", "outer", "vdot"):
            pairs += [(a, s) for a in all_ for s in SCALARS] + [(s, a) for a in all_ for s in SCALARS]
        assert compare_types(name, pairs) == []


def test_sinc_near_zero() -> None:
    x = np.array([0.0, 1e-4, -3e-4, 3e-3, -2e-2, 0.3], np.float64)
    got = tr.vmap(tr.grad(tnp.sinc))(x.astype(np.float32))
    with np.errstate(invalid="ignore"):
        want = np.where(x == 0, 0, (np.cos(np.pi * x) - np.sinc(x)) / x)
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=1e-8)


def test_sinc_of_integers_and_of_infinity() -> None:
    x = np.array([0, 1, -1, 2, 7, -1024, 2**23 + 1, np.inf, -np.inf], np.float32)
    for got in (tr.jit(tnp.sinc)(x), tr.jit(tnp.sinc)(x[:-2].astype(np.int32))):
        np.testing.assert_array_equal(got, np.where(x[: len(got)] == 0, 1, 0))
    slope = tr.vmap(tr.grad(tnp.sinc))(x)
    np.testing.assert_allclose(slope, [0, -1, 1, 1 / 2, -1 / 7, -1 / 1024, -1 / (2**23 + 1), 0, 0], rtol=1e-6)
    assert np.isnan(tr.jit(tnp.sinc)(np.float32(np.nan)))


@pytest.mark.parametrize("scale", [1, 1e20, 3e37, 1e-20, 1e-38, -1e30])
def test_hypot_of_large_and_small_numbers(scale: float) -> None:
    """Values, gradients and second derivatives, with nothing that overflows on the way."""
    a, b = np.float32(3 * scale), np.float32(4 * scale)
    value, gradient = tr.value_and_grad(tnp.hypot, (0, 1))(a, b)
    np.testing.assert_allclose(value, 5 * abs(scale), rtol=1e-6)
    np.testing.assert_allclose(gradient, np.sign(scale) * np.array([0.6, 0.8]), rtol=1e-6)
    if abs(scale) > 1e30:
        return  # the second derivative is no normal number
    (second, mixed), _ = tr.hessian(tnp.hypot, (0, 1))(a, b)
    np.testing.assert_allclose(np.float64([second, mixed]) * abs(scale), [0.128, -0.096], rtol=1e-5)


def test_hypot_of_infinity_beside_nan() -> None:
    for a, b in ((np.inf, np.nan), (np.nan, -np.inf), (np.inf, -np.inf)):
        assert tr.jit(tnp.hypot)(np.float32(a), np.float32(b)) == np.inf
    assert np.isnan(tr.jit(tnp.hypot)(np.float32(np.nan), np.float32(1)))


def test_hypot_at_the_origin_has_the_subgradient_zero() -> None:
    assert tr.grad(tnp.hypot, (0, 1))(0.0, 0.0) == (0, 0)
    assert tr.grad(lambda x: tnp.hypot(x, x))(0.0) == 0
    assert tr.grad(tr.grad(lambda x: tnp.hypot(x, 0.0)))(0.0) == 0
    assert tr.grad(tnp.hypot)(0.0, 2.0) == 0


def test_logaddexp_derivatives_where_operands_are_equal() -> None:
    def nth(transforms: Any, fn: Any, n: int) -> Any:
        for _ in range(n):
            fn = transforms.grad(fn)
        return fn

    for n in range(4):
        got = nth(tr, lambda x: tnp.logaddexp(x, 0.0), n)(0.0)
        assert_same(got, nth(jax, lambda x: jnp.logaddexp(x, 0.0), n)(0.0), weak=False)


@pytest.mark.parametrize("name", ["all", "any"])
def test_truth_of_complex_numbers_is_that_of_numpy(name: str) -> None:
    """JAX's asks the real parts alone, although its `astype(bool)` asks both."""
    for z in (np.array([[3j, 1], [0, 0]], np.complex64), np.array([3j, -2j], np.complex64)):
        for axis in (None, 0, -1):
            for run in (lambda f: f, tr.jit):
                got = run(lambda z, axis=axis: getattr(tnp, name)(z, axis))(jnp.asarray(z))
                np.testing.assert_array_equal(got, getattr(np, name)(z, axis))


REFUSED = {
    "std in integers": lambda np, x: np.std(x, dtype="int8"),
    "real variance of complex numbers": lambda np, x: np.var(1j * x, dtype="float32"),
    "mean in bools": lambda np, x: np.mean(x, dtype=bool),
    "variance in bools": lambda np, x: np.var(x, dtype=bool),
    "clip of complex numbers": lambda np, x: np.clip(1j * x, 0, 1),
    "clip to complex numbers": lambda np, x: np.clip(x, max=1j),
    "initial of several": lambda np, x: np.max(x, initial=np.ones(3)),
    "argmax of complex numbers": lambda np, x: np.argmax(1j * x),
    "argmin of complex numbers": lambda np, x: np.argmin(1j * x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_jax_refuses(name: str) -> None:
    x = jnp.arange(3.0)
    with pytest.raises((TypeError, ValueError)):
        REFUSED[name](jnp, x)
    for run in (tr.jit, lambda f: f):
        with pytest.raises((TypeError, ValueError)) as info:
            run(lambda x: REFUSED[name](tnp, x))(x)
        assert run is not tr.jit or isinstance(info.value, tr.errors.TracerError)


def test_equality_of_keys() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    for f in (
        lambda k: (k == k, k != k, k[0] == k, k == k[1:2], k != k[2]),
        lambda k: (k[0] == k[1], k[1] != k[1]),
    ):
        assert_same(tr.jit(f)(keys), f(keys))
        assert_same(tr.vmap(lambda k: (k == keys[1], k != keys[1]))(keys), (keys == keys[1], keys != keys[1]))


def test_repeats_are_integers() -> None:
    with pytest.raises(ArgumentTypeError, match="expected repeats to be integers, got float64 ones"):
        tr.jit(lambda x: tnp.repeat(x, 2.5))(np.ones(3, np.float32))
