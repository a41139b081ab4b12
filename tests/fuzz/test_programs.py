"""Random programs agree with JAX in values and derivatives; `python -m tests.fuzz` tries more of them."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import report
from tests.fuzz.attempt import attempt

# In several parts, which test workers share.
PARTS = 4
PROGRAMS = int(os.environ.get("FUZZ_PROGRAMS", "40"))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_programs_agree_with_jax(part: int) -> None:
    tried = 0

    # What differs is made small by `tests.fuzz.minimise`, which knows what a program is.
    @settings(max_examples=PROGRAMS // PARTS, phases=[Phase.explicit, Phase.reuse, Phase.generate])
    @given(st.integers(0, 2**32 - 1))
    def agrees(number: int) -> None:
        nonlocal tried
        seed = f"{part}.{number}"
        program, outcome = attempt(seed)
        assert outcome.kind != "differs", "\n" + report(seed, program, outcome, 120.0)
        tried += outcome.kind == "agrees"

    agrees()
    assert tried > PROGRAMS // PARTS // 2, "most programs were discarded"
