"""Small products of matrices are sums of products where XLA would call a library; all others stay products."""

from __future__ import annotations

import math
import re
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.errors import LoweringError
from ir.machine import ACCELERATOR, answer
from ir.ops.contraction import dot_general
from ir.source import UNKNOWN
from ir.types import f32
from lowering.device import machine
from lowering.emit import emit_repeated, is_repeated
from tests.tracer.helpers import x64


def products(f: Any, *args: Any) -> int:
    """How many matrix products XLA is given."""
    return len(re.findall(r"stablehlo\.dot_general", tr.jit(f).lower(*args).as_text()))


def ones(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


def in_a_loop(a: Any, b: Any) -> Any:
    return tr.scan(lambda c, _: (c * 0.5, tnp.matmul(a, b + c)), 1.0, None, length=4)[1]


def in_an_iteration(a: Any, b: Any, **attrs: Any) -> Any:
    """A product as it is emitted in a loop."""
    params = [ir.Value(ir.TensorType(x.shape, ir.from_numpy(x.dtype)), "x") for x in (a, b)]
    builder = ir.Builder()
    with ir.building(builder):
        out = dot_general(*params, **attrs)
    return emit_repeated(ir.Function(tuple(params), tuple(builder.eqns), (out,), "f"), [a, b])[0]


@pytest.mark.parametrize(
    ("f", "shapes", "found"),
    [
        (in_a_loop, [(4, 4), (4, 4)], 0),
        (in_a_loop, [(4, 6, 6), (4, 6, 6)], 0),
        (in_a_loop, [(7, 7), (7, 7)], 1),
        (in_a_loop, [(3, 3), (3, 3)], 1),  # (no library)
        (in_a_loop, [(64, 6, 6), (64, 6, 6)], 1),
        (in_a_loop, [(8, 8), (8, 1)], 1),  # (a vector)
        (tnp.matmul, [(4, 4), (4, 4)], 1),
        (tnp.matmul, [(100, 4, 4), (100, 4, 4)], 0),
        (tnp.matmul, [(100, 3, 16), (100, 16, 3)], 1),
        (tnp.matmul, [(100, 5, 5), (100, 5, 5)], 1),
        (tnp.matmul, [(0, 4, 4), (0, 4, 4)], 1),
    ],
)
def test_which_products_are_sums(f: Any, shapes: Any, found: int) -> None:
    random = np.random.default_rng(0)
    args = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    assert products(f, *args) == found
    a, b = args
    want = np.stack([a @ (b + c) for c in (1.0, 0.5, 0.25, 0.125)]) if f is in_a_loop else a @ b
    assert_allclose(tr.jit(f)(*args), want, rtol=1e-4, atol=1e-5)


def test_derivatives_that_jax_takes() -> None:
    """Of a product that is written as a sum: the gradient, one of a batch, a batch of it, and the second one."""

    def loop(xp: Any, scan: Any, a: Any, b: Any) -> Any:
        return xp.sum(scan(lambda c, _: (xp.tanh(a @ c + b), c), b, None, length=5)[0] ** 2)

    ours = tr.jit(lambda a, b: loop(tnp, tr.scan, a, b))
    theirs = lambda a, b: loop(jax.numpy, jax.lax.scan, a, b)
    random = np.random.default_rng(1)
    with x64(True):
        a, b = (jax.numpy.asarray(random.standard_normal((4, 4))) for _ in range(2))
        batch = jax.numpy.stack([a, 2.0 * a, -a])
        assert products(ours, a, b) == 0
        for transform in (
            lambda f: jax.grad(f, (0, 1)),
            lambda f: jax.hessian(f),
            lambda f: lambda a, b: jax.vmap(jax.grad(f), (0, None))(batch, b),
            lambda f: jax.grad(lambda a, b: jax.vmap(f, (0, None))(batch * a[0, 0], b).sum()),
        ):
            got, want = (jax.tree_util.tree_leaves(transform(f)(a, b)) for f in (ours, theirs))
            for x, y in zip(got, want, strict=True):
                assert_allclose(x, y, rtol=1e-10, atol=1e-12)


def test_jax_keeps_no_products_for_derivatives() -> None:
    x = ones(1000, 4, 4)
    _, back = jax.vjp(tr.jit(lambda a, b: tnp.sum(a @ b)), x, x)
    assert sum(leaf.size for leaf in jax.tree_util.tree_leaves(back)) <= 2 * x.size + 1000


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "int32"])
def test_only_floats_that_are_not_rounded_while_they_are_summed(dtype: str) -> None:
    x = jax.numpy.ones((4, 4), dtype)
    assert products(lambda a, b: tr.scan(lambda c, _: (c, a @ b), 1.0, None, length=3)[1], x, x) == 1


