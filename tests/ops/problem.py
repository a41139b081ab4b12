"""One op's derivatives: programs, directions, what JAX says of them, and how they are compared.

Programs are run by the reference evaluator, so that nothing but JAX's side is compiled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import ir
from ir import transforms
from tests.ops.harness import (
    Arrays,
    Case,
    case,
    compiled,
    direction,
    disagreement,
    inexact,
    magnitude,
    mask,
    precise,
    verified,
)
from tests.ops.refusals import differentiable_operands, refusal

# Agreement with JAX, which uses the same formulas: by precision of the element type.
JAX_RTOL = {"f64": 1e-9, "c128": 1e-9, "f32": 1e-4, "c64": 1e-4, "f16": 2e-2, "bf16": 1e-1}

# Whose derivative is zero by definition although their values change.
DEFINED_AS_ZERO = {
    "stop_gradient": "that is what it is for",
    "bitcast_convert": "bits are no numbers; as in JAX",
}
# Where the derivative is not what JAX says.
UNLIKE_JAX = {"sign": "the sign of a complex number turns with it; JAX says it does not"}
# Agreement of ops that round tangents as they round values.
ROUNDING = {"reduce_precision": 1e-2}


class Problem:
    """One case with what all checks of its derivatives share: tangents, cotangents, programs."""

    def __init__(self, c: Case) -> None:
        self.case = c
        self.function = c.function
        self.xs = c.operands
        self.wrt = differentiable_operands(c)
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

    def kept(self, cts: Sequence[Any]) -> list[Any]:
        """What cotangents of the operands say of directions that keep their structure: the rest is a convention."""
        project = self.case.sample.tangent
        return [*cts] if project is None else [project(np.asarray(ct)) for ct in cts]

    def pulled(self, subset: tuple[int, ...], seeded: tuple[int, ...]) -> Arrays:
        """Cotangents of the operands of a subset by the VJP program."""
        cts = [ct for i, ct in zip(self.outs, self.cts, strict=True) if i in seeded]
        return ir.evaluate(self.vjp(subset, seeded), *self.xs, *cts)[len(self.function.results) :]

    @property
    def along(self) -> dict[int, Any]:
        """Directions of the second order by position among the operands and cotangents."""
        return {**self.tangents2, **{len(self.xs) + k: t for k, t in enumerate(self.cts2)}}

    def second(self) -> ir.Function:
        """The tangents of `gradients` along `along`."""
        count = len(self.xs) + len(self.cts)
        program, _ = transforms.jvp(self.gradients, mask(tuple(self.along), count), primals_out=False)
        return verified(program, "jvp of vjp")

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
    `"second"` the tangents of those (unless only JAX has them), `("special", i, j)` as the first, of the
    lowering and at the i-th special operands.
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
        known = refusal(c, "second")
        if known is None or not known.jax:
            attempt("second", lambda: jax.jvp(pull, (some, cts), (dsome, cts2))[1])
        return out

    refused: dict[str, Any] = {}
    given = (p.xs, p.tangents, p.cts, p.tangents2, p.cts2, p.case.special)
    out = compiled(everything, given, wide=True)
    return {**out, "refused": refused}


def jax_says(name: str, dtype: str, key: Any) -> Any:
    """What JAX computed under a key, None where it refused."""
    return in_jax(name, dtype).get(repr(key))


# Comparison -----------------------------------------------------------------------------------------


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
