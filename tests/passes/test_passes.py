"""What golden files do not show: identity, bounds, sources, nesting, and that XLA computes what is folded."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest

import ir
from ir.core import Dense, Eqn, Function, Opaque, Value
from ir.errors import ArgumentError
from ir.op import Op, build
from ir.ops.calls import call, custom_jvp_call
from ir.ops.checkpoint import checkpoint
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add, exp, mul, neg, sin
from ir.ops.shape import broadcast_in_dim, constant, full, full_like, iota
from ir.passes import fold as folding
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.fold import fold, fold_exact
from ir.passes.inlining import inline_calls
from ir.passes.nested import deep
from ir.passes.pipeline import DEFAULT, optimize, pipeline, simplify_inner
from ir.source import MAX_OTHERS, UNKNOWN, Source, merge
from ir.types import TensorType, f32, i32
from lowering.emit import emit
from tests.ops.harness import BY_NAME, case
from tests.ops.sample import Draw, Sample
from tests.ops.samples import SAMPLES
from tests.passes.theorems import difference

F = TensorType((2,), f32)


def ops(function: Function) -> list[str]:
    return [eqn.op.name for eqn in function.eqns]


# Pipeline -----------------------------------------------------------------------------------------


def test_levels_of_the_pipeline() -> None:
    names = lambda passes: [each.__name__ for each in passes]
    assert names(pipeline(0)) == ["inline_calls"]
    assert names(pipeline()) == [
        "inline_calls", "roll", "dce", "cse", "tabulate_powers", "fold", "sink_constants", "fold", "simplify", "cse",
        "simplify_scans", "compute_parts", "multiply_blocks", "add_masked", "choose_rows", "solve_products",
        "reorder_products", "without_inverses", "share_adjoints", "multiply_panels", "solve_structured",
        "read_determinants", "share_factors", "simplify", "cse", "compute_again", "block", "skip_masked", "simplify",
        "cse", "sink_slices", "dce",
    ]  # fmt: skip
    assert [n for n in names(pipeline(exact=True)) if "exact" in n] == [
        "roll_exact",
        "fold_exact",
        "fold_exact",
        "simplify_exact",
    ]
    assert names(pipeline(fast_math=True))[7:9] == ["fold", "simplify_fast"]
    assert pipeline() == DEFAULT
    with pytest.raises(ArgumentError, match="exact=True and fast_math=True"):
        pipeline(exact=True, fast_math=True)


def test_given_passes_replace_the_default() -> None:
    function = build([F], lambda x: neg(neg(x)))
    assert optimize(function, ()) is function
    assert optimize(function).eqns == ()


def test_nothing_to_do_gives_the_same_object() -> None:
    body = build([F], sin)
    function = build([F], lambda x: checkpoint(mul(x, x), function=body, barrier=True))
    for each in (*DEFAULT, *pipeline(exact=True), *pipeline(fast_math=True), simplify_inner):
        assert each(function) is function, each.__name__


def test_custom_rules_stay_until_the_end() -> None:
    rule = Opaque("rule", object())
    body = build([F], lambda x: neg(neg(x)), name="body")
    function = build([F], lambda x: custom_jvp_call(mul(x, full_like(x, 1)), function=body, jvp=rule))
    inner = simplify_inner(function)
    (eqn,) = inner.eqns
    assert eqn.op is custom_jvp_call
    assert eqn.attrs["jvp"] is rule
    assert eqn.attrs["function"].eqns == ()
    assert optimize(function).eqns == ()


# Nesting ------------------------------------------------------------------------------------------


def test_functions_that_equations_share_are_changed_once() -> None:
    seen: list[str] = []

    @deep
    def spy(function: Function) -> Function:
        seen.append(function.name)
        return function

    body = build([F], sin, name="body")
    middle = build([F], lambda x: call(call(x, function=body), function=body), name="middle")
    outer = build([F], lambda x: call(call(x, function=middle), function=body), name="outer")
    assert spy(outer) is outer
    assert seen == ["body", "middle", "outer"]


def test_deep_nesting_needs_no_deep_stack() -> None:
    function = build([F], lambda x: neg(neg(x)))
    for _ in range(3000):
        function = Function(
            params := (Value(F),), (Eqn(call, params, {"function": function}, result := (Value(F),)),), result
        )
    assert ops(inline_calls(function)) == ["neg", "neg"]
    assert simplify_inner(function) is not function


# dce, cse -----------------------------------------------------------------------------------------


def _effectful() -> Op:
    return Op(
        name="report", attrs={}, type_rule=lambda x: x, eval=lambda x: x, jvp=None, transpose=None,
        batch=None, flops=lambda operands, results: 0, effect=True,
    )  # fmt: skip


def test_effects_are_neither_removed_nor_merged() -> None:
    report = _effectful()
    function = build([F], lambda x: (report(x), report(x), neg(neg(x)))[2])
    for each in (dce, cse, fold, optimize):
        assert ops(each(function)).count("report") == 2


def test_merged_equations_remember_a_bounded_number_of_sources() -> None:
    function = build([F], lambda x: [sin(x) for _ in range(100)])
    eqns = tuple(
        Eqn(e.op, e.operands, e.attrs, e.results, Source.at("user.py", i + 1))
        for i, e in enumerate(function.eqns)
    )
    (kept,) = cse(function.replace(eqns=eqns)).eqns
    assert [s.line for s in kept.source.all()] == list(range(1, 2 + MAX_OTHERS))


def test_merging_sources() -> None:
    a, b, c = (Source.at("user.py", n) for n in (1, 2, 3))
    assert merge(a, a) is a
    assert merge(a, UNKNOWN) is a
    assert merge(UNKNOWN, a) is a
    ab = merge(a, b)
    assert ab.all() == (ab, b)
    assert merge(ab, b) is ab
    assert merge(ab, merge(b, a)) is ab
    assert [s.line for s in merge(ab, merge(b, c)).all()] == [1, 2, 3]


# Folding ------------------------------------------------------------------------------------------


def test_no_large_constant_is_made() -> None:
    def body() -> Value:
        row = constant(value=Dense(np.arange(100, dtype=np.float32)), shape=(100,))
        return broadcast_in_dim(neg(row), shape=(100, 100), dims=(1,))

    folded = fold(build([], body))
    assert ops(folded) == ["constant", "constant", "broadcast_in_dim"]
    sizes = [e.attrs["value"].array.nbytes for e in folded.eqns if e.op is constant]
    assert max(sizes) <= folding.MAX_BYTES


def test_numbers_are_folded_at_any_size() -> None:
    def body() -> Value:
        return exp(add(full((10**6, 10**6), 1.5, f32), full((10**6, 10**6), 2.0, f32)))

    *_, last = fold(build([], body)).eqns
    assert last.attrs["value"].shape == ()
    assert last.attrs["value"].item() == np.exp(np.float32(3.5))


def test_what_has_no_operands_or_holds_functions_is_not_folded() -> None:
    body = build([F], neg)
    function = build(
        [],
        lambda: (
            iota(shape=(3,), dtype=i32, axis=0),
            checkpoint(full((2,), 1.0, f32), function=body, barrier=False),
        ),
    )
    assert fold(function) is function


def test_a_product_of_tables_is_folded() -> None:
    def body() -> Value:
        a = constant(value=Dense(np.eye(2, dtype=np.float32)), shape=(2, 2))
        return dot_general(a, a, lhs_contract=(1,), rhs_contract=(0,))

    function = build([], body)
    assert ops(fold(function)) == ["constant", "constant"]
    assert fold_exact(function) is function


@pytest.mark.parametrize("number", [1e-40, -1e-42])
def test_subnormal_numbers_are_not_folded_exactly(number: float) -> None:
    function = build([], lambda: add(full((), number, f32), full((), 0.0, f32)))
    assert fold_exact(function) is function
    assert fold(function) is not function


def test_names_of_exact_ops_exist() -> None:
    known = ir.all_ops()
    named = folding._EXACT | folding._EXACT_INTEGERS | folding._ROUNDED_COMPLEX | folding._NEVER
    assert named <= set(known)


@pytest.mark.parametrize("name", BY_NAME)
def test_folding_is_evaluation(name: str) -> None:
    """Bit for bit, for every op, special values included."""
    sample = BY_NAME[name]
    at = case(name, sample.dtypes[-1])
    for arrays in [at.operands, *at.special][:3]:
        types = at.function_at(arrays).in_types

        def body(types: Any = types, arrays: Any = arrays) -> Any:
            operands = [
                constant(value=Dense(np.asarray(array, t.dtype.np), t.dtype), shape=t.shape)
                for array, t in zip(arrays, types, strict=True)
            ]
            return at.op(*operands, **sample.attrs)

        function = build([], body)
        for each in (fold, fold_exact):
            folded = each(function)
            ir.verify(folded)
            for old, new in zip(ir.evaluate(function), ir.evaluate(folded), strict=True):
                assert difference(old, new) is None, sample.name


_EXACT_SAMPLES = [s for s in SAMPLES if s.op in folding._EXACT | folding._EXACT_INTEGERS]


@pytest.mark.parametrize("sample", _EXACT_SAMPLES, ids=lambda sample: sample.name)
def test_exact_folding_is_what_xla_computes(sample: Sample) -> None:
    """Bit for bit, special values included."""
    for dtype in set(sample.dtypes) & {"f32", "f64", "bf16", "i32", "u8", "bool", "c64"}:
        draw = Draw(dtype)
        tries = [sample.operands(draw), *(sample.special(draw) if sample.special else [])]
        for arrays in tries[:3]:
            given = [np.asarray(array) for array in arrays]
            types = [TensorType(array.shape, ir.from_numpy(array.dtype)) for array in given]
            function = build(types, functools.partial(ir.op_named(sample.op), **sample.attrs))
            if not folding._is_exact(function.eqns[-1]):
                continue
            with jax.enable_x64(True):
                computed = jax.jit(functools.partial(emit, function))(given)
            for xla, numpy in zip(computed, ir.evaluate(function, *given), strict=True):
                if not folding._has_subnormal(numpy, function.out_types[0]):
                    wrong = difference(np.asarray(xla), numpy)
                    assert wrong is None, f"{sample.name}, {dtype}: XLA's {wrong}, at {given}"
