"""Comparison with JAX, and of errors with what they must say, for the tests of `tracer`."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tracer.errors import TracerError
from tracer.state import state

tree = jax.tree_util

# Agreement of two programs that round differently, by element type.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "complex64": 2e-5, "complex128": 1e-12, "float16": 4e-3}


def x64(enabled: bool = True) -> Any:
    """A context in which 64-bit types are kept."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(enabled)
    from jax.experimental import enable_x64

    return enable_x64(enabled)


def array(*shape: int, dtype: Any = np.float32, seed: int = 0, low: float = -2, high: float = 2) -> Any:
    """A JAX array of numbers in [low, high); of both signs, of both parts."""
    rng = np.random.default_rng([seed, *shape])
    to = np.dtype(dtype)
    if to == np.bool_:
        return jnp.asarray(rng.random(shape) < 0.5)
    if to.kind in "iu":
        return jnp.asarray(rng.integers(0 if to.kind == "u" else int(low), int(high) + 1, shape).astype(to))
    out = rng.uniform(low, high, shape)
    if to.kind == "c":
        out = out + 1j * rng.uniform(low, high, shape)
    return jnp.asarray(np.asarray(out).astype(to))


def tolerance(dtype: Any) -> float:
    return TOLERANCE.get(np.dtype(dtype).name, 3e-2)


def assert_same(got: Any, want: Any, tol: float | None = None, *, weak: bool = True) -> None:
    """Equal in structure, shapes, dtypes, weak types, and in values to `tol` relative to the largest."""
    got_leaves, got_tree = tree.tree_flatten(got)
    want_leaves, want_tree = tree.tree_flatten(want)
    assert got_tree == want_tree, f"structure {got_tree}, expected {want_tree}"
    for a, b in zip(got_leaves, want_leaves, strict=True):
        if getattr(b, "dtype", None) == jax.dtypes.float0:
            assert a.dtype == jax.dtypes.float0
            assert np.shape(a) == np.shape(b)
            continue
        # JAX hands NumPy arrays through as they are; ours become JAX's.
        a_dtype, b_dtype = (x.dtype if isinstance(x, jax.Array) else jnp.asarray(x).dtype for x in (a, b))
        assert a_dtype == b_dtype, f"dtype {a_dtype}, expected {b_dtype}"
        assert np.shape(a) == np.shape(b), f"shape {np.shape(a)}, expected {np.shape(b)}"
        if weak and isinstance(a, jax.Array) and isinstance(b, jax.Array):
            assert a.weak_type == b.weak_type, f"weak type {a.weak_type}, expected {b.weak_type}"
        assert_close(a, b, tol)


def assert_close(a: Any, b: Any, tol: float | None = None) -> None:
    """Equal where not finite, and within `tol` of the largest finite element elsewhere."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    if not np.size(b):
        return
    inexact = b.dtype.kind in "fc" or b.dtype.name in (
        "bfloat16",
        *(n for n in dir(ml_dtypes) if "float" in n),
    )
    if not inexact:
        np.testing.assert_array_equal(a, b)
        return
    wide = np.complex128 if b.dtype.kind == "c" else np.float64
    x, y = a.astype(wide), b.astype(wide)
    scale = float(np.max(np.abs(y), where=np.isfinite(y), initial=1e-30))
    np.testing.assert_allclose(x, y, rtol=0, atol=scale * (tolerance(b.dtype) if tol is None else tol))


def both(f: Callable[..., Any], *args: Any) -> Callable[[Any, Any], Any]:
    """`f(xp, transforms, *args)` in both worlds, compared."""
    got, want = f(tnp, tr, *args), f(jnp, jax, *args)
    assert_same(got, want)
    return got


def both_compiled(f: Callable[..., Any]) -> Any:
    """`both` with the reference compiled as one program, which is faster where JAX has many ops to compile."""
    got, want = f(tnp, tr), jax.jit(lambda: f(jnp, jax))()
    assert_same(got, want)
    return got


def clean() -> None:
    """No trace is left active."""
    assert state.trace is None


@contextlib.contextmanager
def raises(kind: type[BaseException], *parts: str, located: bool = True) -> Iterator[Any]:
    """The block raises a `TracerError` that is a `kind`, whose text holds `parts` and a line of the block.

    Afterwards no trace is left active.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals["__name__"] in (__name__, "contextlib"):
        frame = frame.f_back
    assert frame is not None
    first = frame.f_lineno
    with pytest.raises(TracerError) as info:
        yield info
    text = str(info.value)
    assert isinstance(info.value, kind), f"{type(info.value).__name__} is no {kind.__name__}: {text}"
    missing = [part for part in parts if part not in text]
    assert not missing, f"the message lacks {missing}:\n{text}"
    if located:
        name = re.escape(frame.f_code.co_filename)
        lines = [int(n) for n in re.findall(rf"at {name}:(\d+)", text)]
        start = frame.f_code.co_firstlineno
        assert lines, f"no line of {frame.f_code.co_filename}:\n{text}"
        assert any(start <= n <= first + 40 for n in lines), f"lines {lines}, expected about {first}:\n{text}"
    clean()


def count_ops(function: Any, name: str) -> int:
    """Equations of the op in an IR function, nested ones included."""
    import ir

    return sum(
        (eqn.op.name == name) + sum(count_ops(f, name) for f in ir.nested_functions(eqn))
        for eqn in function.eqns
    )
