"""Machinery of the op tests: the cases that samples stand for, three ways to run them, comparison.

A `Case` is a sample with one of its element types. Its one-equation function is run by the reference
evaluator, by XLA through its lowering rule, and as the sample's own reference in JAX. To compile
little, all element types of a sample are compiled together, and only the latest samples are kept.
"""

from __future__ import annotations

import functools
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import ml_dtypes
import numpy as np

import ir
from ir.types import KEY_WORDS, DType
from lowering.emit import emit
from tests.ops.sample import Draw, Sample
from tests.ops.samples import SAMPLES

Arrays = tuple[Any, ...]

KEY_IMPLEMENTATION = dict(zip(KEY_WORDS, ("threefry2x32", "rbg", "unsafe_rbg"), strict=True))


def _named(samples: Sequence[Sample]) -> dict[str, Sample]:
    """Samples by name; a number tells those of one name apart."""
    out: dict[str, Sample] = {}
    for sample in samples:
        numbered = (f"{sample.name}#{n}" if n > 1 else sample.name for n in itertools.count(1))
        out[next(name for name in numbered if name not in out)] = sample
    return out


BY_NAME = _named(SAMPLES)
# Position of a sample among those of its op: the first are tested most.
PLACE = {
    name: [other.op for other in SAMPLES[:i]].count(sample.op)
    for i, (name, sample) in enumerate(BY_NAME.items())
}
# Every element type of every sample, instead of a choice of them.
EVERYTHING = os.environ.get("HYPOTHESIS_PROFILE") == "deep"


def dtypes_of(name: str) -> tuple[str, ...]:
    """Element types that the values of a sample are tested in.

    All for the first two samples of an op (the first one in continuous integration), three for the others,
    which vary shapes and attributes.
    """
    dtypes = BY_NAME[name].dtypes
    if EVERYTHING or PLACE[name] < (1 if os.environ.get("CI") else 2):
        return dtypes
    wanted = ("f32", "i32", "c128", "bool", "bf16", "f64", "u8", *dtypes)
    return tuple([d for d in dict.fromkeys(wanted) if d in dtypes][:3])


# Arrays and types -----------------------------------------------------------------------------------


def is_key(x: Any) -> bool:
    """Whether `x` is an array of typed keys, which only JAX has."""
    return hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def on_host(x: Any) -> Any:
    """As NumPy; keys as their raw words."""
    return np.asarray(jax.random.key_data(x) if is_key(x) else x)


def type_of(x: Any) -> ir.TensorType:
    """The IR's type of an operand, which may be an array of keys."""
    if is_key(x):
        return ir.TensorType(tuple(x.shape), ir.dtype_named(str(x.dtype)))
    array = np.asarray(x)
    return ir.TensorType(array.shape, ir.from_numpy(array.dtype))


def on_device(x: Any, dtype: DType) -> Any:
    """As JAX takes it: raw words become keys."""
    if dtype.kind != "key":
        return x
    return jax.random.wrap_key_data(x, impl=KEY_IMPLEMENTATION[dtype.name[4:-1]])


def as_tuple(x: Any) -> Arrays:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


