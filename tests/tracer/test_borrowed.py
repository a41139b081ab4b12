"""Every borrowed function against JAX's, in values, types and gradients; what is kept, and what is refused."""

from __future__ import annotations

import importlib
import math
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from tests.tracer import borrowed_cases as bc
from tests.tracer.cases import Case, differences
from tests.tracer.helpers import array, assert_same, raises, x64
from tracer.errors import ConcretizationError, TracerError
from tracer.numpy import borrowing

X = array(3, 4)

# (cases, our module, JAX's)
_scipy_linalg = importlib.import_module("jax.scipy.linalg")
_scipy_special = importlib.import_module("jax.scipy.special")
_linalg = SimpleNamespace(**{**vars(_scipy_linalg), **vars(jnp.linalg)})
TABLES = {
    "numpy": (bc.NUMPY, tnp, jnp),
    "linalg": (bc.LINALG, tr.linalg, _linalg),
    "fft": (bc.FFT, tr.fft, jnp.fft),
    "special": (bc.SPECIAL, tr.special, _scipy_special),
    "nn": (bc.NN, tr.nn, jax.nn),
}
# Names without a case, with the reason.
ELSEWHERE = {
    "numpy": {
        *("can_cast", "einsum_path", "iscomplexobj", "isrealobj", "isscalar", "iterable", "result_type"),
        *("array_repr", "array_str", "save", "savez"),  # here, below: they give no arrays
        *("trim_zeros", "mask_indices"),  # below: JAX has no compiled reference for them
    },
    "nn": {"scaled_matmul", "scaled_dot_general"},  # for GPUs that have block-scaled formats alone
}
# How many calls are compiled as one program.
BATCH = 12


def present(case: Case, module: Any) -> bool:
    return case.name.startswith("Tensor.") or hasattr(module, case.name)


BATCHES = [
    pytest.param(name, at, id=f"{name}-{table[0][at].name}")
    for name, table in TABLES.items()
    for at in range(0, len(table[0]), BATCH)
]


@pytest.mark.parametrize(("name", "at"), BATCHES)
def test_as_jax(name: str, at: int) -> None:
    cases, ours, theirs = TABLES[name]
    some = [c for c in cases[at : at + BATCH] if present(c, theirs)]
    wrong = differences(some, ours, theirs)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("name", TABLES)
def test_every_borrowed_function_has_a_case(name: str) -> None:
    cases, ours, _ = TABLES[name]
    borrowed = {n for n in ours.__all__ if callable(f := getattr(ours, n)) and hasattr(f, "borrowed")}
    assert borrowed - {c.name for c in cases} == ELSEWHERE.get(name, set())


def test_answers_are_python_objects() -> None:
    def f(x: Any) -> Any:
        assert tnp.shape(x) == (3, 4)
        assert (tnp.ndim(x), tnp.size(x), tnp.size(x, 1)) == (2, 12, 4)
        assert tnp.result_type(x, np.int8, 1.0) == jnp.float32
        assert tnp.result_type(tr.numpy.asarray(2.0) * 1, jnp.bfloat16) == jnp.result_type(2.0, jnp.bfloat16)
        assert not tnp.iscomplexobj(x)
        assert tnp.isrealobj(x)
        assert tnp.isscalar(x) == jnp.isscalar(jnp.ones((3, 4)))
        assert tnp.iterable(x)
        assert tnp.can_cast(np.int8, np.int32)
        assert tnp.einsum_path("ij,kj->ik", x, x)[0] == jnp.einsum_path("ij,kj->ik", X, X)[0]
        return x

    assert_same(tr.jit(f)(X), X)


def test_printing_and_writing_need_values(tmp_path: Any) -> None:
    for name in ("array_repr", "array_str"):
        with raises(ConcretizationError, "NumPy array"):
            tr.jit(lambda x, _n=name: getattr(tnp, _n)(x))(X)
    for name in ("save", "savez"):
        with raises(ConcretizationError, "NumPy array"):
            tr.jit(lambda x, _n=name: getattr(tnp, _n)(tmp_path / "x", x))(X)
    assert tnp.array_repr(X) == jnp.array_repr(X)


# What is kept ------------------------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Calls of jax.make_jaxpr; nothing is kept from before."""
    borrowing._PROGRAMS.clear()
    calls: list[int] = []
    original = jax.make_jaxpr

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(jax, "make_jaxpr", counted)
    return calls


