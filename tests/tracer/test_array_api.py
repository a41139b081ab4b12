"""`tracer.numpy` against `array_api_strict`, the reference of the Python array API standard 2024.12.

Every name of the standard is there with its parameters, and every function gives the reference's values and
dtypes, at once and traced, with 64-bit types enabled as the standard has them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp

VERSION = "2024.12"
# What the reference has besides the standard.
NOT_STANDARD = {
    "ArrayAPIStrictFlags", "Device", "get_array_api_strict_flags", "reset_array_api_strict_flags",
    "set_array_api_strict_flags",
    "isin",  # of the next version
}  # fmt: skip
MODULES = {"": (array_api_strict, tnp), "linalg": (array_api_strict.linalg, tnp.linalg),
           "fft": (array_api_strict.fft, tnp.fft)}  # fmt: skip

RNG = np.random.default_rng(0)
X = RNG.uniform(0.1, 0.9, (3, 4))
Y = RNG.uniform(0.1, 0.9, (3, 4))
S = np.array([[2.5, 0.0, -0.0, -1.5], [np.nan, np.inf, -np.inf, 3.5]])
I = RNG.integers(1, 9, (3, 4))
J = RNG.integers(1, 5, (3, 4))
B = RNG.random((3, 4)) < 0.5
C = X + 1j * Y
M = RNG.normal(size=(2, 3, 3)) + 3 * np.eye(3)
SPD = M @ np.swapaxes(M, 1, 2)
V = RNG.normal(size=(2, 3))

Case = tuple[Callable[..., Any], tuple[Any, ...]]
CASES: dict[str, list[Case]] = {}


def case(names: str, *args: Any, call: Callable[..., Any] | None = None, **kwargs: Any) -> None:
    """A call of each of the functions with these arguments, arrays first; `call(f, *arrays)` for others."""
    for name in names.split():
        run = functools.partial(lambda f, *arrays: f(*arrays, **kwargs)) if call is None else call
        CASES.setdefault(name, []).append((run, args))


# Elementwise
case("acos asin atan atanh cos cosh exp expm1 log log10 log1p log2 sin sinh sqrt tan tanh asinh", X)
case("acosh", X + 1)
case("exp log sin cos sqrt tanh conj real imag abs negative square sign", C)
case("abs ceil floor round trunc sign negative positive square isfinite isinf isnan signbit", S)
case("reciprocal", X)
case("abs negative positive square sign ceil floor trunc round isfinite bitwise_invert", I)
case("add subtract multiply divide pow maximum minimum atan2 hypot logaddexp copysign nextafter", X, Y)
case("floor_divide remainder", X - 0.5, Y)
case("add subtract multiply maximum minimum floor_divide remainder pow", I, J)
case("bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift", I, J)
case(
    "bitwise_and bitwise_or bitwise_xor logical_and logical_or logical_xor equal not_equal",
    B,
    B.T.reshape(3, 4),
)
case("logical_not bitwise_invert", B)
case("equal not_equal less less_equal greater greater_equal", I, J)
case("equal not_equal less less_equal greater greater_equal", X, Y)
case("add multiply equal", C, C[::-1])
case("add multiply maximum", X, Y[0])
case("clip", X, call=lambda f, x: f(x, 0.2, 0.7))
case("clip", X, Y[0])
case("where", B, X, Y)
# Creation
case("arange", call=lambda f: f(7))
case("arange", call=lambda f: f(1.0, 3.0, 0.5))
case("linspace", call=lambda f: f(0, 1, 5))
case("linspace", call=lambda f: f(0, 1, 5, endpoint=False))
case("zeros ones", call=lambda f: f((2, 3)))
case("empty", call=lambda f: f((0, 3)))
case("full", call=lambda f: f((2, 3), 2.5))
case("eye", call=lambda f: f(3, 4, k=1))
case("zeros_like ones_like", I)
case("full_like", X, call=lambda f, x: f(x, 2))
case("empty_like", X[:0])
case("asarray", X)
case("tril triu", X, k=1)
case("meshgrid", V[0], V[1], indexing="ij")
case("from_dlpack", X)
# Manipulation
case("broadcast_arrays", X, Y[0])
case("broadcast_to", Y[0], shape=(2, 4))
case("concat stack", X, Y, call=lambda f, x, y: f([x, y], axis=1))
case("concat", X, Y, call=lambda f, x, y: f([x, y], axis=None))
case("expand_dims", X, axis=1)
case("flip", X, axis=1)
case("flip", X)
case("moveaxis", M, call=lambda f, x: f(x, 0, 2))
case("permute_dims", M, axes=(2, 0, 1))
case("repeat", X, call=lambda f, x: f(x, 2, axis=1))
case("reshape", X, shape=(4, 3))
case("roll", X, shift=2, axis=1)
case("squeeze", X[:, None], axis=1)
case("tile", X, call=lambda f, x: f(x, (2, 1)))
case("unstack", X, axis=1)
case("matrix_transpose", M)
case(
    "astype",
    X,
    call=lambda f, x: f(
        x, np.float32 if isinstance(x, jax.Array) or _traced(x) else array_api_strict.float32
    ),
)
# Searching, sorting, sets, indexing
case("argmax argmin", X, axis=1)
case("argmax argmin", X)
case("count_nonzero", I - 3, axis=0)
case("nonzero", I - 3)
case("searchsorted", np.sort(V[0]), V[1])
case("sort argsort", X, axis=0)
case("sort argsort", I, descending=True)
case("unique_values unique_counts unique_inverse unique_all", J)
case("take", X, np.array([2, 0]), axis=0)
case("take_along_axis", X, np.argsort(X, axis=1), axis=1)
# Reductions
case("sum prod mean std var max min", X)
case("sum prod mean std var max min", X, axis=1, keepdims=True)
case("sum prod max min", I, axis=0)
case("std var", X, axis=0, correction=1)
case("all any", B, axis=1)
case("cumulative_sum cumulative_prod", X, axis=1)
case("cumulative_sum cumulative_prod", X, axis=1, include_initial=True)
case("diff", X, axis=1, n=2)
# Contractions
case("matmul", M, SPD)
case("matmul", M, V[0])
case("tensordot", M[0], SPD[0], axes=1)
case("tensordot", X, Y, axes=2)
case("vecdot", X, Y)
case("vecdot", C, C[::-1])
# linalg
case("linalg.cholesky", SPD)
case("linalg.cross", V, V[::-1])
case("linalg.det linalg.inv linalg.pinv linalg.slogdet linalg.svdvals", M)
case("linalg.diagonal linalg.trace", M, offset=1)
case("linalg.eigvalsh linalg.matrix_rank linalg.matrix_norm linalg.matrix_transpose", SPD)
case("linalg.matmul", M, SPD)
case("linalg.matrix_power", M, call=lambda f, x: f(x, 3))
case("linalg.outer", V[0], V[1])
case("linalg.solve", M, SPD)
case("linalg.solve", M[0], V[0])
case("linalg.tensordot linalg.vecdot", X, Y)
case("linalg.vector_norm", X, axis=1, ord=3)
case("linalg.vector_norm linalg.matrix_norm", X)
# fft
case("fft.fft fft.ifft fft.fftn fft.ifftn fft.fftshift fft.ifftshift fft.irfft fft.hfft", C)
case("fft.rfft fft.rfftn fft.ihfft", X)
case("fft.irfftn", C)
case("fft.fft", C, n=6, norm="ortho")
case("fft.fftfreq fft.rfftfreq", call=lambda f: f(6, d=0.5))

# Results that are unique only up to signs or order: rebuilt, and compared with the operand.
REBUILT = {
    "linalg.eigh": (SPD, lambda w, v: (v * w[..., None, :]) @ np.swapaxes(v, -1, -2)),
    "linalg.qr": (M, lambda q, r: q @ r),
    "linalg.svd": (M, lambda u, s, vh: (u * s[..., None, :]) @ vh),
}
# Covered by other tests here: constants, types and questions about them.
OTHERS = {"e", "inf", "nan", "newaxis", "pi", "bool", "complex128", "complex64", "float32", "float64", "int16",
          "int32", "int64", "int8", "uint16", "uint32", "uint64", "uint8", "can_cast", "finfo", "iinfo", "isdtype",
          "result_type", "broadcast_shapes", "linalg", "fft"}  # fmt: skip
# Shapes that depend on data: at once only, or traced with `size=`.
UNTRACED = {"nonzero", "unique_values", "unique_counts", "unique_inverse", "unique_all", "from_dlpack"}


# Indices of JAX's that stay 32 bits wide.
NARROW_INDICES = {"searchsorted"}


def _traced(x: Any) -> bool:
    return type(x).__module__.startswith(("tracer.", "jax"))


def standard() -> Iterator[tuple[str, Any, Any]]:
    for prefix, (reference, ours) in MODULES.items():
        for name in reference.__all__:
            if not name.startswith("_") and name not in NOT_STANDARD:
                yield (
                    f"{prefix}.{name}".lstrip("."),
                    getattr(reference, name),
                    getattr(ours, name, NotImplemented),
                )


@pytest.fixture(autouse=True)
def _standard_types() -> Iterator[None]:
    with jax.enable_x64(True), array_api_strict.ArrayAPIStrictFlags(api_version=VERSION):
        yield


def test_every_name_and_parameter_is_there() -> None:
    assert tnp.__array_api_version__ == VERSION
    wrong = []
    for name, reference, ours in standard():
        if ours is NotImplemented:
            wrong.append(f"{name} is missing")
        elif inspect.isfunction(reference) and not inspect.isclass(ours):
            have = inspect.signature(ours).parameters
            for p in inspect.signature(reference).parameters.values():
                if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in have:
                    wrong.append(f"{name} lacks {p.name}")
    assert wrong == []


def test_every_function_has_a_case() -> None:
    names = {name for name, *_ in standard()}
    assert names - CASES.keys() - REBUILT.keys() == OTHERS
    assert names >= CASES.keys()


def compare(got: Any, want: Any, *, narrow: bool = False) -> None:
    got = list(got) if isinstance(got, (tuple, list)) else [got]
    want = list(want) if isinstance(want, (tuple, list)) else [want]
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, np.dtype("int32") if narrow else b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "at"), [(n, k) for n, cases in CASES.items() for k in range(len(cases))])
def test_as_the_reference(name: str, at: int) -> None:
    call, arrays = CASES[name][at]
    prefix, _, last = name.rpartition(".")
    reference, ours = [getattr(module, last) for module in MODULES[prefix]]
    want = call(reference, *[array_api_strict.asarray(a) for a in arrays])
    given = [jnp.asarray(a) for a in arrays]
    narrow = name in NARROW_INDICES
    compare(call(ours, *given), want, narrow=narrow)
    if name in UNTRACED:
        return
    compare(tr.jit(lambda *xs: call(ours, *xs))(*given), want, narrow=narrow)


@pytest.mark.parametrize("name", REBUILT)
def test_factors_as_the_reference(name: str) -> None:
    operand, rebuild = REBUILT[name]
    last = name.rpartition(".")[2]
    options = {"full_matrices": False} if last == "svd" else {}
    want = getattr(array_api_strict.linalg, last)(array_api_strict.asarray(operand), **options)
    f = getattr(tnp.linalg, last)
    for got in (f(jnp.asarray(operand), **options), tr.jit(lambda x: f(x, **options))(operand)):
        assert type(got).__name__.lower().startswith(last)
        assert got._fields == want._fields
        for a, b in zip(got, want, strict=True):
            assert (a.shape, a.dtype) == (np.asarray(b).shape, np.asarray(b).dtype)
        np.testing.assert_allclose(rebuild(*map(np.asarray, got)), operand, rtol=1e-9, atol=1e-10)


def test_types_and_constants() -> None:
    for name in ("e", "inf", "pi"):
        assert getattr(tnp, name) == getattr(array_api_strict, name)
    assert np.isnan(tnp.nan)
    assert tnp.newaxis is None
    for name in ("float32", "int8", "uint64", "complex64", "bool"):
        dtype = getattr(tnp, name)
        assert tnp.zeros(2, dtype=dtype).dtype == np.dtype(name)
        for kind in ("bool", "signed integer", "unsigned integer", "integral", "real floating", "numeric"):
            want = array_api_strict.isdtype(getattr(array_api_strict, name), kind)
            assert tnp.isdtype(np.dtype(name), kind) == want
    assert tnp.result_type(tnp.float32, tnp.float64) == np.float64
    assert tnp.can_cast(tnp.int8, tnp.int16)
    assert not tnp.can_cast(tnp.float64, tnp.int32)
    assert tnp.finfo(tnp.float32).eps == np.finfo(np.float32).eps
    assert tnp.iinfo(tnp.int16).max == 32767
    assert tnp.broadcast_shapes((3, 1), (4,)) == (3, 4)


def test_code_for_the_standard_finds_us() -> None:
    def standardised(x: Any) -> Any:
        xp = x.__array_namespace__(api_version=VERSION)
        z = (x - xp.mean(x, axis=0, keepdims=True)) / xp.std(x, axis=0, keepdims=True, correction=1)
        return xp.sum(xp.linalg.matrix_transpose(z) @ z * xp.asarray(2.0, dtype=x.dtype))

    want = standardised(array_api_strict.asarray(X))
    np.testing.assert_allclose(tr.jit(standardised)(X), np.asarray(want), atol=1e-9)
    info = tnp.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] == np.float64
    assert set(info.capabilities()) >= {"boolean indexing", "data-dependent shapes"}
