"""Values and gradients of libraries' programs equal those of JAX, compiled and not, inside and out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
from tests.third_party.programs import PROGRAMS

# What the libraries warn of is theirs.
pytestmark = pytest.mark.filterwarnings("default")

# Single precision: what the order of sums may change, relative to the largest entry.
TOLERANCE = 1e-5


def assert_same(got: Any, want: Any) -> None:
    got, want = jax.tree.leaves(got), jax.tree.leaves(want)
    assert len(got) == len(want) > 0
    for a, b in zip(got, want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = max(float(jnp.max(jnp.abs(b), initial=0.0)), 1e-6)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=TOLERANCE * scale)


# JAX has no reverse mode through its loops.
FORWARD_ONLY = {"optax_lbfgs_steps"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_jax(name: str) -> None:
    f, args = PROGRAMS[name]()
    if name in FORWARD_ONLY:
        assert_same(tr.jit(f)(*args), jax.jit(f)(*args))
        return
    want = jax.jit(jax.value_and_grad(f))(*args)
    assert_same(tr.jit(tr.value_and_grad(f))(*args), want)
    assert_same(tr.grad(f)(*args), want[1])
    assert_same(jax.jit(jax.grad(tr.jit(f)))(*args), want[1])


@pytest.mark.parametrize("name", PROGRAMS)
def test_is_one_program_of_ours(name: str) -> None:
    """All of it stands in the IR, with derivatives that are ours: nothing is left to JAX as a whole."""
    f, args = PROGRAMS[name]()
    transform = (lambda f: f) if name in FORWARD_ONLY else tr.value_and_grad
    function = tr.trace(transform(f))(*args)
    ir.verify(function)
    assert function.eqns


def test_reverse_mode_through_a_search() -> None:
    """JAX refuses `while_loop` in reverse mode; its forward mode is the reference."""
    f, args = PROGRAMS["optax_lbfgs_steps"]()
    with pytest.raises(ValueError, match="Reverse-mode"):
        jax.grad(f)(*args)
    assert_same(tr.jit(tr.grad(f))(*args), jax.jit(jax.jacfwd(f))(*args))