def test_in_the_body_and_the_test_of_while() -> None:
    def f(x: Any) -> Any:
        return tr.while_loop(lambda y: (y @ y).sum() < 100.0, lambda y: y @ y + 1.0, x)

    x = 0.1 * ones(4, 4)
    assert products(f, x) == 0
    expected = x
    while (expected @ expected).sum() < 100.0:
        expected = expected @ expected + 1.0
    assert_allclose(tr.jit(f)(x), expected, rtol=1e-5)


def test_products_after_a_loop_that_fails_stay() -> None:
    x = ir.Value(ir.TensorType((4, 4), f32), "x")
    nothing = ir.Op("nothing", {}, lambda *_: (), None, None, None, None, lambda *_, **__: 0)
    eqn = ir.Eqn(nothing, (x,), {}, (ir.Value(x.type, "y"),), UNKNOWN)
    with pytest.raises(LoweringError):
        emit_repeated(ir.Function((x,), (eqn,), eqn.results, "f"), [ones(4, 4)])
    assert not is_repeated()


def test_accelerators_take_products() -> None:
    answer(lambda: ACCELERATOR)
    try:
        assert products(in_a_loop, ones(4, 4), ones(4, 4)) == 1
    finally:
        answer(machine)


SIZES = st.integers(1, 4)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_sums_of_products_are_what_einsum_gives(data: st.DataObject) -> None:
    """Axes in any order, several of each kind."""
    letters = iter("abcdefghij")
    kinds: dict[str, list[str]] = {
        kind: [next(letters) for _ in range(data.draw(st.integers(0, 2)))]
        for kind in ("batch", "sum", "row", "column")
    }
    size = {x: data.draw(SIZES) for names in kinds.values() for x in names}
    lhs = data.draw(st.permutations(kinds["batch"] + kinds["row"] + kinds["sum"]))
    rhs = data.draw(st.permutations(kinds["batch"] + kinds["sum"] + kinds["column"]))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = (random.standard_normal([size[x] for x in names]).astype(dtype) for names in (lhs, rhs))

    attrs = {
        "lhs_contract": tuple([lhs.index(x) for x in kinds["sum"]]),
        "rhs_contract": tuple([rhs.index(x) for x in kinds["sum"]]),
        "lhs_batch": tuple([lhs.index(x) for x in kinds["batch"]]),
        "rhs_batch": tuple([rhs.index(x) for x in kinds["batch"]]),
    }
    free = [x for x in lhs if x in kinds["row"]], [x for x in rhs if x in kinds["column"]]
    result = "".join([*kinds["batch"], *free[0], *free[1]])
    expected = np.einsum(f"{''.join(lhs)},{''.join(rhs)}->{result}", a, b)
    with x64(True):
        got = in_an_iteration(jax.numpy.asarray(a), jax.numpy.asarray(b), **attrs)
        made = jax.make_jaxpr(lambda a, b: in_an_iteration(a, b, **attrs))(a, b)
    rows, summed, columns = (math.prod([size[x] for x in kinds[k]]) for k in ("row", "sum", "column"))
    batch = math.prod([size[x] for x in kinds["batch"]])
    each = rows * summed * columns
    in_loops = min(rows, columns) >= 2 and 28 <= each <= 216 and batch * each <= 2048
    in_batches = batch > 1 and min(rows, columns) >= 4 and 28 <= each <= 64
    assert ("dot_general" not in str(made)) == (summed >= 2 and (in_loops or in_batches))
    assert got.dtype == dtype
    assert_allclose(got, expected, rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-5)


def test_numbers_that_are_not_finite() -> None:
    a = np.array([[1, np.inf, 0, 2], [np.nan, 1, 1, 1], [0, 0, 0, 0], [1, -np.inf, 3, 4]], np.float32)
    b = np.diag(np.array([1, 0, np.inf, 1], np.float32))
    with np.errstate(invalid="ignore"):
        expected = a @ b
    got = in_an_iteration(a, b, lhs_contract=(1,), rhs_contract=(0,))
    assert_array_equal(got, expected)
