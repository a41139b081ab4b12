"""Suites by name: every module beside this one that has `CASES`. May import: the cases."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from benchmarks.suites.case import Case

_PACKAGE = "benchmarks.suites"


def names() -> list[str]:
    """Of the suites of this repository, sorted."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name for name in modules if hasattr(importlib.import_module(f"{_PACKAGE}.{name}"), "CASES"))


def module(suite: str) -> str:
    """Where the suite of that name stands; the dotted name of a module is its own."""
    return suite if "." in suite else f"{_PACKAGE}.{suite}"


def cases(suite: str) -> Mapping[str, Case]:
    """By name."""
    try:
        found: tuple[Case, ...] = importlib.import_module(module(suite)).CASES
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"expected a suite among {names()}, got {suite!r}: {error}") from error
    short = module(suite).rpartition(".")[2]
    by_name = {case.name: case for case in found}
    if len(by_name) != len(found):
        raise ValueError(f"suite {suite!r}: names of cases repeat")
    if strangers := sorted({case.suite for case in found} - {short}):
        raise ValueError(f"suite {suite!r}: expected cases of suite {short!r}, got {strangers}")
    return by_name


__all__ = ["cases", "module", "names"]
