"""All golden files, and that the runner finds what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ir.passes.dce import dce
from ir.rewrite import NOTHING
from tests.golden import runner
from tests.golden.runner import Case, Mismatch, cases, check, update

IDENTITY = "def f(x: f32[2]) -> (f32[2]):\n  y: f32[2] = neg(x)\n  return y"


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_case(case: Case) -> None:
    check(case)


def test_every_folder_is_a_pass() -> None:
    folders = {case.path.parent.name for case in cases()} - {"invalid"}
    assert folders == set(runner.PASSES)


def _file(folder: Path, text: str) -> Case:
    folder.mkdir()
    path = folder / "case.ir"
    path.write_text(text)
    return Case(path)


def test_other_text_is_a_mismatch(tmp_path: Path) -> None:
    case = _file(tmp_path / "dce", f"{IDENTITY}\n---\n{IDENTITY.replace('y', 'z')}\n")
    with pytest.raises(Mismatch, match="expected"):
        check(case)
    assert update(case)
    check(case)
    assert not update(case)


def test_update_does_not_bless_a_miscompilation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runner.PASSES, "dce", (lambda f: f.replace(results=f.params), NOTHING))
    case = _file(tmp_path / "dce", f"{IDENTITY}\n---\n{IDENTITY}\n")
    with pytest.raises(Mismatch, match="became"):
        update(case)
    assert case.halves()[1] == IDENTITY


def test_broken_result_is_a_mismatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runner.PASSES, "dce", (lambda f: dce(f).replace(eqns=()), NOTHING))
    case = _file(tmp_path / "dce", f"{IDENTITY}\n---\n{IDENTITY}\n")
    with pytest.raises(Mismatch, match="not well formed"):
        update(case)
