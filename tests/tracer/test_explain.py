"""`explain`: one row a stage, the program at the end, for plain, jitted and differentiated functions."""

from __future__ import annotations

import io
from typing import Any

import jax
import numpy as np
from rich.console import Console

import ir
import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, clean, count_ops

V = array(4)


def loss(x: Any) -> Any:
    return (tnp.sin(x) * tnp.sin(x) + 0 * x).sum()


def test_report() -> None:
    report = tr.explain(loss)(V)
    assert report.name == "loss"
    assert report.stages[0].name == "trace"
    assert len(report.stages) >= 2
    assert report.function is report.stages[-1].function
    assert report.seconds > 0
    for stage in report.stages:
        ir.verify(stage.function)
        assert stage.flops > 0
        assert stage.bytes > 0
        assert stage.peak >= V.nbytes
    assert len(report.function.eqns) < len(report.stages[0].function.eqns)
    assert count_ops(report.function, "sin") == 1


def test_printing() -> None:
    report = tr.explain(loss)(V)
    text = str(report)
    for word in ("loss", "trace", "equations", "flops", "peak", "sin", "f32[4]"):
        assert word in text
    out = io.StringIO()
    report.print(Console(file=out, width=100))
    assert "sin" in out.getvalue()


def test_what_can_be_explained() -> None:
    for f in (loss, tr.jit(loss), tr.grad(loss), tr.jit(tr.grad(loss))):
        assert tr.explain(f)(V).stages
    assert tr.explain(tr.vmap(tr.grad(loss)))(array(3, 4)).stages
    static = tr.jit(lambda x, n: x * n, static_argnums=1)
    assert [str(t) for t in tr.explain(static)(V, 3).function.in_types] == ["f32[4]"]
    assert tr.explain(lambda x, *, k: x * k)(V, k=np.float32(2)).stages
    clean()


def test_passes_given_to_jit_are_those_explained() -> None:
    def nothing(function: ir.Function) -> ir.Function:
        """A pass."""
        return function

    report = tr.explain(tr.jit(loss, passes=[nothing]))(V)
    assert [s.name for s in report.stages] == ["trace", "nothing"]


def test_remarks_say_what_became_of_loops() -> None:
    def total(x: Any) -> Any:
        out = 0.0
        for i in range(x.shape[0]):
            out = out + tnp.sin(x[i])
        return out

    report = tr.explain(tr.jit(tr.grad(total)))(array(40))
    (remark,) = report.remarks
    assert "40 iterations of 4 equations became reduce_sum, 3 for all iterations at once" in remark.text
    assert remark.source.file == __file__
    assert remark.text in str(report)
    assert not tr.explain(tr.jit(tr.grad(total), opt=0))(array(40)).remarks

    def layers(weights: Any, x: Any) -> Any:
        for w in weights:
            x = tnp.tanh(x @ w)
        return x.sum()

    weights = [array(40, 40)] * 150
    found = tr.explain(tr.jit(tr.grad(layers)))(weights, array(40)).remarks
    assert found
    assert all("stay as they are: each has its own f32[40,40]" in remark.text for remark in found)


def test_the_program_of_xla_has_the_name_of_the_function() -> None:
    """The same text as that which calls compile, so that they share entries of the compilation cache."""
    from tracer.api.jit import jit

    def outer(x: Any) -> Any:
        return jax.jit(tr.grad(loss))(x)

    for f, name in (
        (loss, "loss"),
        (tr.jit(loss), "loss"),
        (jax.jit(tr.grad(loss)), "loss"),
        (outer, "outer"),
    ):
        compiled = f if hasattr(f, "staged") else jit(f)
        staged = compiled.staged(V)
        function = staged.traced
        for _, each in staged.passes:
            function = each(function)
        text = staged.emission(function).lower(V).as_text()
        assert f"module @jit_{name} " in text
        assert text == compiled.lower(V).as_text()
