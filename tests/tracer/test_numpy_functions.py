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


def test_logaddexp_derivatives_where_operands_are_equal() -> None:
    def nth(transforms: Any, fn: Any, n: int) -> Any:
        for _ in range(n):
            fn = transforms.grad(fn)
        return fn

    for n in range(4):
        got = nth(tr, lambda x: tnp.logaddexp(x, 0.0), n)(0.0)
        assert_same(got, nth(jax, lambda x: jnp.logaddexp(x, 0.0), n)(0.0), weak=False)
