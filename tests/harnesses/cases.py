"""What a case of JAX's says, and whether tracer says the same.

This is the one place that reads a private module of JAX, and of its tests only.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tracer as tr

DTYPES = {"float32", "int32", "bool", "complex64"}
# What the order of operations may change, relative to the largest entry, by the narrowest dtype.
NARROW, WIDE, OF_GRADIENT = 3e-2, 2e-4, 1e-3
Outcome = tuple[str, str, str, str]  # case, "value" or "gradient", status, why


def harnesses(*, sample: int | None, groups: set[str]) -> list[Any]:
    """The cases of these primitives, or of all; at most `sample` of each, of the most common dtypes."""
    from jax._src.internal_test_util import test_harnesses  # noqa: TID251 (has no public name)

    seen: collections.Counter[str] = collections.Counter()
    found = []
    for h in test_harnesses.all_harnesses:
        usual = sample is None or np.dtype(h.dtype).name in DTYPES
        if not h.filter("cpu") or not usual or (groups and h.group_name not in groups):
            continue
        seen[h.group_name] += 1
        if sample is None or seen[h.group_name] <= sample:
            found.append(h)
    return found


def is_inexact(x: Any) -> bool:
    return hasattr(x, "dtype") and bool(jnp.issubdtype(x.dtype, jnp.inexact))


def is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


def plain(x: Any) -> np.ndarray[Any, Any]:
    a = np.asarray(jax.random.key_data(x) if is_key(x) else x)
    return a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)


def difference(got: Any, want: Any, tol: float) -> str:
    """What is wrong, or nothing."""
    got, want = jax.tree.leaves(got), jax.tree.leaves(want)
    if len(got) != len(want):
        return f"{len(got)} results, expected {len(want)}"
    for a, b in zip(got, want, strict=True):
        a, b = jnp.asarray(a), jnp.asarray(b)
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return f"{a.dtype}{list(a.shape)}, expected {b.dtype}{list(b.shape)}"
        x, y = plain(a), plain(b)
        scale = float(np.max(np.abs(y), where=np.isfinite(y), initial=1.0))
        if not np.allclose(x, y, rtol=tol, atol=tol * scale, equal_nan=True):
            return f"differs by {np.nanmax(np.abs(x - y)):.3g}"
    return ""


def scalar_of(fn: Callable[..., Any], reference: Any) -> Callable[..., Any]:
    """A weighted sum of the floating point results."""
    rng = np.random.default_rng(1)
    weights = [
        jnp.asarray(rng.uniform(0.5, 1.5, np.shape(y)), jnp.float32) if is_inexact(y) else None
        for y in jax.tree.leaves(reference)
    ]

    def scalar(*args: Any) -> Any:
        total = jnp.float32(0.0)
        for y, w in zip(jax.tree.leaves(fn(*args)), weights, strict=True):
            if w is not None:
                part = jnp.real(y) + jnp.imag(y) if jnp.iscomplexobj(y) else y
                total += jnp.sum(part.astype(jnp.float32) * w)
        return total

    return scalar


def outcomes(h: Any) -> Iterator[Outcome]:
    args = tuple(h.dyn_args_maker(np.random.RandomState(0)))
    dtypes = [np.dtype(h.dtype), *[a.dtype for a in args if hasattr(a, "dtype") and not is_key(a)]]
    tol = NARROW if any(np.dtype(d).name in ("float16", "bfloat16") for d in dtypes) else WIDE

    def compare(what: str, call: Callable[[], Any], want: Any, tol: float) -> Outcome:
        try:
            wrong = difference(call(), want, tol)
        except Exception as error:  # noqa: BLE001 (any error is a failure of the case, reported with it)
            return h.fullname, what, "failed", f"{type(error).__name__}: {str(error)[:200]}"
        return h.fullname, what, "failed" if wrong else "holds", wrong

    try:
        want = h.dyn_fun(*args)
    except Exception as error:  # noqa: BLE001 (JAX itself refuses: nothing to compare with, and counted)
        yield h.fullname, "value", "refused", str(error)[:80]
        return
    yield compare("value", lambda: tr.jit(tr.from_jax(h.dyn_fun))(*args), want, tol)
    numbers = tuple(i for i, a in enumerate(args) if is_inexact(a))
    if not numbers or not any(is_inexact(y) for y in jax.tree.leaves(want)):
        return
    scalar = scalar_of(h.dyn_fun, want)
    try:
        slope = jax.grad(scalar, argnums=numbers)(*args)
    except Exception as error:  # noqa: BLE001 (as above)
        yield h.fullname, "gradient", "refused", str(error)[:80]
        return
    gradient = tr.grad(tr.from_jax(scalar), argnums=numbers)
    yield compare("gradient", lambda: gradient(*args), slope, max(tol, OF_GRADIENT))


def part(k: int, jobs: int, sample: int | None, groups: set[str]) -> list[Outcome]:
    warnings.filterwarnings("ignore")  # of the cases themselves
    return [o for h in harnesses(sample=sample, groups=groups)[k::jobs] for o in outcomes(h)]
