"""The names of regions in XLA's metadata, and that they change nothing else."""

from __future__ import annotations

import re
from collections import Counter

import jax
import numpy as np
import pytest

import lowering.emit
import tracer as tr
import tracer.numpy as tnp


def norm(x):
    return (x - tnp.mean(x)) / tnp.sqrt(tnp.var(x) + 1e-5)


def mlp(w, x):
    for layer in w:
        x = tnp.tanh(norm(x) @ layer)
    return tnp.sum(x * x)


def rnn(w, xs):
    def cell(h, x):
        h = tnp.tanh(h @ w + x)
        return h, h

    return tnp.sum(tr.scan(cell, xs[0], xs)[1])


def newton(w, x):
    return tnp.sum(
        tr.while_loop(lambda y: tnp.max(abs(y * y - 2)) > 1e-3, lambda y: 0.5 * (y + 2 / y), x @ w)
    )


ARGS = np.full((3, 4, 4), 0.1, np.float32), np.ones((5, 4), np.float32)
PROGRAMS = {
    "mlp": (mlp, ARGS),
    "rnn": (rnn, (ARGS[0][0], np.ones((5, 2, 4), np.float32))),
    "newton": (newton, (ARGS[0][0], ARGS[1])),
}


def _compiled(f, args) -> str:
    return tr.jit(tr.value_and_grad(f)).lower(*args).compile().as_text()


def test_products_and_clusters_are_named_after_function_and_line():
    text = _compiled(mlp, ARGS)
    line = mlp.__code__.co_firstlineno + 2
    scopes = re.findall(r'op_name="([^"]*)"', text)
    assert any(f"mlp_dot_general:test_region_names.py:{line}" in scope for scope in scopes)
    assert any(re.search(r"/norm_\w*sqrt\w*:test_region_names.py:\d+", scope) for scope in scopes)


def test_bodies_of_loops_are_named_inside_the_loop():
    text = _compiled(rnn, PROGRAMS["rnn"][1])
    assert re.search(r'op_name="[^"]*rnn_scan:[^"]*/while/body/[^"]*cell_dot_general:', text)


def test_a_function_of_jax_is_named_after_its_own_lines():
    def loss(x):
        return jax.numpy.sum(jax.numpy.exp(x) @ x)

    text = tr.jit(loss).lower(ARGS[0][0]).compile().as_text()
    assert f"loss_dot_general:test_region_names.py:{loss.__code__.co_firstlineno + 1}" in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_names_change_nothing_that_xla_compiles(name, monkeypatch):
    def instructions(text: str) -> Counter[tuple[str, str]]:
        found = re.findall(r"^\s*(?:ROOT )?%?[\w.\-]+ = (\S+) ([\w\-]+)\(", text, re.MULTILINE)
        return Counter(found)

    f, args = PROGRAMS[name]
    named = instructions(_compiled(f, args))
    monkeypatch.setattr(lowering.emit, "labels", lambda function: {})
    assert instructions(_compiled(f, args)) == named
    assert len(named) > 5
