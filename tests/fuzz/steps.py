"""Steps without nested functions: elementwise, reductions, shape, indexing, products, other types."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tests.fuzz.generate import MOST_ELEMENTS, Generator
from tests.fuzz.program import FLOATS, INTEGERS, Var
from tests.fuzz.spaces import has

Kind = Callable[[Generator], object]
INF = math.inf

# Elementwise ----------------------------------------------------------------------------------------

# By expression: the interval it is drawn on, and that of its values there.
UNARY: dict[str, tuple[float, float, float, float]] = {
    "xp.sin({0})": (-20, 20, -1, 1),
    "xp.cos({0})": (-20, 20, -1, 1),
    "xp.tanh({0})": (-20, 20, -1, 1),
    "xp.exp({0})": (-20, 3, 0, 21),
    "xp.exp2({0})": (-20, 4, 0, 17),
    "xp.expm1({0})": (-20, 3, -1, 21),
    "xp.log({0})": (0.05, 20, -3, 3),
    "xp.log1p({0})": (-0.9, 20, -3, 4),
    "xp.log2({0})": (0.05, 20, -5, 5),
    "xp.sqrt({0})": (0.01, 20, 0.1, 4.5),
    "xp.cbrt({0})": (0.05, 20, 0.3, 3),
    "xp.square({0})": (-4, 4, 0, 16),
    "xp.abs({0})": (-20, 20, 0, 20),
    "abs({0})": (-20, 20, 0, 20),
    "-{0}": (-20, 20, -20, 20),
    "xp.arctan({0})": (-20, 20, -2, 2),
    "xp.arcsin({0})": (-0.95, 0.95, -2, 2),
    "xp.arccos({0})": (-0.95, 0.95, 0, 3.2),
    "xp.arctanh({0})": (-0.95, 0.95, -2, 2),
    "xp.arcsinh({0})": (-20, 20, -4, 4),
    "xp.sinh({0})": (-2, 2, -4, 4),
    "xp.cosh({0})": (-2, 2, 1, 4),
    "xp.tan({0})": (-1.2, 1.2, -3, 3),
    "xp.sinc({0})": (-3, 3, -1, 1),
    "xp.reciprocal({0})": (0.2, 20, 0.05, 5),
    "xp.sign({0})": (-20, 20, -1, 1),
    "xp.floor({0})": (-20, 20, -20, 20),
    "xp.round({0})": (-20, 20, -20, 20),
    "xp.rint({0})": (-20, 20, -20, 20),
    "xp.nan_to_num({0})": (-20, 20, -20, 20),
    "xp.positive({0})": (-20, 20, -20, 20),
    "xp.deg2rad({0})": (-20, 20, -1, 1),
    "xp.zeros_like({0})": (-INF, INF, 0, 0),
    "xp.ones_like({0})": (-INF, INF, 1, 1),
    "xp.full_like({0}, 0.7)": (-INF, INF, 0.7, 0.7),
    "tr.stop_gradient({0})": (-20, 20, -20, 20),
    "nn.relu({0})": (-20, 20, 0, 20),
    "nn.sigmoid({0})": (-20, 20, 0, 1),
    "nn.softplus({0})": (-20, 20, 0, 21),
    "nn.silu({0})": (-20, 20, -1, 20),
    "nn.gelu({0})": (-20, 20, -1, 20),
    "nn.elu({0})": (-20, 20, -1, 20),
    "nn.log_sigmoid({0})": (-20, 20, -21, 0),
    "nn.leaky_relu({0})": (-20, 20, -1, 20),
    "{0} * 1.3": (-10, 10, -13, 13),
    "0.4 - {0}": (-10, 10, -10, 11),
    "{0} + 1": (-10, 10, -9, 11),
    "{0} / 2": (-10, 10, -5, 5),
    "1.5 / {0}": (0.2, 20, 0.07, 8),
    "{0} ** 2": (-4, 4, 0, 16),
    "{0} ** 3": (-2.5, 2.5, -16, 16),
    "{0} ** -1": (0.2, 20, 0.05, 5),
    "{0} ** 0.5": (0.05, 20, 0.2, 4.5),
    "{0} ** 1.7": (0.05, 4, 0, 11),
    "2.0 ** {0}": (-4, 4, 0, 16),
    "xp.power({0}, 2.5)": (0.05, 3, 0, 16),
    "{0} % 0.7": (-20, 20, 0, 0.7),
    "{0} // 0.6": (-10, 10, -18, 18),
    "xp.fmod({0}, 0.9)": (-20, 20, -0.9, 0.9),
    "xp.clip({0}, -0.31, 0.77)": (-20, 20, -0.31, 0.77),
    "{0}.clip(-0.5, 0.9)": (-20, 20, -0.5, 0.9),
    "xp.maximum({0}, 0.12)": (-20, 20, 0.12, 20),
    "xp.minimum(0.3, {0})": (-20, 20, -20, 0.3),
    "xp.where({0} > 0.21, {0}, 0.21 * {0})": (-20, 20, -20, 20),
    "xp.where({0} < 0.4, xp.sin({0}), {0} * {0})": (-4, 4, -1, 16),
    "np.float64(0.5) * {0}": (-20, 20, -10, 10),
    "{0}.astype(np.float64)": (-20, 20, -20, 20),
}


def _products(x: Var, y: Var) -> tuple[float, float]:
    corners = [a * b for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    return min(corners), max(corners)


BINARY: dict[str, Callable[[Var, Var], tuple[float, float]]] = {
    "{0} + {1}": lambda x, y: (x.lo + y.lo, x.hi + y.hi),
    "{0} - {1}": lambda x, y: (x.lo - y.hi, x.hi - y.lo),
    "{0} * {1}": _products,
    "xp.multiply({0}, {1})": _products,
    "xp.maximum({0}, {1})": lambda x, y: (max(x.lo, y.lo), max(x.hi, y.hi)),
    "xp.minimum({0}, {1})": lambda x, y: (min(x.lo, y.lo), min(x.hi, y.hi)),
    "xp.hypot({0}, {1} + 0.1)": lambda x, y: (0, x.bound + y.bound + 0.1),
    "xp.logaddexp({0}, {1})": lambda x, y: (max(x.lo, y.lo), max(x.hi, y.hi) + 0.7),
    "xp.arctan2({0}, 1 + {1} * {1})": lambda x, y: (-1.6, 1.6),
    "{0} / (1.2 + {1} * {1})": lambda x, y: (-x.bound, x.bound),
    "xp.where({0} > {1}, {0}, {1} * 0.5)": lambda x, y: (min(x.lo, y.lo / 2), max(x.hi, y.hi / 2)),
    "xp.where({0} < 0.3, {1}, {0})": lambda x, y: (min(x.lo, y.lo), max(x.hi, y.hi)),
    "xp.clip({0}, {1} - 0.5, {1} + 0.5)": lambda x, y: (y.lo - 0.5, y.hi + 0.5),
    "xp.tanh({0}) * xp.cos({1})": lambda x, y: (-1, 1),
    "xp.power(1.1 + xp.sin({0}), xp.tanh({1}))": lambda x, y: (0.04, 11),
}


def unary(gen: Generator) -> None:
    line = gen.rng.choice(_KNOWN_UNARY)
    lo, hi, low, high = UNARY[line]
    x = gen.real(lambda v: v.lo >= lo and v.hi <= hi, limit=INF)
    if x is None:
        x = gen.real(limit=1.0)
        if x is None:
            return
        if not (x.lo >= lo and x.hi <= hi):  # moved to the interval
            a, b = max(lo, -2), min(hi, 2)
            x = gen.emit(f"{(a + b) / 2!r} + {(b - a) / 2.2!r} * xp.sin({{0}})", [x], x.dtype, x.shape, a, b)
    dtype = "float64" if "float64" in line else x.dtype
    gen.emit(line, [x], dtype, x.shape, max(low, -INF), high)


def binary(gen: Generator) -> None:
    x = gen.real(limit=6)
    y = None if x is None else gen.like(x)
    if x is None or y is None:
        return
    y = gen.bounded(y, 6)
    if gen.rng.random() < 0.5:
        x, y = y, x
    line = gen.rng.choice(_KNOWN_BINARY)
    lo, hi = BINARY[line](x, y)
    dtype = max(x.dtype, y.dtype)  # float64 sorts last
    gen.emit(line, [x, y], dtype, np.broadcast_shapes(x.shape, y.shape), lo, hi)


# Reductions and running sums --------------------------------------------------------------------------


def _axis(gen: Generator, x: Var) -> int:
    return gen.rng.randrange(-x.rank, x.rank)


def reduction(gen: Generator) -> None:
    x = gen.real(limit=4)
    if x is None:
        return
    name = gen.rng.choice(["sum", "sum", "mean", "max", "min", "prod", "var", "std", "ptp", "logsumexp"])
    axes: tuple[int, ...] | None = None
    if x.rank and gen.rng.random() < 0.75:
        axes = tuple(sorted(gen.rng.sample(range(x.rank), gen.rng.randint(1, x.rank))))
    keep = gen.rng.random() < 0.3
    reduced = tuple(range(x.rank)) if axes is None else axes
    count = math.prod([x.shape[i] for i in reduced])
    if (count == 0 and name != "sum") or (count < 2 and name in ("var", "std")):
        return
    shape = [1 if i in reduced else n for i, n in enumerate(x.shape) if keep or i not in reduced]
    axis = axes[0] - x.rank if axes and len(axes) == 1 and gen.rng.random() < 0.5 else axes
    lo, hi = {
        "sum": (count * min(x.lo, 0), count * max(x.hi, 0)),
        "prod": (-(max(1, x.bound) ** count), max(1, x.bound) ** count),
        "var": (0, x.bound**2),
        "std": (0, x.bound),
        "ptp": (0, 2 * x.bound),
        "logsumexp": (x.lo, x.hi + 4),
    }.get(name, (x.lo, x.hi))
    if name == "logsumexp":
        if not has("nn.logsumexp"):
            return
        line = f"nn.logsumexp({{0}}, axis={axis}, keepdims={keep})"
    elif gen.rng.random() < 0.3:
        line = f"{{0}}.{name}(axis={axis}, keepdims={keep})"
    elif name in ("sum", "mean", "max") and gen.rng.random() < 0.2:
        initial = ", initial=-0.4" if name == "max" else ""
        line = f"xp.{name}({{0}}, axis={axis}, keepdims={keep}, where={{0}} > -0.3{initial})"
        lo, hi = min(lo, -0.4), max(hi, 0.0)
        if name == "mean":  # of nothing, perhaps
            line = f"xp.nan_to_num({line})"
    else:
        line = f"xp.{name}({{0}}, axis={axis}, keepdims={keep})"
    gen.emit(line, [x], x.dtype, shape, lo, hi)


def cumulative(gen: Generator) -> None:
    x = gen.real(lambda v: v.rank > 0, limit=4)
    if x is None:
        return
    name = gen.rng.choice(["cumsum", "cumsum", "cumprod"])
    n = max(1, *x.shape)
    hi = n * x.bound if name == "cumsum" else max(1, x.bound) ** n
    gen.emit(f"xp.{name}({{0}}, axis={_axis(gen, x)})", [x], x.dtype, x.shape, -hi, hi)


def sorting(gen: Generator) -> None:
    x = gen.real(lambda v: v.rank > 0 and v.size > 0)
    if x is None:
        return
    axis = _axis(gen, x)
    line = gen.rng.choice(
        [
            f"xp.sort({{0}}, axis={axis})",
            f"xp.take_along_axis({{0}}, xp.argsort({{0}} * 1.7, axis={axis}), axis={axis})",
        ]
    )
    if has("xp.sort") and has("xp.argsort"):
        gen.emit(line, [x], x.dtype, x.shape, x.lo, x.hi)


def normalized(gen: Generator) -> None:
    x = gen.real(lambda v: v.rank > 0 and v.size > 0)
    if x is None:
        return
    name = gen.rng.choice(["softmax", "log_softmax", "standardize"])
    low = {"softmax": 0, "log_softmax": -45, "standardize": -6}[name]
    if has(f"nn.{name}"):
        gen.emit(f"nn.{name}({{0}}, axis={_axis(gen, x)})", [x], x.dtype, x.shape, low, 6)


# Shape ------------------------------------------------------------------------------------------------


def _applied(gen: Generator, line: str, xs: list[Var], text: str = "") -> None:
    """A rearrangement, whose result shape NumPy tells; dropped where the result is too large."""
    arrays = [np.zeros(v.shape, v.dtype) for v in xs]
    expression = text or line
    try:
        out = eval(expression.format(*[f"a[{i}]" for i in range(len(xs))]), {"xp": np, "np": np, "a": arrays})
    except (ValueError, IndexError, np.exceptions.AxisError):
        return
    if out.size > MOST_ELEMENTS or out.ndim > 4:
        return
    lo, hi = min(0, *[v.lo for v in xs]), max(0, *[v.hi for v in xs])
    gen.emit(line, xs, max(v.dtype for v in xs), out.shape, lo, hi)


def rearrange(gen: Generator) -> None:
    x = gen.real(limit=INF)
    if x is None:
        return
    rng, r = gen.rng, x.rank
    options = ["{0}.reshape(-1)", "xp.ravel({0})", "{0}.T", "xp.expand_dims({0}, 0)", "{0}[..., None]"]
    options += [f"xp.broadcast_to({{0}}, ({rng.choice(gen.sizes)}, *{x.shape}))", "xp.squeeze({0})"]
    options += ["xp.atleast_2d({0})", "{0}[None]", "xp.tile({0}, 2)"]
    if r:
        perm = tuple(rng.sample(range(r), r))
        a, b = _axis(gen, x), _axis(gen, x)
        options += [
            f"xp.transpose({{0}}, {perm})", f"xp.flip({{0}}, {a})",
            f"xp.roll({{0}}, {rng.randint(-3, 3)}, {a})", f"xp.moveaxis({{0}}, {a}, {b})",
            f"xp.swapaxes({{0}}, {a}, {b})", f"xp.repeat({{0}}, 2, axis={a})",
            f"xp.split({{0}}, {max(1, x.shape[a])}, axis={a})[-1]",
            f"xp.pad({{0}}, {tuple([(rng.randint(0, 1), rng.randint(0, 1)) for _ in range(r)])})",
            f"{{0}}.reshape({', '.join(map(str, x.shape[::-1]))})",
        ]  # fmt: skip
    if r == 2:
        options += ["xp.tril({0})", "xp.triu({0}, 1)", "xp.diagonal({0})", "xp.trace({0})"]
    if r in (1, 2):
        options += ["xp.diag({0})"]
    _applied(gen, rng.choice(options), [x])


def join(gen: Generator) -> None:
    x = gen.real(limit=INF)
    if x is None:
        return
    y = gen.real(lambda v: v.rank == x.rank, limit=INF)
    same = gen.real(lambda v: v.shape == x.shape, limit=INF)
    if y is None or same is None:
        return
    axis = _axis(gen, x) if x.rank else 0
    options = [(f"xp.stack([{{0}}, {{1}}], axis={axis})", [x, same]), ("xp.stack(({0}, {1}))", [x, same])]
    if x.rank:
        options += [(f"xp.concatenate([{{0}}, {{1}}], axis={axis})", [x, y])] * 2
        options += [("xp.concatenate([{0}, {1}, {0}])", [x, y])]
    if x.rank == 0:
        options += [("xp.array([{0}, {1}, {0} * 2])", [x, same]), ("xp.hstack([{0}, {1}])", [x, same])]
    line, xs = gen.rng.choice(options)
    _applied(gen, line, xs)


# Indexing ---------------------------------------------------------------------------------------------


def _index(gen: Generator, x: Var, *, duplicates: bool = True) -> str:
    """A static index: ints, slices, new axes, arrays."""
    rng = gen.rng
    entries: list[str] = []
    arrays = 0
    for n in x.shape[: rng.randint(1, x.rank)]:
        kind = rng.choice(["int", "slice", "slice", "full", "array", "step"])
        if kind == "array" and (arrays or n == 0):
            kind = "slice"
        if kind == "int" and n:
            entries.append(str(rng.randrange(-n, n)))
        elif kind == "array":
            arrays += 1
            size = rng.randint(1, 3) if duplicates else rng.randint(1, n)
            chosen = [rng.randrange(n) for _ in range(size)] if duplicates else rng.sample(range(n), size)
            entries.append(f"np.array({chosen})")
        elif kind == "step":
            entries.append(rng.choice(["::-1", "::2", "1:", ":-1", "-2:"]))
        elif kind == "slice" and n:
            start = rng.randrange(n)
            entries.append(f"{start}:{rng.randint(start, n + 1)}")
        else:
            entries.append(":")
    if len(entries) < x.rank and rng.random() < 0.2:
        entries.insert(0, "...")
        return ", ".join(entries)
    if rng.random() < 0.15:
        entries.insert(rng.randrange(len(entries) + 1), "None")
    return ", ".join(entries)


def index(gen: Generator) -> None:
    x = gen.real(lambda v: v.rank > 0, limit=INF)
    if x is None:
        return
    rng = gen.rng
    options = [f"{{0}}[{_index(gen, x)}]"] * 4
    if min(x.shape):
        axis = _axis(gen, x)
        chosen = [rng.randrange(x.shape[axis]) for _ in range(rng.randint(1, 3))]
        options += [f"xp.take({{0}}, np.array({chosen}), axis={axis})"]
    _applied(gen, rng.choice(options), [x])


def index_traced(gen: Generator) -> None:
    """By an integer variable, brought into range."""
    x = gen.real(lambda v: v.rank > 0 and v.shape[0] > 0, limit=INF)
    i = gen.integer(lambda v: v.rank <= 1)
    if x is None or i is None:
        return
    n = x.shape[0]
    line = gen.rng.choice([f"{{0}}[{{1}} % {n}]", f"xp.take({{0}}, {{1}} % {n}, axis=0)"])
    shape = (*i.shape, *x.shape[1:])
    if math.prod(shape) <= MOST_ELEMENTS:
        gen.emit(line, [x, i], x.dtype, shape, x.lo, x.hi)


def update(gen: Generator) -> None:
    x = gen.real(lambda v: v.rank > 0 and v.size > 0, limit=6)
    if x is None:
        return
    # Which of several updates is set last is not defined, so `set` has no duplicates.
    method = gen.rng.choice(["set", "set", "add", "add", "multiply", "max", "min"])
    where = _index(gen, x, duplicates=method == "add")
    try:
        part = eval(f"a[{where}]", {"a": np.zeros(x.shape), "np": np})
    except IndexError:
        return
    y = gen.real(lambda v: v.shape == np.shape(part), limit=3)
    method_line = f"{{0}}.at[{where}].{method}"
    bound = x.bound * max(1, 0 if y is None else y.bound) + 3 * (0.6 if y is None else y.bound) + 1
    if y is None or y.dtype > x.dtype:
        gen.emit(f"{method_line}(0.6)", [x], x.dtype, x.shape, -bound, bound)
    else:
        gen.emit(f"{method_line}({{1}})", [x, y], x.dtype, x.shape, -bound, bound)


# Products ---------------------------------------------------------------------------------------------


def product(gen: Generator) -> None:
    x = gen.double(lambda v: v.rank > 0, limit=3)
    y = gen.double(lambda v: v.rank > 0, limit=3)
    if x is None or y is None:
        return
    letters = "ijk"[: x.rank]
    options = ["{0} @ {1}", "xp.matmul({0}, {1})", "xp.dot({0}, {1})", "xp.outer({0}, {1})"]
    options += ["xp.tensordot({0}, {1}, axes=1)", "xp.inner({0}, {1})", "{0} @ {1}.T", "{0}.T @ {1}"]
    if has("xp.einsum"):
        options += [f"xp.einsum('{letters},{letters[-1]}...->{letters[0]}...', {{0}}, {{1}})"]
        options += [f"xp.einsum('{letters},{letters}->{letters[0]}', {{0}}, {{1}})"]
        if x.rank == 2:
            options += ["xp.einsum('ij,kj->ki', {0}, {1})", "xp.einsum('ij,ij->', {0}, {1})"]
    line = gen.rng.choice(options)
    arrays = [np.zeros(v.shape) for v in (x, y)]
    try:
        out = np.asarray(eval(line.format("a[0]", "a[1]"), {"xp": np, "np": np, "a": arrays}))
    except ValueError:
        return
    if out.size <= MOST_ELEMENTS and out.ndim <= 3:
        bound = x.bound * y.bound * max(1, x.size)
        gen.emit(line, [x, y], "float64", out.shape, -bound, bound)


# Other element types ------------------------------------------------------------------------------------


def to_integer(gen: Generator) -> None:
    """Integers and bools from floats."""
    x = gen.real(lambda v: v.size > 0)
    if x is None:
        return
    rng = gen.rng
    dtype = rng.choice(["int32", "int64"])
    options = [
        (f"(xp.floor({{0}})).astype(np.{dtype})", dtype, x.shape, 25),
        (f"({{0}} > 0.17).astype(np.{dtype})", dtype, x.shape, 1),
        ("{0} < 0.41", "bool", x.shape, 1),
        ("xp.logical_and({0} > -0.3, {0} <= 0.6)", "bool", x.shape, 1),
        ("xp.any({0} > 0.2)", "bool", (), 1),
        ("xp.all({0} > -0.4)", "bool", (), 1),
        ("xp.isfinite({0})", "bool", x.shape, 1),
        ("xp.count_nonzero({0} > 0.1)", "int64", (), 27),
        (f"xp.arange({rng.choice(gen.sizes)})", "int64", None, 3),
    ]
    if x.rank:
        axis = _axis(gen, x)
        rest = tuple([n for i, n in enumerate(x.shape) if i != axis % x.rank])
        options += [(f"xp.{name}({{0}}, axis={axis})", "int64", rest, 3) for name in ("argmax", "argmin")]
    line, dtype, shape, bound = rng.choice(options)
    if shape is None:
        shape = (int(line[10:-1]),)
        gen.emit(line, [], dtype, shape, 0, bound)
    else:
        gen.emit(line, [x], dtype, shape, 0 if bound != 25 else -25, bound)


def on_integers(gen: Generator) -> None:
    i = gen.integer()
    if i is None:
        return
    line, scale = gen.rng.choice(
        [("{0} + 1", 2), ("{0} * 2", 2), ("{0} % 3", 1), ("{0} // 2", 1), ("-{0}", 1), ("{0} ** 2", None),
         ("xp.abs({0})", 1), ("xp.maximum({0}, 1)", 1), ("{0} & 1", 1), ("xp.cumsum({0}.reshape(-1))", 27)]
    )  # fmt: skip
    bound = i.bound**2 if scale is None else scale * (i.bound + 2)
    gen.emit(line, [i], i.dtype, (i.size,) if "cumsum" in line else i.shape, -bound, bound)


def mix_integer(gen: Generator) -> None:
    """Integers and bools among floats."""
    x = gen.double(limit=6)
    i = gen.choose(lambda v: v.dtype in (*INTEGERS, "bool") and v.bound < 50)
    if x is None or i is None:
        return
    try:
        shape = np.broadcast_shapes(x.shape, i.shape)
    except ValueError:
        return
    if math.prod(shape) > MOST_ELEMENTS or len(shape) > 3:
        return
    bound = x.bound * max(1, i.bound) + i.bound
    lines = ["{0} * {1}", "xp.where({1}, {0}, 0.3)", "xp.where({1} == 1, {0} * 0.5, {0})"]
    lines += ["xp.where({1} > 0, xp.sin({0}), {0})", "{1} * {0} + 1"]
    if i.dtype != "bool":
        lines += ["{0} + {1}", "{1} - {0}"]
    gen.emit(gen.rng.choice(lines), [x, i], "float64", shape, -bound - 1, bound + 1)


def complex_step(gen: Generator) -> None:
    """To complex, on complex, and back to real."""
    z = gen.choose(lambda v: v.dtype == "complex128")
    if z is None or gen.rng.random() < 0.2:
        x = gen.double(limit=3)
        if x is None:
            return
        line, bound = gen.rng.choice(
            [
                ("xp.exp(1j * {0})", 1),
                ("{0} + 1j * xp.sin({0})", x.bound + 1),
                ("{0}.astype(np.complex128)", x.bound),
                ("(0.5 - 0.7j) * {0}", x.bound),
            ]
        )
        gen.emit(line, [x], "complex128", x.shape, 0, bound)
        return
    z = gen.bounded(z, 3)
    real = gen.rng.random() < 0.4
    if real:
        line, lo, hi = gen.rng.choice(
            [("{0}.real", -3, 3), ("xp.imag({0})", -3, 3), ("xp.real({0} * xp.conj({0}))", 0, 9),
             ("xp.abs({0} + 4)", 1, 7)]
        )  # fmt: skip
        gen.emit(line, [z], "float64", z.shape, lo, hi)
        return
    w = gen.choose(lambda v: v.dtype in ("complex128", "float64") and v.shape == z.shape and v.bound <= 3)
    lines = [("xp.conj({0})", 3), ("{0} * {0}", 9), ("xp.exp({0})", 21), ("xp.sin({0})", 11), ("-{0}", 3)]
    lines += [("1 / ({0} + 4)", 1), ("xp.where({0}.real > 0.1, {0}, 2 * {0})", 6), ("{0} ** 3", 27)]
    lines += [("xp.sqrt({0} + 4)", 3), ("xp.log({0} + 4.5)", 3), ("xp.tanh(0.1 * {0})", 1)]
    if w is not None:
        lines += [("{0} * {1}", 9), ("{0} + {1}", 6), ("{0} - {1}", 6), ("{1} / ({0} + 4.2)", 3)]
    line, bound = gen.rng.choice(lines)
    gen.emit(line, [z] if w is None else [z, w], "complex128", z.shape, 0, bound)


def to_narrow(gen: Generator) -> None:
    x = gen.real()
    if x is None or not any(v.dtype == "float32" for v in gen.scope):
        return
    to = gen.rng.choice(FLOATS)
    gen.emit(f"{{0}}.astype(np.{to})", [x], to, x.shape, x.lo, x.hi)


def _known(lines: dict[str, object]) -> list[str]:
    """Those whose functions both spaces have."""
    import re

    return [line for line in lines if all(has(name) for name in re.findall(r"\b(?:xp|nn|tr)\.\w+", line))]


_KNOWN_UNARY = _known(dict(UNARY))
_KNOWN_BINARY = _known(dict(BINARY))

FLAT: list[tuple[Kind, float]] = [
    (unary, 24), (binary, 26), (reduction, 10), (cumulative, 2), (sorting, 2), (normalized, 2),
    (rearrange, 9), (join, 5), (index, 6), (index_traced, 3), (update, 5), (product, 7), (to_integer, 4),
    (on_integers, 2), (mix_integer, 4), (complex_step, 6), (to_narrow, 0.5),
]  # fmt: skip
