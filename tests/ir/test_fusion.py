"""Which values are fused, what they cost, and what is held: on programs whose answer is plain."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ir
from ir import cost
from ir.collector import without_collection
from ir.core import Eqn
from ir.fusion import fusion
from ir.machine import CPU, Machine
from ir.ops.cond import cond
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add, exp, mul, neg, sin, tanh
from ir.ops.loops import scan
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, full, reshape
from ir.profile import profile
from ir.timeline import timeline
from ir.types import f32, i32

N = 64
V = ir.TensorType((N,), f32)
M = ir.TensorType((N, N), f32)
VECTOR, MATRIX = V.nbytes, M.nbytes


def dot(x: Any, y: Any) -> Any:
    return dot_general(x, y, lhs_contract=(1,), rhs_contract=(0,))


def fused_ops(function: ir.Function) -> list[str]:
    made = fusion(function)
    return [eqn.op.name for eqn in function.eqns if any(v in made.fused for v in eqn.results)]


def test_elementwise_chains_are_one_kernel() -> None:
    function = ir.build([V], lambda x: reduce_sum(mul(tanh(x), x), axes=(0,)))
    assert fused_ops(function) == ["tanh", "mul"]
    (kernel,) = fusion(function).kernels
    assert kernel.reads == {function.params[0]}
    assert timeline(function).peak == 0


def test_products_have_memory_and_so_has_what_they_read() -> None:
    function = ir.build([M], lambda x: tanh(dot(sin(x), x)))
    assert fused_ops(function) == []
    line = timeline(function)
    # sin is held in the memory of the result; beside it there is the product, whose place tanh does not take.
    assert line.temporary == (0, MATRIX, MATRIX)
    assert line.total == 2 * MATRIX


def test_reductions_by_a_library_compute_what_it_knows_and_once() -> None:
    unknown = ir.build([M], lambda x: reduce_sum(mul(sin(x), x), axes=(0,)))
    assert fused_ops(unknown) == ["mul"]

    def twice(x: Any) -> Any:
        y = neg(x)
        return reduce_sum(y, axes=(0,)), dot(y, x)

    assert fused_ops(ir.build([M], twice)) == []


def test_what_is_costly_is_not_computed_twice_and_what_is_cheap_is() -> None:
    def two(x: Any, f: Any) -> Any:
        y = f(x)
        return dot(add(y, x), x), dot(mul(y, y), x)

    costly = ir.build([M], lambda x: two(x, exp))
    cheap = ir.build([M], lambda x: two(x, neg))
    assert "exp" not in fused_ops(costly)
    assert "neg" in fused_ops(cheap)


def test_what_a_broadcast_repeats_is_kept() -> None:
    def repeated(f: Any) -> Any:
        return lambda x: dot(broadcast_in_dim(f(x), shape=(N, N), dims=(0,)), full((N, N), 1.0, f32))

    assert fused_ops(ir.build([V], repeated(exp)))[:1] != ["exp"]
    assert "neg" in fused_ops(ir.build([V], repeated(neg)))


def test_reshapes_are_the_same_memory() -> None:
    function = ir.build([M], lambda x: dot(reshape(dot(x, x), shape=(N, N)), x))
    made = fusion(function)
    first, second, _ = function.eqns
    assert made.root(second.results[0]) is first.results[0]
    assert timeline(function).peak == MATRIX


def test_a_result_takes_the_place_of_an_operand() -> None:
    # The product dies where tanh is written; both are never held at once, nor is the place of the result.
    function = ir.build([M], lambda x: dot(tanh(dot(x, x)), x))
    assert timeline(function).peak == MATRIX


def test_loops_hold_their_body_and_what_they_stack() -> None:
    body = ir.build([V, V], lambda c, x: (add(c, x), mul(c, x)))
    length = 10
    xs = ir.TensorType((length, N), f32)

    def program(xs: Any) -> Any:
        zero = full((N,), 0.0, f32)
        c, ys = scan(zero, xs, function=body, num_consts=0, num_carry=1, length=length)
        return reduce_sum(c, axes=(0,)), reduce_sum(ys, axes=(0, 1))

    function = ir.build([xs], program)
    line = timeline(function)
    assert length * VECTOR <= line.peak <= length * VECTOR + 3 * VECTOR
    # They are stacked in the place of the zeros that were there before.
    assert [held.eqn.op.name for held in line.held if held.bytes == length * VECTOR] == ["scan"]
    twice = ir.build([xs], lambda xs: (*program(xs), *program(mul(xs, xs))))
    assert "zeros" in {held.what for held in timeline(twice).held}


def test_branches_hold_what_the_largest_does() -> None:
    small = ir.build([M], lambda x: dot(x, x))
    large = ir.build([M], lambda x: dot(dot(sin(x), exp(x)), x))

    def program(p: Any, x: Any) -> Any:
        return cond(p, x, branches=(small, large))

    function = ir.build([ir.TensorType((), i32), M], program)
    alone = timeline(large).peak
    assert alone >= 2 * MATRIX
    assert timeline(function).peak >= alone
    assert {held.what for held in timeline(function).held} >= {"within"}


def test_profile_agrees_with_the_cost_model() -> None:
    body = ir.build([M, V], lambda m, c: dot_general(m, tanh(c), lhs_contract=(1,), rhs_contract=(0,)))
    inner = ir.build([M, V], lambda m, c: scan(m, c, function=body, num_consts=1, num_carry=1, length=7))

    function = ir.build(
        [M, V], lambda m, c: sin(scan(m, c, function=body, num_consts=1, num_carry=1, length=11))
    )
    costs = profile(function, CPU)
    assert sum(each.flops for each in costs) == cost.flops(function)
    by_op = {each.eqn.op.name: each for each in costs}
    assert by_op["dot_general"].times == 11
    assert by_op["dot_general"].bytes == 11 * (MATRIX + 2 * VECTOR)
    assert by_op["scan"].flops == 0
    nested = ir.build([M, V], lambda m, c: scan(m, c, function=inner, num_consts=1, num_carry=1, length=5))
    assert {e.times for e in profile(nested, CPU) if e.eqn.op.name == "tanh"} == {35}
    assert sum(each.flops for each in profile(nested, CPU)) == cost.flops(nested)


def test_roofline() -> None:
    machine = Machine(flops=1e9, bandwidth=1e9, launch=0.0)
    function = ir.build([M], lambda x: dot(x, x))
    (each,) = profile(function, machine)
    assert each.flops == pytest.approx(2 * N**3, rel=0.02)
    assert each.bytes == 2 * MATRIX  # x is read once, however often it is an operand
    assert each.seconds == pytest.approx(max(each.flops, each.bytes) / 1e9)
    assert each.bound == "compute"
    (move,) = profile(ir.build([M], neg), machine)
    assert (move.bound, move.bytes) == ("memory", 2 * MATRIX)
    (wait,) = profile(ir.build([M], neg), Machine(flops=1e15, bandwidth=1e15, launch=1.0))
    assert wait.bound == "launch"


def test_a_loop_of_one_kernel_is_launched_once() -> None:
    machine = Machine(flops=1e15, bandwidth=1e15, launch=1.0)
    body = ir.build([V], lambda c: neg(tanh(c)))
    inner = ir.build([V], lambda c: scan(c, function=body, num_consts=0, num_carry=1, length=7))
    both = ir.build([V], lambda c: sin(scan(c, function=inner, num_consts=0, num_carry=1, length=5)))

    def seconds(one_kernel: Callable[[Eqn], bool]) -> int:
        return round(sum([each.seconds for each in profile(both, machine, one_kernel)]))

    assert seconds(lambda eqn: False) == 5 * 7 + 1
    assert seconds(lambda eqn: eqn.op is scan) == 1 + 1
    assert seconds(lambda eqn: eqn.attrs.get("function") is body) == 5 + 1


@pytest.mark.slow
def test_time_is_near_linear() -> None:
    rng = np.random.default_rng(0)

    def program(length: int) -> ir.Function:
        def body(x: Any) -> Any:
            values = [x]
            for i in range(length):
                a, b = rng.integers(max(0, i - 20), i + 1, 2)
                op = (lambda p, q: tanh(add(p, q)), mul, lambda p, q: dot(p, q))[int(rng.integers(3))]
                values.append(op(values[a], values[b]))
            return tuple(values[-40:])

        return ir.build([M], body)

    def seconds(function: ir.Function) -> float:
        with without_collection():
            begin = time.perf_counter()
            timeline(function)
            profile(function, CPU)
            return time.perf_counter() - begin

    program(100)
    short, long = (min(seconds(program(n)) for _ in range(3)) for n in (1_500, 12_000))
    assert long < 8 * 4 * short
