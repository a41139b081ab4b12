"""Derivatives of every op: against finite differences, against JAX, and against each other.

Forward mode is compared with central differences and with `jax.jvp`; reverse mode with forward mode by
<ct, J t> = <J^T ct, t> and with `jax.vjp`; the second order with differences of the first, with JAX, and
again by the identity. Programs are run by the reference evaluator, so that nothing but JAX's side is
compiled; once an op its second-order program is compiled too.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import ir
from ir import transforms
from ir.errors import DifferentiationError
from lowering.emit import emit
from tests.ops.harness import (
    BY_NAME,
    Arrays,
    Case,
    case,
    compiled,
    derivative_dtypes,
    differences,
    direction,
    disagreement,
    inexact,
    magnitude,
    mask,
    paired,
    precise,
    subsets,
    verified,
)
from tests.ops.problem import Problem, close, jax_says, noise, problem
from tests.ops.refusals import REFUSALS, kind, refusal, undefined_operands

# Cases by what is expected of their derivatives.
CASES: dict[str, list[Any]] = {"tested": [], "no tangent": [], "refused": []}
for _name in BY_NAME:
    for _dtype in derivative_dtypes(_name):
        CASES[kind(_name, _dtype)].append(pytest.param(_name, _dtype, id=f"{_name}-{_dtype}"))


def having(order: str) -> list[Any]:
    """The cases that have derivatives of an order."""
    return [c for c in CASES["tested"] if refusal(case(*c.values), order) is None]


# Checks ---------------------------------------------------------------------------------------------


REFUSED = [
    pytest.param(*c.values, order, id=f"{c.id}-{order}")
    for c in CASES["tested"]
    for order in ("forward", "reverse", "second")
    if refusal(case(*c.values), order) is not None
]


@pytest.mark.parametrize(("name", "dtype"), CASES["refused"])
def test_refuses(name: str, dtype: str) -> None:
    """An op without a derivative says so by its name."""
    p = problem(name, dtype)
    with pytest.raises(DifferentiationError, match=p.case.op.name):
        p.jvp(p.wrt)


@pytest.mark.parametrize(("name", "dtype", "order"), REFUSED)
def test_refuses_an_order(name: str, dtype: str, order: str) -> None:
    p = problem(name, dtype)
    known = refusal(p.case, order)
    assert known is not None
    if order == "forward":
        for i in p.wrt:
            with pytest.raises(DifferentiationError):
                p.jvp((i,))
            assert known.jax or jax_says(name, dtype, ("jvp", i)) is None, "JAX has it"
        return
    if order == "reverse":
        for i in p.wrt:
            for out in p.outs:
                with pytest.raises(DifferentiationError):
                    p.vjp((i,), (out,))
    with pytest.raises(DifferentiationError):
        p.second() if order == "second" else p.vjp(p.wrt, p.outs)
    key = "second" if order == "second" else "vjp"
    assert known.jax or jax_says(name, dtype, key) is None, "JAX has it"


@pytest.mark.parametrize("name", [r.op for r in REFUSALS])
def test_every_refusal_stands_for_cases(name: str) -> None:
    assert any(BY_NAME[c.values[0]].op == name for c in REFUSED)


@pytest.mark.parametrize(
    ("name", "dtype"), [c for c in CASES["tested"] if undefined_operands(case(*c.values))]
)
def test_refuses_operands(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    for i in undefined_operands(p.case):
        with pytest.raises(DifferentiationError):
            p.jvp((i,))


@pytest.mark.parametrize(("name", "dtype"), CASES["no tangent"])
def test_integers_have_no_tangents(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    assert p.jvp(p.wrt) == ()


@pytest.mark.parametrize(("name", "dtype"), having("forward"))
def test_forward(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    for subset in subsets(p.wrt):
        got = p.jvp(subset)
        expected = [jax_says(name, dtype, ("jvp", i)) for i in subset]
        if all(outs is not None for outs in expected) and p.compares:
            total = [sum(parts) for parts in zip(*expected, strict=True)]
            close(p, f"jvp by operands {subset} against JAX", got, total, rtol=p.rtol, atol=1e-12)
        if p.differenceable:
            along = {i: p.tangents[i] for i in subset}
            want = differences(p.function, p.xs, along)
            rtol = p.case.sample.derivative_rtol
            what = f"jvp by operands {subset} against differences"
            close(p, what, got, want, rtol=rtol, atol=noise(p.function, p.xs))


@pytest.mark.parametrize(("name", "dtype"), [c for c in having("forward") if BY_NAME[c.values[0]].special])
def test_forward_at_special_operands(name: str, dtype: str) -> None:
    """At kinks, poles, nan and inf the derivative is what JAX says."""
    p = problem(name, dtype)
    for n, operands in enumerate(p.case.special):
        for i in p.wrt:
            want = jax_says(name, dtype, ("special", n, i))
            if want is None:
                continue
            program, _ = transforms.jvp(p.case.function_at(operands), mask((i,), len(operands)))
            got = ir.evaluate(program, *operands, p.tangents[i])[len(p.function.results) :]
            close(p, f"jvp by operand {i} at special operands {n}", got, want, rtol=p.rtol, atol=1e-12)


@pytest.mark.parametrize(("name", "dtype"), having("reverse"))
def test_reverse(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    for subset in dict.fromkeys([*[(i,) for i in p.wrt], p.wrt]):
        for seeded in dict.fromkeys([*[(i,) for i in p.outs], p.outs]):
            cts = p.pulled(subset, seeded)
            if not p.finite:
                continue
            pushed = p.jvp(subset)
            some = [k for k, i in enumerate(p.outs) if i in seeded]
            left = paired([p.cts[k] for k in some], [pushed[k] for k in some])
            right = paired(cts, [p.tangents[i] for i in subset])
            scale = sum(
                float(np.sum(np.abs(precise(a) * precise(b))))
                for a, b in zip(cts, [p.tangents[i] for i in subset], strict=True)
            )
            rtol = p.rtol
            assert abs(left - right) <= rtol * max(1e-3, abs(left), scale), (
                f"{p.case.name}, operands {subset}, results {seeded}: <ct, J t> = {left}, "
                f"<J^T ct, t> = {right}"
            )
    want = jax_says(name, dtype, "vjp")
    if want is not None and p.compares:
        got = p.pulled(p.wrt, p.outs)
        close(p, "vjp against JAX", p.kept(got), p.kept(want), rtol=p.rtol, atol=1e-12)


def is_transposable(c: Case) -> bool:
    """Whether the op has a rule and the case something to test: where there are no elements, all is linear."""
    types = (*c.function.in_types, *c.function.out_types)
    every = len(inexact(c.function.out_types)) == len(c.function.out_types)
    return c.op.transpose is not None and every and all(t.size for t in types)


@pytest.mark.parametrize(("name", "dtype"), [c for c in CASES["tested"] if is_transposable(case(*c.values))])
def test_transposes_where_linear(name: str, dtype: str) -> None:
    """Each set of operands in which the op is linear, as its values tell, can be transposed."""
    p = problem(name, dtype)
    for subset in subsets(p.wrt):
        ys = {i: direction(p.xs[i], p.rng) for i in subset}

        def at(values: dict[int, Any]) -> Arrays:
            return ir.evaluate(p.function, *[values.get(i, x) for i, x in enumerate(p.xs)])

        def is_sum(whole: Arrays, x_part: Arrays, y_part: Arrays) -> bool:
            limit = p.rtol * max(1.0, magnitude(whole))
            return all(
                np.all(np.abs(precise(w) - 2 * precise(a) - 3 * precise(b)) <= limit)
                for w, a, b in zip(whole, x_part, y_part, strict=True)
            )

        xs = {i: p.xs[i] for i in subset}
        whole = at({i: (2 * xs[i] + 3 * ys[i]).astype(xs[i].dtype) for i in subset})
        if not is_sum(whole, at(xs), at(ys)):
            continue
        count = len(p.xs)
        back = transforms.transpose(p.function, mask(subset, count), [True] * len(p.outs))
        verified(back, "transpose")
        others = [x for i, x in enumerate(p.xs) if i not in subset]
        cts = ir.evaluate(back, *others, *p.cts)
        left = paired(p.cts, at(ys))
        right = paired(cts, [ys[i] for i in subset])
        assert abs(left - right) <= p.rtol * max(1.0, abs(left), magnitude(cts)), (
            f"{p.case.name}, operands {subset}: <ct, L y> = {left}, <L^T ct, y> = {right}"
        )


@pytest.mark.parametrize(("name", "dtype"), having("second"))
def test_second_order(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    first, program = p.gradients, p.second()
    xs, along = [*p.xs, *p.cts], p.along
    got = ir.evaluate(program, *xs, *along.values())
    want = jax_says(name, dtype, "second")
    if want is not None and p.compares:
        flat = [*want] if len(want) == len(got) else jax.tree_util.tree_leaves(want)
        close(p, "jvp of vjp against JAX", p.kept(got), p.kept(flat), rtol=p.rtol * 10, atol=1e-11)
    if p.differenceable:
        rtol = p.case.sample.derivative_rtol * 10
        want = differences(first, xs, along)
        close(p, "jvp of vjp against differences", got, want, rtol=rtol, atol=noise(first, xs))
    if not p.finite:
        return
    twice = transforms.vjp(first, mask(tuple(along), len(xs)), [True] * len(first.results))
    verified(twice, "vjp of vjp")
    weights = [direction(g, p.rng) for g in got]
    cts = ir.evaluate(twice, *xs, *weights)[len(first.results) :]
    left, right = paired(weights, got), paired(cts, list(along.values()))
    scale = max(1e-3, abs(left), magnitude(cts), magnitude(got))
    assert abs(left - right) <= 100 * p.rtol * scale, (
        f"{p.case.name}: <w, H t> = {left}, <H^T w, t> = {right}"
    )


# Narrow types, and the way through XLA ----------------------------------------------------------------

NARROW_RTOL = {"f32": 1e-3, "c64": 1e-3, "f16": 5e-2, "bf16": 3e-1}
NARROW = [
    pytest.param(name, dtype, id=f"{name}-{dtype}")
    for name, sample in BY_NAME.items()
    for dtype in sample.dtypes
    if dtype in NARROW_RTOL
    and {"f32": "f64", "c64": "c128"}.get(dtype, "f64") in derivative_dtypes(name)
    and kind(name, dtype) == "tested"
    and refusal(case(name, dtype), "reverse") is None
]


@pytest.mark.parametrize(("name", "dtype"), NARROW)
def test_narrow_types(name: str, dtype: str) -> None:
    """The rules build programs of the right types for narrow element types too, and about right values."""
    p = Problem(case(name, dtype))
    double = case(name, "c128" if dtype == "c64" else "f64")
    program = p.gradients
    assert program.out_types == tuple([p.function.in_types[i] for i in p.wrt])
    got = ir.evaluate(program, *p.xs, *p.cts)
    if double.function.in_types == p.function.in_types:
        return
    wide = Problem(double)
    raised = [
        np.asarray(x).astype(t.dtype.np)
        for x, t in zip((*p.xs, *p.cts), wide.gradients.in_types, strict=True)
    ]
    want = ir.evaluate(wide.gradients, *raised)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if not np.isfinite(precise(a)).all() or not np.isfinite(precise(b)).all():
            continue
        wrong = disagreement(a, b, rtol=NARROW_RTOL[dtype], atol=NARROW_RTOL[dtype] * max(1, magnitude([b])))
        assert wrong is None, f"{p.case.name}, gradient {i}: {wrong}"


ONCE_AN_OP = list(
    {
        BY_NAME[c.values[0]].op: c
        for c in reversed(having("second"))
        if c.values[1] in ("f64", "c128", "f32")
    }.values()
)


@pytest.mark.parametrize(("name", "dtype"), ONCE_AN_OP)
def test_second_order_program_compiles(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    xs = [*p.xs, *p.cts]
    wrt = (*p.wrt, *range(len(p.xs), len(xs)))
    program, _ = transforms.jvp(p.gradients, mask(wrt, len(xs)))
    given = [*xs, *[p.tangents2[i] for i in p.wrt], *p.cts2]
    want = ir.evaluate(program, *given)
    got = compiled(lambda arrays: emit(program, arrays), given, wide=True)
    if p.case.sample.compare is not None:  # XLA and the evaluator may have chosen differently
        assert [x.shape for x in got] == [x.shape for x in want]
        return
    close(p, "second order through XLA", got, want, rtol=p.rtol, atol=1e-10)
