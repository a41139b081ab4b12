"""A rule as a theorem: functions that hold its pattern, arrays to try it on, and what must be equal."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ir.core import Dense, Function, Value
from ir.errors import IRTypeError, ShapeError
from ir.op import Builder, building
from ir.ops.shape import constant, full, iota
from ir.rewrite import Apply, AttrVar, Example, Fill, Literal, Rule, at
from ir.rewriter import RuleTable, Statistics, apply_rules
from ir.types import DType, TensorType, bool_, dtype_named

DTYPES = (
    "bool", "i8", "i32", "i64", "u8", "u32", "u64", "f8e4m3fn", "f8e5m2", "bf16", "f16", "f32", "f64", "c64",
    "c128",
)  # fmt: skip
SHAPES = ((40,), (), (0, 2), (1, 3))

# Where zeros of both signs meet in these, the sign of a zero result depends on the order of elements.
ORDERLESS = frozenset({"reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "dot_general", "max", "min"})


class Unfit(Exception):
    """The pattern is no program of these types."""


@dataclass(frozen=True)
class Instance:
    """A function whose only result is the root of the rule's pattern.

    Attributes:
      covered: values inside the pattern, the root left out.
    """

    label: str
    function: Function
    covered: tuple[Value, ...]

    def exposed(self) -> Function:
        """The function that returns the values inside the pattern too."""
        return self.function.replace(results=(*self.function.results, *self.covered))


def rewritten(rule: Rule, function: Function) -> tuple[Function, int]:
    """The function after the rule alone, and how often it was applied."""
    statistics = Statistics()
    out = apply_rules(function, RuleTable([rule]), max_sweeps=1, statistics=statistics)
    return out, statistics.applied[rule.name]


# Drawing functions --------------------------------------------------------------------------------


def instances(rule: Rule, examples: Sequence[Example] | None = None) -> Iterator[Instance]:
    """The rule's pattern over all of its examples and every element type that fits."""
    chosen = rule.examples if examples is None else examples
    for number, example in enumerate(chosen or default_examples(rule)):
        for name in example.dtypes or DTYPES:
            try:
                made = _instance(rule, example, dtype_named(name), f"{rule.name}, example {number}, {name}")
            except Unfit:
                continue
            if rule.on is None or made.function.results[0].type.dtype.kind in rule.on:
                yield made


def default_examples(rule: Rule) -> list[Example]:
    """Operands of equal shape, each of the drawn type or a bool."""
    out = []
    for shape in SHAPES:
        for kinds in itertools.product((False, True), repeat=len(rule.variables)):
            operands = [TensorType(shape, bool_) if is_bool else shape for is_bool in kinds]
            # Nothing is left to draw where all operands are bools.
            out.append(at(*operands, dtypes=["bool"] if all(kinds) and kinds else None))
    return out


class _Maker:
    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.params: list[Value] = []

    def __call__(self, spec: Any) -> Value:
        """A param of a shape, of the drawn type, or of a type."""
        value = Value(spec if isinstance(spec, TensorType) else TensorType(spec, self.dtype))
        self.params.append(value)
        return value

    def operand(self, spec: Any) -> Value:
        if isinstance(spec, Dense):
            return constant(value=spec, shape=spec.shape)
        return spec(self) if callable(spec) else self(spec)


def _instance(rule: Rule, example: Example, dtype: DType, label: str) -> Instance:
    make = _Maker(dtype)
    env: dict[str, Any] = {}
    builder = Builder()
    with building(builder):
        try:
            attrs = {name: _attr(value, dtype) for name, value in example.attrs.items()}
            for name, spec in zip(rule.variables, example.operands, strict=False):
                env[name] = make.operand(spec)
            if rule.rest is not None:
                spec = example.operands[len(rule.variables)]
                env[rule.rest] = spec(make) if callable(spec) else [make.operand(item) for item in spec]
            root = _built(rule.pattern, env, attrs)
        except (IRTypeError, ShapeError, OverflowError, ValueError) as error:
            raise Unfit(str(error)) from error
    covered = tuple(
        [eqn.results[0] for eqn in builder.eqns if eqn.results[0] is not root and eqn.op is not constant]
    )
    return Instance(label, Function(tuple(make.params), tuple(builder.eqns), (root,), rule.name), covered)


