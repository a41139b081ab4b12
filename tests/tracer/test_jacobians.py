"""`jacfwd`, `jacrev`, `jacobian`, `hessian` and `hvp` against JAX, on pytrees too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from lowering.execute import PROGRAMS
from tests.tracer.helpers import array, assert_close, assert_same, both, both_compiled, raises, x64

V = array(3)
W = array(2, seed=1)
TREE = {"a": V, "b": (W, 0.5)}


def f(xp: Any) -> Any:
    return lambda p, s: {"u": xp.outer(xp.sin(p["a"]), p["b"][0]) * s, "v": (p["a"] ** 2).sum() * p["b"][1]}


@pytest.mark.parametrize("name", ["jacfwd", "jacrev", "jacobian"])
def test_jacobians(name: str) -> None:
    both_compiled(lambda xp, t: getattr(t, name)(lambda x: xp.outer(x, xp.sin(x)))(V))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x: (x**2).sum())(V))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x: x**2)(3.0))
    both_compiled(lambda xp, t: getattr(t, name)(f(xp))(TREE, 2.0))
    both_compiled(lambda xp, t: getattr(t, name)(f(xp), argnums=(0, 1))(TREE, 2.0))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x, y: x * y, -1)(V, V * 2))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x, y: x * y, (1,))(V, V * 2))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x: (x**2, {"n": x}), has_aux=True)(V))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x, *, c: x * c)(V, c=2.0))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x: x.astype(np.float16) * 2)(V))
    both_compiled(lambda xp, t: t.vmap(getattr(t, name)(lambda x: xp.sin(x) * x[::-1]))(array(4, 3)))
    both_compiled(lambda xp, t: t.jit(getattr(t, name)(lambda x: xp.sin(x) * x[::-1]))(V))
    both_compiled(lambda xp, t: t.grad(lambda x: getattr(t, name)(lambda y: xp.sin(y) * y[::-1])(x).sum())(V))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x: 3.0 * xp.ones(2))(V))
    both_compiled(lambda xp, t: getattr(t, name)(lambda x: x[:0])(V))


def test_empty_inputs() -> None:
    both_compiled(lambda xp, t: t.jacrev(lambda x: xp.sin(x))(array(0)))
    both_compiled(lambda xp, t: t.jacrev(lambda x: xp.sin(x).sum())(array(0, 2)))


def test_mixed_modes() -> None:
    for outer in ("jacfwd", "jacrev"):
        for inner in ("jacfwd", "jacrev"):
            both_compiled(lambda xp, t, o=outer, i=inner: getattr(t, o)(getattr(t, i)(f(xp)))(TREE, 2.0))


def test_hessian() -> None:
    loss = lambda xp: lambda p, s: (xp.tanh(p["a"]).sum() * p["b"][0].sum() * s) ** 2 + p["b"][1] ** 3
    both_compiled(lambda xp, t: t.hessian(lambda x: (xp.sin(x) ** 2).sum() * x[0])(V))
    both_compiled(lambda xp, t: t.hessian(loss(xp))(TREE, 2.0))
    both_compiled(lambda xp, t: t.hessian(loss(xp), argnums=(0, 1))(TREE, 2.0))
    both_compiled(lambda xp, t: t.hessian(lambda x: xp.outer(x, x**2))(V))
    both_compiled(lambda xp, t: t.jit(t.hessian(lambda x: xp.prod(x)))(V))
    both_compiled(lambda xp, t: t.vmap(t.hessian(lambda x: xp.prod(x)))(array(4, 3)))
    both_compiled(lambda xp, t: t.hessian(lambda x: (xp.prod(x), x), has_aux=True)(V))


def test_hessian_is_symmetric() -> None:
    with x64():
        x = array(4, dtype=np.float64)
        h = np.asarray(tr.hessian(lambda x: tnp.sin(x[0] * x[1]) * tnp.exp(x[2]) / (1 + x[3] ** 2))(x))
        assert_close(h, h.T, 1e-12)


def test_hvp() -> None:
    loss = lambda x: (tnp.sin(x) ** 2).sum() * x[0]
    h = tr.hessian(loss)(V)
    v = array(3, seed=5)
    assert_close(tr.hvp(loss, (V,), (v,)), h @ v)
    assert_close(tr.jit(lambda x: tr.hvp(loss, (x,), (v,)))(V), h @ v)
    assert_close(tr.vmap(lambda t: tr.hvp(loss, (V,), (t,)))(np.eye(3, dtype=np.float32)), h, 1e-4)
    two = lambda x, p: (x * p["a"]).sum() ** 2
    got = tr.hvp(two, (V, {"a": v}), (v, {"a": V}))
    want = tr.jvp(lambda x, p: tr.grad(two, (0, 1))(x, p), (V, {"a": v}), (v, {"a": V}))[1]
    assert_same(got, want)
    with pytest.raises(tr.errors.ArgumentTypeError):
        tr.hvp(loss, V, V)


def test_one_program_each() -> None:
    g = lambda x: tnp.outer(x, tnp.cos(x) * 0.777)
    for jacobian in (tr.jacfwd, tr.jacrev):
        before = len(PROGRAMS)
        jacobian(g)(V)
        assert len(PROGRAMS) <= before + 1
        jacobian(g)(2 * V)
        assert len(PROGRAMS) <= before + 1


def test_complex_results_by_forward_mode() -> None:
    both_compiled(lambda xp, t: t.jacfwd(lambda x: xp.exp(1j * x))(V))


def test_results_without_tangents() -> None:
    for jacobian in (tr.jacfwd, tr.jacrev):
        for f in (lambda x: x > 0, lambda x: (x, x.astype(int)), lambda x: {"n": np.arange(3)}):
            with raises(tr.errors.ArgumentTypeError, "the result", "expected elements of kind float"):
                jacobian(f)(V)


def test_python_control_flow_on_values() -> None:
    both(lambda xp, t: t.jacfwd(lambda x: x**2 if x.sum() > -100 else x)(V))
    both(lambda xp, t: t.jacrev(lambda x: x**2 if x.sum() > 100 else x * 3)(V))
    both(lambda xp, t: t.hessian(lambda x: (x**2).sum() if x[0] > -100 else x.sum())(V))
