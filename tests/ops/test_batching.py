"""Batching of every op against a Python loop, for every subset of its operands; of its gradient too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import ir
from ir import transforms
from lowering.emit import emit
from tests.ops.harness import (
    BY_NAME,
    Arrays,
    Case,
    as_tuple,
    case,
    compiled,
    direction,
    disagreement,
    inexact,
    mask,
    primary,
    subsets,
    verified,
)
from tests.ops.refusals import differentiable_operands, kind, refusal

ALL = [pytest.param(name, primary(name), id=f"{name}-{primary(name)}") for name in BY_NAME]
OTHERS = [
    pytest.param(name, dtype, id=f"{name}-{dtype}")
    for name, sample in BY_NAME.items()
    for dtype in sample.dtypes[:1]
    if dtype != primary(name)
]
RTOL = {"f64": 1e-11, "c128": 1e-11, "f32": 1e-5, "c64": 1e-5, "f16": 2e-3, "bf16": 2e-2}

# Whose batch is not a loop, and why.
NOT_A_LOOP = {"rng_bit_generator": "the bits of the whole batch come from its first key, as in JAX"}
# Whose results are not all defined, so that batches of loops are tested instead (tests/tracer/test_while.py).
UNDEFINED_IN_PART = {
    "while_record": "slots that a lane has no trips for hold what the longest lane left there"
}


# What there is a batch of.
NAMES = [c for c in ALL if case(*c.values).operands and BY_NAME[c.values[0]].op not in UNDEFINED_IN_PART]


def stacked(c: Case, subset: Sequence[int], size: int) -> list[Arrays]:
    """Operands of `size` examples, which differ in the operands of the subset only."""
    drawn = [c.draw(seed) for seed in range(size)]
    return [tuple([one[i] if i in subset else c.operands[i] for i in range(len(one))]) for one in drawn]


def joined(examples: Sequence[Arrays], like: Arrays, subset: Sequence[int]) -> list[Any]:
    """The operands in the subset along a new leading axis, the others once."""
    if not examples:
        return [np.zeros((0, *x.shape), x.dtype) if i in subset else x for i, x in enumerate(like)]
    return [np.stack([one[i] for one in examples]) if i in subset else x for i, x in enumerate(like)]


def check(
    c: Case, function: ir.Function, subset: Sequence[int], examples: list[Arrays], like: Arrays
) -> None:
    """AssertionError where the batched function differs from the function on each example."""
    size = len(examples)
    program, flags = transforms.batch(function, mask(subset, len(like)), size)
    verified(program, "batch")
    got = ir.evaluate(program, *joined(examples, like, subset))
    apart = [ir.evaluate(function, *one) for one in examples]
    for i, (result, batched) in enumerate(zip(got, flags, strict=True)):
        type_ = function.out_types[i]
        wanted = (size, *type_.shape) if batched else type_.shape
        assert program.out_types[i] == type_.with_shape(wanted)
        for k, one in enumerate(apart):
            a, b = result[k] if batched else result, one[i]
            wrong = disagreement(a, b, rtol=RTOL.get(type_.dtype.name, 0), scaled=True)
            assert wrong is None, (
                f"{c.name}, operands {tuple(subset)} batched by {size}, result {i}, example {k}: {wrong}"
            )


def of_examples(c: Case) -> bool:
    """Whether other draws have the same types; only then is there a batch of them."""
    return [(x.shape, x.dtype) for x in c.draw(1)] == [(x.shape, x.dtype) for x in c.operands]


@pytest.mark.parametrize(("name", "dtype"), [c for c in NAMES if BY_NAME[c.values[0]].op not in NOT_A_LOOP])
@pytest.mark.parametrize("size", [3, 1, 0])
def test_against_a_loop(name: str, dtype: str, size: int) -> None:
    c = case(name, dtype)
    assert of_examples(c)
    count = len(c.operands)
    for subset in subsets(range(count)) if size == 3 else [tuple(range(count))]:
        check(c, c.function, subset, stacked(c, subset, size), c.operands)


@pytest.mark.parametrize(("name", "dtype"), [c for c in NAMES if BY_NAME[c.values[0]].op in NOT_A_LOOP])
@pytest.mark.parametrize("size", [3, 1])
def test_not_a_loop(name: str, dtype: str, size: int) -> None:
    """The types are those of a batch; the values are known of a batch of one alone."""
    c = case(name, dtype)
    subset = tuple(range(len(c.operands)))
    program, flags = transforms.batch(c.function, mask(subset, len(subset)), size)
    verified(program, "batch")
    assert all(flags)
    assert [t.shape for t in program.out_types] == [(size, *t.shape) for t in c.function.out_types]
    if size == 1:
        check(c, c.function, subset, stacked(c, subset, size), c.operands)


@pytest.mark.parametrize(("name", "dtype"), OTHERS)
def test_other_element_types(name: str, dtype: str) -> None:
    c = case(name, dtype)
    subset = tuple(range(len(c.operands)))
    if subset and c.sample.op not in NOT_A_LOOP:
        check(c, c.function, subset, stacked(c, subset, 2), c.operands)


WITH_GRADIENT = [
    c
    for c in NAMES
    if kind(*c.values) == "tested"
    and BY_NAME[c.values[0]].op not in NOT_A_LOOP
    and differentiable_operands(case(*c.values))
    and refusal(case(*c.values), "reverse") is None
]


@pytest.mark.parametrize(("name", "dtype"), WITH_GRADIENT)
def test_gradient_against_a_loop(name: str, dtype: str) -> None:
    """The gradient program is batched in all its operands, and in the cotangents alone."""
    c = case(name, dtype)
    wrt, outs = differentiable_operands(c), inexact(c.function.out_types)
    program = transforms.vjp(c.function, mask(wrt, len(c.types)), mask(outs, len(c.function.out_types)))
    rng = np.random.default_rng(3)
    results = ir.evaluate(c.function, *c.operands)
    count = len(c.operands)
    like = (*c.operands, *[direction(results[i], rng) for i in outs])
    cotangents = tuple(range(count, len(like)))
    for subset in (tuple(range(len(like))), cotangents):
        examples = []
        for seed in range(2):
            operands = c.draw(seed) if 0 in subset else c.operands
            examples.append((*operands, *[direction(results[i], rng) for i in outs]))
        check(c, program, subset, examples, like)


ONCE_AN_OP = list({BY_NAME[c.values[0]].op: c for c in reversed(NAMES)}.values())


@pytest.mark.parametrize(("name", "dtype"), ONCE_AN_OP)
def test_batched_program_compiles(name: str, dtype: str) -> None:
    c = case(name, dtype)
    subset = tuple(range(len(c.operands)))
    operands = joined(stacked(c, subset, 2), c.operands, subset)
    program, _ = transforms.batch(c.function, mask(subset, len(subset)), 2)
    got = compiled(lambda xs: emit(program, c.on_device(xs)), operands, wide=True)
    want = ir.evaluate(program, *operands)
    if c.sample.compare is not None:  # of each example, as it does not know of a batch
        got, want = (
            [
                np.stack(parts)
                for parts in zip(
                    *[as_tuple(c.sample.compare(*[r[k] for r in outs])) for k in (0, 1)], strict=True
                )
            ]
            for outs in (got, want)
        )
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        rtol = max(
            c.rtol(c.function.out_types[0].dtype), *[RTOL.get(t.dtype.name, 0) for t in c.function.out_types]
        )
        wrong = disagreement(a, b, rtol=rtol, scaled=True)
        assert wrong is None, f"{c.name}, result {i}: {wrong}"