def _attr(value: Any, dtype: DType) -> Any:
    if isinstance(value, Fill):
        return Dense(np.asarray(value.number, dtype.np), dtype)
    return value


def _built(pattern: Any, env: dict[str, Any], attrs: dict[str, Any]) -> Value:
    assert isinstance(pattern, Apply)
    operands: list[Any] = [
        _built(o, env, attrs) if isinstance(o, Apply) else o if isinstance(o, Literal) else env[o.label]
        for o in pattern.operands
    ]
    given = {name: attrs[v.label] if isinstance(v, AttrVar) else v for name, v in pattern.given.items()}
    rest = () if pattern.rest is None else env[pattern.rest]
    known = list(
        dict.fromkeys([o.type for o in operands if isinstance(o, Value) and not isinstance(o, Literal)])
    )
    if not known and any(isinstance(o, Literal) for o in operands):
        raise AssertionError(f"no operand says the type of the literals of {pattern.op.name}")
    # A literal has the type of a neighbour; as a predicate it is a bool, as a padding value a scalar.
    types = [*known, known[0].with_dtype(bool_), known[0].with_shape(())] if known else [None]
    for i, type_ in enumerate(types):
        filled = [full(type_.shape, o.number, type_.dtype) if isinstance(o, Literal) else o for o in operands]
        try:
            return pattern.op(*filled, *rest, **given)  # type: ignore[no-any-return]
        except (IRTypeError, ShapeError):
            if i + 1 == len(types) or not any(isinstance(o, Literal) for o in operands):
                raise
    raise AssertionError


# Drawing arrays -----------------------------------------------------------------------------------


def special(type_: TensorType, rng: np.random.Generator) -> Any:
    """Elements of which many are special: nan, infinities, both zeros, subnormals, the last integers."""
    return _drawn(type_, rng, lambda dtype, size: rng.choice(_SPECIAL[_kind(dtype)](dtype), size))


def finite(type_: TensorType, rng: np.random.Generator) -> Any:
    """Special elements that are finite, and not so large that their sums and products overflow."""

    def draw(dtype: Any, size: int) -> Any:
        numbers = _SPECIAL[_kind(dtype)](dtype)
        if _kind(dtype) == "float":
            numbers = numbers[np.isfinite(numbers) & (np.abs(numbers.astype(np.float64)) < 100)]
        return rng.choice(numbers, size)

    return _drawn(type_, rng, draw)


def small(type_: TensorType, rng: np.random.Generator) -> Any:
    """Small whole numbers: their sums and products are exact."""
    return _drawn(type_, rng, lambda dtype, size: rng.integers(0 if dtype.kind == "u" else -2, 3, size))


def positive(type_: TensorType, rng: np.random.Generator) -> Any:
    """Numbers from 1/2 to 2."""
    return _drawn(type_, rng, lambda dtype, size: rng.uniform(0.5, 2, size))


def normal(type_: TensorType, rng: np.random.Generator) -> Any:
    """Numbers around zero."""
    return _drawn(type_, rng, lambda dtype, size: rng.standard_normal(size) * 2)


def _drawn(type_: TensorType, rng: np.random.Generator, draw: Callable[[Any, int], Any]) -> Any:
    dtype = type_.dtype
    with np.errstate(all="ignore"):
        if dtype.kind == "bool":
            return rng.random(type_.shape) < 0.5
        if dtype.is_complex:
            parts = [np.asarray(draw(dtype.real.np, type_.size)).astype(dtype.real.np) for _ in range(2)]
            out = np.empty(type_.size, dtype.np)
            out.real, out.imag = parts
            return out.reshape(type_.shape)
        numbers = np.asarray(draw(dtype.np, type_.size))
        if dtype.kind == "uint" and numbers.dtype != dtype.np:
            numbers = np.abs(numbers)
        return numbers.astype(dtype.np).reshape(type_.shape)


def _kind(dtype: Any) -> str:
    return "int" if dtype.kind in "iu" else "float"


