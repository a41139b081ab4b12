"""Regions: every equation in one, no cycles, and names that say where it comes from and what it does."""

from __future__ import annotations

from hypothesis import given

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.contents import is_number
from ir.passes.grouping import group_regions
from ir.regions import regions
from tests.ir.generate import functions


def _f32(*shape: int) -> tr.numpy.ndarray:
    return tnp.zeros(shape, "float32")


@given(functions(max_eqns=25))
def test_every_equation_is_in_one_region_and_regions_have_an_order(function):
    found = regions(function)
    inside = [eqn for region in found for eqn in region.eqns]
    assert len(inside) == len(set(inside))
    assert set(inside) == {eqn for eqn in function.eqns if not is_number(eqn)}
    # `verify` finds a region that reads what comes later, so this shows that they have an order.
    ir.verify(group_regions(function))


@given(functions(max_eqns=25))
def test_grouped_functions_print_and_parse_back(function):
    grouped = group_regions(function)
    assert ir.parse(str(grouped)) == grouped


def test_the_operands_and_results_of_a_region_are_what_it_shares_with_the_rest():
    def f(x, w):
        a = tnp.exp(x)
        b = a * 2.0
        return tnp.sum(b @ w), a

    function = tr.trace(f)(_f32(3, 4), _f32(4, 5))
    first, product, _ = regions(function)
    assert first.operands[0] is function.params[0]
    assert function.results[1] in first.results and product.operands[0] in first.results
    assert (product.flops, product.nbytes) == (2 * 3 * 4 * 5, 4 * (12 + 20 + 15))
    assert first.nbytes == 4 * 12 * 3  # x in; a and b out


def softmax(x):
    e = tnp.exp(x - tnp.max(x, axis=-1, keepdims=True))
    return e / tnp.sum(e, axis=-1, keepdims=True)


class Layer:
    def __call__(self, x, w):
        return tnp.tanh(x @ w)


def test_names_say_function_and_ops_and_labels_the_line():
    function = tr.jit(lambda x, w: softmax(Layer()(x, w))).ir(_f32(4, 4), _f32(4, 4))
    names = [region.name for region in regions(function)]
    assert names == ["Layer_dot_general", "softmax_tanh_reduce_max_exp"]
    line = Layer.__call__.__code__.co_firstlineno + 1
    assert regions(function)[0].label == f"Layer_dot_general:test_regions.py:{line}"
    assert {each.line for each in regions(function)[1].sources} >= {line, line - 6, line - 5}


def test_lambdas_give_no_name_and_unknown_lines_none():
    x = ir.Value(ir.TensorType((3,), ir.dtype_named("f32")))
    function = ir.parse("def f(x: f32[3]) -> (f32[3]):\n  y: f32[3] = sin(x)\n  return y")
    assert [region.label for region in regions(function)] == ["f_sin:<text>:2"]
    y = ir.Value(x.type)
    bare = ir.Function((x,), (ir.Eqn(function.eqns[0].op, (x,), {}, (y,)),), (y,))
    assert [region.label for region in regions(bare)] == ["sin"]
    assert regions(ir.Function((x,), (), (x,))) == ()
    function = tr.trace(lambda x: tnp.sin(x))(_f32(3))
    assert regions(function)[0].name.endswith("_sin") and "<" not in regions(function)[0].name


def test_leaves_of_an_optimiser_stay_apart_although_a_number_is_common():
    def step(leaves, count):
        scale = 1.0 / (1.0 - 0.9**count)
        return [x - 0.1 * scale * tnp.sqrt(x) for x in leaves]

    function = tr.jit(step).ir([_f32(n + 2) for n in range(5)], tnp.float32(3))
    assert sum("sqrt" in region.name for region in regions(function)) == 5


def test_long_programs_need_no_recursion():
    def f(x):
        for _ in range(20_000):
            x = tnp.sin(x)
        return x

    function = tr.trace(f)(1.0)
    (region,) = regions(function)
    assert len(region.eqns) == 20_000
    assert group_regions(function) is function  # all of it is one