def test_a_kind_of_call_is_traced_by_jax_once(made: list[int]) -> None:
    def f(x: Any) -> Any:
        for _ in range(5):
            x = tnp.sort(x, axis=0)
        return x

    tr.trace(f)(X)
    tr.trace(f)(X + 1)
    assert len(made) == 1
    tr.trace(f)(X[:, :2])  # another type of operand
    tr.trace(lambda x: tnp.sort(x, axis=1))(X)  # another static argument
    tr.trace(lambda x: tnp.sort(x, axis=True))(X)  # equal to 1, but another
    assert len(made) == 4


def test_what_decides_the_program_is_looked_at(made: list[int]) -> None:
    zeros = [tr.jit(lambda x, _z=z: tnp.copysign(x, _z))(X) for z in (0.0, -0.0)]
    assert_same(zeros[0], -zeros[1])
    tr.jit(lambda x: tnp.einsum("ij,kj->ik", x, x))(X)
    count = len(made)
    with jax.default_matmul_precision("highest"):
        function = tr.trace(lambda x: tnp.einsum("ij,kj->ik", x, x))(X)
    assert len(made) == count + 1
    (dot,) = [e for e in function.eqns if e.op.name == "dot_general"]
    assert dot.attrs["precision"] is not None
    with x64():
        assert tr.jit(lambda x: tnp.fft.fft(x))(np.ones(3)).dtype == np.complex128
    assert tr.jit(lambda x: tnp.fft.fft(x))(np.ones(3)).dtype == np.complex64


def test_kept_programs_close_over_nothing_of_a_trace(made: list[int]) -> None:
    f = lambda x, k: tnp.interp(x, k, k * 2)
    for _ in range(2):  # arrays of the enclosing jit of JAX are operands
        got = jax.jit(lambda x, k: tr.grad(lambda y: tnp.sum(f(y, k)))(x))(X, bc.KNOTS)
    assert_same(got, jax.grad(lambda y: jnp.interp(y, bc.KNOTS, bc.KNOTS * 2).sum())(X))
    assert len([p for p in borrowing._PROGRAMS._held.values() if borrowing._has_tracers(p)]) == 0


def test_functions_of_functions_are_not_kept(made: list[int]) -> None:
    for k in (1.0, 2.0):
        got = tr.jit(lambda x, _k=k: tnp.piecewise(x, [x > 0], [lambda t: t * _k, 0.0]))(X)
        assert_same(got, jnp.where(X > 0, X * k, 0))


def test_equations_come_from_each_call() -> None:
    def f(x: Any) -> Any:
        y = tnp.interp(x, bc.KNOTS, bc.KNOTS)
        return tnp.interp(y, bc.KNOTS, bc.KNOTS), tnp.unwrap(y), tr.random.gamma(tr.random.key(0), x)

    first = f.__code__.co_firstlineno
    function = tr.trace(f)(X)
    ir.verify(function)
    nested = [g for e in function.eqns for g in ir.nested_functions(e)]
    # `trace` makes constants of the small arrays that were captured; all else comes from its call.
    lines = {e.source.line - first for g in (function, *nested) for e in g.eqns if e.op.name != "constant"}
    assert {e.source.file for g in (function, *nested) for e in g.eqns} == {__file__}
    assert lines == {1, 2}


def test_derivatives_and_batches_are_ours() -> None:
    f = lambda n: (
        lambda x: n.sum(n.sort(x) * n.quantile(x, 0.3)) + n.sum(n.linalg.inv(x[:, :3] + 3 * n.eye(3)))
    )
    assert_same(tr.hessian(f(tnp))(X), jax.hessian(f(jnp))(X), 1e-4)
    batch = jnp.stack([X, X + 1])
    assert_same(tr.vmap(tr.grad(f(tnp)))(batch), jax.vmap(jax.grad(f(jnp)))(batch), 1e-4)
    assert_same(tr.jvp(f(tnp), (X,), (X,)), jax.jvp(f(jnp), (X,), (X,)), 1e-4)


# Shapes that depend on values --------------------------------------------------------------------------------