def _special_integers(dtype: Any) -> Any:
    info = np.iinfo(dtype)
    return np.array([info.min, info.min + 1, 0, 1, 2, 3, info.max - 1, info.max]).astype(dtype)


def _special_floats(dtype: Any) -> Any:
    info = ml_dtypes.finfo(dtype)
    wide = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1.5, -2.0, 0.5, 3.0, 7.25]
    own = [
        info.max,
        -float(info.max),
        info.smallest_normal,
        info.smallest_subnormal,
        -float(info.smallest_subnormal),
    ]
    return np.array([*wide, *map(float, own)], np.float64).astype(dtype)


_SPECIAL: dict[str, Callable[[Any], Any]] = {"int": _special_integers, "float": _special_floats}

# Comparing ----------------------------------------------------------------------------------------


def orderless(function: Function) -> bool:
    """Whether the sign of a zero result may depend on an order that is nobody's promise."""
    return any(eqn.op.name in ORDERLESS for eqn in function.eqns)


def difference(a: Any, b: Any, *, eps: float = 0, signs: bool = True) -> str | None:
    """How two results differ, or None.

    Args:
      eps: how far apart numbers may be, in roundings of the largest; 0 for not at all.
      signs: tell 0.0 and -0.0 apart.
    """
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype}{a.shape} became {b.dtype}{b.shape}"
    if a.dtype.kind == "c":
        return difference(a.real, b.real, eps=eps, signs=signs) or difference(
            a.imag, b.imag, eps=eps, signs=signs
        )
    if a.dtype.kind in "biu":
        return None if np.array_equal(a, b) else _first(a, b, a == b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    both_nan = np.isnan(x) & np.isnan(y)
    if not eps:
        equal = x == y
    else:
        size = np.abs(x[np.isfinite(x)])
        bound = eps * float(ml_dtypes.finfo(a.dtype).eps) * max(1.0, float(np.max(size, initial=0)))
        with np.errstate(invalid="ignore"):
            equal = (x == y) | (np.isfinite(x) & np.isfinite(y) & (np.abs(x - y) <= bound))
    if signs:
        equal = equal & ~((x == 0) & (y == 0) & (np.signbit(x) != np.signbit(y)))
    good = both_nan | equal
    return None if good.all() else _first(a, b, good)


def _first(a: Any, b: Any, good: Any) -> str:
    place = np.unravel_index(int(np.argmin(good)), good.shape)
    return f"{a[place]!r} became {b[place]!r} at {tuple(map(int, place))}"


# Cost ---------------------------------------------------------------------------------------------

_FREE = frozenset({"constant", "iota", "reshape"})
_READ_WHAT_THEY_GIVE = frozenset({"slice", "dynamic_slice", "gather", "broadcast_in_dim"})


def traffic(function: Function) -> int:
    """Bytes read and written, where constants of one number, counts and reshapes cost nothing.

    What is gathered or cut out to be added or summed only is so as it is read: XLA fuses the two.
    """
    users = Counter(v for e in function.eqns for v in e.operands) + Counter(function.results)
    sums = {v for e in function.eqns if e.op.name in ("add", "reduce_sum") for v in e.operands}
    made_by = {e.results[0]: e.op.name for e in function.eqns}
    passing = {v for v in sums if users[v] == 1 and made_by.get(v) in ("gather", "slice")}
    numbers = {e.results[0] for e in function.eqns if e.op is constant and e.attrs["value"].shape == ()}
    numbers |= {e.results[0] for e in function.eqns if e.op is iota}  # computed where they are read
    total = 0
    for eqn in function.eqns:
        if eqn.op.name not in _FREE:
            size = sum(v.type.nbytes for v in eqn.results)
            operands = eqn.operands[:1] if eqn.op.name in _READ_WHAT_THEY_GIVE else eqn.operands
            read = sum(v.type.nbytes for v in dict.fromkeys(operands) if v not in numbers | passing)
            written = 0 if eqn.results[0] in passing else size
            total += written + (min(read, size) if eqn.op.name in _READ_WHAT_THEY_GIVE else read)
    return total