# Cases ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A sample with one of its element types."""

    sample: Sample
    dtype: str
    name: str

    @property
    def op(self) -> ir.Op:
        return ir.op_named(self.sample.op)

    def draw(self, seed: int = 0) -> Arrays:
        """Operands, raw words for keys; the same types for every seed."""
        return tuple([on_host(x) for x in self.sample.operands(Draw(self.dtype, seed))])

    @functools.cached_property
    def operands(self) -> Arrays:
        return self.draw()

    @functools.cached_property
    def special(self) -> list[Arrays]:
        """The operand tuples with special values."""
        if self.sample.special is None:
            return []
        return [tuple([on_host(x) for x in each]) for each in self.sample.special(Draw(self.dtype))]

    @functools.cached_property
    def types(self) -> tuple[ir.TensorType, ...]:
        return tuple([type_of(x) for x in self.sample.operands(Draw(self.dtype))])

    @functools.cached_property
    def function(self) -> ir.Function:
        """The op applied once."""
        return self.function_at(self.operands)

    def function_at(self, operands: Arrays) -> ir.Function:
        """The op applied once, to operands of the shapes of these."""
        types = [
            t.with_shape(np.shape(x)[:-1] if t.dtype.kind == "key" else np.shape(x))
            for t, x in zip(self.types, operands, strict=True)
        ]
        made = ir.build(types, lambda *values: self.op(*values, **self.sample.attrs), self.sample.op)
        return verified(made, "building")

    @functools.cached_property
    def wide(self) -> bool:
        """Whether it has elements of 64 bits, which JAX has only where enabled."""
        types = (*self.function.in_types, *self.function.out_types)
        return any(t.dtype.np.itemsize // (2 if t.dtype.is_complex else 1) == 8 for t in types)

    def rtol(self, dtype: DType) -> float:
        """Wanted relative agreement of results of an element type."""
        return self.sample.rtol.get(self.dtype, DEFAULT_RTOL.get(dtype.name, 0.0))

    def reference(self, *operands: Any) -> Arrays:
        """The sample's reference in JAX."""
        return as_tuple(self.sample.reference(*self.on_device(operands)))

    def lowered(self, *operands: Any, function: ir.Function | None = None) -> Arrays:
        """The lowering rules in JAX."""
        return emit(function or self.function_at(operands), self.on_device(operands))

    def on_device(self, operands: Sequence[Any]) -> list[Any]:
        return [on_device(x, t.dtype) for x, t in zip(operands, self.types, strict=True)]


@functools.lru_cache(maxsize=64)
def case(sample: str, dtype: str) -> Case:
    """The case by name, kept with what was drawn and built for it."""
    return Case(BY_NAME[sample], dtype, f"{sample}-{dtype}")


def verified(function: ir.Function, step: str) -> ir.Function:
    """`function`, if it holds the invariants of the IR."""
    verify = getattr(ir, "verify", None)
    if verify is not None:
        try:
            verify(function)
        except Exception as error:
            error.add_note(f"after {step}")
            raise
    return function


# Running --------------------------------------------------------------------------------------------


def compiled(run: Callable[..., Any], operands: Any, *, wide: bool) -> Any:
    """`run(operands)` under `jax.jit`, as NumPy arrays; 64-bit types are enabled where `wide`."""
    if next(_compiled) % 100 == 99:
        jax.clear_caches()  # programs that are not run again, gigabytes of them
    with jax.enable_x64(wide):
        out = jax.jit(run)(operands)
        return jax.tree_util.tree_map(on_host, out)


_compiled = itertools.count()


def _both(c: Case, operands: Arrays) -> tuple[Arrays, Arrays]:
    return c.lowered(*operands), c.reference(*operands)


def _together(cases: Sequence[Case]) -> dict[str, Any]:
    """Results of lowering and reference, by element type, compiled at once where all can be."""

    def run(operands: dict[str, list[Arrays]]) -> dict[str, list[tuple[Arrays, Arrays]]]:
        return {c.dtype: [_both(c, xs) for xs in operands[c.dtype]] for c in cases}

    out: dict[str, Any] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            given = {c.dtype: [c.operands, *c.special] for c in cases}
            out.update(compiled(run, given, wide=cases[0].wide))
    except Exception:  # noqa: BLE001 (raised again for the case it belongs to)
        out.update({c.dtype: _apart(c) for c in cases})
    return out


def _apart(c: Case) -> Any:
    """Likewise for one case, the reference where 64-bit types are enabled; what it raises as a value."""
    sets = [c.operands, *c.special]
    try:
        lowered = compiled(lambda given: [c.lowered(*xs) for xs in given], sets, wide=c.wide)
        try:
            reference = compiled(lambda given: [c.reference(*xs) for xs in given], sets, wide=True)
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
            with jax.enable_x64(True):
                eager = [c.reference(*map(jax.numpy.asarray, xs)) for xs in sets]
                reference = jax.tree_util.tree_map(on_host, eager)
        return list(zip(lowered, reference, strict=True))
    except Exception as error:  # noqa: BLE001 (as above)
        return error


@functools.lru_cache(maxsize=4)
def values(sample: str) -> dict[str, Any]:
    """By element type: (results of the lowering, of the reference) at the drawn and the special operands.

    The lowering runs without 64-bit types where none are in the case, as it does by default.
    """
    cases = [case(sample, dtype) for dtype in dtypes_of(sample)]
    out: dict[str, Any] = {}
    for wide in (False, True):
        some = [c for c in cases if c.wide == wide]
        out.update(_together(some) if some else {})
    return out


def found(sample: str, dtype: str) -> Any:
    """What `values` holds for an element type; raises what computing it raised."""
    out = values(sample)[dtype]
    if isinstance(out, Exception):
        raise out
    return out


# Comparison -----------------------------------------------------------------------------------------

# One rounding of the narrow types, a few of the others.
DEFAULT_RTOL = {
    "f64": 1e-12, "c128": 1e-12, "f32": 2e-6, "c64": 4e-6, "f16": 1.3e-3, "bf16": 1e-2,
    **{d.name: 1.3 * float(ml_dtypes.finfo(d.np).eps) for d in ir.dtypes() if d.is_float and d.bits <= 8},
}  # fmt: skip


def precise(x: Any) -> Any:
    """`x` in a type that NumPy computes in without rounding it."""
    array = np.asarray(x)
    if array.dtype.kind in "biuc":
        return array.astype(np.complex128) if array.dtype.kind == "c" else array
    return array.astype(np.float64)


def disagreement(
    got: Any, want: Any, *, rtol: float, atol: float = 0.0, scaled: bool = False, zeros: bool = False
) -> str | None:
    """Where two arrays differ, or None.

    Args:
      rtol: relative to each element, nan and infinities being equal to themselves.
      atol: besides.
      scaled: relative to the largest element instead.
      zeros: tell zeros of both signs apart.
    """
    got_array, a, b = np.asarray(got), precise(got), precise(want)
    if a.shape != b.shape:
        return f"shape {a.shape} instead of {b.shape}"
    if a.dtype.kind in "biu" or b.dtype.kind in "biu":
        return None if np.array_equal(a, b) else _shown(a, b, a != b)
    if a.dtype.kind == "c" or b.dtype.kind == "c":
        a, b = a.astype(np.complex128), b.astype(np.complex128)
    with np.errstate(all="ignore"):
        parts = [(a.real, b.real), (a.imag, b.imag)] if a.dtype.kind == "c" else [(a, b)]
        wrong = np.isnan(a) != np.isnan(b)
        for x, y in parts:
            infinite = np.isinf(x) | np.isinf(y)
            wrong |= infinite & (x != y) & ~np.isnan(a)
            if zeros:
                wrong |= (x == 0) & (y == 0) & (np.signbit(x) != np.signbit(y))
        finite = np.isfinite(a) & np.isfinite(b)
        size = np.where(finite, np.maximum(np.abs(a), np.abs(b)), 0)
        if scaled and size.size:
            size = np.broadcast_to(size.max(), size.shape)
        # Subnormal numbers may be flushed to zero.
        floor = atol + 2 * float(_smallest(got_array.dtype))
        wrong |= finite & ~(np.abs(np.where(finite, a - b, 0)) <= rtol * size + floor)
    return _shown(a, b, wrong) if wrong.any() else None


def _smallest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "biu":
        return 0
    return ml_dtypes.finfo(dtype).smallest_normal if dtype.kind != "c" else np.finfo(dtype).smallest_normal


def _shown(a: Any, b: Any, wrong: Any) -> str:
    first = tuple(np.argwhere(wrong)[0].tolist()) if np.ndim(wrong) else ()
    return (
        f"{int(np.sum(wrong))} of {np.size(wrong)} elements, first at {list(first)}: {a[first]!r} instead of "
        f"{b[first]!r}\n  got  {np.array2string(a.ravel()[:12])}\n  want {np.array2string(b.ravel()[:12])}"
    )


# Derivatives ----------------------------------------------------------------------------------------


def inexact(types: Sequence[ir.TensorType]) -> tuple[int, ...]:
    """Positions of the values that have tangents."""
    return tuple([i for i, t in enumerate(types) if t.dtype.is_inexact])


def subsets(positions: Sequence[int], cap: int = 4) -> Iterator[tuple[int, ...]]:
    """All nonempty subsets; of more than `cap` positions only the single ones and all together."""
    if len(positions) > cap:
        yield from [(i,) for i in positions]
        yield tuple(positions)
        return
    for size in range(1, len(positions) + 1):
        yield from itertools.combinations(positions, size)


def mask(positions: Sequence[int], count: int) -> tuple[bool, ...]:
    return tuple([i in positions for i in range(count)])


def direction(like: Any, rng: np.random.Generator) -> Any:
    """A random array of the type of `like`."""
    array = np.asarray(like)
    out = rng.uniform(-1, 1, array.shape)
    if array.dtype.kind == "c":
        out = out + 1j * rng.uniform(-1, 1, array.shape)
    return np.asarray(out).astype(array.dtype)


def moved(xs: Sequence[Any], step: float, along: dict[int, Any]) -> list[Any]:
    """`xs` with the operands in `along` moved by `step` times that."""
    return [np.asarray(x + step * along[i]).astype(x.dtype) if i in along else x for i, x in enumerate(xs)]


def differences(function: ir.Function, xs: Sequence[Any], along: dict[int, Any]) -> Arrays:
    """Directional derivative of each float or complex result: central differences, extrapolated.

    Three steps of Richardson extrapolation leave an error of the sixth order in the step.
    """
    table: list[list[Any]] = []
    for step in (4e-3, 2e-3, 1e-3):
        ahead = ir.evaluate(function, *moved(xs, step, along))
        behind = ir.evaluate(function, *moved(xs, -step, along))
        table.append([(ahead[i] - behind[i]) / (2 * step) for i in inexact(function.out_types)])
    for order in (4, 16):
        table = [
            [(order * fine - coarse) / (order - 1) for coarse, fine in zip(*pair, strict=True)]
            for pair in itertools.pairwise(table)
        ]
    return tuple(table[0])


def paired(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    """Real part of the sum of products: what transposition keeps, in JAX's convention."""
    return float(sum(np.sum(precise(x) * precise(y)).real for x, y in zip(xs, ys, strict=True)))


def magnitude(arrays: Sequence[Any]) -> float:
    """The largest finite element in absolute value, 0 if there is none."""
    largest = [np.abs(precise(x))[np.isfinite(precise(x))].max(initial=0) for x in arrays]
    return float(max(largest, default=0))


def derivative_dtypes(name: str) -> list[str]:
    """Element types that derivatives of a sample are tested in.

    Of double precision, or else the last; both real and complex for the first two samples of an op.
    """
    dtypes = BY_NAME[name].dtypes
    if all(dtype not in dtypes for dtype in ("f64", "c128")):
        return [d for d in dtypes if inexact(case(name, d).types)][-1:]
    some = [d for d in ("f64", "c128") if d in dtypes and inexact(case(name, d).types)]
    return some if EVERYTHING or PLACE[name] < 2 else some[:1]


def primary(name: str) -> str:
    """The element type that batching of a sample is tested in."""
    dtypes = BY_NAME[name].dtypes
    return next((d for d in ("f64", "c128", "f32") if d in dtypes), dtypes[0])
