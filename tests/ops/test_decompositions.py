"""Derivatives of decompositions against JAX, both sides in XLA, so that vectors have the same signs.

Elsewhere the samples of these ops are compared by what does not depend on signs and phases, which
derivatives of the vectors do.
"""

from __future__ import annotations

import inspect
from typing import Any

import jax
import numpy as np
import pytest

import ir
from ir import transforms
from ir.ops.decompositions import eigh
from lowering.emit import emit
from tests.ops.harness import BY_NAME, case, compiled, direction, disagreement, inexact
from tests.ops.refusals import refusal

# JAX differentiates the vectors of `eig` since 0.10.1; before, there is nothing here to compare ours with.
EIG = ["eig"] if "enable_eigvec_derivs" in inspect.signature(jax.lax.linalg.eig).parameters else []
NAMES = [name for name, s in BY_NAME.items() if s.op in ("svd", "eigh", *EIG) and s.compare is not None]
CASES = [
    (name, dtype)
    for name in NAMES
    for dtype in ("f64", "c128")
    if dtype in BY_NAME[name].dtypes
    and 0 not in case(name, dtype).operands[0].shape
    and refusal(case(name, dtype), "forward") is None
]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_derivatives_are_those_of_jax(name: str, dtype: str) -> None:
    c = case(name, dtype)
    rng = np.random.default_rng(2)
    project = c.sample.tangent or (lambda x: x)
    forward, _ = transforms.jvp(c.function, [True])
    backward = transforms.vjp(c.function, [True], [True] * len(c.function.results))
    count = len(c.function.results)
    assert inexact(c.function.out_types) == tuple(range(count))

    def reference(x: Any) -> Any:
        if c.op.name == "eig":
            left, right = c.sample.attrs["left"], c.sample.attrs["right"]
            return jax.lax.linalg.eig(
                x, compute_left_eigenvectors=left, compute_right_eigenvectors=right, enable_eigvec_derivs=True
            )
        return list(c.reference(x))

    def both(given: Any) -> Any:
        x, dx, ddx, cts = given

        def gradient(at: Any) -> Any:
            return jax.vjp(reference, at)[1](list(cts))[0]

        def ours(at: Any) -> Any:
            return emit(backward, [at, *cts])[count]

        got = [*emit(forward, [x, dx])[count:], ours(x), jax.jvp(ours, (x,), (ddx,))[1]]
        want = [*jax.jvp(reference, (x,), (dx,))[1], gradient(x), jax.jvp(gradient, (x,), (ddx,))[1]]
        twice, _ = transforms.jvp(backward, [True] + [False] * count, primals_out=False)
        return got, want, emit(twice, [x, *cts, ddx])[-1]

    (x,) = c.operands
    dx, ddx = (project(direction(x, rng)) for _ in range(2))
    cts = [direction(np.zeros(t.shape, t.dtype.np), rng) for t in c.function.out_types]
    got, want, second = compiled(both, (x, dx, ddx, cts), wide=True)
    want[-2], want[-1] = project(want[-2]), project(want[-1])
    got[-2], got[-1] = project(got[-2]), project(got[-1])
    what = [*[f"tangent {i}" for i in range(count)], "cotangent", "JAX's tangent of our cotangent", "second"]
    for label, a, b in zip(what, [*got, project(second)], [*want, want[-1]], strict=True):
        wrong = disagreement(a, b, rtol=1e-8, scaled=True)
        assert wrong is None, f"{c.name}, {label}: {wrong}"


@pytest.mark.parametrize("lower", [True, False])
def test_eigh_reads_one_triangle(lower: bool) -> None:
    """Unlike JAX's, whose derivative rule symmetrises, ours reads no more under differentiation."""
    whole = np.array([[1.0, 0.5, -0.2], [0.5, 3.0, 0.7], [-0.2, 0.7, 6.0]])
    unread = np.triu(np.ones((3, 3), np.bool_), 1)
    half = np.where(unread if lower else unread.T, np.nan, whole)
    function = ir.build([ir.TensorType((3, 3), ir.from_numpy(np.float64))], lambda x: eigh(x, lower=lower))
    program, _ = transforms.jvp(function, [True])
    for run in (
        lambda f, xs: ir.evaluate(f, *xs),
        lambda f, xs: compiled(lambda a: emit(f, a), xs, wide=True),
    ):
        for got, want in zip(run(program, [half, whole]), run(program, [whole, whole]), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
