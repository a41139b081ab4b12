"""Costs of small programs, counted by hand; and that nested programs cost what their bodies do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ir
from ir.core import Eqn, Function, Value, nested_functions
from ir.machine import CPU
from ir.ops.calls import call
from ir.ops.checkpoint import checkpoint
from ir.ops.convolution import conv_general
from ir.ops.elementwise import add, mul, sin
from ir.ops.linear_solve import linear_solve
from ir.ops.reduce import reduce_sum
from ir.ops.shape import full, iota
from ir.passes.inlining import inline_calls
from ir.profile import profile
from ir.timeline import timeline
from ir.types import TensorType, f32
from tests.ir.generate import functions

VECTOR = TensorType((100,), f32)  # 400 bytes


def chain(x):
    y = mul(x, x)
    z = sin(y)
    return add(z, y)


def test_flops_and_bytes():
    function = ir.build([VECTOR], chain)
    assert ir.flops(function) == 100 + 1000 + 100
    assert ir.bytes_accessed(function) == (400 + 400) + (400 + 400) + (800 + 400)


def test_counts_and_constants_cost_no_operations():
    function = ir.build([], lambda: add(iota(shape=(4, 3), dtype=f32, axis=0), full((4, 3), 2, f32)))
    assert ir.flops(function) == 12


def test_cost_of_an_equation():
    function = ir.build([VECTOR], lambda x: mul(x, x))
    cost = ir.eqn_cost(function.eqns[0])
    assert (cost.flops, cost.bytes_accessed) == (100, 800)
    assert (cost.operand_bytes, cost.result_bytes, cost.temporary_bytes) == (400, 400, 0)


def test_live_memory():
    def body(x):
        a = mul(x, x)
        b = sin(a)
        c = add(a, b)  # x, a, b and c are live here
        d = reduce_sum(c, axes=(0,))  # x, c and d
        return d

    function = ir.build([VECTOR], body)
    peak = ir.live_memory(function)
    assert peak.bytes == 1600
    assert peak.position == 2
    assert peak.eqn is function.eqns[2]
    assert peak.live == (function.params[0], *[r for e in function.eqns[:3] for r in e.results])
    assert peak.temporary_bytes == 0


def test_params_and_results_stay_live():
    def body(x, unused):
        first = sin(x)
        second = sin(x)
        third = sin(second)
        return first, third

    peak = ir.live_memory(ir.build([VECTOR, VECTOR], body))
    # At the last equation: both params, the first result, its operand and its result.
    assert (peak.bytes, peak.position) == (2000, 2)


def test_unused_results_die_at_once():
    def body(x):
        for _ in range(5):
            sin(x)
        return x

    assert ir.live_memory(ir.build([VECTOR], body)).bytes == 800


def test_function_without_equations():
    function = ir.build([VECTOR], lambda x: (x, x))
    peak = ir.live_memory(function)
    assert (peak.bytes, peak.position, peak.eqn, peak.live) == (400, None, None, function.params)
    assert ir.flops(function) == ir.bytes_accessed(function) == 0
    assert ir.summary(function).result_bytes == 400


def test_call_costs_what_its_body_does():
    inner = ir.build([VECTOR], chain, "inner")
    plain = ir.build([VECTOR], lambda x: chain(chain(x)))
    nested = ir.build([VECTOR], lambda x: call(call(x, function=inner), function=inner))
    assert ir.flops(nested) == ir.flops(plain)
    assert ir.bytes_accessed(nested) == ir.bytes_accessed(plain)
    # Within a call: x, y, z and the result are live, of which y and z are its own.
    assert ir.eqn_cost(nested.eqns[0]).temporary_bytes == 800
    # At the second call: x, the first result, the second result, and two of its own.
    peak = ir.live_memory(nested)
    assert (peak.bytes, peak.position, peak.temporary_bytes) == (2000, 1, 800)
    # Inline, the first result is no longer needed at the end.
    assert ir.live_memory(plain).bytes == 1600


def test_checkpoint_also_crosses_its_boundary():
    inner = ir.build([VECTOR], chain, "inner")
    function = ir.build([VECTOR], lambda x: checkpoint(x, function=inner, barrier=True))
    assert ir.bytes_accessed(function) == ir.bytes_accessed(inner) + 800


@pytest.mark.parametrize(("attrs", "times"), [({"length": 7}, 7), ({"length": None}, 1), ({}, 1)])
def test_bytes_are_counted_for_each_trip_and_the_greatest_branch(attrs, times):
    op = ir.Op("loop", {}, lambda *_: (), None, None, None, None, lambda *_, **__: 0)
    small = ir.build([VECTOR], sin)
    large = ir.build([VECTOR], chain)
    eqn = Eqn(op, (), {"branches": (small, large), **attrs}, ())
    assert ir.eqn_cost(eqn).bytes_accessed == times * ir.bytes_accessed(large)


def test_linear_in_shared_functions_and_safe_for_deep_ones():
    function = ir.build([VECTOR], sin)
    for _ in range(60):
        inner = function
        function = ir.build([VECTOR], lambda x, inner=inner: call(call(x, function=inner), function=inner))
    assert ir.flops(function) == 1000 * 2**60
    assert ir.bytes_accessed(function) == 800 * 2**60
    for _ in range(3000):
        inner = function
        function = ir.build([VECTOR], lambda x, inner=inner: call(x, function=inner))
    assert ir.flops(function) == 1000 * 2**60
    assert ir.live_memory(function).bytes == 800 + 400 * 60
    assert ir.summary(function).equations == 1 + 2 * 60 + 3000


def test_summary_is_a_table():
    assert str(ir.summary(ir.build([VECTOR], chain, "chain"))).splitlines() == [
        "chain",
        "  equations            3",
        "  flops                1,200",
        "  bytes accessed       2,800",
        "  params               400 bytes",
        "  results              400 bytes",
        "  peak of live values  1,600 bytes (at equation 2, add)",
        "  ops                  add 1, mul 1, sin 1",
    ]


def brute_force_peak(function):
    """The same by definition, in quadratic time, for a function that holds no others."""
    peak = sum(p.type.nbytes for p in function.params)
    for i, eqn in enumerate(function.eqns):
        live = {*function.params, *eqn.results}
        later: set[Value] = {v for e in function.eqns[i:] for v in e.operands} | set(function.results)
        live |= {r for e in function.eqns[:i] for r in e.results if r in later}
        peak = max(peak, sum(v.type.nbytes for v in live))
    return peak


@given(functions(depth=0))
def test_peak_by_definition(function):
    peak = ir.live_memory(function)
    assert peak.bytes == brute_force_peak(function)
    assert peak.bytes == sum(v.type.nbytes for v in peak.live)
    assert len(set(peak.live)) == len(peak.live)


@given(functions())
def test_costs_of_random_functions_add_up(function):
    costs = [ir.eqn_cost(eqn) for eqn in function.eqns]
    assert ir.flops(function) == sum(c.flops for c in costs)
    assert ir.bytes_accessed(function) == sum(c.bytes_accessed for c in costs)
    if not any(nested_functions(eqn) for eqn in function.eqns):
        assert all(c.temporary_bytes == 0 for c in costs)
    assert str(ir.summary(function))


@given(functions())
def test_inlining_calls_adds_no_cost(function):
    flat: Function = inline_calls(function)
    assert ir.flops(flat) == ir.flops(function)
    # Less where a body returns a value twice: an operand used twice in an equation is read once.
    assert ir.bytes_accessed(flat) <= ir.bytes_accessed(function)


@given(functions())
def test_live_bytes_by_definition(function):
    expected = []
    for i in range(len(function.eqns)):
        later: set[Value] = {v for e in function.eqns[i + 1 :] for v in e.operands} | set(function.results)
        made = [r for e in function.eqns[: i + 1] for r in e.results]
        expected.append(sum(v.type.nbytes for v in {*function.params, *[r for r in made if r in later]}))
    assert ir.cost.live_bytes(function) == tuple(expected)


@given(data=st.data())
def test_convolutions_count_products_of_elements(data):
    """Counted one by one: what meets padding, or a gap of a dilated operand, is no operation."""
    number = data.draw
    size, taps, stride = (number(st.integers(1, n)) for n in (6, 4, 3))
    base, step = (number(st.integers(1, 3)) for _ in range(2))
    width, window = (size - 1) * base + 1, (taps - 1) * step + 1
    low = number(st.integers(-1 if width > 1 else 0, 3))
    high = max(window - width - low, 0) + number(st.integers(0, 4))
    outs = (width + low + high - window) // stride + 1
    spec = (0, 1, 2)
    function = ir.build(
        [TensorType((2, 3, size), f32), TensorType((5, 3, taps), f32)],
        lambda x, k: conv_general(
            x, k, window_strides=(stride,), padding=((low, high),), lhs_dilation=(base,), rhs_dilation=(step,),
            lhs_spec=spec, rhs_spec=spec, out_spec=spec,
        ),
    )  # fmt: skip
    met = [o * stride + k * step - low for o in range(outs) for k in range(taps)]
    counted = sum(at % base == 0 and 0 <= at // base < size for at in met)
    assert ir.flops(function) == 2 * 2 * 5 * 3 * counted


def test_functions_that_say_what_derivatives_are_cost_nothing():
    def system(work):
        square = TensorType((8, 8), f32)
        rows = ir.build([square, square], lambda a, b: mul(a, b), "product")
        costly = ir.build([square, square], lambda a, b: mul(*[sin(add(a, b))] * 2), "costly")
        functions = (
            {"matvec": costly, "vecmat": costly, "transpose_solve": costly} if work else {"matvec": rows}
        )
        return ir.build([square, square], lambda a, b: linear_solve(a, b, solve=rows, **functions))

    plain, rich = system(work=False), system(work=True)
    assert ir.cost.flops(plain) == ir.cost.flops(rich)
    assert ir.cost.bytes_accessed(plain) == ir.cost.bytes_accessed(rich)
    assert ir.cost.live_memory(plain).bytes == ir.cost.live_memory(rich).bytes
    assert sum(e.seconds for e in profile(plain, CPU)) == sum(e.seconds for e in profile(rich, CPU))
    assert timeline(plain).peak == timeline(rich).peak
