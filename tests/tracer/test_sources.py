"""Equations keep the user's lines: through derivatives of loops, and where JAX traces a program of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import inner_first
from tests.tracer.helpers import array

X = array(4)


def lines_of(f: Callable[..., Any]) -> range:
    text, first = inspect.getsourcelines(f)
    return range(first, first + len(text))


def equations(function: ir.Function) -> Iterator[ir.Eqn]:
    for each in inner_first(function):
        yield from each.eqns


def by_scan(x: Any) -> Any:
    def step(h: Any, row: Any) -> Any:
        h = tnp.tanh(x * row + h * x)
        return h, h * x

    h, rows = tr.scan(step, x, tnp.outer(x, x))
    return tnp.sum(rows) + tnp.sum(h)


def by_while(x: Any) -> Any:
    def step(state: Any) -> Any:
        k, y = state
        return k + 1, tnp.sin(y) * x + y @ x

    return tnp.sum(tr.while_loop(lambda s: s[0] < 5, step, (0, x))[1])


def by_branches(x: Any) -> Any:
    y = tr.cond(tnp.sum(x) > 0, lambda y: y * x, lambda y: y - x, x)
    return tnp.sum(tr.checkpoint(lambda y: tnp.sin(y) * y)(y))


def by_ode(x: Any) -> Any:
    times = np.linspace(0.0, 1.0, 3, dtype=np.float32)
    return tnp.sum(tr.odeint(lambda y, t: tnp.sin(y) * x, x, times)[-1])


@pytest.mark.parametrize("f", [by_scan, by_while, by_branches, by_ode])
@pytest.mark.parametrize("program", [lambda f: tr.trace(f)(X), lambda f: tr.jit(f).ir(X)])
def test_gradients_come_from_the_lines_of_the_function(f: Any, program: Any) -> None:
    """Nothing of them comes from the line that asked for the gradient, such as sums of cotangents in a loop."""
    for eqn in equations(program(tr.grad(f))):
        assert eqn.source.file == __file__
        assert eqn.source.line in lines_of(f), (eqn.op.name, str(eqn.source))


def inner(x: Any) -> Any:
    y = tnp.sin(x)
    z = tnp.log(y + 2.0)
    return tnp.sum(tnp.exp(z) * z * y)


def called(f: Callable[..., Any]) -> set[int]:
    """The lines of what a function is traced to."""
    return {eqn.source.line - lines_of(inner)[0] for eqn in equations(tr.jit(f).ir(X))}


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jax.jit(tr.jit(inner))(x),
        lambda x: jax.jit(lambda x: tr.jit(inner)(x))(x),
        lambda x: jax.checkpoint(tr.jit(inner))(x),
        lambda x: jax.grad(tr.jit(inner))(x),
        lambda x: jax.vmap(jax.grad(jax.jit(tr.jit(inner))))(x[None]),
        tr.grad(jax.jit(tr.jit(inner))),
    ],
)
def test_a_jitted_function_that_jax_traces_keeps_its_lines(f: Any) -> None:
    assert called(f) >= {1, 2, 3}


def test_nans_are_found_there() -> None:
    def outer(x: Any) -> Any:
        return jax.jit(tr.jit(inner))(x) * 2.0

    with pytest.raises(tr.errors.NonFiniteError) as info, tr.debug.nans():
        tr.jit(outer)(np.float32([np.inf, 1.0]))
    assert info.value.source.line == lines_of(inner)[1]


def test_a_derivative_of_ours_that_jax_traces_is_one() -> None:
    gradient = tr.jit(tr.grad(inner))
    found = list(equations(tr.jit(lambda x: jax.jit(gradient)(x)).ir(X)))
    assert any(eqn.source.derivative for eqn in found)
    assert any(not eqn.source.derivative for eqn in found)


def test_xla_knows_the_lines() -> None:
    first = lines_of(inner)[0]
    text = tr.jit(inner).lower(X).as_text(debug_info=True)
    for line in (1, 2, 3):
        assert f'"{__file__}":{first + line}' in text


def test_functions_that_jax_traces_have_the_names_of_variables() -> None:
    def f(w: Any, x: Any) -> Any:
        hidden = jnp.tanh(x @ w)
        scale = jnp.max(x)
        return jnp.sum(hidden) * scale

    function = tr.trace(f)(array(3, 2), array(4, 3))
    assert {"hidden", "scale"} <= {v.name for eqn in function.eqns for v in eqn.results}
    (place,) = tr.find(function, name="hidden")
    assert place.eqn.op.name == "tanh"


def test_files_whose_names_begin_as_ours_are_the_users() -> None:
    """Such as `tracer_model.py` beside this package, or a library called numpyro."""
    from lowering.jaxprs.source import _is_internal_file

    for module in (tr, ir, jax, np):
        folder = Path(str(module.__file__)).parent
        assert _is_internal_file(str(folder / "core.py"))
        assert not _is_internal_file(f"{folder}_model.py")
        assert not _is_internal_file(f"{folder}ro/core.py")
