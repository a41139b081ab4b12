"""Evaluation, lowering and reference of every op agree, for every element type, special values included."""

from __future__ import annotations

import numpy as np
import pytest

import ir
from tests.ops.harness import (
    BY_NAME,
    Arrays,
    Case,
    as_tuple,
    case,
    disagreement,
    dtypes_of,
    found,
    on_host,
    primary,
)

CASES = [pytest.param(name, dtype, id=f"{name}-{dtype}") for name in BY_NAME for dtype in dtypes_of(name)]

# Ops whose results may have zeros of either sign, and why.
ANY_ZERO: dict[str, str] = {}


def check(c: Case, what: str, got: Arrays, want: Arrays) -> None:
    """AssertionError where two sets of results differ by more than the sample allows."""
    types = c.function.out_types
    assert len(got) == len(want) == len(types), f"{what}: {len(got)} results instead of {len(want)}"
    rtols = [c.rtol(t.dtype) for t in types]
    if c.sample.compare is not None:
        got, want = (as_tuple(c.sample.compare(*results)) for results in (got, want))
        rtols = [max(rtols)] * len(got)
    for i, (a, b, rtol) in enumerate(zip(got, want, rtols, strict=True)):
        zeros = c.sample.op not in ANY_ZERO and c.sample.compare is None
        wrong = disagreement(a, b, rtol=rtol, scaled=not c.op.elementwise, zeros=zeros)
        assert wrong is None, f"{c.name}, {what}, result {i}: {wrong}"


@pytest.mark.parametrize(("sample", "dtype"), CASES)
def test_values(sample: str, dtype: str) -> None:
    c = case(sample, dtype)
    computed = found(sample, dtype)
    for i, (operands, (lowered, reference)) in enumerate(
        zip([c.operands, *c.special], computed, strict=True)
    ):
        where = "" if i == 0 else f" at special operands {i - 1}"
        function = c.function_at(operands)
        evaluated = ir.evaluate(function, *operands)
        for value, result in zip(lowered, function.out_types, strict=True):
            assert on_host(value).dtype == result.dtype.np, (
                f"{c.name}: lowered to {value.dtype}, not {result}"
            )
        check(c, f"evaluation against lowering{where}", evaluated, lowered)
        check(c, f"lowering against reference{where}", lowered, reference)


@pytest.mark.parametrize("sample", BY_NAME)
def test_operands_are_as_drawn(sample: str) -> None:
    """Neither drawing nor evaluating is random or writes to its operands."""
    c = case(sample, primary(sample))
    before = [np.array(x, copy=True) for x in c.operands]
    first = ir.evaluate(c.function, *c.operands)
    for x, kept, again in zip(c.operands, before, c.draw(), strict=True):
        np.testing.assert_array_equal(x, kept)
        np.testing.assert_array_equal(x, again)
    for x, y in zip(first, ir.evaluate(c.function, *c.operands), strict=True):
        np.testing.assert_array_equal(x, y)
