"""Random programs agree with JAX in values and derivatives; `python -m tests.fuzz` tries more of them."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import attempt as trying
from tests.fuzz.__main__ import report
from tests.fuzz.attempt import ENDED, attempt
from tests.fuzz.check import Outcome

# In several parts, which test workers share.
PARTS = 4
# Continuous integration tries many more by `make fuzz`.
PROGRAMS = int(os.environ.get("FUZZ_PROGRAMS", "12" if os.environ.get("CI") else "40"))


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


def _ends_at_3(seed: str) -> Outcome:
    if seed.endswith(".3"):
        os._exit(1)
    return Outcome("agrees")


def test_a_process_that_ends_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "_outcome", _ends_at_3)
    found = list(trying.outcomes([f"0.{i}" for i in range(6)], 2))
    want = [Outcome("agrees")] * 6
    want[3] = found[3]
    assert found == want
    assert (found[3].kind, found[3].why) == ("differs", ENDED)
