"""Making a program that fails smaller, while it still fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import ir
from ir.core import Eqn, Function, Value
from ir.passes.dce import dce
from tests.fuzz.rewrites.draw import Drawn


def minimise(drawn: Drawn, shows: Callable[[Drawn], bool], seconds: float) -> Drawn:
    """The smallest program found within the time for which `shows` holds."""
    deadline = time.monotonic() + seconds
    shrunk = True
    while shrunk and time.monotonic() < deadline:
        shrunk = False
        for candidate in _smaller(drawn):
            if time.monotonic() > deadline:
                break
            if _size(candidate) < _size(drawn) and shows(candidate):
                drawn, shrunk = candidate, True
                break
    return drawn


def _size(drawn: Drawn) -> int:
    return len(drawn.loss.eqns) + len(drawn.loss.results)


def _smaller(drawn: Drawn) -> Iterator[Drawn]:
    """Programs with less to them: fewer results, then fewer equations, from the last to the first."""
    loss = drawn.loss
    for i in range(1, len(loss.results)):
        yield _clean(loss.replace(results=(loss.results[0], loss.results[i])), drawn)
    for i in range(1, len(loss.results)):
        yield _clean(loss.replace(results=loss.results[:i] + loss.results[i + 1 :]), drawn)
    for at in reversed(range(len(loss.eqns))):
        eqn = loss.eqns[at]
        for operand in eqn.operands:
            if len(eqn.results) == 1 and operand.type == eqn.results[0].type:
                yield _clean(_without(loss, at, {eqn.results[0]: operand}), drawn)
        if eqn.operands:
            yield _clean(_given(loss, at), drawn, _values(drawn, eqn))


def _values(drawn: Drawn, eqn: Eqn) -> dict[Value, object]:
    arrays = ir.evaluate(drawn.loss.replace(results=eqn.results), *drawn.inputs)
    return dict(zip(eqn.results, arrays, strict=True))


def _given(function: Function, at: int) -> Function:
    """With the results of an equation as params."""
    eqn = function.eqns[at]
    return function.replace(
        params=(*function.params, *eqn.results), eqns=function.eqns[:at] + function.eqns[at + 1 :]
    )


def _without(function: Function, at: int, env: dict[Value, Value]) -> Function:
    eqns = [
        Eqn(e.op, tuple([env.get(v, v) for v in e.operands]), e.attrs, e.results, e.source)
        for i, e in enumerate(function.eqns)
        if i != at
    ]
    return function.replace(eqns=tuple(eqns), results=tuple([env.get(v, v) for v in function.results]))


def _clean(function: Function, drawn: Drawn, more: dict[Value, object] | None = None) -> Drawn:
    """Without dead code and params that nothing reads."""
    arrays = {**dict(zip(drawn.loss.params, drawn.inputs, strict=True)), **(more or {})}
    function = dce(function)
    read = {v for eqn in function.eqns for v in eqn.operands} | set(function.results)
    params = tuple([p for p in function.params if p in read])
    return Drawn(function.replace(params=params), tuple([arrays[p] for p in params]), Counter())
