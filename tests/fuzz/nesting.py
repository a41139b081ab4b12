"""Steps with nested functions: transforms inside the program, custom derivatives, control flow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tests.fuzz.generate import MOST_ELEMENTS, Generator
from tests.fuzz.program import Step, Var
from tests.fuzz.spaces import has

INF = math.inf


# How bodies end -----------------------------------------------------------------------------------------


def _ending(gen: Generator) -> Var:
    """A late variable, made to depend on the parameters."""
    x = gen.double(lambda v: v.name in _latest(gen))
    assert x is not None
    for param in gen.params:
        if param.dtype == "float64" and gen.rng.random() < 0.6:
            small = gen.bounded(param)
            x = gen.emit("{0} * xp.cos(xp.sum({1}))", [gen.bounded(x), small], "float64", x.shape, -20, 20)
    return x


def _scalar(gen: Generator) -> tuple[str, Sequence[Var]]:
    x, y = _ending(gen), gen.double()
    assert y is not None
    return "xp.sum(xp.sin({0}) * 1.1) + xp.mean({1} * {1})" if y.size else "xp.sum(xp.sin({0}))", (x, y)


def _any_float(gen: Generator) -> tuple[str, Sequence[Var]]:
    return "{0}", (_ending(gen),)


def _latest(gen: Generator) -> set[str]:
    names = [v.name for s in gen.steps for v in s.results if v.dtype == "float64"]
    return set(names[-2:]) or {v.name for v in gen.scope}


def _params(gen: Generator, outer: Sequence[Var]) -> list[Var]:
    return [replace(v, name=gen.fresh("a")) for v in outer]


def _arguments(gen: Generator, most: int = 2) -> list[Var]:
    found = [gen.double(lambda v: v.size > 0, limit=6) for _ in range(gen.rng.randint(1, most))]
    return list({v.name: v for v in found if v is not None}.values())


def _length(gen: Generator) -> int:
    return gen.rng.choice([1, 2, 3, 4, 6])


def _names(xs: Sequence[Var], start: int = 0) -> str:
    """Fields for operands: `{0}, {1},`."""
    return ", ".join(f"{{{start + i}}}" for i in range(len(xs)))


def _step(
    gen: Generator, lines: Sequence[str], operands: Sequence[Var], results: Sequence[Var], *blocks: object
) -> None:
    gen.add(Step(tuple(lines), tuple([v.name for v in operands]), tuple(results), tuple(blocks)))  # type: ignore[arg-type]


def _wild(gen: Generator, shape: Sequence[int]) -> Var:
    """A result that may be large."""
    return Var(gen.fresh(), "float64", tuple(shape))


# Derivatives ----------------------------------------------------------------------------------------------


def grad(gen: Generator) -> None:
    xs = _arguments(gen)
    if not xs:
        return
    body = gen.block(_params(gen, xs), _length(gen), _scalar)
    arg = gen.rng.randrange(len(xs))
    both = len(xs) == 2 and gen.rng.random() < 0.4
    if both:
        results = [_wild(gen, v.shape) for v in xs]
        line = f"{{r0}}, {{r1}} = tr.grad({{f0}}, argnums=(0, 1))({_names(xs)})"
    elif gen.rng.random() < 0.4:
        results = [Var(gen.fresh(), "float64", ()), _wild(gen, xs[arg].shape)]
        line = f"{{r0}}, {{r1}} = tr.value_and_grad({{f0}}, argnums={arg})({_names(xs)})"
    else:
        results = [_wild(gen, xs[arg].shape)]
        line = f"{{r0}} = tr.grad({{f0}}, argnums={arg})({_names(xs)})"
    _step(gen, [line], xs, results, body)


def hessian(gen: Generator) -> None:
    x = gen.double(lambda v: 0 < v.size <= 3, limit=3)
    if x is None:
        return
    body = gen.block(_params(gen, [x]), min(3, _length(gen)), _scalar, forward=True)
    name = gen.rng.choice([n for n in ("hessian", "jacrev", "jacfwd") if has(f"tr.{n}")] or [""])
    if not name:
        return
    if name == "hessian":
        shape, line = (*x.shape, *x.shape), "{r0} = tr.hessian({f0})({0})"
    else:
        shape, line = x.shape, f"{{r0}} = tr.{name}({{f0}})({{0}})"
    if len(shape) <= 4 and math.prod(shape) <= MOST_ELEMENTS:
        _step(gen, [line], [x], [_wild(gen, shape)], body)


def hvp(gen: Generator) -> None:
    x = gen.double(lambda v: v.size > 0, limit=3)
    if x is None or not has("tr.hvp"):
        return
    v = gen.double(lambda v: v.shape == x.shape, limit=3)
    assert v is not None
    body = gen.block(_params(gen, [x]), min(4, _length(gen)), _scalar, forward=True)
    _step(gen, ["{r0} = tr.hvp({f0}, ({0},), ({1},))"], [x, v], [_wild(gen, x.shape)], body)


def _with_shape_of_result(
    gen: Generator, steps: int, xs: Sequence[Var], *, closed: bool = False, forward: bool = False
):
    """A body that returns one float array, and that array as it is known outside."""
    shown: list[Var] = []

    def finish(inner: Generator) -> tuple[str, Sequence[Var]]:
        line, operands = _any_float(inner)
        shown.append(operands[0])
        return line, operands

    body = gen.block(_params(gen, xs), steps, finish, closed=closed, forward=forward)
    return body, shown[0]


def jvp(gen: Generator) -> None:
    xs = _arguments(gen)
    if not xs:
        return
    body, out = _with_shape_of_result(gen, _length(gen), xs, forward=True)
    ts = [gen.double(lambda v, x=x: v.shape == x.shape, limit=3) or x for x in xs]
    result = Var(gen.fresh(), "float64", out.shape, out.lo, out.hi)
    results = [result, _wild(gen, out.shape)]
    if has("tr.linearize") and gen.rng.random() < 0.2:
        linear = gen.fresh("lin")
        lines = [
            f"{{r0}}, {linear} = tr.linearize({{f0}}, {_names(xs)})",
            f"{{r1}} = {linear}({_names(ts, len(xs))})",
        ]
    else:
        lines = [f"{{r0}}, {{r1}} = tr.jvp({{f0}}, ({_names(xs)},), ({_names(ts, len(xs))},))"]
    _step(gen, lines, [*xs, *ts], results, body)


def vjp(gen: Generator) -> None:
    xs = _arguments(gen)
    if not xs:
        return
    body, out = _with_shape_of_result(gen, _length(gen), xs)
    back = gen.fresh("back")
    results = [Var(gen.fresh(), "float64", out.shape, out.lo, out.hi), *[_wild(gen, x.shape) for x in xs]]
    given = ", ".join(f"{{r{i + 1}}}" for i in range(len(xs)))
    seed = gen.rng.choice(["xp.cos({r0})", "xp.ones_like({r0})", "{r0}"])
    lines = [f"{{r0}}, {back} = tr.vjp({{f0}}, {_names(xs)})", f"({given},) = {back}({seed})"]
    _step(gen, lines, xs, results, body)


# Vectorisation ------------------------------------------------------------------------------------------


def vmap(gen: Generator) -> None:
    x = gen.double(lambda v: v.rank > 0 and v.size > 0, limit=6)
    if x is None:
        return
    axis = gen.rng.choice([0, 0, x.rank - 1])
    n = x.shape[axis]
    other = gen.double(limit=6)
    assert other is not None
    mapped = other.rank > 0 and other.shape[0] == n and other.size and gen.rng.random() < 0.6
    row = x.shape[:axis] + x.shape[axis + 1 :]
    inner = [replace(x, shape=row), replace(other, shape=other.shape[1:]) if mapped else other]
    body, out = _with_shape_of_result(gen, _length(gen), inner)
    to = gen.rng.choice([0, 0, 0, out.rank])
    shape = [*out.shape[:to], n, *out.shape[to:]]
    if math.prod(shape) > MOST_ELEMENTS or len(shape) > 3:
        return
    result = Var(gen.fresh(), "float64", tuple(shape), out.lo, out.hi)
    line = f"{{r0}} = tr.vmap({{f0}}, in_axes=({axis}, {0 if mapped else None}), out_axes={to})({{0}}, {{1}})"
    _step(gen, [line], [x, other], [result], body)


# Wrappers -------------------------------------------------------------------------------------------------


def _wrapped(gen: Generator, wrapper: str) -> None:
    xs = _arguments(gen)
    if not xs:
        return
    body, out = _with_shape_of_result(gen, _length(gen), xs)
    result = Var(gen.fresh(), "float64", out.shape, out.lo, out.hi)
    _step(gen, [f"{{r0}} = {wrapper}({{f0}})({_names(xs)})"], xs, [result], body)


def jit(gen: Generator) -> None:
    _wrapped(gen, "tr.jit")


def checkpoint(gen: Generator) -> None:
    _wrapped(gen, "tr.checkpoint")


def custom_jvp(gen: Generator) -> None:
    """With a rule that is not the derivative, so that using it shows."""
    xs = _arguments(gen)
    if not xs:
        return
    body, out = _with_shape_of_result(gen, min(4, _length(gen)), xs, closed=True, forward=True)
    body = replace(body, decorator="tr.custom_jvp")
    rule, scale = gen.fresh("rule"), gen.rng.choice([0.7, -1.3])
    terms = []
    for i, x in enumerate(xs):
        term = f"{scale} * t[{i}] * xp.cos(p[{i}])"
        terms.append(term if x.shape == out.shape else f"xp.sum({term})")
    if all(x.shape != out.shape for x in xs):
        terms.append("xp.zeros_like(y)")
    result = Var(gen.fresh(), "float64", out.shape, out.lo, out.hi)
    lines = [
        "@{f0}.defjvp",
        f"def {rule}(p, t):",
        "    y = {f0}(*p)",
        f"    return y, {' + '.join(terms)}",
        f"{{r0}} = {{f0}}({_names(xs)})",
    ]
    _step(gen, lines, xs, [result], body)


def custom_vjp(gen: Generator) -> None:
    if gen.forward:
        return
    xs = _arguments(gen)
    if not xs:
        return
    body, out = _with_shape_of_result(gen, min(4, _length(gen)), xs, closed=True)
    custom, fwd, bwd = gen.fresh("custom"), gen.fresh("fwd"), gen.fresh("bwd")
    cts = [
        f"ct * xp.cos(res[{i}])" if x.shape == out.shape else f"xp.sum(ct) * xp.sin(res[{i}])"
        for i, x in enumerate(xs)
    ]
    result = Var(gen.fresh(), "float64", out.shape, out.lo, out.hi)
    lines = [
        f"{custom} = tr.custom_vjp({{f0}})",
        f"def {fwd}(*args):",
        "    return {f0}(*args), args",
        f"def {bwd}(res, ct):",
        f"    return ({', '.join(cts)},)",
        f"{custom}.defvjp({fwd}, {bwd})",
        f"{{r0}} = {custom}({_names(xs)})",
    ]
    _step(gen, lines, xs, [result], body)


# Control flow ---------------------------------------------------------------------------------------------


def scan(gen: Generator) -> None:
    if not has("tr.scan"):
        return
    x = gen.double(lambda v: v.rank > 0 and v.size > 0, limit=3)
    c = gen.double(lambda v: v.rank < 2, limit=3)
    if x is None or c is None:
        return
    row = replace(x, shape=x.shape[1:])
    kept: list[Var] = []

    def finish(inner: Generator) -> tuple[str, Sequence[Var]]:
        y = inner.double(lambda v: v.size <= 9)
        assert y is not None
        kept.append(y)
        # A carry keeps its type: sums and sines of what was computed.
        return "(xp.sin({1}) * 0.8 + xp.mean({0} * {0}) * 0.1, {0})" if y.size else "({1}, {0})", (
            y,
            carry,
        )

    params = _params(gen, [c, row])
    carry = params[0]
    body = gen.block(params, _length(gen), finish)
    y = kept[0]
    shape = (x.shape[0], *y.shape)
    if math.prod(shape) > MOST_ELEMENTS or len(shape) > 3:
        return
    results = [_wild(gen, c.shape), Var(gen.fresh(), "float64", shape, y.lo, y.hi)]
    option = gen.rng.choice(["", "", ", reverse=True"])
    _step(gen, [f"{{r0}}, {{r1}} = tr.scan({{f0}}, {{0}}, {{1}}{option})"], [c, x], results, body)


def cond(gen: Generator) -> None:
    if not has("tr.cond"):
        return
    x = gen.double(limit=3)
    p = gen.choose(lambda v: v.dtype == "bool" and v.shape == ())
    if x is None:
        return
    if p is None:
        p = gen.emit("xp.sum({0}) > 0.13", [x], "bool", (), 0, 1)

    def finish(inner: Generator) -> tuple[str, Sequence[Var]]:
        y = inner.double()
        assert y is not None
        return "xp.cos({1}) * xp.sum({0})", (y, inner_x[-1])

    inner_x: list[Var] = []
    bodies = []
    for _ in range(2):
        params = _params(gen, [x])
        inner_x.append(params[0])
        bodies.append(gen.block(params, min(4, _length(gen)), finish))
    _step(gen, ["{r0} = tr.cond({1}, {f0}, {f1}, {0})"], [x, p], [_wild(gen, x.shape)], *bodies)


def fori_loop(gen: Generator) -> None:
    if not has("tr.fori_loop"):
        return
    x = gen.double(limit=3)
    if x is None:
        return
    params = [Var(gen.fresh("i"), "int64", (), 0, 3), *_params(gen, [x])]

    def finish(inner: Generator) -> tuple[str, Sequence[Var]]:
        y = inner.double()
        assert y is not None
        return "xp.sin({1}) + 0.1 * xp.sum({0})", (y, params[1])

    body = gen.block(params, min(4, _length(gen)), finish)
    n = gen.rng.randint(0, 3)
    _step(gen, [f"{{r0}} = tr.fori_loop(0, {n}, {{f0}}, {{0}})"], [x], [_wild(gen, x.shape)], body)


NESTED = [
    (grad, 10), (hessian, 2), (hvp, 2), (jvp, 7), (vjp, 7), (vmap, 12), (jit, 3), (checkpoint, 5),
    (custom_jvp, 5), (custom_vjp, 5), (scan, 6), (cond, 4), (fori_loop, 3),
]  # fmt: skip
