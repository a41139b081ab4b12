"""`tr.profile`: times by region and line. What is checked does not depend on how fast the machine is."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tracer.errors import ArgumentError, ArgumentTypeError, ProfileError
from tracer.profiling.events import operations


def loss(w, x):
    x = tnp.tanh(x @ w)
    return tnp.sum(x @ w.T)


W, X = np.full((256, 256), 0.01, np.float32), np.ones((512, 256), np.float32)
LINE = loss.__code__.co_firstlineno


def _regions(profile):
    return {region.label.partition(":")[0]: region for region in profile.regions}


def test_products_are_measured_with_their_lines_and_rates():
    profile = tr.profile(tr.jit(tr.value_and_grad(loss)), calls=3)(W, X)
    found = [region for region in profile.regions if "dot_general" in region.label]
    assert found and profile.calls == 3
    assert sum(region.flops for region in found) >= 2 * 2 * 512 * 256 * 256
    assert {line.source.line for line in profile.lines} <= {LINE + 1, LINE + 2}
    assert profile.lines[0].seconds >= profile.lines[-1].seconds > 0
    assert profile.seconds > 0 and profile.busy > 0


def test_all_time_is_given_to_regions_and_lines():
    profile = tr.profile(loss)(W, X)
    assert sum(region.seconds for region in profile.regions) == pytest.approx(profile.busy)
    own = sum(region.seconds for region in profile.regions if region.sources)
    assert sum(line.seconds for line in profile.lines) == pytest.approx(own)
    assert own > 0.8 * profile.busy


def test_what_a_loop_holds_counts_once_for_each_trip():
    def f(w, x):
        return tr.scan(lambda c, _: (tnp.tanh(c @ w), None), x, None, length=7)[0]

    profile = tr.profile(f, calls=3)(W, X)
    product = next(r for r in profile.regions if "dot_general" in r.label)
    assert product.flops == 7 * 2 * 512 * 256 * 256
    assert product.launches >= 7


def test_how_often_a_while_loop_runs_is_not_known():
    def f(w, x):
        return tr.while_loop(lambda c: c[0, 0] < 3, lambda c: c + c @ w, x)

    profile = tr.profile(f, calls=3)(W, X)
    product = next(r for r in profile.regions if "dot_general" in r.label)
    assert product.flops == 0 and product.seconds > 0


def test_it_prints():
    profile = tr.profile(loss, calls=3)(W, X)
    text = str(profile)
    assert "x = tnp.tanh(x @ w)" in text and f"test_profile.py:{LINE + 1}" in text
    assert "<pre>" in profile._repr_html_()


def test_it_says_where_the_profiler_takes_most_of_the_time():
    """Kernels of a few numbers, thousands of them: recording one takes longer than running it."""

    def f(x):
        return tr.while_loop(lambda s: s[0] < 3000, lambda s: (s[0] + 1, tnp.sin(s[1])), (0, x))[1]

    profile = tr.profile(f, calls=3)(np.ones(2, np.float32))
    assert profile.watched > 0
    note = "The profiler made a call take"
    assert (note in str(profile)) == (profile.watched > 2 * profile.seconds)
    few = dataclasses.replace(profile, watched=1.1 * profile.seconds)
    assert note not in str(few)
    many = dataclasses.replace(profile, watched=9 * profile.seconds)
    assert note in str(many)


def test_another_profile_is_an_error_and_leaves_that_one_alone(tmp_path):
    with jax.profiler.trace(str(tmp_path)), pytest.raises(ProfileError, match="no other profile"):
        tr.profile(loss, calls=1)(W, X)
    assert list(tmp_path.rglob("*.xplane.pb"))
    tr.profile(loss, calls=1)(W, X)


def test_the_number_of_calls_must_be_positive():
    for calls in (0, 2.5):
        with pytest.raises(ArgumentError, match=f"at least 1, got {calls}"):
            tr.profile(loss, calls=calls)


def test_a_product_leads_what_it_is_fused_with():
    def f(x):
        y = x @ x
        z = tnp.tanh(y)
        return z.sum()

    profile = tr.profile(f, calls=3)(np.full((700, 700), 0.01, np.float32))
    assert profile.lines[0].source.line == f.__code__.co_firstlineno + 1
    assert next(r for r in profile.regions if r.seconds == profile.regions[0].seconds).flops >= 2 * 700**3


def größe(x):  # noqa: PLC2401 (that is what is tested)
    return tnp.sin(x) @ x


def test_names_that_are_not_ascii_are_found():
    profile = tr.profile(größe, calls=3)(np.ones((300, 300), np.float32))
    assert any(region.sources for region in profile.regions)
    assert profile.lines


def test_donated_arguments_outlive_it():
    x = tnp.ones((300, 300))
    profile = tr.profile(tr.jit(lambda x: x + 1, donate_argnums=0), calls=3)(x)
    assert profile.busy > 0
    np.testing.assert_array_equal(x + 0, np.ones((300, 300)))


def test_instructions_without_names_take_those_around_them():
    text = """HloModule jit_f, is_scheduled=true

%fused_computation (param_0: f32[2]) -> f32[2] {
  %param_0 = f32[2]{0} parameter(0)
  ROOT %exp.1 = f32[2]{0} exponential(%param_0), metadata={op_name="jit(f)/inner:a.py:1/exp"}
}

%other (param_0.1: f32[2]) -> f32[2] {
  %param_0.1 = f32[2]{0} parameter(0)
  ROOT %copy.9 = f32[2]{0} copy(%param_0.1)
}

ENTRY %main (x.1: f32[2]) -> (f32[2], f32[2]) {
  %x.1 = f32[2]{0} parameter(0), metadata={op_name="x"}
  %layout = f32[2]{0} fusion(%x.1), kind=kLoop, calls=%other
  %sin.2 = f32[2]{0} sine(%layout), metadata={op_name="jit(f)/outer:a.py:2/sin"}
  %fusion.3 = f32[2]{0} fusion(%x.1), kind=kLoop, calls=%fused_computation
  %copy.4 = f32[2]{0} copy(%fusion.3)
  ROOT %tuple.5 = (f32[2]{0}, f32[2]{0}) tuple(%copy.4, %sin.2)
}
"""
    module, found = operations(text)
    assert module == "jit_f"
    assert found["fusion.3"].op_names == ("jit(f)/inner:a.py:1/exp",)  # of what is inside
    assert found["layout"].op_names == ("jit(f)/outer:a.py:2/sin",)  # of what reads it
    assert found["copy.4"].op_names == ("jit(f)/inner:a.py:1/exp",)  # of what it reads
    assert (found["tuple.5"].opcode, found["tuple.5"].op_names) == ("tuple", ())


def test_types_are_no_arguments():
    with pytest.raises(
        ArgumentTypeError, match=r"profile: expected arrays.*ShapeDtypeStruct.*tr.explain takes"
    ):
        tr.profile(tnp.sin)({"x": jax.ShapeDtypeStruct((3,), np.float32)})
