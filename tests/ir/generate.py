"""Random well-typed functions, for property tests of printer, parser, verifier and passes.

`functions()` draws them; `arguments(function)` gives arrays to evaluate them on. They hold
arithmetic, comparison, selection, constants, rearrangement, reduction and calls of nested
functions, of which some are shared. All values stay defined for small inputs, so that a pass may be
checked by evaluating before and after.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import ir
from ir.core import Dense, Function, Value
from ir.types import TensorType, bool_, f32

Draw = Callable[..., Any]

# Dimensions are few, so that types coincide; 0 and 1 are the edge cases.
DIMS = (2, 3, 1, 0)
DTYPES = ("f32", "i32", "f64", "bool", "bf16", "c64")
NAMES = ("", "", "x", "y", "x_1", "w", "λ", "a b", "def", "1st", "None", "a")
_LARGEST = 200  # elements of a value


def types(dtypes: Sequence[str] = DTYPES) -> st.SearchStrategy[TensorType]:
    """Types of rank 0 to 3."""
    shapes = st.lists(st.sampled_from(DIMS), max_size=3).map(tuple)
    return st.builds(TensorType, shapes, st.sampled_from(dtypes).map(ir.dtype_named))


def bits(dtype: ir.DType, count: int) -> st.SearchStrategy[Any]:
    """Flat arrays of `count` elements with any bits: NaNs with payloads, bools that are 7, …"""
    size = count * dtype.np.itemsize
    return st.binary(min_size=size, max_size=size).map(lambda raw: np.frombuffer(raw, dtype.np))


def constants(dtype: ir.DType, shape: tuple[int, ...]) -> st.SearchStrategy[Dense]:
    """Constants with any bits."""
    words = (dtype.bits // 32,) if dtype.kind == "key" else ()
    full = (*shape, *words)
    return bits(dtype, int(np.prod(full))).map(lambda flat: Dense(flat.reshape(full), dtype))


@st.composite
def functions(
    draw: Draw,
    *,
    max_eqns: int = 10,
    max_params: int = 3,
    depth: int = 2,
    dtypes: Sequence[str] = DTYPES,
    ops: Sequence[str] | None = None,
    names: Sequence[str] = NAMES,
) -> Function:
    """A random function.

    Args:
      max_eqns: in one body; constants that an equation needs come on top.
      depth: how deep functions nest; 0 for none.
      dtypes: element types of params; others arise by comparison and conversion.
      ops: names of the entries of `MAKERS` to draw from; all by default.
      names: hints for the names of values.
    """
    chosen = tuple(MAKERS if ops is None else ops)
    params = draw(st.lists(types(dtypes), max_size=max_params))
    return _function(_Choice(draw, chosen, tuple(names), []), params, max_eqns, depth)


def arguments(function: Function, seed: int = 0) -> list[Any]:
    """An array for each param, with elements between -1 and 1 (integers between -3 and 3)."""
    rng = np.random.default_rng(seed)
    out = []
    for t in function.in_types:
        if t.dtype is bool_:
            array = rng.random(t.shape) < 0.5
        elif t.dtype.is_inexact:
            array = rng.uniform(-1, 1, t.shape)
            if t.dtype.is_complex:
                array = array + 1j * rng.uniform(-1, 1, t.shape)
        else:
            array = rng.integers(0 if t.dtype.kind == "uint" else -3, 4, t.shape)
        out.append(np.asarray(array).astype(t.dtype.np))
    return out


@dataclass(frozen=True)
class _Choice:
    """What one drawn program has in common: `pool` collects its nested functions, for reuse."""

    draw: Draw
    ops: tuple[str, ...]
    names: tuple[str, ...]
    pool: list[Function]


class _Body:
    """What the makers see: the values so far, and how to draw and to nest."""

    def __init__(
        self,
        draw: Draw,
        values: list[Value],
        pool: list[Function],
        nest: Callable[[Sequence[TensorType]], Function] | None,
    ) -> None:
        self.draw = draw
        self.values = values
        self.pool = pool
        self.nest = nest

    def pick(self, wanted: Callable[[TensorType], bool] = lambda t: True) -> Value | None:
        """A value of a wanted type, the latest most likely; `None` if there is none."""
        fitting = [v for v in reversed(self.values) if wanted(v.type)]
        return self.draw(st.sampled_from(fitting)) if fitting else None

    def like(self, x: Value) -> Value:
        """A value of the type of `x`."""
        found = self.pick(lambda t: t is x.type)
        assert found is not None
        return found


def _function(choice: "_Choice", params: Sequence[TensorType], max_eqns: int, depth: int) -> Function:
    draw, ops, names, pool = choice.draw, choice.ops, choice.names, choice.pool
    hint = st.sampled_from(names)
    values = [Value(t, draw(hint)) for t in params]
    inputs = tuple(values)
    builder = ir.Builder(ir.Source.at("generated.py", 1, "generated"))

    def nest(types: Sequence[TensorType]) -> Function:
        inner = _function(choice, types, max(max_eqns // 2, 1), depth - 1)
        pool.append(inner)
        return inner

    body = _Body(draw, values, pool, nest if depth > 0 else None)
    with ir.building(builder):
        for _ in range(draw(st.integers(0, max_eqns))):
            made = MAKERS[draw(st.sampled_from(ops))](body)
            for value in made if isinstance(made, tuple) else (made,):
                if isinstance(value, Value) and value.type.size <= _LARGEST:
                    value.name = draw(hint)
                    values.append(value)
    results = tuple(draw(st.lists(st.sampled_from(values), max_size=3))) if values else ()
    return Function(inputs, tuple(builder.eqns), results, draw(st.sampled_from(["f", "body", "loss", "f32"])))


# One maker appends an equation or two, if any value fits; its results become values.


def _op(name: str) -> Any:
    return ir.op_named(name)


def _float(t: TensorType) -> bool:
    return t.dtype.is_inexact


def _number(t: TensorType) -> bool:
    return t.dtype.kind in ("int", "uint", "float", "complex")


def _ordered(t: TensorType) -> bool:
    return t.dtype.kind in ("int", "uint", "float")


def _unary(body: _Body) -> Any:
    x = body.pick(_float)
    return None if x is None else _op(body.draw(st.sampled_from(["sin", "tanh", "neg", "cos"])))(x)


def _binary(body: _Body) -> Any:
    x = body.pick(_number)
    return None if x is None else _op(body.draw(st.sampled_from(["add", "mul", "sub"])))(x, body.like(x))


def _compare(body: _Body) -> Any:
    x = body.pick(_ordered)
    return None if x is None else _op(body.draw(st.sampled_from(["gt", "lt"])))(x, body.like(x))


def _select(body: _Body) -> Any:
    pred = body.pick(lambda t: t.dtype is bool_)
    if pred is None:
        return None
    shape = pred.type.shape
    x = body.pick(lambda t: t.shape == shape)
    return None if x is None else _op("select")(pred, x, body.like(x))


def _constant(body: _Body) -> Any:
    like = body.pick(_float)
    type = TensorType((2,), f32) if like is None else like.type
    shape = body.draw(st.sampled_from([(), type.shape]))
    size = int(np.prod(shape))
    numbers = st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.0, 0.1, 2.0])
    held = body.draw(st.lists(numbers, min_size=size, max_size=size))
    dense = Dense(np.array(held).reshape(shape).astype(type.dtype.np), type.dtype)
    return _op("constant")(value=dense, shape=type.shape)


def _convert(body: _Body) -> Any:
    x = body.pick(lambda t: t.dtype.kind in ("bool", "int", "float"))
    to = ir.dtype_named(body.draw(st.sampled_from(["f32", "f64", "bf16"])))
    return None if x is None else _op("convert")(x, dtype=to)


def _broadcast(body: _Body) -> Any:
    x = body.pick(lambda t: t.rank < 3)
    if x is None:
        return None
    shape = list(x.type.shape)
    where = body.draw(st.integers(0, len(shape)))
    shape.insert(where, body.draw(st.sampled_from(DIMS)))
    dims = tuple(d for d in range(len(shape)) if d != where)
    return _op("broadcast_in_dim")(x, shape=tuple(shape), dims=dims)


def _reshape(body: _Body) -> Any:
    x = body.pick()
    if x is None:
        return None
    shapes = [(x.type.size,), (1, *x.type.shape)[:4], tuple(n for n in x.type.shape if n != 1)]
    fitting = [s for s in shapes if int(np.prod(s)) == x.type.size]
    return _op("reshape")(x, shape=body.draw(st.sampled_from(fitting)))


def _transpose(body: _Body) -> Any:
    x = body.pick()
    return (
        None if x is None else _op("transpose")(x, perm=tuple(body.draw(st.permutations(range(x.type.rank)))))
    )


def _reduce(body: _Body) -> Any:
    x = body.pick(_number)
    if x is None:
        return None
    axes = body.draw(st.sets(st.integers(0, x.type.rank - 1))) if x.type.rank else ()
    return _op("reduce_sum")(x, axes=tuple(sorted(axes)))


def _slice(body: _Body) -> Any:
    x = body.pick(lambda t: t.rank > 0)
    if x is None:
        return None
    starts = tuple(body.draw(st.integers(0, n)) for n in x.type.shape)
    return _op("slice")(x, starts=starts, limits=x.type.shape, strides=(1,) * x.type.rank)


def _concatenate(body: _Body) -> Any:
    x = body.pick(lambda t: t.rank > 0)
    if x is None:
        return None
    return _op("concatenate")(x, body.like(x), axis=body.draw(st.integers(0, x.type.rank - 1)))


def _call(body: _Body) -> Any:
    have = {v.type for v in body.values}
    fitting = [f for f in body.pool if set(f.in_types) <= have]
    if fitting and body.draw(st.booleans()):
        function = body.draw(st.sampled_from(fitting))
        operands = [body.pick(lambda t, p=p: t is p) for p in function.in_types]
    elif body.nest is not None:
        operands = body.draw(st.lists(st.sampled_from(body.values), max_size=3)) if body.values else []
        function = body.nest([v.type for v in operands])
    else:
        return None
    if body.draw(st.booleans()):
        return _op("checkpoint")(*operands, function=function, barrier=body.draw(st.booleans()))
    return _op("call")(*operands, function=function)


MAKERS: dict[str, Callable[[_Body], Any]] = {
    "unary": _unary,
    "binary": _binary,
    "compare": _compare,
    "select": _select,
    "constant": _constant,
    "convert": _convert,
    "broadcast": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "reduce": _reduce,
    "slice": _slice,
    "concatenate": _concatenate,
    "call": _call,
}
