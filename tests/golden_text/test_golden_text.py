"""The printed forms are those of the files."""

from __future__ import annotations

import pytest

from tests.golden_text.runner import CASES, ROOT, outcome, path


@pytest.mark.parametrize("name", CASES)
def test_text(name: str) -> None:
    assert outcome(name) == path(name).read_text(encoding="utf-8"), (
        "update: python -m tests.golden_text --update"
    )


def test_every_file_has_a_case() -> None:
    assert {each.stem for each in ROOT.glob("*.txt")} == set(CASES)
