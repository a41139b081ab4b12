"""Derivatives of every op: against finite differences, against JAX, and against each other.

Forward mode is compared with central differences and with `jax.jvp`; reverse mode with forward mode by
<ct, J t> = <J^T ct, t> and with `jax.vjp`; the second order with differences of the first, with JAX, and
again by the identity. Programs are run by the reference evaluator, so that nothing but JAX's side is
compiled; once an op its second-order program is compiled too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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

CASES = [
    pytest.param(name, dtype, id=f"{name}-{dtype}") for name in BY_NAME for dtype in derivative_dtypes(name)
]
# Agreement with JAX, which uses the same formulas: by precision of the element type.
JAX_RTOL = {"f64": 1e-9, "c128": 1e-9, "f32": 1e-4, "c64": 1e-4, "f16": 2e-2, "bf16": 1e-1}

# Whose derivative is zero by definition although their values change.
DEFINED_AS_ZERO = {
    "stop_gradient": "that is what it is for",
    "bitcast_convert": "bits are no numbers; as in JAX",
}
# Operands by which an op has no derivative, given how many operands there are.
UNDEFINED: dict[str, Callable[[int], Sequence[int]]] = {
    "polygamma": lambda count: [0],  # the order: nan in JAX
    "regularized_incomplete_beta": lambda count: [0, 1],
    "zeta": lambda count: [0],
    "reduce": lambda count: range(count // 2, count),  # inits, which are identities of the function
    "reduce_window": lambda count: range(count // 2, count),
}
# Where the derivative is not what JAX says.
UNLIKE_JAX = {"sign": "the sign of a complex number turns with it; JAX says it does not"}
# Which have no second derivative, although JAX gives one in forward mode.
ONCE_DIFFERENTIABLE = {"random_gamma": "JAX differentiates the iterations that approximate the slope"}
# Agreement of ops that round tangents as they round values.
ROUNDING = {"reduce_precision": 1e-2}


class Problem:
    """One case with what all checks of its derivatives share: tangents, cotangents, programs."""

    def __init__(self, c: Case) -> None:
        self.case = c
        self.function = c.function
        self.xs = c.operands
        undefined = UNDEFINED.get(c.sample.op, lambda count: ())(len(self.xs))
        self.wrt = tuple([i for i in inexact(c.types) if i not in undefined])
        self.undefined = tuple([i for i in inexact(c.types) if i in undefined])
        self.outs = inexact(self.function.out_types)
        rng = np.random.default_rng(1)
        project = c.sample.tangent or (lambda tangent: tangent)
        self.tangents = {i: project(direction(self.xs[i], rng)) for i in self.wrt}
        values = ir.evaluate(self.function, *self.xs)
        self.finite = all(np.isfinite(precise(v)).all() for v in values)
        self.cts = [direction(values[i], rng) for i in self.outs]
        # Directions of the second order: of the operands and of the cotangents.
        self.tangents2 = {i: project(direction(self.xs[i], rng)) for i in self.wrt}
        self.cts2 = [direction(ct, rng) for ct in self.cts]

    @property
    def rtol(self) -> float:
        """Wanted agreement with JAX, and of forward with reverse mode."""
        if self.case.sample.op in ROUNDING:
            return ROUNDING[self.case.sample.op]
        dtypes = [t.dtype.name for t in (*self.function.in_types, *self.function.out_types)]
        return max([JAX_RTOL.get(d, 0.3) for d in dtypes if ir.dtype_named(d).is_inexact])

    @property
    def compares(self) -> bool:
        """Whether derivatives are unique and JAX's are right."""
        return self.case.sample.compare is None and self.case.sample.op not in UNLIKE_JAX

    @property
    def differenceable(self) -> bool:
        """Whether finite differences approximate the derivative."""
        sample = self.case.sample
        told = sample.op not in DEFINED_AS_ZERO and sample.derivative_rtol < np.inf
        return is_double(self) and self.finite and told

    @property
    def rng(self) -> np.random.Generator:
        """For what one check draws besides."""
        return np.random.default_rng(2)

    def jvp(self, subset: Sequence[int]) -> Arrays:
        """Tangents of the float and complex results by the JVP program."""
        program, _ = transforms.jvp(self.function, mask(subset, len(self.xs)))
        verified(program, "jvp")
        outs = ir.evaluate(program, *self.xs, *[self.tangents[i] for i in subset])
        return outs[len(self.function.results) :]

    @functools.cache  # noqa: B019 (a problem lives as long as its cache)
    def vjp(self, subset: tuple[int, ...], seeded: tuple[int, ...]) -> ir.Function:
        count = len(self.function.results)
        return verified(transforms.vjp(self.function, mask(subset, len(self.xs)), mask(seeded, count)), "vjp")

    def pulled(self, subset: tuple[int, ...], seeded: tuple[int, ...]) -> Arrays:
        """Cotangents of the operands of a subset by the VJP program."""
        cts = [ct for i, ct in zip(self.outs, self.cts, strict=True) if i in seeded]
        return ir.evaluate(self.vjp(subset, seeded), *self.xs, *cts)[len(self.function.results) :]

    @property
    def gradients(self) -> ir.Function:
        """(operands, cotangents) -> cotangents of all operands that have one."""
        program = self.vjp(self.wrt, self.outs)
        return program.replace(results=program.results[len(self.function.results) :])