def test_traced_values_cannot_decide_shapes() -> None:
    for name in ("nonzero", "unique", "argwhere", "flatnonzero", "union1d", "setdiff1d", "where"):
        two = name in ("union1d", "setdiff1d")
        with raises(ConcretizationError, name if name != "where" else "nonzero", "size="):
            tr.jit(lambda x, _n=name, _two=two: getattr(tnp, _n)(*[x] * (1 + _two)))(X)
    with raises(ConcretizationError, "bincount", "length="):
        tr.jit(lambda x: tnp.bincount(x))(np.arange(3))
    with raises(ConcretizationError, "roots", "strip_zeros=False"):
        tr.jit(lambda x: tnp.roots(x))(X[0])
    with raises(ConcretizationError, "trim_zeros"):
        tr.jit(lambda x: tnp.trim_zeros(x))(X[0])


def test_known_values_decide_shapes() -> None:
    mask, positive, three = np.array([True, False, True]), np.asarray(X > 0), jnp.array([3, 1, 3])
    f = lambda x: tnp.sum(tnp.compress(mask, x, axis=0) ** 2) + tnp.sum(tnp.extract(positive, x) ** 3)
    assert_same(tr.jit(tr.grad(f))(X), 2 * X * mask[:, None] + 3 * X**2 * positive)
    assert_same(tr.jit(lambda: tnp.nonzero(np.array([0, 3, 4])))(), jnp.nonzero(np.array([0, 3, 4])))
    assert_same(tr.jit(lambda: tnp.unique(three))(), jnp.array([1, 3]))
    assert_same(tr.jit(lambda: tnp.trim_zeros(np.array([0, 3, 0])))(), jnp.array([3]))
    assert_same(tr.jit(lambda x: x[tnp.mask_indices(3, np.triu)])(X[:, :3]), X[:, :3][jnp.triu_indices(3)])
    # An un-jitted transform knows its arguments, as in eager JAX.
    assert_same(tr.grad(lambda x: tnp.sum(tnp.unique(x) ** 2))(X), 2 * X)
    assert_same(tr.grad(lambda x: tnp.sum(x[tnp.nonzero(x > 0)] ** 2))(X), jnp.where(X > 0, 2 * X, 0))


def test_errors_of_jax_are_typed_and_located() -> None:
    with raises(TypeError, "interp", "fp"):
        tr.jit(lambda x: tnp.interp(x, 1))(X)
    with raises(ValueError, "norm", "bad"):
        tr.jit(lambda x: tnp.linalg.norm(x, "bad"))(X)
    with pytest.raises(NotImplementedError, match="inplace=False"):
        tr.jit(lambda x: tnp.fill_diagonal(x, 0))(X)
    with pytest.raises(TracerError, match="no `out`"):
        tr.jit(lambda x: tnp.sum(x, 0, None, np.zeros(4)))(X)
    kept: list[Any] = []
    tr.jit(lambda x: kept.append(x) or x)(X)
    with pytest.raises(TracerError, match="after its trace had ended"):
        tnp.sort(kept[0])


def test_closures_of_traced_values_in_functions_of_functions() -> None:
    def f(n: Any) -> Any:
        def g(x: Any) -> Any:
            row = n.vectorize(lambda a: n.sum(a * x[0]) + x.at[0, 0].set(2.0)[0, 0], signature="(k)->()")
            return n.sum(row(x) * n.fromfunction(lambda i: i + x[0, 0], (3,)))

        return g

    assert_same(tr.jit(tr.grad(f(tnp)))(X), jax.grad(f(jnp))(X))


# Random shapes ---------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(0, 2))
def test_any_shape(shape: list[int], axis: int) -> None:
    axis %= len(shape)
    x = array(*shape)

    def f(n: Any) -> Any:
        def g(x: Any) -> Any:
            out = [n.sort(x, axis=axis), n.cumulative_sum(x, axis=axis), n.diff(x, axis=axis)]
            out += [n.flip(n.argsort(x, axis=axis)), n.nansum(x, axis=axis)]
            return [
                *out,
                n.rot90(x) if x.ndim > 1 else x,
                n.linalg.norm(x, axis=axis),
                n.unstack(x, axis=axis),
            ]

        return g

    assert_same(tr.jit(f(tnp))(x), jax.jit(f(jnp))(x))
    if math.prod(shape):
        weigh = lambda n: lambda x: n.sum(n.sort(x, axis=axis) * n.cumulative_sum(x, axis=axis))
        assert_same(tr.grad(weigh(tnp))(x), jax.grad(weigh(jnp))(x), 1e-4)
