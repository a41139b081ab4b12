"""`has_aux`: what does not depend on the differentiated arguments is returned as it is, as by JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, both, clean
from tracer.errors import ArgumentTypeError

V = array(4)
W = array(4, seed=1)
HELD = jnp.arange(2.0)


class Thing:
    """No array, no pytree, not hashable and not comparable."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")


THING = Thing()
OBJECTS = {
    "text": "text", "none": None, "thing": THING, "type": Thing, "function": np.sin, "set": {1, 2},
    "int": 3, "bool": True, "float": 2.5, "complex": 1j, "numpy": np.ones(2), "scalar": np.float32(2),
    "array": HELD, "list": ["a", None, ("b", THING)],
}  # fmt: skip


def aux(x: Any) -> dict[str, Any]:
    return {**OBJECTS, "argument": x, "value": x * 2}


# By name: (transforms) -> (what is to be equal in both libraries, aux), for a function of its choice.
USES = {
    "value_and_grad": lambda t, f: (lambda r: (r[0][0], r[1], r[0][1]))(
        t.value_and_grad(lambda x: ((x**2).sum(), f(x)), has_aux=True)(V)
    ),
    "grad": lambda t, f: t.grad(lambda x: ((x**2).sum(), f(x)), has_aux=True)(V),
    "grad of two": lambda t, f: t.grad(lambda x, y: ((x**2 * y).sum(), f(x)), (0, 1), has_aux=True)(V, W),
    "grad of a number": lambda t, f: t.grad(lambda x: (x**2, f(x * 1.0)), has_aux=True)(2.0),
    "vjp": lambda t, f: (lambda out, pull, a: (out, pull(W), a))(
        *t.vjp(lambda x: (x**2, f(x)), V, has_aux=True)
    ),
    "jvp": lambda t, f: t.jvp(lambda x: (x**2, f(x)), (V,), (W,), has_aux=True),
    "linearize": lambda t, f: (lambda out, push, a: (out, push(W), a))(
        *t.linearize(lambda x: (x**2, f(x)), V, has_aux=True)
    ),
    "jacrev": lambda t, f: t.jacrev(lambda x: (x**2, f(x)), has_aux=True)(V),
}


def split(results: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
    *rest, found = results
    values = {name: found.pop(name) for name in ("argument", "value")}
    return (rest, values), found


def assert_held(found: dict[str, Any], want: dict[str, Any]) -> None:
    """The very objects, in the same structure."""
    assert jax.tree.structure(found) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        assert a is b


@pytest.mark.parametrize("use", USES)
def test_objects_pass_through(use: str) -> None:
    held = []

    def run(_: Any, t: Any) -> Any:
        values, found = split(USES[use](t, aux))
        held.append(found)
        return values

    both(run)
    for found in held:
        assert_held(found, OBJECTS)


@pytest.mark.parametrize("use", USES)
def test_inside_an_enclosing_trace(use: str) -> None:
    def run(_: Any, t: Any) -> Any:
        found: dict[str, Any] = {}

        def program(z: Any) -> Any:
            values, rest = split(USES[use](t, lambda x: {**aux(x), "outer": z, "both": 2 * z}))
            found.update(rest)
            assert found.pop("outer") is z
            return values, found.pop("both")

        out = t.jit(program)(W)
        assert_held(found, OBJECTS)
        return out

    both(run)


def test_nested() -> None:
    def program(_: Any, t: Any) -> Any:
        def inner(x: Any) -> Any:
            value, found = t.grad(lambda y: ((y**3).sum(), ("inner", THING, y)), has_aux=True)(x)
            return value.sum(), (found, "outer")

        g, ((text, thing, y), outer) = t.grad(inner, has_aux=True)(V)
        assert (text, outer) == ("inner", "outer")
        assert thing is THING
        return g, y

    both(program)


@pytest.mark.parametrize("name", ["jacfwd", "jacrev", "jacobian", "hessian"])
def test_jacobians(name: str) -> None:
    """JAX's forward mode refuses what is no array; there is no reason to."""
    jacobian, found = getattr(tr, name)(lambda x: ((x**2).sum(), ("text", THING, x * 2)), has_aux=True)(V)
    assert found[0] == "text"
    assert found[1] is THING
    np.testing.assert_allclose(found[2], V * 2)
    np.testing.assert_allclose(jacobian, 2 * V if name != "hessian" else 2 * np.eye(4), rtol=1e-6)


def test_the_result_proper_is_still_checked() -> None:
    for f in (lambda x: ("text", x), lambda x: (None, x), lambda x: (THING, x)):
        with pytest.raises(ArgumentTypeError):
            tr.grad(f, has_aux=True)(V)
    for transform in (tr.vjp, tr.linearize):
        with pytest.raises(ArgumentTypeError, match="no array"):
            transform(lambda x: ("text", x), V, has_aux=True)
        with pytest.raises(ArgumentTypeError, match="no array"):
            transform(lambda x: (x, "text"), V)
    with pytest.raises(ArgumentTypeError, match="no array"):
        tr.jvp(lambda x: ("text", x), (V,), (W,), has_aux=True)
    clean()


@pytest.mark.parametrize("thing", ["text", THING, Thing])
def test_jit_returns_arrays_only(thing: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="no array"):
        tr.jit(lambda x: (x, thing))(V)
    with pytest.raises(ArgumentTypeError, match="no array"):
        tr.jit(tr.grad(lambda x: (x.sum(), thing), has_aux=True))(V)
    clean()


def test_an_object_may_hold_an_array_of_the_trace() -> None:
    class Wrapped:
        def __init__(self, x: Any) -> None:
            self.x = x

        def __jax_array__(self) -> Any:
            return self.x

    _, found = tr.grad(lambda x: (x.sum(), [Wrapped(tnp.sin(x)), Wrapped(HELD)]), has_aux=True)(V)
    np.testing.assert_allclose(found[0], np.sin(V), rtol=1e-6)
    assert found[1].x is HELD