@functools.lru_cache(maxsize=8)
def problem(name: str, dtype: str) -> Problem:
    return Problem(case(name, dtype))


# JAX's side -----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def in_jax(name: str, dtype: str) -> dict[str, Any]:
    """Derivatives of the reference in JAX, all compiled at once; those that JAX refuses are missing.

    By key: `("jvp", i)` tangents of the results along operand i, `"vjp"` cotangents of the operands,
    `"second"` the tangents of those, `("special", i, j)` as the first, of the lowering and at the i-th
    special operands.
    """
    p = problem(name, dtype)
    c = p.case

    def restricted(run: Callable[..., Any], operands: Sequence[Any]) -> Callable[..., list[Any]]:
        """Of the operands with tangents alone, giving the results with tangents."""

        def call(*some: Any) -> list[Any]:
            given = dict(zip(p.wrt, some, strict=True))
            outs = run(*[given.get(i, x) for i, x in enumerate(operands)])
            return [outs[i].astype(p.function.out_types[i].dtype.np) for i in p.outs]

        return call

    def everything(given: Any) -> dict[str, Any]:
        xs, tangents, cts, tangents2, cts2, specials = given
        out: dict[str, Any] = {}

        def attempt(key: Any, compute: Callable[[], Any]) -> None:
            try:
                out[repr(key)] = compute()
            except (NotImplementedError, ValueError, TypeError) as error:
                refused[repr(key)] = error

        def along(run: Callable[..., Any], operands: Sequence[Any], i: int) -> Any:
            some = [operands[j] for j in p.wrt]
            k = p.wrt.index(i)
            at = lambda x: restricted(run, operands)(*some[:k], x, *some[k + 1 :])
            return jax.jvp(at, (some[k],), (tangents[i],))[1]

        for i in p.wrt:
            attempt(("jvp", i), lambda i=i: along(c.reference, xs, i))
            for n, operands in enumerate(specials):
                if all(np.shape(a) == np.shape(b) for a, b in zip(operands, p.xs, strict=True)):
                    attempt(("special", n, i), lambda i=i, operands=operands: along(c.lowered, operands, i))
        some = [xs[j] for j in p.wrt]
        pull = lambda some, cts: jax.vjp(restricted(c.reference, xs), *some)[1](cts)
        attempt("vjp", lambda: pull(some, cts))
        dsome = [tangents2[j] for j in p.wrt]
        attempt("second", lambda: jax.jvp(pull, (some, cts), (dsome, cts2))[1])
        return out

    refused: dict[str, Any] = {}
    given = (p.xs, p.tangents, p.cts, p.tangents2, p.cts2, p.case.special)
    out = compiled(everything, given, wide=True)
    return {**out, "refused": refused}


def jax_says(name: str, dtype: str, key: Any) -> Any:
    """What JAX computed under a key, None where it refused."""
    return in_jax(name, dtype).get(repr(key))


# Checks ---------------------------------------------------------------------------------------------


def close(
    p: Problem, what: str, got: Sequence[Any], want: Sequence[Any], *, rtol: float, atol: float
) -> None:
    """AssertionError where arrays differ, relative to each element and, less, to the largest one."""
    assert len(got) == len(want), f"{p.case.name}, {what}: {len(got)} arrays instead of {len(want)}"
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        scale = min(1.0, magnitude([b]))
        wrong = disagreement(a, b, rtol=rtol, atol=rtol * scale + atol)
        assert wrong is None, f"{p.case.name}, {what}, array {i}: {wrong}"


def noise(function: ir.Function, xs: Sequence[Any]) -> float:
    """What cancellation leaves of finite differences."""
    return 1e-9 * max(1e-3, magnitude(ir.evaluate(function, *xs)))


def is_double(p: Problem) -> bool:
    return p.case.dtype in ("f64", "c128")


def skip_without_derivative(p: Problem) -> None:
    the_op = p.case.op
    if the_op.jvp is None and the_op.differentiate is None:
        with pytest.raises(DifferentiationError, match=the_op.name):
            p.jvp(p.wrt)
        pytest.skip(f"{the_op.name} has no derivative")
    if not p.outs:
        assert p.jvp(p.wrt) == ()
        pytest.skip("no result has a tangent")


