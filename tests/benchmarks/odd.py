"""A suite of cases that go wrong in a peer, each in its own way, and one that goes well."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Quantity

SIZES = {"tiny": {"n": 3}, "middle": {"n": 5}}


def _inputs(n: int) -> tuple[Any, ...]:
    return (np.arange(1.0, n + 1),)


def _case(name: str, **more: Any) -> Case:
    usual = {
        "program": lambda lib, x: 2.0 * x,
        "quantity": Quantity.VALUE,
        "reference": lambda x: 2 * x,
    }
    return Case("odd", name, inputs=_inputs, sizes=SIZES, **usual | more)


def _raises(x: Any) -> Any:
    raise ArithmeticError("no such thing")


CASES = (
    _case("good"),
    _case("wrong", reference=lambda x: 2 * x + 1e-3),
    _case("other shape", reference=lambda x: 2 * x[:-1]),
    _case("other count", reference=lambda x: (x, x)),
    _case("not finite", program=lambda lib, x: x / 0.0),
    _case("reference fails", reference=_raises),
    _case("no reference", reference=None),
    _case("declined", declined={"tests.benchmarks.peers.plain": "has no such thing"}),
    _case("noisy"),
    _case("raises"),
    _case("dies"),
    _case("dies later"),
    _case("hangs"),
    _case("unsupported"),
    _case(
        "value and gradient",
        quantity=Quantity.VALUE_AND_GRADIENT,
        program=lambda lib, x: lib.np.sum(x**2),
        reference=lambda x: (np.sum(x**2), 2 * x),
    ),
)

__all__ = ["CASES"]
