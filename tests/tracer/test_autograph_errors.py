"""What users get where control flow cannot be staged: the type, the variable, and their line."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import clean
from tracer.errors import (
    ConcretizationError,
    ControlFlowError,
    ConversionError,
    ShapeError,
    TracerError,
    UndefinedVariableError,
)

XS = jnp.arange(5.0)


def one_branch(x):
    if x > 0:
        y = x
    return y  # line 3


def one_branch_of_many(x):
    y = 1.0
    if x > 0:
        if x > 1:
            z = x
        y = 2.0
    return y + z  # line 6


def only_in_loop(x):
    while x > 1:
        y = x
        x = x / 2
    return y  # line 4


def read_first(x):
    while x > 1:
        if x > 5:
            y = x
        else:
            y = y + 1  # line 5
        x = x - y
    return x


def shapes(x):
    if x[0] > 0:  # line 1
        y = x
    else:
        y = x[:2]
    return y


def structures(x):
    if x[0] > 0:  # line 1
        y = (x, x)
    else:
        y = {"a": x}
    return y


def strings(x):
    if x[0] > 0:  # line 1
        mode = "a"
    else:
        mode = "b"
    return mode


def inner_leaf(x):
    p = {"w": x, "n": 1}
    if x[0] > 0:  # line 2
        p = {"w": x[:1], "n": 2}
    return p


def grows(x):
    while x[0] < 10:  # line 1
        x = tnp.concatenate([x, x])
    return x


def nests(x):
    y, n = x, 0
    while n < 3 + x[0]:  # line 2
        n = n + 1
        y = (y, n)
    return y


def float_in_int(x):
    y = tnp.zeros((), int)
    while x[0] > y:  # line 2
        y = y + 0.5
    return y


def none_at_first(x):
    best = None
    for v in x:  # line 2
        if best is None or v > best:
            best = v
    return best


def in_scan(x):
    y = x[:1]
    for v in x:  # line 2
        y = tnp.concatenate([y, y]) * v
    return y


def appends(x):
    found = []
    while x[0] < 10:  # line 2
        x = x + 1
        found.append(x)
    return found


def appends_in_branch(x):
    found = []
    if x[0] < 10:  # line 2
        found.append(x)
    return found


def assigns_in_function(x):
    k = 0.0

    def change():
        nonlocal k
        k = k + 1

    while x[0] < 10:  # line 7
        x = x + 1
        change()
    return k


class Counter:
    calls = 0

    def count(self):
        self.calls = self.calls + 1


def changes_object(x):
    counter = Counter()
    for v in x:  # line 2
        x = x + v
        counter.count()
    return counter.calls


def fills_dict(x):
    seen = {}
    for v in x:  # line 2
        seen.update(k=v)
    return seen


def returns_sometimes(x):
    if x[0] < 10:  # line 1
        return x


def endless(x):
    for k in itertools.count():  # line 1
        if x[0] + k > 10:
            break
    return x


def raises(x):
    try:
        if x[0] < 0:
            raise ValueError("negative")  # line 3
    except ValueError:
        return -x
    return x


def asserts(x):
    if x[0] < 0:
        assert isinstance(x, int), "an int"  # line 2
    return x


def ambiguous(x):
    if x > 0:  # line 1
        return 1.0
    return 2.0


def expression(x):
    return 1.0 if x[0] > 0 else x  # line 1


CASES: list[tuple[Callable[..., Any], Any, type[TracerError], tuple[str, ...]]] = [
    (one_branch, 2.0, UndefinedVariableError, ("'y'", "only one branch")),
    (one_branch_of_many, 2.0, UndefinedVariableError, ("'z'", "only one branch")),
    (only_in_loop, 2.0, UndefinedVariableError, ("'y'", "may not run")),
    (shapes, XS, ControlFlowError, ("'y'", "f32[5]", "f32[2]")),
    (structures, XS, ControlFlowError, ("'y'", "(f32[5], f32[5])", "{'a': f32[5]}")),
    (strings, XS, ControlFlowError, ("'mode'", "'a'", "'b'")),
    (inner_leaf, XS, ControlFlowError, ("'p'['w']", "f32[1]", "f32[5]")),
    (grows, XS, ControlFlowError, ("'x'", "f32[5]", "f32[10]")),
    (nests, XS, ControlFlowError, ("'y'", "f32[5]")),
    (float_in_int, XS, ControlFlowError, ("'y'", "i32[]", "f32[]")),
    (none_at_first, XS, ControlFlowError, ("'best'", "None", "f32[]")),
    (in_scan, XS, ControlFlowError, ("'y'", "f32[1]", "f32[2]")),
    (appends, XS, ControlFlowError, ("'found'", "list", "trips is traced")),
    (appends_in_branch, XS, ControlFlowError, ("'found'", "[f32[5]]", "[]")),
    (assigns_in_function, XS, ControlFlowError, ("'k'", "trips is traced")),
    (changes_object, XS, ControlFlowError, ("'counter'", "staged")),
    (fills_dict, XS, ControlFlowError, ("'seen'", "dict")),
    (returns_sometimes, XS, ControlFlowError, ("the returned value", "f32[5]", "None")),
    (raises, XS, ControlFlowError, ("ValueError: negative",)),
    (asserts, XS, ControlFlowError, ("AssertionError: an int",)),
    (endless, XS, ControlFlowError, ("count",)),
    (ambiguous, XS, ShapeError, ("bool[5]", ".any()")),
    (expression, XS, ControlFlowError, ("`1.0 if x[0] > 0 else x`", "f32[]", "f32[5]")),
]


def marked_line(f: Callable[..., Any]) -> int:
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    first = f.__code__.co_firstlineno
    return next(n for n in range(first, first + 12) if "# line" in lines[n - 1])


@pytest.mark.parametrize(("f", "x", "kind", "words"), CASES, ids=[c[0].__name__ for c in CASES])
def test_errors_name_variable_and_line(
    f: Any, x: Any, kind: type[TracerError], words: tuple[str, ...]
) -> None:
    with pytest.raises(kind) as caught:
        tr.jit(f, autograph=True)(x)
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert text.splitlines()[-1].endswith(f"{__file__}:{marked_line(f)} ({f.__name__})"), text
    clean()


def test_reading_before_assigning_is_pythons_error() -> None:
    with pytest.raises(UnboundLocalError, match="'y'") as caught:
        tr.jit(read_first, autograph=True)(9.0)
    assert marked_line(read_first) in [f.lineno for f in traceback.extract_tb(caught.value.__traceback__)]
    clean()


def test_variables_keep_their_values_after_an_error() -> None:
    def f(x):
        y, items = 1.0, [1]
        try:
            while x > 0:
                x = x - 1
                y = (y, y)
                items.append(x)
        except ControlFlowError:
            pass
        return y, items

    y, items = tr.jit(f, autograph=True)(3.0)
    assert float(y) == 1.0 and len(items) == 1


def test_tracebacks_show_the_original_lines() -> None:
    def f(x):
        if x > 0:
            y = x

            return y + missing_name  # noqa: F821
        return x

    with pytest.raises(NameError) as caught:
        tr.jit(f, autograph=True)(1.0)
    frames = [t for t in traceback.extract_tb(caught.value.__traceback__) if t.filename == __file__][1:]
    first = f.__code__.co_firstlineno
    assert [(t.lineno - first, t.name) for t in frames] == [(1, "f"), (4, "f")]
    assert frames[-1].line.startswith("return y + missing_name")


def test_functions_without_source() -> None:
    hidden = eval("lambda x: x if x > 0 else -x")
    with pytest.raises(ConversionError, match="<lambda>"):
        tr.jit(hidden, autograph=True)(1.0)
    with pytest.raises(ConcretizationError) as caught:
        tr.jit(lambda x: hidden(x), autograph=True)(1.0)
    assert "without being converted" in "".join(caught.value.__notes__)
    assert tr.autograph(lambda x: hidden(x))(-2.0) == 2.0


def test_what_cannot_be_converted_is_named() -> None:
    def matches(x, n=1):
        match n:
            case 1:
                return x
        return -x

    def looks(x):
        return locals()

    def generates(x):
        yield x

    for f, what in ((matches, "a match statement"), (looks, "locals"), (generates, "generator")):
        with pytest.raises(ConversionError, match=what):
            tr.jit(f, autograph=True)(1.0)
    assert float(tr.jit(lambda x: matches(x), autograph=True)(2.0)) == 2.0