def refused(p: Problem, name: str, key: Any, error: Exception) -> None:
    """A derivative that does not exist here: nor may it in JAX."""
    if key == "second" and p.case.sample.op in ONCE_DIFFERENTIABLE:
        return
    if jax_says(name, p.case.dtype, key) is not None:
        raise error


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_forward(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    skip_without_derivative(p)
    for i in p.undefined:
        with pytest.raises(DifferentiationError):
            p.jvp((i,))
    defined = []
    for i in p.wrt:
        try:
            p.jvp((i,))
            defined.append(i)
        except DifferentiationError as error:
            refused(p, name, ("jvp", i), error)
    for subset in subsets(defined):
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


@pytest.mark.parametrize(("name", "dtype"), [c for c in CASES if BY_NAME[c.values[0]].special])
def test_forward_at_special_operands(name: str, dtype: str) -> None:
    """At kinks, poles, nan and inf the derivative is what JAX says."""
    p = problem(name, dtype)
    skip_without_derivative(p)
    for n, operands in enumerate(p.case.special):
        for i in p.wrt:
            want = jax_says(name, dtype, ("special", n, i))
            if want is None:
                continue
            program, _ = transforms.jvp(p.case.function_at(operands), mask((i,), len(operands)))
            got = ir.evaluate(program, *operands, p.tangents[i])[len(p.function.results) :]
            close(p, f"jvp by operand {i} at special operands {n}", got, want, rtol=p.rtol, atol=1e-12)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_reverse(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    skip_without_derivative(p)
    for subset in dict.fromkeys([*[(i,) for i in p.wrt], p.wrt]):
        for seeded in dict.fromkeys([*[(i,) for i in p.outs], p.outs]):
            try:
                cts = p.pulled(subset, seeded)
            except DifferentiationError as error:
                refused(p, name, "vjp", error)
                continue
            if not p.finite:
                continue
            try:
                pushed = p.jvp(subset)
            except DifferentiationError:
                assert p.case.sample.op == "custom_vjp_call"
                continue
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
        close(p, "vjp against JAX", got, want, rtol=p.rtol, atol=1e-12)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_transposes_where_linear(name: str, dtype: str) -> None:
    """Each set of operands in which the op is linear, as its values tell, can be transposed."""
    p = problem(name, dtype)
    if p.case.op.transpose is None or not p.outs or len(p.outs) < len(p.function.results):
        pytest.skip("no transpose rule")
    if not all(t.size for t in (*p.function.in_types, *p.function.out_types)):
        pytest.skip("everything is linear where there are no elements")
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


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_second_order(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    skip_without_derivative(p)
    try:
        first = p.gradients
        xs = [*p.xs, *p.cts]
        along = {**p.tangents2, **{len(p.xs) + k: t for k, t in enumerate(p.cts2)}}
        program, _ = transforms.jvp(first, mask(tuple(along), len(xs)), primals_out=False)
        verified(program, "jvp of vjp")
    except DifferentiationError as error:
        refused(p, name, "second", error)
        pytest.skip(str(error))
    got = ir.evaluate(program, *xs, *along.values())
    want = jax_says(name, dtype, "second")
    if want is not None and p.compares:
        flat = [*want] if len(want) == len(got) else jax.tree_util.tree_leaves(want)
        close(p, "jvp of vjp against JAX", got, flat, rtol=p.rtol * 10, atol=1e-11)
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
    if dtype in NARROW_RTOL and {"f32": "f64", "c64": "c128"}.get(dtype, "f64") in derivative_dtypes(name)
]


@pytest.mark.parametrize(("name", "dtype"), NARROW)
def test_narrow_types(name: str, dtype: str) -> None:
    """The rules build programs of the right types for narrow element types too, and about right values."""
    p = Problem(case(name, dtype))
    skip_without_derivative(p)
    double = case(name, "c128" if dtype == "c64" else "f64")
    try:
        program = p.gradients
    except DifferentiationError as error:
        pytest.skip(str(error))
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
    {BY_NAME[c.values[0]].op: c for c in reversed(CASES) if c.values[1] in ("f64", "c128", "f32")}.values()
)


@pytest.mark.parametrize(("name", "dtype"), ONCE_AN_OP)
def test_second_order_program_compiles(name: str, dtype: str) -> None:
    p = problem(name, dtype)
    skip_without_derivative(p)
    try:
        first = p.gradients
        xs = [*p.xs, *p.cts]
        wrt = (*p.wrt, *range(len(p.xs), len(xs)))
        program, _ = transforms.jvp(first, mask(wrt, len(xs)))
    except DifferentiationError as error:
        pytest.skip(str(error))
    given = [*xs, *[p.tangents2[i] for i in p.wrt], *p.cts2]
    want = ir.evaluate(program, *given)
    got = compiled(lambda arrays: emit(program, arrays), given, wide=True)
    if p.case.sample.compare is not None:  # XLA and the evaluator may have chosen differently
        assert [x.shape for x in got] == [x.shape for x in want]
        return
    close(p, "second order through XLA", got, want, rtol=p.rtol, atol=1e-10)
