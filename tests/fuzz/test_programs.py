"""Random programs agree with JAX in values and derivatives; `python -m tests.fuzz` tries more of them."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import attempt, report

PROGRAMS = int(os.environ.get("FUZZ_PROGRAMS", "200"))


@settings(max_examples=PROGRAMS, phases=[p for p in settings().phases if p.name != "shrink"])
@given(st.integers(0, 2**32 - 1))
def test_agrees_with_jax(seed: int) -> None:
    # Programs are made small by `tests.fuzz.minimise`, which knows what they are.
    program, outcome = attempt(str(seed))
    assert outcome.kind != "differs", "\n" + report(str(seed), program, outcome, 120.0)
